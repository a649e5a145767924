CREATE TABLE events (kind text, at timestamptz) PARTITION BY LIST (kind);
CREATE TABLE events_rest PARTITION OF events DEFAULT;
CREATE TABLE events_new (kind text, at timestamptz);
ALTER TABLE events_new ADD CONSTRAINT events_new_bounds CHECK (kind IS NOT NULL AND kind = 'new');
