PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO alembic_version VALUES('c9e26b8d4f10');
CREATE TABLE user (
	id INTEGER NOT NULL,
	username VARCHAR(64) NOT NULL,
	email VARCHAR(120) NOT NULL,
	google_id VARCHAR(100) NOT NULL,
	access_token TEXT,
	refresh_token TEXT, selected_playlist_id VARCHAR(100),
	PRIMARY KEY (id),
	UNIQUE (email),
	UNIQUE (google_id),
	UNIQUE (username)
);
INSERT INTO user VALUES(1,'ana','ana@example.com','100000000000000000001','an access token','a refresh token','PLrAXtmErZgOeiKm4sgNOknGvNjby9efdf');
INSERT INTO user VALUES(2,'O''Neil','o''neil+tl;dw@example.com','100000000000000000002',NULL,NULL,NULL);
INSERT INTO user VALUES(4,'Zoë 🎬 李','zoe@example.org','100000000000000000004','',replace('two\nlines','\n',char(10)),'');
INSERT INTO user VALUES(5,'-- not a comment','semi;colon@example.net','g-5','/* nor this */','"quoted" `too`','LL');
COMMIT;
