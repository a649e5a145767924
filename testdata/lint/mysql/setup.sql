-- The tables of the examples.
CREATE TABLE users (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    email varchar(40) NOT NULL,
    name varchar(200)
);
CREATE TABLE orders (
    id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    user_id bigint NOT NULL,
    amount decimal(10, 2) NOT NULL,
    state varchar(20)
);
