create table t (id serial);
insert into t default values;

---- create above / drop below ----

drop table t;
