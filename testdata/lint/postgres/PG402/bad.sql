TRUNCATE users CASCADE; -- expect: PG402 warning
