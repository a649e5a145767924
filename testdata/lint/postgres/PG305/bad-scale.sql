ALTER TABLE visits
    ALTER COLUMN price TYPE numeric(12, 4), -- expect: PG305 warning
    ALTER COLUMN page TYPE varchar(10); -- expect: PG305 warning
