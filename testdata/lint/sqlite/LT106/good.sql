CREATE TABLE new_invoices (id INTEGER PRIMARY KEY AUTOINCREMENT, amount NUMERIC NOT NULL);
INSERT INTO new_invoices (id, amount) SELECT id, amount FROM invoices;
DELETE FROM sqlite_sequence WHERE name = 'new_invoices';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_invoices', seq FROM sqlite_sequence WHERE name = 'invoices';
DROP TABLE invoices;
ALTER TABLE new_invoices RENAME TO invoices;
