CREATE TABLE "user" (
	id SERIAL NOT NULL,
	username VARCHAR(64) NOT NULL,
	email VARCHAR(120) NOT NULL,
	google_id VARCHAR(100) NOT NULL,
	access_token TEXT,
	refresh_token TEXT,
	selected_playlist_id VARCHAR(100),
	PRIMARY KEY (id),
	UNIQUE (username),
	UNIQUE (email),
	UNIQUE (google_id)
);

INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('ana', 'ana@example.com', '100000000000000000001', 'an access token', 'a refresh token', 'PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf');
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('O''Neil', 'o''neil+tl;dw@example.com', '100000000000000000002', NULL, NULL, NULL);
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('deleted', 'deleted@example.com', '100000000000000000003', NULL, NULL, NULL);
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('Zoë 🎬 李', 'zoe@example.org', '100000000000000000004', '', 'two
lines', '');
INSERT INTO "user" (username, email, google_id, access_token, refresh_token, selected_playlist_id) VALUES ('-- not a comment', 'semi;colon@example.net', 'g-5', '/* nor this */', '"quoted" `too`', 'LL');
DELETE FROM "user" WHERE username = 'deleted';
