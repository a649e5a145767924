-- target: 8.4
CREATE TABLE streets (
    id bigint NOT NULL PRIMARY KEY,
    city_id bigint NOT NULL,
    FOREIGN KEY (city_id) REFERENCES cities (id)
);
