package tldwdb_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/migrations"
)

// flask fills a database as the seed's application did: by db.create_all(), or
// by flask db upgrade.
func flask(t *testing.T, db *testdb.Database, file string) {
	t.Helper()
	engine := string(db.Engine)
	if db.Engine == testdb.MariaDB {
		engine = "mysql"
	}
	script, err := os.ReadFile("testdata/flask/" + engine + "/" + file)
	if err != nil {
		t.Fatal(err)
	}
	mustExec(t, db.AdminDB(t), string(script))
}

// verified opens the database and takes its baseline.
func verified(t *testing.T, cfg tldwdb.Config, version int64, v tldwdb.Verification) (*tldwdb.DB, *tldwdb.Result, error) {
	t.Helper()
	handle, err := tldwdb.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := handle.Close(); err != nil {
			t.Error(err)
		}
	})
	res, err := handle.BaselineVerified(t.Context(), version, v)
	return handle, res, err
}

// noScratchLeft fails when a scratch database of db is still on the server.
func noScratchLeft(t *testing.T, db *testdb.Database) {
	t.Helper()
	if left := scratches(t, db); len(left) > 0 {
		t.Errorf("left on the server: %v", left)
	}
}

func scratches(t *testing.T, db *testdb.Database) []string {
	t.Helper()
	switch db.Engine {
	case testdb.SQLite:
		return nil
	case testdb.Postgres:
		return column(t, db.AdminDB(t), "SELECT datname FROM pg_database WHERE starts_with(datname, '"+db.Name()+"_')")
	}
	return column(t, db.AdminDB(t), "SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE '"+db.Name()+"\\_%'")
}

// What the seed has made, by either road, is taken over as it is.
func TestBaselineOfASeedDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		file    string
		version int64
		ignore  []string
	}{
		{"create_all.sql", 2, nil},
		{"create_all_before_playlist.sql", 1, nil},
		{"flask_db_upgrade.sql", 2, []string{"alembic_version"}},
	} {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
				flask(t, db, c.file)
				cfg := tldwdb.Config{URL: db.URL, Migrations: migrations.FS}
				handle, res, err := verified(t, cfg, c.version, tldwdb.Verification{Ignore: c.ignore})
				if err != nil {
					t.Fatalf("%v\nhint: %s", err, tldwdb.Hint(err))
				}
				if res.After != c.version || len(res.Accepted) > 0 || len(res.Applied) > 0 {
					t.Errorf("result: %+v", res)
				}
				if _, err := handle.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := handle.Check(t.Context()); err != nil {
					t.Error(err)
				}
				noScratchLeft(t, db)
			})
		})
	}
}

// A database that is not what the files make is refused, with the reasons, and
// nothing is written. Force writes, and keeps the reasons.
func TestBaselineOfAnotherSchema(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		flask(t, db, "create_all.sql")
		mustExec(t, db.AdminDB(t), "CREATE TABLE hot (fix int)")
		before := db.Dump(t)
		cfg := tldwdb.Config{URL: db.URL, Migrations: migrations.FS}
		handle, _, err := verified(t, cfg, 1, tldwdb.Verification{})
		differs, ok := errors.AsType[*tldwdb.SchemaError](err)
		if !ok || !errors.Is(err, tldwdb.ErrSchemaDiffers) || tldwdb.Hint(err) == "" {
			t.Fatalf("error: %v", err)
		}
		var found []string
		for _, d := range differs.Differences {
			found = append(found, fmt.Sprintf("%s %s %s", d.Kind, d.Name[strings.LastIndex(d.Name, ".")+1:], d.Change))
		}
		if want := []string{"table hot unexpected", "table user different"}; !slices.Equal(found, want) {
			t.Errorf("differences: %q, want %q", found, want)
		}
		if text := err.Error(); !strings.Contains(text, "+ ") || !strings.Contains(text, "selected_playlist_id") || strings.Contains(text, "- ") || strings.Contains(text, "email") {
			t.Errorf("the text shows not exactly the lines that differ:\n%s", text)
		}
		if after := db.Dump(t); after != before {
			t.Errorf("the database was written to:\n%s", difference(after, before))
		}
		noScratchLeft(t, db)

		res, err := handle.BaselineVerified(t.Context(), 1, tldwdb.Verification{Force: true})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(res.Accepted, differs.Differences) {
			t.Errorf("accepted: %v", res.Accepted)
		}
		if text, err := json.Marshal(res.Accepted); err != nil || !strings.Contains(string(text), `"change":"unexpected"`) {
			t.Errorf("as JSON: %s, %v", text, err)
		}
		status, err := handle.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m := status.Migrations[0]; m.State != tldwdb.StateBaseline || !strings.Contains(m.Error, "hot is not from the migrations") {
			t.Errorf("status of version 1: %+v", m)
		}
		if _, err := handle.BaselineVerified(t.Context(), 1, tldwdb.Verification{}); err == nil || !strings.Contains(err.Error(), "has a row already") {
			t.Errorf("a second baseline: %v", err)
		}
	})
}

