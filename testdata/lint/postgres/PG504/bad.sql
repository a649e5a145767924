ALTER TABLE visits ALTER COLUMN id TYPE bigint; -- expect: PG305 warning
ALTER TABLE visits ALTER COLUMN page TYPE bigint; -- expect: PG305 warning -- expect: PG504 notice
