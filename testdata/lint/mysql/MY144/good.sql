INSERT INTO users (id, email) VALUES (1, 'a@example.org') ON DUPLICATE KEY UPDATE email = VALUES(email);
