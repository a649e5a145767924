ALTER TABLE users ADD COLUMN lower_email varchar(40) AS (lower(email)) VIRTUAL;
ALTER TABLE users ADD INDEX users_lower (lower_email), LOCK=NONE;
