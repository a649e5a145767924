SELECT 1; /* SQLite takes an unterminated comment at the end for one;
