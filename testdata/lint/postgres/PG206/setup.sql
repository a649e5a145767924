CREATE TABLE visits (id bigint NOT NULL, page bigint, at timestamptz);
