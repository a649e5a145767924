-- +migrate Up notransaction
-- +migrate StatementBegin
CREATE OR REPLACE FUNCTION twice(n int) RETURNS int AS $$
BEGIN
  RETURN n * 2;
END;
$$ LANGUAGE plpgsql
-- +migrate StatementEnd
SELECT twice(1);
-- +migrate Down
DROP FUNCTION twice(int);
