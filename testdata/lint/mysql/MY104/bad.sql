ALTER TABLE users MODIFY email varchar(64) NOT NULL; -- expect: MY104 warning
