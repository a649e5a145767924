package foreign_test

import (
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/foreign"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

// The tables by the tools' own definitions, in the words that fit every engine:
// BOOL, YES, NO, BLOB(hex), STAMP and NOW stand for what differs. What the tools
// themselves write is in testdata/foreign of the root; here are the states that
// a recording does not have.
const (
	goose  = "CREATE TABLE goose_db_version (id integer PRIMARY KEY, version_id bigint NOT NULL, is_applied BOOL NOT NULL, tstamp STAMP)"
	gooses = "CREATE TABLE goose_lock (lock_id bigint PRIMARY KEY, locked BOOL NOT NULL, locked_at STAMP, locked_by varchar(50), lease_expires_at STAMP, updated_at STAMP)"
	flyway = "CREATE TABLE flyway_schema_history (installed_rank integer NOT NULL PRIMARY KEY, version varchar(50), description varchar(200) NOT NULL, type varchar(20) NOT NULL, script varchar(1000) NOT NULL," +
		" checksum integer, installed_by varchar(100) NOT NULL, installed_on STAMP NOT NULL, execution_time integer NOT NULL, success BOOL NOT NULL)"
	liquibase = "CREATE TABLE DATABASECHANGELOG (ID varchar(255) NOT NULL, AUTHOR varchar(255) NOT NULL, FILENAME varchar(255) NOT NULL, DATEEXECUTED STAMP NOT NULL, ORDEREXECUTED integer NOT NULL, EXECTYPE varchar(10) NOT NULL, MD5SUM varchar(35))"
	locks     = "CREATE TABLE DATABASECHANGELOGLOCK (ID integer NOT NULL PRIMARY KEY, LOCKED BIT NOT NULL, LOCKGRANTED STAMP, LOCKEDBY varchar(255))"
	prisma    = "CREATE TABLE _prisma_migrations (id varchar(36) PRIMARY KEY, checksum varchar(64) NOT NULL, finished_at STAMP, migration_name varchar(255) NOT NULL, logs text, rolled_back_at STAMP, started_at integer NOT NULL, applied_steps_count integer NOT NULL)"
	sqlx      = "CREATE TABLE _sqlx_migrations (version bigint PRIMARY KEY, description varchar(50) NOT NULL, installed_on STAMP, success BOOL NOT NULL, checksum BLOB NOT NULL, execution_time bigint NOT NULL)"
	refinery  = "CREATE TABLE refinery_schema_history (version integer PRIMARY KEY, name varchar(255), applied_on varchar(255), checksum varchar(255))"
	atlas     = "CREATE TABLE atlas_schema_revisions (version varchar(255) PRIMARY KEY, description varchar(255) NOT NULL, type bigint NOT NULL, applied bigint NOT NULL, total bigint NOT NULL, executed_at STAMP NOT NULL, execution_time bigint NOT NULL, error text, error_stmt text, hash varchar(255) NOT NULL)"
	versions  = "CREATE TABLE schema_migrations (version varchar(128) PRIMARY KEY)"
	golang    = "CREATE TABLE schema_migrations (version bigint NOT NULL, dirty BOOL NOT NULL)"
	tern      = "CREATE TABLE schema_version (version integer NOT NULL)"
)

func flywayRow(rank, version, kind, success string) string {
	return "INSERT INTO flyway_schema_history VALUES (" + rank + ", " + version + ", 'about', '" + kind + "', 'V.sql', 12, 'me', NOW, 1, " + success + ")"
}

func changeset(order, id, file, kind string) string {
	return "INSERT INTO DATABASECHANGELOG VALUES ('" + id + "', 'bob', '" + file + "', NOW, " + order + ", '" + kind + "', '9:ab')"
}

var states = []struct {
	name  string
	setup []string
	want  string // the tool, and its versions; those that stand for all before them with ≤
	fault string // what is said and what to do
}{
	{"goose writes a row for each way back too", []string{goose,
		"INSERT INTO goose_db_version VALUES (1, 0, YES, NOW), (2, 1, YES, NOW), (3, 2, YES, NOW), (4, 3, YES, NOW), (5, 3, NO, NOW), (6, 2, NO, NOW), (7, 2, YES, NOW), (10, 10, YES, NOW), (11, 1, NO, NOW)"},
		"goose: 2 10", ""},
	{"goose at the start", []string{goose, "INSERT INTO goose_db_version VALUES (1, 0, YES, NOW)"}, "goose:", ""},
	{"goose not running", []string{goose, gooses, "INSERT INTO goose_lock VALUES (1, NO, NULL, NULL, NULL, NULL)"}, "goose:", ""},
	{"goose running", []string{goose, gooses, "INSERT INTO goose_lock VALUES (1, YES, NOW, 'pod-7', NOW, NOW)"}, "goose:", "locked by pod-7 since"},

	{"flyway with all kinds of rows", []string{flyway,
		flywayRow("0", "NULL", "SCHEMA", "YES"), flywayRow("1", "'1'", "BASELINE", "YES"), flywayRow("2", "'2'", "SQL", "YES"), flywayRow("3", "'2.1'", "JDBC", "YES"),
		flywayRow("4", "NULL", "SQL", "YES"), flywayRow("5", "'3'", "SQL", "YES"), flywayRow("6", "'3'", "UNDO_SQL", "YES"), flywayRow("7", "'4'", "SQL", "YES"), flywayRow("8", "'4'", "DELETE", "YES"),
		flywayRow("10", "'20240101'", "SQL", "YES"), flywayRow("11", "'20240102'", "SQL_BASELINE", "YES")},
		"flyway: ≤1 2 2.1 20240101 ≤20240102", ""},
	{"flyway undone and applied again", []string{flyway, flywayRow("1", "'1'", "SQL", "YES"), flywayRow("2", "'1'", "UNDO_SQL", "YES"), flywayRow("3", "'1'", "SQL", "YES")}, "flyway: 1", ""},
	{"flyway failed", []string{flyway, flywayRow("1", "'1'", "SQL", "YES"), flywayRow("2", "'2'", "SQL", "NO")}, "flyway: 1", "version 2 has failed"},
	{"flyway with a repeatable that failed", []string{flyway, flywayRow("1", "NULL", "SQL", "NO")}, "flyway:", "flyway repair"},
	{"flyway under its old name", []string{strings.ReplaceAll(flyway, "flyway_schema_history", "schema_version"), strings.ReplaceAll(flywayRow("1", "'1'", "SQL", "YES"), "flyway_schema_history", "schema_version")}, "flyway: 1", ""},

	{"liquibase with ids that are not unique", []string{liquibase, locks, changeset("10", "4", "b.xml", "RERAN"), changeset("9", "1", "b.xml", "EXECUTED"), changeset("1", "1", "a.xml", "EXECUTED"), changeset("2", "2", "a.xml", "MARK_RAN"), changeset("3", "3", "a.xml", "SKIPPED"),
		"INSERT INTO DATABASECHANGELOGLOCK VALUES (1, BIT0, NULL, NULL)"},
		"liquibase: a.xml::1::bob 2 b.xml::1::bob 4", ""},
	{"liquibase running", []string{liquibase, locks, "INSERT INTO DATABASECHANGELOGLOCK VALUES (1, BIT1, NOW, 'pod-7 (10.1.2.3)')"}, "liquibase:", "locked by pod-7 (10.1.2.3) since"},
	{"liquibase failed", []string{liquibase, changeset("1", "1", "a.xml", "FAILED")}, "liquibase:", "changeset 1 has failed"},

	{"prisma resolved and applied again", []string{prisma,
		"INSERT INTO _prisma_migrations VALUES ('c', 'ef', NOW, '20240102_b', NULL, NULL, 3, 1)", "INSERT INTO _prisma_migrations VALUES ('b', 'cd', NULL, '20240102_b', 'error', NOW, 2, 0)", "INSERT INTO _prisma_migrations VALUES ('a', 'ab', NOW, '20240101_a', NULL, NULL, 1, 1)"},
		"prisma: 20240101_a 20240102_b", ""},
	{"prisma failed", []string{prisma, "INSERT INTO _prisma_migrations VALUES ('a', 'ab', NULL, '20240101_a', 'error', NULL, 1, 0)"}, "prisma:", "prisma migrate resolve --applied 20240101_a"},

	{"sqlx", []string{sqlx, "INSERT INTO _sqlx_migrations VALUES (20240102, 'b', NOW, YES, BLOB(beef), 1)", "INSERT INTO _sqlx_migrations VALUES (20240101, 'a', NOW, YES, BLOB(00ff), 1)"}, "sqlx: 20240101 20240102", ""},
	{"sqlx failed", []string{sqlx, "INSERT INTO _sqlx_migrations VALUES (20240101, 'a', NOW, NO, BLOB(00ff), 1)"}, "sqlx:", "version 20240101 has failed half-way (a)"},
	{"refinery", []string{refinery, "INSERT INTO refinery_schema_history VALUES (10, 'b', '2024', '123'), (2, 'a', '2024', '456')"}, "refinery: 2 10", ""},

	{"atlas with its own note and a resolved one", []string{atlas, "INSERT INTO atlas_schema_revisions VALUES ('.atlas_cloud_identifier', 'x', 2, 0, 0, NOW, 0, '', '', ''), ('1', 'a', 1, 0, 0, NOW, 0, '', '', 'h'), ('2', 'b', 6, 1, 2, NOW, 0, 'boom', 'X', 'h'), ('3', 'c', 2, 1, 1, NOW, 0, NULL, NULL, 'h')"},
		"atlas: ≤1 2 3", ""},
	{"atlas in part", []string{atlas, "INSERT INTO atlas_schema_revisions VALUES ('1', 'a', 2, 2, 2, NOW, 0, '', '', 'h'), ('2', 'b', 2, 1, 2, NOW, 0, 'boom', 'X', 'h')"}, "atlas: 1", "version 2 is applied in part, 1 of 2 statements boom"},

	{"dbmate", []string{versions, "INSERT INTO schema_migrations VALUES ('20240102'), ('20240101')"}, "dbmate: 20240101 20240102", ""},
	{"rails", []string{versions, "CREATE TABLE ar_internal_metadata (value varchar(10))", "INSERT INTO schema_migrations VALUES ('20240101')"}, "rails: 20240101", ""},
	{"golang-migrate", []string{golang, "INSERT INTO schema_migrations VALUES (4, NO)"}, "golang-migrate: ≤4", ""},
	{"golang-migrate dirty", []string{golang, "INSERT INTO schema_migrations VALUES (4, YES)"}, "golang-migrate:", "migrate force 4"},
	{"golang-migrate dirty before its first", []string{golang, "INSERT INTO schema_migrations VALUES (-1, YES)"}, "golang-migrate:", "version -1 is dirty"},
	{"golang-migrate with two rows", []string{golang, "INSERT INTO schema_migrations VALUES (4, NO), (5, NO)"}, "golang-migrate:", "2 rows"},
	{"tern", []string{tern, "INSERT INTO schema_version VALUES (3)"}, "tern: ≤3", ""},
	{"tern at the start", []string{tern, "INSERT INTO schema_version VALUES (0)"}, "tern:", ""},
}

func TestStates(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		pool := db.AdminDB(t)
		for _, c := range states {
			t.Run(c.name, func(t *testing.T) {
				defer func() { // one database serves them all
					for _, statement := range c.setup {
						if name, ok := strings.CutPrefix(statement, "CREATE TABLE "); ok {
							name, _, _ = strings.Cut(name, " ")
							if _, err := pool.ExecContext(t.Context(), "DROP TABLE "+name); err != nil {
								t.Error(err)
							}
						}
					}
				}()
				found := find(t, db, "", "", c.setup...)
				if len(found) != 1 {
					t.Fatalf("found %+v", found)
				}
				h := read(t, db, found[0])
				words := []string{found[0].Tool + ":"}
				for _, v := range h.Applied {
					if v.UpTo {
						v.Version = "≤" + v.Version
					}
					words = append(words, v.Version)
				}
				if got := strings.Join(words, " "); got != c.want {
					t.Errorf("read %q, want %q", got, c.want)
				}
				switch {
				case c.fault == "" && h.Fault != nil:
					t.Errorf("the fault is %+v", *h.Fault)
				case c.fault != "" && (h.Fault == nil || h.Fault.Remedy == "" || !strings.Contains(h.Fault.Reason+"; "+h.Fault.Remedy, c.fault)):
					t.Errorf("the fault is %+v, want one with %q", h.Fault, c.fault)
				}
			})
		}
	})
}

