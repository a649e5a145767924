-- tldwdb: irreversible the names that were there are gone
UPDATE users SET name = NULL WHERE name = '';
