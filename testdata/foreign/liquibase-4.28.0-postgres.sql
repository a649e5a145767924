CREATE TABLE public.author (
    id integer NOT NULL,
    name character varying(60) NOT NULL
);
CREATE TABLE public.book (
    id integer NOT NULL,
    author_id integer NOT NULL,
    title character varying(60)
);
CREATE TABLE public.databasechangelog (
    id character varying(255) NOT NULL,
    author character varying(255) NOT NULL,
    filename character varying(255) NOT NULL,
    dateexecuted timestamp without time zone NOT NULL,
    orderexecuted integer NOT NULL,
    exectype character varying(10) NOT NULL,
    md5sum character varying(35),
    description character varying(255),
    comments character varying(255),
    tag character varying(255),
    liquibase character varying(20),
    contexts character varying(255),
    labels character varying(255),
    deployment_id character varying(10)
);
CREATE TABLE public.databasechangeloglock (
    id integer NOT NULL,
    locked boolean NOT NULL,
    lockgranted timestamp without time zone,
    lockedby character varying(255)
);
INSERT INTO public.author VALUES (1, 'Ada');
INSERT INTO public.databasechangelog VALUES ('author', 'ada', 'changelog.sql', '2026-11-23 04:18:05.986408', 1, 'EXECUTED', '9:a0db233bcc6d245a3b9ba72e9e36bd4d', 'sql', '', NULL, '4.28.0', NULL, NULL, '5407485951');
INSERT INTO public.databasechangelog VALUES ('book', 'ada', 'changelog.sql', '2026-11-23 04:18:05.995205', 2, 'EXECUTED', '9:8520691edd9f5992484e1862094cc838', 'sql', '', NULL, '4.28.0', NULL, NULL, '5407485951');
INSERT INTO public.databasechangeloglock VALUES (1, false, NULL, NULL);
ALTER TABLE ONLY public.author
    ADD CONSTRAINT author_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.databasechangeloglock
    ADD CONSTRAINT databasechangeloglock_pkey PRIMARY KEY (id);
