CREATE TABLE likes (
    id bigint PRIMARY KEY,
    user_id bigint REFERENCES users
);
CREATE INDEX likes_user_id ON likes (user_id);
