COPY t FROM STDIN;
1	x
\.
SELECT 1;
COPY t FROM STDIN;
no newline after the end
\.