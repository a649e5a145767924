CREATE TABLE invoices (id bigint PRIMARY KEY, amount decimal(10, 2) NOT NULL, CONSTRAINT invoices_amount CHECK (amount >= 0));
