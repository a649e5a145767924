-- on: mysql
-- target: 8.4
-- server: error 6125
CREATE TABLE streets (
    id bigint NOT NULL PRIMARY KEY,
    city varchar(40) NOT NULL,
    FOREIGN KEY (city) REFERENCES cities (name) -- expect: MY157 error
);
