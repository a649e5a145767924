ALTER TABLE orders ADD COLUMN note varchar(20), ADD COLUMN place varchar(20), ALGORITHM=INSTANT;
