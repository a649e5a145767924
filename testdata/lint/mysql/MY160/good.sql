ALTER TABLE users ADD COLUMN nickname varchar(40);
CREATE VIEW labels AS SELECT json_unquote(json_extract(name, '$.label')) AS label FROM users;
