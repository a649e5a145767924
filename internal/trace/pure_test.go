package trace

import (
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// The way goes where each server reads it, and what a statement says itself stays.
func TestVariants(t *testing.T) {
	t.Parallel()
	mysql, mariaDB := sqlscan.Options{Dialect: sqlscan.MySQL}, sqlscan.Options{Dialect: sqlscan.MySQL, MariaDB: true}
	for _, c := range []struct {
		opts sqlscan.Options
		text string
		way  way
		want string // empty: there is none
	}{
		{mysql, "ALTER TABLE t ADD COLUMN c int", way{"INSTANT", ""}, "ALTER TABLE t ALGORITHM=INSTANT, ADD COLUMN c int"},
		{mysql, "alter table `a b`.`t` ADD c int", way{"INPLACE", "NONE"}, "alter table `a b`.`t` ALGORITHM=INPLACE, LOCK=NONE, ADD c int"},
		{mariaDB, "ALTER ONLINE IGNORE TABLE IF EXISTS t WAIT 5 ADD c int", way{"COPY", "SHARED"}, "ALTER ONLINE IGNORE TABLE IF EXISTS t WAIT 5 ALGORITHM=COPY, LOCK=SHARED, ADD c int"},
		{mysql, "ALTER TABLE t ADD COLUMN c int, ALGORITHM=COPY", way{"COPY", "SHARED"}, "ALTER TABLE t LOCK=SHARED, ADD COLUMN c int, ALGORITHM=COPY"},
		{mysql, "ALTER TABLE t ADD COLUMN c int, ALGORITHM=COPY", way{"INPLACE", "NONE"}, ""},
		{mysql, "ALTER TABLE t ADD COLUMN c int, LOCK = NONE", way{"INPLACE", "NONE"}, "ALTER TABLE t ALGORITHM=INPLACE, ADD COLUMN c int, LOCK = NONE"},
		{mysql, "ALTER TABLE t ADD COLUMN c int, LOCK = NONE", way{"INPLACE", "SHARED"}, ""},
		{mysql, "ALTER TABLE t ADD c int CHECK (lock > 1)", way{"INSTANT", ""}, "ALTER TABLE t ALGORITHM=INSTANT, ADD c int CHECK (lock > 1)"},
		{mysql, "ALTER TABLE t ADD COLUMN algorithm varchar(20)", way{"INSTANT", ""}, "ALTER TABLE t ALGORITHM=INSTANT, ADD COLUMN algorithm varchar(20)"},
		{mysql, "ALTER TABLE t ADD COLUMN c int, ALGORITHM = DEFAULT", way{"INSTANT", ""}, "ALTER TABLE t ALGORITHM=INSTANT, ADD COLUMN c int, ALGORITHM = DEFAULT"},
		{mysql, "ALTER TABLE t COMMENT = 'ALGORITHM=COPY'", way{"INSTANT", ""}, "ALTER TABLE t ALGORITHM=INSTANT, COMMENT = 'ALGORITHM=COPY'"},
		{mysql, "CREATE UNIQUE INDEX i ON t (c)", way{"INPLACE", "NONE"}, "CREATE UNIQUE INDEX i ON t (c) ALGORITHM=INPLACE LOCK=NONE"},
		{mysql, "DROP INDEX i ON t", way{"INPLACE", "NONE"}, "DROP INDEX i ON t ALGORITHM=INPLACE LOCK=NONE"},
		{mariaDB, "DROP INDEX IF EXISTS `i` ON t", way{"NOCOPY", "NONE"}, "ALTER TABLE t ALGORITHM=NOCOPY, LOCK=NONE, DROP INDEX IF EXISTS `i` "},
		{mysql, "DROP TABLE t", way{"INSTANT", ""}, ""},
		{mysql, "ALTER VIEW v AS SELECT 1", way{"INSTANT", ""}, ""},
		{mysql, "ALTER DATABASE d CHARACTER SET utf8mb4", way{"INSTANT", ""}, ""},
		{mysql, "ALTER TABLE", way{"INSTANT", ""}, ""},
		{mariaDB, "DROP INDEX", way{"INSTANT", ""}, ""},
		{mysql, "UPDATE t SET lock = 1", way{"INSTANT", ""}, ""},
	} {
		got := ""
		if with, _ := variants(c.text, c.opts); with != nil {
			if text, ok := with(c.way); ok {
				got = text
			}
		}
		if got != c.want {
			t.Errorf("%s with %v:\n got %q\nwant %q", c.text, c.way, got, c.want)
		}
	}
}

func TestWork(t *testing.T) {
	t.Parallel()
	gigabyte := Size{Rows: 1e6, Bytes: 1e9, Indexes: 5e8}
	seconds := func(least, most float64) Range {
		return Range{time.Duration(least * float64(time.Second)), time.Duration(most * float64(time.Second))}
	}
	for _, c := range []struct {
		name string
		t    Table
		want Range
	}{
		{"nothing", Table{Lock: "ACCESS EXCLUSIVE"}, Range{}},
		{"a scan", Table{Scanned: true}, seconds(1, 10)},
		{"written anew", Table{Rewritten: true}, seconds(10, 100)},
		{"an index", Table{Scanned: true, Built: []string{"i"}}, seconds(5, 100)},
		{"two", Table{Scanned: true, Built: []string{"i", "j"}}, seconds(10, 200)},
		{"rows by an index", Table{Rows: 1}, Range{}},
		{"some rows, or all", Table{Scanned: true, Rows: 3}, seconds(1, 750)},
		{"its own table", Table{New: true, Rewritten: true}, Range{}},
	} {
		if got := Work(dialect.NamePostgres, c.t, gigabyte); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if got := Work(dialect.NamePostgres, Table{Rewritten: true}, Size{Rows: -1, Bytes: -1, Indexes: -1}); got != (Range{}) {
		t.Errorf("a size that is not known: %v", got)
	}
}
