ALTER TABLE users
    ADD COLUMN nickname varchar(40),
    ADD INDEX users_nickname (nickname); -- expect: MY161 notice
