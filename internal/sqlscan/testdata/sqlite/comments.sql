-- only a comment; no statement
/* nor; here */ ;
SELECT 1 -- one; more
  /* two; */ + 2 /* after */; -- end
;;
SELECT 3 - -1 --last
