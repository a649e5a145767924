CREATE INDEX CONCURRENTLY person_mail ON person (mail);
