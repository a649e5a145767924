ALTER TABLE visits ADD COLUMN id bigint;
CREATE SEQUENCE visits_id_seq OWNED BY visits.id;
ALTER TABLE visits ALTER COLUMN id SET DEFAULT nextval('visits_id_seq');
