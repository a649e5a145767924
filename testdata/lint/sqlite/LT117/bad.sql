INSERT OR REPLACE INTO users (id, email) VALUES (1, 'a@example.org'); -- expect: LT117 warning
