CREATE TABLE visits (id int, page varchar(50), at timestamp, price numeric(8, 2)); -- no key
