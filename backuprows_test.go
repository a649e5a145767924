package tldwdb_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestPortableNotes: what a person should know of a portable backup is in its manifest
// and in what a verification says.
func TestPortableNotes(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.Postgres {
			return // all its tables have transactions, and its foreign keys are always watched
		}
		dir, kept := keeping(t, tdb)
		f := files{"0001_people.up.sql": "CREATE TABLE people (id INTEGER PRIMARY KEY);\nCREATE TABLE note (id INTEGER PRIMARY KEY, person INTEGER, FOREIGN KEY (person) REFERENCES people (id));\nCREATE TABLE loose (id INTEGER PRIMARY KEY)"}
		unwatched := "PRAGMA foreign_keys = OFF"
		if tdb.Engine != testdb.SQLite {
			f["0001_people.up.sql"] += " ENGINE = MyISAM"
			unwatched = "SET foreign_key_checks = 0"
		} else {
			tdb.ExpectFindings("rows of note have no parent in people")
		}
		f["0001_people.up.sql"] += ";"
		db := open(t, tdb, f, kept)
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		execIn(t, tdb.AdminDB(t), unwatched+"; INSERT INTO note VALUES (1, 5)")
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{Method: tldwdb.BackupPortable})
		if err != nil {
			t.Fatal(err)
		}
		list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
		if err != nil || len(list) != 1 {
			t.Fatalf("%+v, %v", list, err)
		}
		if got := strings.Join(list[0].Notes, "\n"); strings.Contains(got, "table loose has no transactions") != (tdb.Engine != testdb.SQLite) {
			t.Errorf("the manifest has the notes %q", got)
		}
		v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{})
		if got := strings.Join(v.Notes, "\n"); err != nil || strings.Count(got, "1 rows have no partner in table people") != 1 {
			t.Errorf("a verification has the notes %q, %v", got, err)
		}
	})
}

// TestVerifyBlames: what the files of a binary do not make is not the backup's fault, and
// what is not what the manifest says is.
func TestVerifyBlames(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		portable := func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable }
		f := files{"0001_people.up.sql": "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(20));\nINSERT INTO people VALUES (1, 'a');"}
		db := open(t, tdb, f, kept, portable)
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"it fails":     "CREATE TABLE people (id INTEGER PRIMARY KEY, name VARCHAR(20));\nINSERT INTO nowhere VALUES (1);",
			"other tables": "CREATE TABLE people (id INTEGER PRIMARY KEY);",
		} {
			other := open(t, tdb, files{"0001_people.up.sql": text}, kept, portable)
			if _, err := other.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err == nil || errors.Is(err, tldwdb.ErrBackupDamaged) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir)); err != nil || len(list) != 1 || list[0].Verified != nil {
			t.Errorf("something was kept of that: %+v, %v", list, err)
		}
		remanifest(t, b, dir, func(b *tldwdb.Backup) { b.Tables[0].Rows++ })
		if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); !errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(v.Error, "people has 1 rows, and had 2") {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// TestSeedsGoWithTheirRows: a file of seeds that has run once has run in every database
// that its rows are brought into.
func TestSeedsGoWithTheirRows(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		f := files{"common/20_b.sql": "-- tldwdb: once\nINSERT INTO plain (code, what) VALUES ('once', 'x');\n"}
		const passed = "common: passed common/20_b.sql"
		_, kept := keeping(t, tdb)
		portable := func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable }
		opened := func(on *testdb.Database) *tldwdb.DB {
			return open(t, on, files{"0001_plain.up.sql": "CREATE TABLE plain (code VARCHAR(20) PRIMARY KEY, what VARCHAR(20));"}, kept, portable, func(cfg *tldwdb.Config) { cfg.Seeds = f.fs() })
		}
		source, unseeded := opened(testdb.New(t, testdb.SQLite)), opened(testdb.New(t, testdb.SQLite))
		for _, db := range []*tldwdb.DB{source, unseeded} {
			if _, err := db.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		wantSeed(t, source, "common: ran common/20_b.sql")
		target := opened(tdb)
		if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		wantSeed(t, target, passed)
		b, err := target.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		fresh := testdb.New(t, tdb.Engine)
		into := opened(fresh)
		if _, err := restore(t, fresh, into, tldwdb.RestoreOptions{Name: b.Name}); err != nil {
			t.Fatal(err)
		}
		wantSeed(t, into, passed)
		if _, err := restore(t, tdb, target, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true}); err != nil {
			t.Fatal(err)
		}
		wantSeed(t, target, passed)
		// What a target knew of its own rows goes with them.
		if _, err := tldwdb.Copy(t.Context(), unseeded, target, tldwdb.CopyOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
		wantSeed(t, target, "common: ran common/20_b.sql")
	})
}

// TestPortableIsOfTheMigrations: what no migration makes is not in a portable backup,
// which could not be restored with it.
func TestPortableIsOfTheMigrations(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		_, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable })
		people(t, db)
		execIn(t, tdb.AdminDB(t), "CREATE TABLE goose_db_version (id INTEGER)")
		if tdb.Engine == testdb.Postgres {
			execIn(t, tdb.AdminDB(t), "CREATE SCHEMA crm")
			execIn(t, tdb.AdminDB(t), "CREATE TABLE crm.people (id INTEGER PRIMARY KEY)")
			execIn(t, tdb.AdminDB(t), "CREATE SEQUENCE crm.number")
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil || len(b.Tables) != 2 {
			t.Fatalf("%+v, %v", b.Tables, err)
		}
		notes := strings.Join(b.Notes, "\n")
		if !strings.Contains(notes, "goose_db_version is left out") || strings.Contains(notes, "crm.people is left out") != (tdb.Engine == testdb.Postgres) {
			t.Errorf("notes: %q", notes)
		}
		if _, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil {
			t.Error(err)
		}
		execIn(t, tdb.AdminDB(t), "CREATE TABLE by_hand (id INTEGER PRIMARY KEY)")
		if _, err := db.Backup(t.Context(), tldwdb.BackupOptions{}); err == nil || !strings.Contains(err.Error(), "no migration makes by_hand") {
			t.Errorf("with a table that nobody can make again: %v", err)
		}
	})
}
