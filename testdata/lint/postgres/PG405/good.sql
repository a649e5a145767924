CREATE UNLOGGED TABLE sessions (id text PRIMARY KEY, seen_at timestamptz);
