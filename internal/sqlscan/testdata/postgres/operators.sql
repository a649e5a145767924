SELECT a ~@# b, c::text, d := 1, e->>'x', f#>>'{a;b}', g @> h, i ?| array[';'], j <=> k, -1, a-- x;
+1, m !~~* n, o|/p, q||/r, 5!, @ -5 FROM t;
SELECT arr[1:2], (r).f, x.*, 1..2, 1.5e10, .5, 0xFFFF, 1_000;
