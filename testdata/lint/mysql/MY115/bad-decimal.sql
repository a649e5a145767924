ALTER TABLE events MODIFY price int; -- expect: MY115 error -- expect: MY103 warning