// What only a repeatable migration makes is there or not, as it may be: Up runs it.
func TestBaselineBesideRepeatableMigrations(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		files := fstest.MapFS{
			"1_a.up.sql":    {Data: []byte("CREATE TABLE a (id int)")},
			"2_b.up.sql":    {Data: []byte("CREATE TABLE b (id int)")},
			"R__latest.sql": {Data: []byte("DROP VIEW IF EXISTS latest; CREATE VIEW latest AS SELECT id FROM b")},
		}
		mustExec(t, db.AdminDB(t), "CREATE TABLE a (id int)")
		second := testdb.New(t, db.Engine)
		mustExec(t, second.AdminDB(t), "CREATE TABLE a (id int); CREATE TABLE b (id int); CREATE VIEW latest AS SELECT 2 AS old")
		for _, c := range []struct {
			db      *testdb.Database
			version int64
		}{{db, 1}, {second, 2}} {
			handle, _, err := verified(t, tldwdb.Config{URL: c.db.URL, Migrations: files}, c.version, tldwdb.Verification{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := handle.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// Go migrations run on the scratch database, as Up runs them, and a fault in a
// migration is reported with its place.
func TestBaselineRunsGoMigrations(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		mustExec(t, db.AdminDB(t), "CREATE TABLE a (id int); CREATE TABLE b (id int)")
		cfg := tldwdb.Config{URL: db.URL, Migrations: fstest.MapFS{
			"1_a.up.sql": {Data: []byte("CREATE TABLE a (id int)")},
			"3_c.up.sql": {Data: []byte("SELECT 1;\nCREATE TABLE a (id int)")},
		}, GoMigrations: []tldwdb.GoMigration{{Version: 2, Name: "b", Up: func(ctx context.Context, tx tldwdb.Conn) error {
			_, err := tx.ExecContext(ctx, "CREATE TABLE b (id int)")
			return err
		}}}}
		handle, _, err := verified(t, cfg, 2, tldwdb.Verification{})
		if err != nil {
			t.Fatal(err)
		}
		if err := handle.Check(t.Context()); !errors.Is(err, tldwdb.ErrPending) {
			t.Errorf("check: %v", err)
		}
		other := testdb.New(t, db.Engine)
		cfg.URL = other.URL
		_, _, err = verified(t, cfg, 3, tldwdb.Verification{})
		failed, ok := errors.AsType[*tldwdb.MigrationError](err)
		if !ok || failed.File != "3_c.up.sql" || failed.Line != 2 {
			t.Errorf("a faulty migration: %v", err)
		}
		noScratchLeft(t, other)
		if names := relations(t, other.Engine, other.AdminDB(t)); len(names) > 0 {
			t.Errorf("made in the database itself: %v", names)
		}
	})
}

// A statement that would leave the scratch database is not run.
func TestBaselineKeepsToItsScratchDatabase(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		statements := map[testdb.Engine][]string{
			testdb.SQLite:   {"ATTACH 'other.db' AS other"},
			testdb.Postgres: {"DROP ROLE nobody", "ALTER SYSTEM SET work_mem = '1MB'", "GRANT pg_monitor TO tldw", "ALTER USER tldw CREATEDB"},
			testdb.MariaDB:  {"CREATE TABLE `" + db.Name() + "`.t (id int)", "USE mysql", "SET GLOBAL sort_buffer_size = 100000", "CREATE USER nobody", "INSERT INTO " + db.Name() + " . t VALUES (1)"},
		}
		statements[testdb.MySQL] = statements[testdb.MariaDB]
		for _, statement := range statements[db.Engine] {
			cfg := tldwdb.Config{URL: db.URL, Migrations: fstest.MapFS{
				"1_a.up.sql": {Data: []byte("-- tldwdb: no-transaction\nCREATE TABLE a (id int);\n" + statement)},
			}}
			_, _, err := verified(t, cfg, 1, tldwdb.Verification{})
			if !errors.Is(err, tldwdb.ErrNoScratch) || !strings.Contains(err.Error(), "1_a.up.sql:3: ") || tldwdb.Hint(err) == "" {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if names := relations(t, db.Engine, db.AdminDB(t)); len(names) > 0 {
			t.Errorf("made in the database itself: %v", names)
		}
		noScratchLeft(t, db)
	})
}

// A scratch database that somebody else has made must be empty, and is not
// dropped.
func TestBaselineOnANamedScratchDatabase(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		flask(t, db, "create_all.sql")
		named := testdb.New(t, db.Engine)
		cfg := tldwdb.Config{URL: db.URL, Migrations: migrations.FS}
		if _, _, err := verified(t, cfg, 2, tldwdb.Verification{ScratchURL: db.URL}); !errors.Is(err, tldwdb.ErrNoScratch) {
			t.Errorf("the database itself: %v", err)
		}
		if _, _, err := verified(t, cfg, 2, tldwdb.Verification{ScratchURL: named.URL}); err != nil {
			t.Error(err)
		}
		if names := relations(t, db.Engine, named.AdminDB(t)); !slices.ContainsFunc(names, func(n string) bool { return strings.Trim(n, `"`) == "user" }) {
			t.Errorf("in the scratch database: %v", names)
		}
		other := testdb.New(t, db.Engine)
		flask(t, other, "create_all.sql")
		cfg.URL = other.URL
		if _, _, err := verified(t, cfg, 2, tldwdb.Verification{ScratchURL: named.URL}); !errors.Is(err, tldwdb.ErrNoScratch) || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("one that is not empty: %v", err)
		}
		if noScratchLeft(t, db); strings.Contains(fmt.Sprint(cfg), "tldw:tldw") {
			t.Error("a password is shown")
		}
	})
}

