SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; -- expect: MY141 error
INSERT INTO orders (user_id, amount) VALUES (1, 99999999999);
