ALTER TABLE users ADD COLUMN born date NOT NULL; -- expect: MY101 error
