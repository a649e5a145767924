CREATE TABLE codes (
    id INTEGER PRIMARY KEY,
    code STRING NOT NULL -- expect: LT113 warning
);
