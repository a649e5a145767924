CREATE TABLE g (x int);
