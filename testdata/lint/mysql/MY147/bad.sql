SET foreign_key_checks = 0;
INSERT INTO notes (id, user_id) VALUES (1, 99); -- expect: MY147 warning
SET foreign_key_checks = 1;
