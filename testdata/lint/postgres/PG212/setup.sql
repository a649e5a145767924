CREATE DOMAIN amount AS numeric(10, 2);
CREATE TABLE payments (id bigint PRIMARY KEY, paid amount);
