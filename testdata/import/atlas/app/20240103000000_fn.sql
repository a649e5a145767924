-- atlas:delimiter -- end

CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$
-- end
CREATE FUNCTION g() RETURNS int LANGUAGE sql AS $$ SELECT 1; $$
-- end
