package dump

import "testing"

// TestOutside: what the server or its machine is to blame for is told from what is wrong
// with a dump.
func TestOutside(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outside func(string) bool
		said    string
		want    bool
	}{
		{outsideMySQL, "ERROR 2013 (HY000) at line 31: Lost connection to server during query\n", true},
		{outsideMySQL, "ERROR 2002 (HY000): Can't connect to server on '127.0.0.1' (115)\n", true},
		{outsideMySQL, "--------------\nINSERT INTO `t` VALUES (1)\n--------------\n\nERROR 1114 (HY000) at line 12: The table 't' is full\n", true},
		{outsideMySQL, "ERROR 1030 (HY000) at line 12: Got error 28 \"No space left on device\" from storage engine InnoDB\n", true},
		{outsideMySQL, "ERROR 1205 (HY000) at line 12: Lock wait timeout exceeded; try restarting transaction\n", true},
		{outsideMySQL, "ERROR 1062 (23000) at line 12: Duplicate entry '1' for key 'PRIMARY'\n", false},
		{outsideMySQL, "ERROR 1064 (42000) at line 12: You have an error in your SQL syntax\n", false},
		{outsideMySQL, "mariadb: unknown option\n", false},
		{outsidePostgres, "pg_restore: error: could not execute query: ERROR:  could not extend file \"base/5/1\": No space left on device\nHINT:  Check free disk space.\n", true},
		{outsidePostgres, "pg_restore: error: error returned by PQputCopyData: server closed the connection unexpectedly\n", true},
		{outsidePostgres, "pg_restore: error: could not execute query: FATAL:  terminating connection due to administrator command\n", true},
		{outsidePostgres, "pg_restore: error: COPY failed for table \"t\": ERROR:  invalid input syntax for type integer\nCONTEXT:  COPY t, line 1, column n: \"out of memory\"\n", false},
		{outsidePostgres, "pg_restore: error: could not read from input file: end of file\n", false},
	} {
		if got := c.outside(c.said); got != c.want {
			t.Errorf("%s: %v", c.said, got)
		}
	}
}