// What a killed process has left is dropped by a later one, and what is in use,
// or younger, or merely looks alike, is not.
func TestBaselineDropsWhatWasLeft(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no server")
		}
		flask(t, db, "create_all.sql")
		admin := db.AdminDB(t)
		quote := `"`
		now := "SELECT extract(epoch FROM now())::bigint"
		if db.Engine != testdb.Postgres {
			quote, now = "`", "SELECT UNIX_TIMESTAMP()"
		}
		var clock int64
		if err := admin.QueryRowContext(t.Context(), now).Scan(&clock); err != nil {
			t.Fatal(err)
		}
		mark := db.Name() + "_tldwdb_scratch_"
		left, used := fmt.Sprintf("%s%d_0123abcd", mark, clock-4000), fmt.Sprintf("%s%d_00000001", mark, clock-4000)
		young, alike := fmt.Sprintf("%s%d_0123abcd", mark, clock-3000), fmt.Sprintf("%s%d_abc", mark, clock-4000)
		for _, name := range []string{left, used, young, alike} {
			mustExec(t, admin, "CREATE DATABASE "+quote+name+quote)
			t.Cleanup(func() {
				if _, err := admin.ExecContext(context.WithoutCancel(t.Context()), "DROP DATABASE IF EXISTS "+quote+name+quote); err != nil {
					t.Error(err)
				}
			})
		}
		var busy *sql.Conn
		var err error
		if db.Engine == testdb.Postgres {
			other, openErr := tldwdb.Open(t.Context(), tldwdb.Config{URL: strings.Replace(db.URL, db.Name(), used, 1)})
			if openErr != nil {
				t.Fatal(openErr)
			}
			defer func() { _ = other.Close() }()
			busy, err = other.Pool().Conn(t.Context())
		} else if busy, err = admin.Conn(t.Context()); err == nil {
			_, err = busy.ExecContext(t.Context(), "DO GET_LOCK('"+used+"', 0)")
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if db.Engine != testdb.Postgres {
				if _, err := busy.ExecContext(t.Context(), "DO RELEASE_LOCK('"+used+"')"); err != nil {
					t.Error(err)
				}
			}
			_ = busy.Close()
		}()
		if _, _, err := verified(t, tldwdb.Config{URL: db.URL, Migrations: migrations.FS}, 2, tldwdb.Verification{}); err != nil {
			t.Fatal(err)
		}
		found := scratches(t, db)
		slices.Sort(found)
		if want := []string{used, alike, young}; !slices.Equal(found, want) {
			t.Errorf("left: %q, want %q", found, want)
		}
	})
}

