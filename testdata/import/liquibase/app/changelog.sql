--liquibase formatted sql

--changeset ann:1
--comment: the first
CREATE TABLE a (x int);
--rollback DROP TABLE a;

-- changeset bob:add-y runInTransaction:false dbms:postgresql,h2
CREATE INDEX CONCURRENTLY a_x ON a (x);
/* liquibase rollback
DROP INDEX a_x;
*/

--changeset bob:oracle-only dbms:oracle
SELECT 1 FROM dual;

--changeset bob:fn splitStatements:false
CREATE FUNCTION h() RETURNS text LANGUAGE sql AS $$
--rollback this is text
SELECT 'h'::text
$$;
--rollback empty
