-- ask: PG509=notice
CREATE TABLE tags (id bigint PRIMARY KEY); -- expect: PG509 notice
