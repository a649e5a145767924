select 1;
commit;
---- create above / drop below ----
select 2;

rollback;
