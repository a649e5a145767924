CREATE TABLE public.author (
    id integer NOT NULL,
    name character varying(60) NOT NULL
);
CREATE TABLE public.book (
    id integer NOT NULL,
    author_id integer NOT NULL,
    title character varying(60)
);
CREATE TABLE public.gorp_migrations (
    id text NOT NULL,
    applied_at timestamp with time zone
);
INSERT INTO public.author VALUES (1, 'Ada');
INSERT INTO public.gorp_migrations VALUES ('1_author.sql', '2026-11-23 04:15:56.022805+00');
INSERT INTO public.gorp_migrations VALUES ('2_book.sql', '2026-11-23 04:15:56.02422+00');
ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.gorp_migrations
    ADD CONSTRAINT gorp_migrations_pkey PRIMARY KEY (id);
