ALTER TABLE links DROP PRIMARY KEY, ADD PRIMARY KEY (a, b); -- expect: MY132 notice
