CREATE TABLE visits (id int, page int);
