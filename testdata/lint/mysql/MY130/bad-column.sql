ALTER TABLE users MODIFY name varchar(200) CHARACTER SET ascii; -- expect: MY130 warning
