package tldwdb_test

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// This file is the work that the matrix of faults disturbs, and the judge of
// what became of it.

// faultLoad are five migrations with statements of many kinds. Each statement
// that changes rows leaves a line in the table log, which has no key: one that
// ran twice is there twice.
func faultLoad(e testdb.Engine) files {
	pick := func(sqlite, postgres, mysql string) string {
		switch e {
		case testdb.SQLite:
			return sqlite
		case testdb.Postgres:
			return postgres
		}
		return mysql
	}
	say := func(what string) string { return "INSERT INTO log (what) VALUES ('" + what + "');\n" }
	table := pick("", "", " ON account")
	f := files{
		"0001_log.up.sql": "CREATE TABLE log (what varchar(40) NOT NULL);\n" + say("1 first") + say("1 second"),

		"0002_account.up.sql": say("2 begin") + "CREATE TABLE account (id integer NOT NULL PRIMARY KEY, owner varchar(40) NOT NULL, cents integer NOT NULL);\n" +
			"INSERT INTO account (id, owner, cents) VALUES (1, 'ada', 100), (2, 'bob', 200);\n" + say("2 filled") +
			"ALTER TABLE account ADD COLUMN note varchar(20);\n" +
			"UPDATE account SET cents = cents + 1;\n" +
			"CREATE INDEX account_owner ON account (owner);\n" + say("2 end"),
		"0002_account.down.sql": say("2 down begin") + "DROP INDEX account_owner" + table + ";\nUPDATE account SET cents = cents - 1;\n" + say("2 down middle") +
			"DROP TABLE account;\n" + say("2 down end"),

		"0003_objects.up.sql": "CREATE VIEW rich AS SELECT id, owner FROM account WHERE cents > 150;\n" + say("3 view") +
			pick("CREATE TRIGGER audit AFTER UPDATE ON account BEGIN INSERT INTO log VALUES ('3 fired'); END;\n",
				"CREATE FUNCTION fired() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO log VALUES ('3 fired'); RETURN NEW; END $$;\n"+
					"CREATE TRIGGER audit AFTER UPDATE ON account FOR EACH ROW EXECUTE FUNCTION fired();\n",
				"CREATE TRIGGER audit AFTER UPDATE ON account FOR EACH ROW INSERT INTO log VALUES ('3 fired');\n"+
					"CREATE PROCEDURE pay(n int) BEGIN UPDATE account SET cents = cents + n; INSERT INTO log VALUES ('3 paid'); END;\n"+say("3 procedure")+
					"CREATE FUNCTION twice(n int) RETURNS int DETERMINISTIC RETURN n * 2;\n") +
			"UPDATE account SET cents = cents * 2 WHERE id = 1;\n" + say("3 end"),
		"0003_objects.down.sql": say("3 down begin") + pick("DROP TRIGGER audit;\n", "DROP TRIGGER audit ON account;\nDROP FUNCTION fired();\n", "DROP TRIGGER audit;\nDROP FUNCTION twice;\nDROP PROCEDURE pay;\n") +
			say("3 down middle") + "DROP VIEW rich;\nUPDATE account SET cents = cents / 2 WHERE id = 1;\n" + say("3 down end"),

		"0004_data.up.sql": "UPDATE account SET cents = cents - 7;\n" + say("4 taken") +
			"INSERT INTO account (id, owner, cents) SELECT id + 10, owner, cents FROM account;\n" + say("4 copied") +
			"DELETE FROM account WHERE id = 11;\n" + "INSERT INTO log (what) SELECT " + pick("'4 account ' || id", "'4 account ' || id", "CONCAT('4 account ', id)") + " FROM account;\n" +
			"UPDATE account SET note = owner WHERE id > 1;\n" + say("4 end"),
		"0004_data.down.sql": say("4 down begin") + "DELETE FROM account WHERE id > 10;\nUPDATE account SET cents = cents + 7, note = NULL;\n" + say("4 down end"),

		"0005_alone.up.sql": "-- tldwdb: no-transaction\n" + say("5 begin") +
			pick("VACUUM;\n", "CREATE INDEX CONCURRENTLY account_cents ON account (cents);\n", "ALTER TABLE account ADD KEY account_cents (cents), MODIFY owner varchar(60) NOT NULL;\n") +
			say("5 index") + "UPDATE account SET cents = cents + 5;\n" +
			"CREATE TABLE scratch (id integer NOT NULL PRIMARY KEY, v integer);\nINSERT INTO scratch VALUES (1, 1);\n" + say("5 scratch") +
			pick("ALTER TABLE scratch RENAME TO kept;\n", "ALTER TABLE scratch RENAME TO kept;\n", "RENAME TABLE scratch TO kept;\n") +
			pick("", "", "TRUNCATE TABLE kept;\nCREATE OR REPLACE VIEW rich AS SELECT id, owner, note FROM account WHERE cents > 150;\nCREATE TABLE twin LIKE kept;\n") +
			"UPDATE kept SET v = v + 1;\n" + say("5 end"),
		"0005_alone.down.sql": "-- tldwdb: no-transaction\n" + say("5 down begin") +
			pick("", "DROP INDEX CONCURRENTLY account_cents;\n", "DROP TABLE twin;\nALTER TABLE account DROP KEY account_cents;\n") +
			"UPDATE account SET cents = cents - 5;\n" + "DROP TABLE kept;\n" + say("5 down end"),
	}
	return f
}

