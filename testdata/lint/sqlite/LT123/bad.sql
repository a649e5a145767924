CREATE TABLE logins (
    id INTEGER PRIMARY KEY,
    email TEXT NOT NULL,
    FOREIGN KEY (email) REFERENCES users (email) -- expect: LT123 error
);
