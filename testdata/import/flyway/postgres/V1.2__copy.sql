COPY person (id, name) FROM stdin;
1	O'Brien
2	-- x
\.
SELECT setval('person_id_seq', 2);
