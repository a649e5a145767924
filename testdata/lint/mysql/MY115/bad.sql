ALTER TABLE events MODIFY at date; -- expect: MY115 error -- expect: MY103 warning
