-- ask: MY154=notice
CREATE TABLE visits (id bigint NOT NULL PRIMARY KEY, until timestamp NULL); -- expect: MY154 notice