// find runs the statements and looks.
func find(t *testing.T, db *testdb.Database, tool, name string, setup ...string) []foreign.Candidate {
	t.Helper()
	words := strings.NewReplacer("BOOL", "boolean", "BIT1", "true", "BIT0", "false", "BIT ", "boolean ", "YES", "true", "NO,", "false,", "NO)", "false)", "STAMP", "timestamp", "NOW", "CURRENT_TIMESTAMP", "BLOB(00ff)", `'\x00ff'`, "BLOB(beef)", `'\xbeef'`, "BLOB", "bytea")
	if db.Engine != testdb.Postgres {
		words = strings.NewReplacer("BOOL", "boolean", "BIT1", "b'1'", "BIT0", "b'0'", "BIT ", "bit(1) ", "YES", "1", "NO,", "0,", "NO)", "0)", "STAMP", "datetime", "NOW", "CURRENT_TIMESTAMP", "BLOB(00ff)", "x'00ff'", "BLOB(beef)", "x'beef'")
	}
	pool := db.AdminDB(t)
	for _, statement := range setup {
		statement = words.Replace(statement)
		if db.Engine == testdb.SQLite {
			statement = strings.NewReplacer("b'1'", "1", "b'0'", "0", "bit(1)", "boolean").Replace(statement)
		}
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	found, err := foreign.Find(t.Context(), dialectOf(t, db), pool, tool, name, "tldwdb_history")
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func read(t *testing.T, db *testdb.Database, c foreign.Candidate) *foreign.History {
	t.Helper()
	h, err := c.Read(t.Context(), dialectOf(t, db), db.AdminDB(t))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func dialectOf(t *testing.T, db *testdb.Database) dialect.Dialect {
	t.Helper()
	name := map[testdb.Engine]string{testdb.SQLite: dialect.NameSQLite, testdb.Postgres: dialect.NamePostgres}[db.Engine]
	if name == "" {
		name = dialect.NameMySQL
	}
	d, err := dialect.New(name, true)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestChecksums: the tools' own fingerprints are told as they are.
func TestChecksums(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		found := find(t, db, "sqlx", "", sqlx, "INSERT INTO _sqlx_migrations VALUES (1, 'a', NOW, YES, BLOB(00ff), 1)",
			flyway, flywayRow("1", "'1'", "SQL", "YES"), goose)
		if len(found) != 1 {
			t.Fatalf("found %+v", found)
		}
		if h := read(t, db, found[0]); h.Applied[0].Checksum != "00ff" || h.Applied[0].Name != "a" {
			t.Errorf("read %+v", h.Applied)
		}
		found = find(t, db, "", "FLYWAY_SCHEMA_HISTORY")
		if len(found) != 1 {
			t.Fatalf("found %+v", found)
		}
		if h := read(t, db, found[0]); h.Applied[0].Checksum != "12" {
			t.Errorf("read %+v", h.Applied)
		}
	})
}

// TestShapes: a table that was named is the tool's whose name for it that is, or
// whose columns it has most of.
func TestShapes(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		find(t, db, "", "", versions, strings.ReplaceAll(flyway, "flyway_schema_history", "mine"), strings.ReplaceAll(tern, "schema_version", "other"))
		for _, c := range []struct{ name, want string }{{"schema_migrations", "dbmate"}, {"mine", "flyway"}, {"other", "dbmate tern"}, {"third", ""}} {
			var tools []string
			for _, f := range find(t, db, "", c.name) {
				tools = append(tools, f.Tool)
			}
			if got := strings.Join(tools, " "); got != c.want {
				t.Errorf("%s may be of %q, want %q", c.name, got, c.want)
			}
		}
	})
}

