CREATE TABLE tags (
    id serial, -- expect: PG312 notice
    name text NOT NULL,
    PRIMARY KEY (id)
);
