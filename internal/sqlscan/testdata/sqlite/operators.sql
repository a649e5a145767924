SELECT a->>'$.b;c', b->'x' FROM t WHERE a <> 1 AND b != 2 AND c == 3 AND (d & 1) | (e << 2) >> 1 || ';';
SELECT .5, 1.e3, 1e-5, 0xFF, 1_000, t.*;
SELECT 1; .5 + 1;
