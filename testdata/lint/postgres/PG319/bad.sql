-- ask: PG319=notice
CREATE TABLE tags (id bigserial PRIMARY KEY); -- expect: PG319 notice
