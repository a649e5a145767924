CREATE TABLE likes (
    id bigint PRIMARY KEY,
    user_id int REFERENCES users -- expect: PG210 warning
);
CREATE INDEX likes_user_id ON likes (user_id);
