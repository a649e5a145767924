-- tldwdb: no-transaction
ATTACH ':memory:' AS other; -- expect: LT121 warning
DETACH other;
