ALTER TABLE orders MODIFY amount decimal(12, 2) NOT NULL; -- expect: MY103 warning
