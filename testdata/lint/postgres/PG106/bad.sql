REINDEX TABLE orders; -- expect: PG106 warning
