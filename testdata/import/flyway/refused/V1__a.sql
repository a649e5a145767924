CREATE TABLE a (x text DEFAULT '${value}');