// state is what can be seen of a database.
type state struct {
	schema  string
	rows    string
	effects map[string]int // lines of the log
	history string
}

// look describes a database after faultLoad.
func look(t *testing.T, tdb *testdb.Database, admin *sql.DB) state {
	t.Helper()
	s := state{schema: tdb.Dump(t), effects: map[string]int{}}
	if !strings.Contains(s.schema, "log") {
		return s
	}
	s.effects = counts(t, admin, "SELECT what, count(*) FROM log GROUP BY what")
	s.history = historyRows(t, admin)
	for _, table := range []string{"account", "kept"} {
		if strings.Contains(s.schema, table) {
			s.rows += table + "\n" + rowsOf(t, admin, "SELECT * FROM "+table+" ORDER BY id") + "\n"
		}
	}
	return s
}

// Verdicts on a case, from good to bad.
const (
	survived  = "survived"  // as if nothing had happened
	ambiguous = "ambiguous" // Up says that nobody can know
	differs   = "differs"   // the schema or the rows are other ones
	twice     = "twice"     // a statement took effect more than once
	lost      = "lost"      // a statement took no effect
	stuck     = "stuck"     // Up does not come to its end
)

var verdicts = []string{survived, ambiguous, differs, twice, lost, stuck}

// judge compares a state with that of an undisturbed run.
func judge(got, want state) (verdict, detail string) {
	for _, what := range slices.Sorted(maps.Keys(want.effects)) {
		if n := want.effects[what]; got.effects[what] < n {
			return lost, fmt.Sprintf("%q took effect %d times of %d", what, got.effects[what], n)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(got.effects)) {
		if n := want.effects[what]; got.effects[what] > n {
			return twice, fmt.Sprintf("%q took effect %d times instead of %d", what, got.effects[what], n)
		}
	}
	for _, c := range []struct{ what, got, want string }{{"schema", got.schema, want.schema}, {"rows", got.rows, want.rows}, {"history", got.history, want.history}} {
		if c.got != c.want {
			return differs, fmt.Sprintf("the %s:\n%s\nwant\n%s", c.what, c.got, c.want)
		}
	}
	return survived, ""
}

// direction is a way through faultLoad.
type direction struct {
	name  string
	start int64 // version before the run that is disturbed
	goal  int64
}

var (
	upwards   = direction{"up", 0, 5}
	downwards = direction{"down", 5, 1}
)

// request is how a worker asks for it.
func (d direction) request() tldwdb.Request {
	if d.goal > d.start {
		return tldwdb.Request{Goal: tldwdb.GoalUp}
	}
	return tldwdb.Request{Goal: tldwdb.GoalVersion, Version: d.goal}
}
