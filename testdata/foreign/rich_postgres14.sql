-- What PostgreSQL 14 added: bodies in standard SQL, whose semicolons nothing quotes.
CREATE FUNCTION app.tomorrow(d date) RETURNS date LANGUAGE sql IMMUTABLE BEGIN ATOMIC
	SELECT d + 1;
END;
CREATE FUNCTION app.graded(n integer) RETURNS text RETURN CASE WHEN n > 10 THEN 'many;' ELSE 'few' END;
CREATE PROCEDURE app.note(i integer, t text) LANGUAGE sql BEGIN ATOMIC
	INSERT INTO app.parent VALUES (i, CASE WHEN t IS NULL THEN 'none;' ELSE t END);
	DELETE FROM app.parent WHERE id < 0;
END;
