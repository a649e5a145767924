CREATE INDEX events_at ON events (at); -- expect: PG109 warning