// The scratch database goes when the caller gives up half-way, too.
func TestBaselineGivenUp(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		ctx, cancel := context.WithCancel(t.Context())
		cfg := tldwdb.Config{URL: db.URL, GoMigrations: []tldwdb.GoMigration{{Version: 1, Name: "stop", Up: func(ctx context.Context, tx tldwdb.Conn) error {
			cancel()
			_, err := tx.ExecContext(ctx, "CREATE TABLE b (id int)")
			return err
		}}}}
		handle, err := tldwdb.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = handle.Close() }()
		if _, err := handle.BaselineVerified(ctx, 1, tldwdb.Verification{}); !errors.Is(err, context.Canceled) {
			t.Errorf("error: %v", err)
		}
		noScratchLeft(t, db)
	})
}

// Our own tables are not compared, whatever their name and the kind of lock.
func TestBaselineLeavesItsOwnTablesOut(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		cfg := tldwdb.Config{URL: db.URL, Migrations: migrations.FS, Table: "books"}
		if db.Engine == testdb.SQLite {
			mustExec(t, db.AdminDB(t), "CREATE TABLE books_lease (id int)") // as a server has one that is used through a pooler
		} else {
			leased(&cfg)
		}
		flask(t, db, "create_all.sql")
		handle, _, err := verified(t, cfg, 2, tldwdb.Verification{})
		if err != nil {
			t.Fatal(err)
		}
		// The tables are there now, and another set finds them.
		cfg.Set = "other"
		if _, _, err = verified(t, cfg, 2, tldwdb.Verification{}); err != nil {
			t.Error(err)
		}
		if err := handle.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A database in memory is compared with one in a file.
func TestBaselineInMemory(t *testing.T) {
	t.Parallel()
	handle, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: "sqlite://", Migrations: migrations.FS})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = handle.Close() }()
	script, err := os.ReadFile("testdata/flask/sqlite/create_all.sql")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := handle.Pool().ExecContext(t.Context(), string(script)); err != nil {
		t.Fatal(err)
	}
	if _, err := handle.BaselineVerified(t.Context(), 2, tldwdb.Verification{}); err != nil {
		t.Error(err)
	}
}

// A borrowed pool without a URL leads nowhere else: the caller has to name a
// database, and then it works.
func TestBaselineOfABorrowedPool(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		flask(t, db, "create_all.sql")
		owner, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: db.URL, PoolSize: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = owner.Close() }()
		handle, err := tldwdb.Attach(t.Context(), owner.Pool(), tldwdb.Config{Migrations: migrations.FS})
		if err != nil {
			t.Fatal(err)
		}
		var v tldwdb.Verification
		if db.Engine != testdb.SQLite {
			if _, err := handle.BaselineVerified(t.Context(), 2, v); !errors.Is(err, tldwdb.ErrNoScratch) || !strings.Contains(tldwdb.Hint(err), "ScratchURL") {
				t.Errorf("without a URL: %v", err)
			}
			v.ScratchURL = testdb.New(t, db.Engine).URL
		}
		if _, err := handle.BaselineVerified(t.Context(), 2, v); err != nil {
			t.Error(err)
		}
	})
}

