-- atlas:txtar
-- checks.sql --
SELECT 1;
