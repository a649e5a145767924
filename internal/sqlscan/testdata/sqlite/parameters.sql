SELECT ?, ?12, :a, @a, #a, $a, $a::b(c;d), :é;
SELECT a$b, $::x(1);
