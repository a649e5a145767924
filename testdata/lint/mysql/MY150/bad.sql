CREATE TABLE visits (at datetime NOT NULL, page varchar(100) NOT NULL); -- expect: MY150 warning
