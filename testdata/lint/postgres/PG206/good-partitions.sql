CREATE TABLE events (id bigint NOT NULL, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
-- next file
ALTER TABLE ONLY events ADD CONSTRAINT events_pkey PRIMARY KEY (id, at);
-- next file
CREATE UNIQUE INDEX CONCURRENTLY events_2026_pkey ON events_2026 (id, at);
-- next file
ALTER TABLE events_2026 ADD CONSTRAINT events_2026_pkey PRIMARY KEY USING INDEX events_2026_pkey;
ALTER INDEX events_pkey ATTACH PARTITION events_2026_pkey;
