CREATE TABLE rentals (id bigint PRIMARY KEY, during tstzrange, EXCLUDE USING gist (during WITH &&));
