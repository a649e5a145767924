ALTER TABLE events ATTACH PARTITION events_new FOR VALUES IN ('new'); -- expect: PG413 warning
