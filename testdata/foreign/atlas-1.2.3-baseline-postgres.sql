CREATE TABLE public.atlas_schema_revisions (
    version character varying NOT NULL,
    description character varying NOT NULL,
    type bigint DEFAULT 2 NOT NULL,
    applied bigint DEFAULT 0 NOT NULL,
    total bigint DEFAULT 0 NOT NULL,
    executed_at timestamp with time zone NOT NULL,
    execution_time bigint NOT NULL,
    error text,
    error_stmt text,
    hash character varying NOT NULL,
    partial_hashes jsonb,
    operator_version character varying NOT NULL
);
CREATE TABLE public.author (
    id integer NOT NULL,
    name character varying(60) NOT NULL
);
CREATE TABLE public.book (
    id integer NOT NULL,
    author_id integer NOT NULL,
    title character varying(60),
    year integer
);
INSERT INTO public.atlas_schema_revisions VALUES ('2', 'book', 1, 0, 0, '2026-11-23 04:17:04.560672+00', 0, '', '', '', 'null', 'Atlas CLI - development');
INSERT INTO public.atlas_schema_revisions VALUES ('3', 'year', 2, 1, 1, '2026-11-23 04:17:04.562576+00', 313213, '', '', 'f3vhCKm2I7Y4ISg5UK/K+gOfXODXYL7ED7jsjUb91Ek=', 'null', 'Atlas CLI - development');
INSERT INTO public.author VALUES (1, 'Ada');
ALTER TABLE ONLY public.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
