-- The unique keys have no names of their own here, so that the server calls
-- them after their columns, as in databases that Flask made.
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
