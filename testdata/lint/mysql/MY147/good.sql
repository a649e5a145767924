INSERT INTO users (id, email) VALUES (99, 'z@example.org');
INSERT INTO notes (id, user_id) VALUES (1, 99);
