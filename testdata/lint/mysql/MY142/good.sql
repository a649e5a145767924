DELETE a FROM users a JOIN users b ON b.email = a.email AND b.id < a.id;
ALTER TABLE users ADD UNIQUE KEY users_email (email);
