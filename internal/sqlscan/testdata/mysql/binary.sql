INSERT INTO t VALUES (_binary 'ÿþ;\'', 'Ã©');
SELECT 2;
