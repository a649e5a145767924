WITH gone AS (DELETE FROM orders RETURNING user_id) -- expect: PG403 warning
UPDATE users SET name = 'gone' FROM gone WHERE users.id = gone.user_id;
