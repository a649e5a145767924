CREATE TABLE likes (
    id bigint PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users -- expect: PG211 notice
);
