REFRESH MATERIALIZED VIEW totals; -- expect: PG408 warning
