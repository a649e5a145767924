ALTER DOMAIN amount ADD CONSTRAINT amount_positive CHECK (VALUE >= 0) NOT VALID;
-- next file
ALTER DOMAIN amount VALIDATE CONSTRAINT amount_positive; -- expect: PG212 warning
