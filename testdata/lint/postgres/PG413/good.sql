ALTER TABLE events_rest ADD CONSTRAINT events_rest_bounds CHECK (kind IS NOT NULL AND kind <> 'sent') NOT VALID;
-- next file
ALTER TABLE events_rest VALIDATE CONSTRAINT events_rest_bounds;
-- next file
CREATE TABLE events_sent PARTITION OF events FOR VALUES IN ('sent');
