UPDATE orders SET state = 'open' WHERE state IS NULL;
ALTER TABLE orders MODIFY state varchar(20) NOT NULL DEFAULT 'open', LOCK=NONE;
