CREATE TABLE visits (id bigint NOT NULL PRIMARY KEY) ENGINE=MyISAM; -- expect: MY151 warning
