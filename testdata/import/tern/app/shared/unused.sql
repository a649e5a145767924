create view unused as select 1;
