DROP INDEX orders_state; -- expect: PG102 warning
