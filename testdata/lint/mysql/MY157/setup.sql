CREATE TABLE cities (id bigint NOT NULL PRIMARY KEY, name varchar(40) NOT NULL, KEY cities_name (name));
