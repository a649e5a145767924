# a comment; here
-- another; one
--	tab; after
SELECT 5--1, 5 --1
, 2 # ; '
-- "
, 3 /* ; ' */;
--
SELECT /*+ MAX_EXECUTION_TIME(1) */ 4, 5 /* not /* nested */;
/* only; this */;
--x;
