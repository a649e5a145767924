CREATE TABLE visits (
    id bigint NOT NULL PRIMARY KEY,
    page varchar(100) NOT NULL,
    at datetime NOT NULL,
    KEY visits_page_at (page, at),
    KEY visits_at (at)
);
