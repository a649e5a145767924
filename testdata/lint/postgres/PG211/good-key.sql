CREATE TABLE likes (user_id bigint NOT NULL REFERENCES users, order_id bigint, PRIMARY KEY (user_id, order_id));
