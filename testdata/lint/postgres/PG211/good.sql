CREATE TABLE likes (id bigint PRIMARY KEY, user_id bigint NOT NULL REFERENCES users);
-- next file
CREATE INDEX CONCURRENTLY likes_user_id ON likes (user_id);
