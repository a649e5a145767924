ALTER TABLE links ADD UNIQUE KEY links_ab (a, b);
