ALTER TABLE items MODIFY stock int COMMENT 'pieces'; -- expect: MY114 error
