ALTER TABLE orders MODIFY state varchar(20) NOT NULL; -- expect: MY136 warning
