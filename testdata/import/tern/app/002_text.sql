create function g() returns text language sql as $$
-- a comment; and more
select 'x'::text
$$;
create index t_id2 on t (id)
---- create above / drop below ----
drop index t_id2;
drop function g()
