ALTER TABLE users ADD COLUMN nickname text; -- expect: GN102 notice
