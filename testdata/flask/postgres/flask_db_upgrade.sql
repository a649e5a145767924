BEGIN;

CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);

-- Running upgrade  -> a1f0c3d27b54

CREATE TABLE "user" (
    id SERIAL NOT NULL,
    username VARCHAR(64) NOT NULL,
    email VARCHAR(120) NOT NULL,
    google_id VARCHAR(100) NOT NULL,
    access_token TEXT,
    refresh_token TEXT,
    PRIMARY KEY (id),
    UNIQUE (email),
    UNIQUE (google_id),
    UNIQUE (username)
);

INSERT INTO alembic_version (version_num) VALUES ('a1f0c3d27b54') RETURNING alembic_version.version_num;

-- Running upgrade a1f0c3d27b54 -> c9e26b8d4f10

ALTER TABLE "user" ADD COLUMN selected_playlist_id VARCHAR(100);

UPDATE alembic_version SET version_num='c9e26b8d4f10' WHERE alembic_version.version_num = 'a1f0c3d27b54';

COMMIT;

INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('ana', 'ana@example.com', '100000000000000000001', 'an access token', 'a refresh token', 'PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf');
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('O''Neil', 'o''neil+tl;dw@example.com', '100000000000000000002', NULL, NULL, NULL);
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('deleted', 'deleted@example.com', '100000000000000000003', NULL, NULL, NULL);
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('Zoë 🎬 李', 'zoe@example.org', '100000000000000000004', '', 'two
lines', '');
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('-- not a comment', 'semi;colon@example.net', 'g-5', '/* nor this */', '"quoted" `too`', 'LL');
DELETE FROM "user" WHERE username = 'deleted';
