-- What MariaDB has from 10.7 on.
CREATE TABLE keyed (id uuid NOT NULL DEFAULT uuid() PRIMARY KEY);
INSERT INTO keyed (id) VALUES ('123e4567-e89b-12d3-a456-426655440000');
