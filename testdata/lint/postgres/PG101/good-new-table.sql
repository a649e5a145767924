CREATE TABLE invoices (id bigint PRIMARY KEY, user_id bigint NOT NULL);
CREATE INDEX invoices_user_id ON invoices (user_id);
