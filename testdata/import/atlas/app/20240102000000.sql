-- atlas:txmode none
-- atlas:nolint PG101

CREATE INDEX CONCURRENTLY "users_id" ON "users" ("id");
