-- target: 8.0.29
ALTER TABLE users ADD COLUMN title varchar(20) AFTER email;
