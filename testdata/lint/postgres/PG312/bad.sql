CREATE TABLE tags (id int PRIMARY KEY, name text NOT NULL); -- expect: PG312 notice
