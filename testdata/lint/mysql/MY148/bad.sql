-- server: not run, it would change the server
SET GLOBAL max_connections = 500; -- expect: MY148 error
SET sql_log_bin = 0; -- expect: MY148 error
