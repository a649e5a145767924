-- tldwdb: assured MY139 no release since 4.2 reads the state, and the backup of May has it
ALTER TABLE orders DROP COLUMN state;
