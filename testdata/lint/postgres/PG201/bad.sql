-- two tables wait for this one
ALTER TABLE orders
    ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id); -- expect: PG201 warning
