REPLACE INTO users (id, email) VALUES (1, 'a@example.org'); -- expect: MY144 warning
