INSERT INTO users (id, email) VALUES (1, 'a@example.org') ON CONFLICT (id) DO UPDATE SET email = excluded.email;
