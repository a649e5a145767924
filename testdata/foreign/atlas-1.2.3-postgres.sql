CREATE SCHEMA atlas_schema_revisions;
CREATE TABLE atlas_schema_revisions.atlas_schema_revisions (
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
    title character varying(60)
);
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('1', 'author', 2, 1, 1, '2026-11-23 04:17:02.493739+00', 396043, '', '', 'u5HfIzLY2+oYl/YhrD/p07fsuxeH/P7lGCDram8CGDE=', 'null', 'Atlas CLI - development');
INSERT INTO atlas_schema_revisions.atlas_schema_revisions VALUES ('2', 'book', 2, 2, 2, '2026-11-23 04:17:02.497638+00', 355347, '', '', '0KhaoqNb99mb8C2TvFPJUrL116t2B1HztpgcwgnKglE=', 'null', 'Atlas CLI - development');
INSERT INTO public.author VALUES (1, 'Ada');
ALTER TABLE ONLY atlas_schema_revisions.atlas_schema_revisions
    ADD CONSTRAINT atlas_schema_revisions_pkey PRIMARY KEY (version);
ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
