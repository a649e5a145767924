-- down
DROP TABLE orders;
