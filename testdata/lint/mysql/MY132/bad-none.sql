ALTER TABLE links DROP PRIMARY KEY; -- expect: MY132 warning
