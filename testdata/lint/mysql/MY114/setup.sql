CREATE TABLE items (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    stock int NOT NULL DEFAULT 5,
    code varchar(10) CHARACTER SET ascii NOT NULL
);
