CREATE TABLE links (a bigint NOT NULL, b bigint NOT NULL, PRIMARY KEY (a));
