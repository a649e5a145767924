-- ask: MY134=notice
ALTER TABLE orders ADD COLUMN note varchar(20); -- expect: MY134 notice
