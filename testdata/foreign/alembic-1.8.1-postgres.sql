CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
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
INSERT INTO public.alembic_version VALUES ('a91b6cd24e07');
INSERT INTO public.author VALUES (1, 'Ada');
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
