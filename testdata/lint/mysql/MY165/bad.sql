UPDATE orders SET state = 'open'; -- expect: MY165 warning
DELETE FROM users; -- expect: MY165 warning
