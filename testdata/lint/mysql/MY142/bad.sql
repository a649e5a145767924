-- on: mariadb
ALTER IGNORE TABLE users ADD UNIQUE KEY users_email (email); -- expect: MY142 error
