ALTER TABLE visits ADD COLUMN id bigserial; -- expect: PG302 warning
