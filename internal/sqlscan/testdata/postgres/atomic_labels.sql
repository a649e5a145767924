CREATE TABLE t ("end" int, "case" int);
CREATE FUNCTION f() RETURNS int BEGIN ATOMIC
  SELECT 1 AS end, t.end, 2 AS case FROM t;
  SELECT t.case FROM t;
END;
SELECT 1;
