CREATE TABLE events (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, at datetime(6), price decimal(10, 2));
