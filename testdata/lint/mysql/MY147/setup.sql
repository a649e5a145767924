CREATE TABLE notes (id bigint NOT NULL PRIMARY KEY, user_id bigint NOT NULL, FOREIGN KEY (user_id) REFERENCES users (id));
