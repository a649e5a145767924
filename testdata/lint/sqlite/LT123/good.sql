CREATE UNIQUE INDEX users_email ON users (email);
CREATE TABLE logins (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL,
    FOREIGN KEY (email) REFERENCES users (email)
);
