-- on: mariadb
-- on MariaDB no UPDATE of a row succeeds after this
ALTER TABLE users ADD COLUMN settings json NOT NULL; -- expect: MY101 error
