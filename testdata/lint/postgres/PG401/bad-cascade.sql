DROP VIEW names CASCADE; -- expect: PG401 warning
