-- target: 14
ALTER TABLE events DETACH PARTITION events_2026; -- expect: PG407 warning
