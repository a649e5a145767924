ALTER TABLE logs DROP PARTITION p0; -- expect: MY139 warning
