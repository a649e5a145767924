-- ask: PG509=notice
CREATE TABLE public.tags (id bigint PRIMARY KEY);
