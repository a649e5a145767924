BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, 
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> 1975ea83b712

CREATE TABLE account (
    id SERIAL NOT NULL, 
    name VARCHAR(50) NOT NULL, 
    PRIMARY KEY (id)
);

INSERT INTO account (id, name) VALUES (1, 'O''Brien; -- x');

INSERT INTO alembic_version (version_num) VALUES ('1975ea83b712') RETURNING alembic_version.version_num;

-- Running upgrade 1975ea83b712 -> ae1027a6acf0

ALTER TABLE account ADD COLUMN mail VARCHAR(200);

UPDATE account SET mail = 'a@b.c';

UPDATE alembic_version SET version_num='ae1027a6acf0' WHERE alembic_version.version_num = '1975ea83b712';

-- Running upgrade ae1027a6acf0 -> 3c1d5e8f9a00

COMMIT;

CREATE INDEX CONCURRENTLY account_mail ON account (mail);

BEGIN;

UPDATE alembic_version SET version_num='3c1d5e8f9a00' WHERE alembic_version.version_num = 'ae1027a6acf0';

-- Running upgrade ae1027a6acf0 -> 27c6a30d7c24

CREATE INDEX account_name ON account (name);

INSERT INTO alembic_version (version_num) VALUES ('27c6a30d7c24') RETURNING alembic_version.version_num;

-- Running upgrade 27c6a30d7c24, 3c1d5e8f9a00 -> 5fb0f9d0a111

DELETE FROM alembic_version WHERE alembic_version.version_num = '27c6a30d7c24';

UPDATE alembic_version SET version_num='5fb0f9d0a111' WHERE alembic_version.version_num = '3c1d5e8f9a00';

COMMIT;

