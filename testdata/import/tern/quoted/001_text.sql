create function g() returns text language sql as $$
---- create above / drop below ----
select 'x'
$$;
