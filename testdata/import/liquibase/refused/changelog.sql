--liquibase formatted sql
--property name:x value:y
--changeset ann:1 context:test
SELECT 1;
--changeset ann:2 runOnChange:true
CREATE OR REPLACE VIEW v AS SELECT 1;
--changeset ann:3 endDelimiter:GO
SELECT 1 GO
--changeset ann:4
--preconditions onFail:MARK_RAN
SELECT '${who}';
--changeset ann:5 dbms:h2, mysql
SELECT 5;
--changeset ann:1
SELECT 6;
