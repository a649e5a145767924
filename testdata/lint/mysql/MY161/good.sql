ALTER TABLE users ADD COLUMN nickname varchar(40), ALGORITHM=INSTANT;
ALTER TABLE users ADD INDEX users_nickname (nickname), LOCK=NONE;
