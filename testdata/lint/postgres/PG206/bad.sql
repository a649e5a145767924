ALTER TABLE visits ADD PRIMARY KEY (id); -- expect: PG206 warning
