CREATE TABLE pages (id bigint NOT NULL PRIMARY KEY, body text NOT NULL, FULLTEXT KEY pages_body (body));
