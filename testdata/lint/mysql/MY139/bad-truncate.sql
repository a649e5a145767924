TRUNCATE TABLE orders; -- expect: MY139 warning
ALTER TABLE logs TRUNCATE PARTITION p0; -- expect: MY139 warning
