-- Create "users" table
CREATE TABLE "users" ("id" bigserial);
