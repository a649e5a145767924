DO $$ -- expect: PG511 notice
BEGIN
    ALTER TABLE orders ADD COLUMN note text;
END
$$;
