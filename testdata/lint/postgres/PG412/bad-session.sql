-- server: not run, it takes a superuser
SET session_replication_role = 'replica'; -- expect: PG412 error
INSERT INTO orders (user_id, amount) VALUES (4711, 1);
