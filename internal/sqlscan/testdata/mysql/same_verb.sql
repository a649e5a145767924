-- A statement begins as the one before did, and is another kind.
CREATE TABLE t (n int);
(SELECT 1);
CREATE PROCEDURE a() BEGIN SELECT 1; SELECT 2; END;
SELECT 3;
/*!50003 CREATE PROCEDURE b() BEGIN SELECT 1; SELECT 2; END */;
/*!50003 SELECT 4 */;
select 5;
SELECT 6;
ALTER TABLE t ADD m int;
ALTER EVENT e DO BEGIN SELECT 1; SELECT 2; END;
SELECT 1e5, 1.5e-3, 1e--5, 1$a, 0x1f, 1e'a;b', 2x;
SELECT 7;