// TestOwnTable: a history of ours that was given such a name is none of theirs.
func TestOwnTable(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	found := find(t, db, "", "", goose)
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	found, err := foreign.Find(t.Context(), dialectOf(t, db), db.AdminDB(t), "", "", "goose_db_version")
	if err != nil || len(found) > 0 {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestUnreadable: what cannot be read is an error, and not an empty history.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		found := find(t, db, "", "", goose)
		if _, err := db.AdminDB(t).ExecContext(t.Context(), "DROP TABLE goose_db_version"); err != nil {
			t.Fatal(err)
		}
		if h, err := found[0].Read(t.Context(), dialectOf(t, db), db.AdminDB(t)); err == nil || !strings.Contains(err.Error(), "reading the history of goose") {
			t.Errorf("read %+v, %v", h, err)
		}
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"1": 1, "0001": 1, "20240101000001": 20240101000001, "1.0": 1, "1.0.0": 1, "1_initial.sql": 1, "20130106222315-initial.sql": 20130106222315, "20240101_a": 20240101, "7.sql": 7,
		"1.1": -1, "1.0.1": -1, "": -1, "v1": -1, "a91b6cd24e07": -1, "3f0c5a1e9b21": -1, "99999999999999999999": -1, "1 2": -1,
	} {
		n, ok := foreign.Version{Version: text}.Number()
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q is %d, want %d", text, n, want)
		}
	}
	if n, ok := (foreign.Version{Version: "1", Label: true}).Number(); ok {
		t.Errorf("a label is %d", n)
	}
}
