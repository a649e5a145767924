-- tldwdb: assured LT124 nobody signs in any more
DROP TABLE users; -- expect: LT122 error
