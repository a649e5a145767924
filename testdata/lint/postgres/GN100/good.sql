UPDATE users SET name = 'O''Neil' WHERE id = 1;
