ALTER TABLE items MODIFY id bigint NOT NULL; -- expect: MY114 error -- expect: MY103 warning
