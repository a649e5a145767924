CREATE TABLE invoices (
    id bigint NOT NULL PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders (id) -- expect: MY102 error
);
