ALTER TABLE users ADD COLUMN title varchar(20) AFTER email; -- expect: MY163 notice
