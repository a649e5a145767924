---- tern: disable-tx ----
create index concurrently t_id on t (id);
---- create above / drop below ----
drop index t_id;
