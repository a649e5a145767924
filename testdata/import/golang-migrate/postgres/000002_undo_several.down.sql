drop table b
