ALTER TABLE users ADD COLUMN points int NOT NULL; -- expect: MY101 warning
