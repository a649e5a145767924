-- target: 9.0
CREATE TABLE invoices (
    id bigint NOT NULL PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders (id)
);
