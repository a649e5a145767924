BEGIN;

-- Running downgrade 5fb0f9d0a111 -> 27c6a30d7c24, 3c1d5e8f9a00

INSERT INTO alembic_version (version_num) VALUES ('27c6a30d7c24') RETURNING alembic_version.version_num;

UPDATE alembic_version SET version_num='3c1d5e8f9a00' WHERE alembic_version.version_num = '5fb0f9d0a111';

-- Running downgrade 27c6a30d7c24 -> ae1027a6acf0

DROP INDEX account_name;

DELETE FROM alembic_version WHERE alembic_version.version_num = '27c6a30d7c24';

-- Running downgrade 3c1d5e8f9a00 -> ae1027a6acf0

DROP INDEX account_mail;

UPDATE alembic_version SET version_num='ae1027a6acf0' WHERE alembic_version.version_num = '3c1d5e8f9a00';

-- Running downgrade ae1027a6acf0 -> 1975ea83b712

ALTER TABLE account DROP COLUMN mail;

UPDATE alembic_version SET version_num='1975ea83b712' WHERE alembic_version.version_num = 'ae1027a6acf0';

-- Running downgrade 1975ea83b712 -> 

DROP TABLE account;

DELETE FROM alembic_version WHERE alembic_version.version_num = '1975ea83b712';

DROP TABLE alembic_version;

COMMIT;

