-- on: mariadb
CREATE OR REPLACE TABLE users (id bigint NOT NULL PRIMARY KEY); -- expect: MY139 error
