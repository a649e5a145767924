CREATE TABLE events_sent PARTITION OF events FOR VALUES IN ('sent'); -- expect: PG413 warning
