CREATE TABLE user (
	id INTEGER NOT NULL AUTO_INCREMENT,
	username VARCHAR(64) NOT NULL,
	email VARCHAR(120) NOT NULL,
	google_id VARCHAR(100) NOT NULL,
	access_token TEXT,
	refresh_token TEXT,
	PRIMARY KEY (id),
	UNIQUE (username),
	UNIQUE (email),
	UNIQUE (google_id)
);

INSERT INTO user (username, email, google_id, access_token, refresh_token) VALUES ('ana', 'ana@example.com', '100000000000000000001', 'an access token', 'a refresh token');
INSERT INTO user (username, email, google_id, access_token, refresh_token) VALUES ('O''Neil', 'o''neil+tl;dw@example.com', '100000000000000000002', NULL, NULL);
INSERT INTO user (username, email, google_id, access_token, refresh_token) VALUES ('deleted', 'deleted@example.com', '100000000000000000003', NULL, NULL);
INSERT INTO user (username, email, google_id, access_token, refresh_token) VALUES ('Zoë 🎬 李', 'zoe@example.org', '100000000000000000004', '', 'two
lines');
INSERT INTO user (username, email, google_id, access_token, refresh_token) VALUES ('-- not a comment', 'semi;colon@example.net', 'g-5', '/* nor this */', '"quoted" `too`');
DELETE FROM user WHERE username = 'deleted';
