-- server: not run, the table is made elsewhere
ALTER TABLE elsewhere MODIFY note varchar(100); -- expect: MY103 warning
