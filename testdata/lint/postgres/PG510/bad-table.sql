-- server: error specified more than once
CREATE TABLE tags (
    id bigint PRIMARY KEY,
    name text,
    name text -- expect: PG510 error
);
