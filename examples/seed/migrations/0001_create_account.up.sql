CREATE TABLE account (
    username VARCHAR(64) NOT NULL PRIMARY KEY,
    email VARCHAR(120) NOT NULL UNIQUE,
    password_hash VARCHAR(200) NOT NULL,
    is_admin BOOLEAN NOT NULL,
    invited_by VARCHAR(64) REFERENCES account (username)
);
