CREATE TABLE visits (id bigint NOT NULL PRIMARY KEY, page varchar(100), hash char(64) CHARACTER SET ascii) DEFAULT CHARSET=utf8mb4;
