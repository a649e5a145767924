ALTER TABLE users ENGINE=InnoDB; -- expect: MY162 notice
OPTIMIZE TABLE orders; -- expect: MY162 notice
