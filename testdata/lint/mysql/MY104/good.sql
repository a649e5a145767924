ALTER TABLE users MODIFY email varchar(63) NOT NULL;
