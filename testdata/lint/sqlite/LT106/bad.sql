CREATE TABLE new_invoices (id INTEGER PRIMARY KEY AUTOINCREMENT, amount NUMERIC NOT NULL);
INSERT INTO new_invoices (id, amount) SELECT id, amount FROM invoices;
DROP TABLE invoices; -- expect: LT106 error
ALTER TABLE new_invoices RENAME TO invoices;
