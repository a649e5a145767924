ALTER TABLE users MODIFY name varchar(200) COMMENT 'as it is written', ALGORITHM=INSTANT;
