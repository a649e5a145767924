-- server: not run, it makes an account
CREATE ROLE reporting LOGIN PASSWORD 'swordfish'; -- expect: PG508 error
