BEGIN;

SET search_path = app;

-- Running upgrade a1 -> b2

CREATE TABLE t (x serial);

UPDATE alembic_version SET version_num='b2' WHERE alembic_version.version_num = 'a1';

-- Running upgrade b2 -> c3

INSERT INTO t SELECT 1 FROM alembic_version WHERE version_num = 'b2';

COMMIT;

CREATE INDEX CONCURRENTLY t_x ON t (x);

BEGIN;

UPDATE alembic_version SET version_num='c3' WHERE alembic_version.version_num = 'b2';

COMMIT;
