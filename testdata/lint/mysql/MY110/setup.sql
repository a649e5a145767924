CREATE TABLE parcels (id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, size enum('small', 'large') NOT NULL, flags set('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'));
