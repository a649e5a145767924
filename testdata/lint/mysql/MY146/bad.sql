-- server: error 1227
CREATE DEFINER=`someone`@`%` VIEW names AS SELECT name FROM users; -- expect: MY146 warning
