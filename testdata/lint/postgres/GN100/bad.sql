-- server: not run, it cannot be cut into statements
UPDATE users SET name = 'O'Neil' WHERE id = 1; -- expect: GN100 error