// The search path that the database's own sessions have leads to the same
// schemas in the scratch database.
func TestBaselineInASchema(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	admin := db.AdminDB(t)
	mustExec(t, admin, "CREATE SCHEMA app; CREATE TABLE app.a (id int); ALTER DATABASE "+db.Name()+" SET search_path = app, public")
	cfg := tldwdb.Config{URL: db.URL, Migrations: fstest.MapFS{"1_a.up.sql": {Data: []byte("CREATE TABLE a (id int)")}}}
	if _, _, err := verified(t, cfg, 1, tldwdb.Verification{}); err != nil {
		t.Fatal(err)
	}
	noScratchLeft(t, db)
}

// An account that may not make a database is told what it takes, and its
// password is shown nowhere.
func TestBaselineWithoutTheRight(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no accounts")
		}
		admin := db.AdminDB(t)
		flask(t, db, "create_all.sql")
		const password = "not-to-be-shown"
		role := makeRole(t, db, admin, password)
		grant := "GRANT ALL ON `" + db.Name() + "`.* TO " + role
		if db.Engine == testdb.Postgres {
			grant = "GRANT ALL ON SCHEMA public TO " + role
		}
		mustExec(t, admin, grant)
		cfg := tldwdb.Config{URL: urlAs(t, db, role, password), Migrations: migrations.FS}
		_, _, err := verified(t, cfg, 2, tldwdb.Verification{})
		hint := tldwdb.Hint(err)
		if !errors.Is(err, tldwdb.ErrNoScratch) || !strings.Contains(hint, "ScratchURL") || !strings.Contains(hint, "CREATEDB") && !strings.Contains(hint, "GRANT ALL ON") {
			t.Errorf("error: %v\nhint: %s", err, hint)
		}
		if strings.Contains(fmt.Sprint(err, hint), password) {
			t.Error("the password is shown")
		}
		noScratchLeft(t, db)
	})
}

// The shortest way to a first migration is a dump of the schema that is there. It
// has something of everything, and is found to be the same.
func TestBaselineOfADumpedDatabase(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		admin := db.AdminDB(t)
		var dump string
		switch db.Engine {
		case testdb.SQLite:
			fill(t, admin, "rich_sqlite.sql")
			dump = sqliteShell.run(t, db)
		case testdb.Postgres:
			fill(t, admin, "rich_postgres.sql")
			dump = pgDump.run(t, db, "--schema-only")
		case testdb.MariaDB:
			fill(t, admin, "rich_mysql.sql", "rich_mariadb.sql")
			dump = mariadbDump.run(t, db, "--no-data")
		default:
			fill(t, admin, "rich_mysql.sql", "rich_mysql9.sql")
			dump = mysqlDump.run(t, db, "--no-data", "--set-gtid-purged=OFF")
		}
		cfg := tldwdb.Config{URL: db.URL, Migrations: fstest.MapFS{"1_dump.up.sql": {Data: []byte(dump)}}}
		if _, _, err := verified(t, cfg, 1, tldwdb.Verification{}); err != nil {
			t.Errorf("%v\nhint: %s", err, tldwdb.Hint(err))
		}
	})
}

// A pooler keeps connections to the scratch database, which is dropped all the
// same.
func TestBaselineThroughAPooler(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"PGBOUNCER", "PGBOUNCER_SESSION"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			forEachPooler(t, kind, func(t *testing.T, tdb *testdb.Database, through string) {
				flask(t, tdb, "create_all.sql")
				if _, _, err := verified(t, tldwdb.Config{URL: through, Migrations: migrations.FS}, 2, tldwdb.Verification{}); err != nil {
					t.Errorf("%v\nhint: %s", err, tldwdb.Hint(err))
				}
				noScratchLeft(t, tdb)
			})
		})
	}
}
