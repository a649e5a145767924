CREATE TABLE codes (
    id BIGINT PRIMARY KEY, -- expect: LT114 warning
    code TEXT NOT NULL
);
CREATE TABLE countries (code TEXT PRIMARY KEY); -- expect: LT114 notice
