CREATE TABLE visits (id bigint NOT NULL PRIMARY KEY, page varchar(100)) DEFAULT CHARSET=utf8mb3; -- expect: MY152 notice
