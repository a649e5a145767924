CREATE DOMAIN percent AS int CHECK (VALUE BETWEEN 0 AND 100); -- expect: PG212 notice
