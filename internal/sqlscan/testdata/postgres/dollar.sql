SELECT $$a;b$$, $a$x;$b$y;$$z$a$, $été$;$été$;
SELECT a$b$c, $1, $2+$1, a$$b;
SELECT $1$$x;$$, 1$$y;$$;
CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql AS $fn$
BEGIN
  EXECUTE $q$ SELECT 1; $q$;
END;
$fn$;
DO $$ BEGIN PERFORM 1; END $$;
SELECT $$$$, $a$$a$;
