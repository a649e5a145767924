CREATE TABLE invoices (
    id bigint NOT NULL PRIMARY KEY,
    order_id bigint NOT NULL,
    FOREIGN KEY (order_id) REFERENCES orders (id)
);
