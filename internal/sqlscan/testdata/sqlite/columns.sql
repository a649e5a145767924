-- é before the fault
/* ü */ SELECT 'Grüße'; SELECT '日本'; SELECT '😀' AS "ä"; SELECT 4;
