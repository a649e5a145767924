-- tldwdb: assured PG101 the table is small -- expect: GN106 warning
INSERT INTO users (email) VALUES ('a@example.org');
-- tldwdb: assured PG999 nobody waits -- expect: GN106 error
INSERT INTO users (email) VALUES ('b@example.org');
