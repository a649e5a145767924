CREATE TABLE visits (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, at datetime NOT NULL, page varchar(100) NOT NULL);
