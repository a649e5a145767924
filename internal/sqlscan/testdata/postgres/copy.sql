COPY t FROM STDIN;
1	it's; \N
\\.
2	x
\.
copy t (a, "from", c) from stdin with (format csv, delimiter ';'); -- comment
1;"a
";2
\.
COPY BINARY t FROM STDIN;
\.
COPY t FROM stdout;
1
\.
COPY (SELECT a FROM stdin) TO STDOUT;
COPY t FROM 'data/x; y';
COPY t FROM PROGRAM 'cat stdin';
COPY t TO STDOUT;
COPY t FROM pstdin;
COPY stdin.t FROM
  -- a comment
  STDIN WHERE a > (1);
3
\.
SELECT 'after';
COPY t FROM STDIN;
last
\.
