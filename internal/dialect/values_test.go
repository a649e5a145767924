package dialect

import (
	"slices"
	"strings"
	"testing"
)

// TestValues: what statements read from their session and leave in it.
func TestValues(t *testing.T) {
	t.Parallel()
	mySQL, pg, lite := &mysqlDialect{}, &postgres{}, &sqlite{}
	mySQL.mariaDB.Store(true)
	for _, c := range []struct {
		d             Dialect
		text          string
		reads, writes []string
		fixed         bool
	}{
		{mySQL, "SET @a = 1, @b = @c", []string{"@c"}, []string{"@a", "@b"}, true},
		{mySQL, "SET @OLD_X=@@SQL_MODE, SQL_MODE='ANSI'", nil, []string{"@old_x", SettingsValue}, true},
		{mySQL, "/*!40101 SET @saved_cs_client = @@character_set_client */", nil, []string{"@saved_cs_client"}, true},
		{mySQL, "SET @a = LAST_INSERT_ID()", []string{lastKey}, []string{"@a"}, true},
		{mySQL, "SET @a = @@identity + 1", []string{lastKey}, []string{"@a"}, true},
		{mySQL, "SET @a = (SELECT max(id) FROM t WHERE x = @b)", []string{"@b"}, []string{"@a"}, false},
		{mySQL, "SET @a = UUID()", nil, []string{"@a"}, false},
		{mySQL, "SET @a = CURRENT_TIMESTAMP", nil, []string{"@a"}, false},
		{mySQL, "SET @a = @@timestamp", nil, []string{"@a"}, false},
		{mySQL, "SET sql_mode = CONCAT(@@session.sql_mode, ',ANSI')", nil, []string{SettingsValue}, true},
		{mySQL, "SET GLOBAL a = 5, @@GLOBAL.b = 6, PERSIST c = 7", nil, []string{SettingsValue}, true},
		{mySQL, "SET GLOBAL a = @@a + 1", nil, []string{SettingsValue}, false},
		{mySQL, "SET @@GLOBAL.a = LEAST(1, @@a)", nil, []string{SettingsValue}, false},
		{mySQL, "SET @a = @@GLOBAL.a", nil, []string{"@a"}, false},
		{mySQL, "SET @@SESSION.a = 1, @b = @@b", nil, []string{"@b", SettingsValue}, true},
		{mySQL, "SET @a = IF(@b = 1, 2, 3)", []string{"@b"}, []string{"@a"}, true},
		{mySQL, "SELECT id, n FROM t INTO @a, @`b c`", nil, []string{"@a", "@b c", lastCount, lastFound}, false},
		{mySQL, "SELECT @r := @r + 1 FROM t", []string{"@r"}, []string{"@r", lastCount, lastFound}, false},
		{mySQL, "INSERT INTO t VALUES (@a, LAST_INSERT_ID())", []string{"@a", lastKey}, []string{lastCount, lastKey, lastValue}, false},
		{mySQL, "UPDATE t SET id = LAST_INSERT_ID(id + 1)", nil, []string{lastKey, lastCount}, false},
		{mySQL, "CALL p(@a)", []string{"@a"}, []string{"@a", lastCount, lastKey, lastValue}, false},
		{mySQL, "CREATE DEFINER=`u`@`h` VIEW v AS SELECT 1", nil, []string{lastCount}, false},
		{mySQL, "PREPARE s FROM @q", []string{"@q"}, []string{"PREPARE s"}, true},
		{mySQL, "PREPARE s FROM 'SELECT 1 INTO @x'", nil, []string{"PREPARE s"}, false},
		{mySQL, "EXECUTE S USING @a", []string{"@a", "PREPARE s"}, []string{lastCount, lastKey, lastValue}, false},
		{mySQL, "DEALLOCATE PREPARE s", nil, nil, true},
		{mySQL, "CREATE TEMPORARY TABLE IF NOT EXISTS d.T (id int)", nil, []string{"the temporary table t", lastCount}, false},
		{mySQL, "SET STATEMENT max_statement_time = 5 FOR INSERT INTO t VALUES (@a)", []string{"@a"}, []string{lastCount, lastKey, lastValue}, false},
		{mySQL, "SELECT NEXT VALUE FOR s", nil, []string{lastValue, lastCount, lastFound}, false},
		{mySQL, "INSERT INTO t VALUES (LASTVAL(s))", []string{lastValue}, []string{lastCount, lastKey, lastValue}, false},
		{pg, "SELECT pg_catalog.set_config('search_path', '', false)", nil, []string{SettingsValue}, true},
		{pg, "SELECT set_config('a.b', max(id)::text, false) FROM t", nil, []string{SettingsValue}, false},
		{pg, "INSERT INTO t VALUES (currval('s'))", []string{lastValue}, []string{lastValue}, false},
		{pg, "SET search_path = x", nil, []string{SettingsValue}, true},
		{lite, "INSERT INTO t VALUES (last_insert_rowid())", []string{lastKey}, []string{lastKey, lastCount}, false},
		{lite, "PRAGMA foreign_keys = on", nil, []string{SettingsValue}, true},
	} {
		got := c.d.Values(one(t, c.d, c.text))
		if !slices.Equal(got.Reads, c.reads) || !slices.Equal(got.Writes, c.writes) || got.Fixed != c.fixed {
			t.Errorf("%s:\n got %q, %q, %v\nwant %q, %q, %v", c.text, got.Reads, got.Writes, got.Fixed, c.reads, c.writes, c.fixed)
		}
	}
	for text, want := range map[string]string{
		"DEALLOCATE PREPARE s": "PREPARE s", "DROP TEMPORARY TABLE IF EXISTS a, d.B": "the temporary table a, the temporary table b",
		"DROP TABLE a": "the temporary table a",
	} {
		if got := strings.Join(mySQL.Values(one(t, mySQL, text)).Ends, ", "); got != want {
			t.Errorf("%s ends %q, want %q", text, got, want)
		}
	}
}
