ALTER TABLE users ORDER BY email; -- expect: MY162 warning
