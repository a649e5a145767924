SELECT 1a, 1e5, 1e5x, 0xff, 1.5, t.1, @a, @@global.b, @'c;', @`d;`, $e, f$g, é FROM 1t WHERE a := 1 AND b <=> NULL;
