ANALYZE TABLE users;
ALTER TABLE users COMMENT='who may sign in';
