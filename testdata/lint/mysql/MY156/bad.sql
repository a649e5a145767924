CREATE TABLE visits (
    id bigint NOT NULL PRIMARY KEY,
    page varchar(100) NOT NULL,
    at datetime NOT NULL,
    KEY visits_page (page), -- expect: MY156 notice
    KEY visits_page_at (page, at)
);
