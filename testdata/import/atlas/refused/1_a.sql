-- atlas:checkpoint

CREATE TABLE a (x int);
