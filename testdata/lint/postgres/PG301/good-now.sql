ALTER TABLE orders
    ADD COLUMN changed_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN tags text[] NOT NULL DEFAULT '{}'::text[],
    ADD COLUMN price numeric(10, 2) NOT NULL DEFAULT 0::numeric(10, 2);
