--
-- PostgreSQL database dump
--

\restrict key

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: s; Type: SCHEMA; Schema: -; Owner: -
--

CREATE SCHEMA s;


--
-- Name: f(); Type: FUNCTION; Schema: s; Owner: -
--

CREATE FUNCTION s.f() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ begin if new.id > 1 then return null; end if; return new; end; $$;


--
-- Name: g(integer); Type: FUNCTION; Schema: s; Owner: -
--

CREATE FUNCTION s.g(x integer) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT
         CASE
             WHEN (x > 1) THEN 2
             ELSE 3
         END AS "case";
 SELECT x AS x;
END;


--
-- Name: h(); Type: PROCEDURE; Schema: s; Owner: -
--

CREATE PROCEDURE s.h()
    LANGUAGE sql
    AS $_$select 1; select 'a;$$'$_$;


SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: empty; Type: TABLE; Schema: s; Owner: -
--

CREATE TABLE s.empty (
    a integer
);


--
-- Name: users; Type: TABLE; Schema: s; Owner: -
--

CREATE TABLE s.users (
    id integer NOT NULL,
    name character varying(64) DEFAULT 'it''s; \'::character varying NOT NULL,
    note text,
    raw bytea,
    js jsonb,
    "a;b" integer
);


--
-- Name: TABLE users; Type: COMMENT; Schema: s; Owner: -
--

COMMENT ON TABLE s.users IS 'a; "b"';


--
-- Name: users_id_seq; Type: SEQUENCE; Schema: s; Owner: -
--

CREATE SEQUENCE s.users_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: users_id_seq; Type: SEQUENCE OWNED BY; Schema: s; Owner: -
--

ALTER SEQUENCE s.users_id_seq OWNED BY s.users.id;


--
-- Name: v; Type: VIEW; Schema: s; Owner: -
--

CREATE VIEW s.v AS
 SELECT users.id,
    ';'::text AS "x;y"
   FROM s.users;


--
-- Name: users id; Type: DEFAULT; Schema: s; Owner: -
--

ALTER TABLE ONLY s.users ALTER COLUMN id SET DEFAULT nextval('s.users_id_seq'::regclass);


--
-- Data for Name: empty; Type: TABLE DATA; Schema: s; Owner: -
--

COPY s.empty (a) FROM stdin;
\.


--
-- Data for Name: users; Type: TABLE DATA; Schema: s; Owner: -
--

COPY s.users (id, name, note, raw, js, "a;b") FROM stdin;
1	O'Neil; "x"	line\nbreak\t-- ; \\.\r	\\x00ff3b	{"a": "b;c"}	\N
2	Grüße 😀	\\.	\N	\N	\N
\.


--
-- Name: users_id_seq; Type: SEQUENCE SET; Schema: s; Owner: -
--

SELECT pg_catalog.setval('s.users_id_seq', 2, true);


--
-- Name: users users_pkey; Type: CONSTRAINT; Schema: s; Owner: -
--

ALTER TABLE ONLY s.users
    ADD CONSTRAINT users_pkey PRIMARY KEY (id);


--
-- Name: v r; Type: RULE; Schema: s; Owner: -
--

CREATE RULE r AS
    ON INSERT TO s.v DO INSTEAD ( INSERT INTO s.users (name)
  VALUES ('a;'::character varying);
 INSERT INTO s.users (name)
  VALUES ('b'::character varying);
);


--
-- Name: users t; Type: TRIGGER; Schema: s; Owner: -
--

CREATE TRIGGER t BEFORE INSERT ON s.users FOR EACH ROW EXECUTE FUNCTION s.f();


--
-- PostgreSQL database dump complete
--

\unrestrict key

