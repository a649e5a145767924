-- tldwdb: lock-timeout=5s
ALTER TABLE orders ADD COLUMN note text;
