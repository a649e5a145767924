package tldwdb_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
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
		dir, kept := keeping(t, tdb)
		quoted := files{ // as they stand within quotes, quotes in a name are double
			"0003_quoted.up.sql":       `CREATE TABLE "Odd ""Name""" (id INTEGER PRIMARY KEY);`,
			"mysql/0003_quoted.up.sql": "CREATE TABLE `Odd ``Name``` (id INTEGER PRIMARY KEY);",
		}
		maps.Copy(quoted, backupFiles)
		db := open(t, tdb, quoted, kept, func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable })
		people(t, db)
		execIn(t, tdb.AdminDB(t), "CREATE TABLE goose_db_version (id INTEGER)")
		if tdb.Engine == testdb.Postgres {
			execIn(t, tdb.AdminDB(t), "CREATE SCHEMA crm")
			execIn(t, tdb.AdminDB(t), "CREATE TABLE crm.people (id INTEGER PRIMARY KEY)")
			execIn(t, tdb.AdminDB(t), "CREATE SEQUENCE crm.number")
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil || len(b.Tables) != 3 {
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
		// Whoever names it has a backup without it, and so has a schedule, which cannot ask.
		// A table of the migrations that is left out is empty behind a restore.
		strangers := slices.Sorted(slices.Values(b.Skipped))
		for _, o := range []struct {
			tldwdb.BackupOptions
			skips  []string
			tables int
		}{
			{tldwdb.BackupOptions{Skip: []string{"BY_*"}}, []string{"by_hand"}, 3},
			{tldwdb.BackupOptions{Reason: tldwdb.ReasonScheduled}, []string{"by_hand"}, 3},
			{tldwdb.BackupOptions{Skip: []string{"by_hand", "notes"}}, []string{"by_hand", "notes"}, 2},
		} {
			b, err := db.Backup(t.Context(), o.BackupOptions)
			if err != nil {
				t.Errorf("%+v: %v", o, err)
				continue
			}
			want := slices.Sorted(slices.Values(slices.Concat(strangers, o.skips)))
			if got := slices.Sorted(slices.Values(b.Skipped)); !slices.Equal(got, want) || len(b.Tables) != o.tables {
				t.Errorf("left out: %q, want %q; there are %+v", got, want, b.Tables)
			}
			if told := strings.Contains(strings.Join(b.Notes, "\n"), "by_hand is left out"); told != (o.Reason == tldwdb.ReasonScheduled) {
				t.Errorf("notes: %q", b.Notes)
			}
			v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{})
			if err != nil || !strings.Contains(strings.Join(v.Notes, "\n"), "left out when it was backed up: ") {
				t.Errorf("%q, %v", v.Notes, err)
			}
			if kept, err := tldwdb.ReadManifest(t.Context(), tldwdb.DirStore(dir), b.Name); err != nil || !slices.Equal(kept.Skipped, b.Skipped) {
				t.Errorf("%q, %v", kept.Skipped, err)
			}
		}
		if _, err := db.Backup(t.Context(), tldwdb.BackupOptions{Skip: []string{"[x"}}); err == nil || !strings.Contains(err.Error(), "TLDWDB_BACKUP_SKIP") {
			t.Error(err)
		}
	})
}

// TestRowsOfAnotherForm: what older binaries can read says so, what they cannot has a
// number that they do not know, and rows of a form that this one does not know are newer
// and not damaged.
func TestRowsOfAnotherForm(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	f := files{"0001_keyed.up.sql": "CREATE TABLE keyed (id INTEGER PRIMARY KEY, name TEXT);\nINSERT INTO keyed VALUES (1, 'a');", "0001_keyed.down.sql": "DROP TABLE keyed;"}
	rows := func(cfg *tldwdb.Config) { cfg.Backup.Method, cfg.Backup.Compression = tldwdb.BackupPortable, "none" }
	back := func(form int) (tldwdb.Backup, *tldwdb.DB) {
		t.Helper()
		db := open(t, tdb, f, kept, rows)
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		content := getObject(t, tldwdb.DirStore(dir), b.Parts[0].Name)
		if head, _, _ := strings.Cut(content, "\n"); b.Format != form || !strings.Contains(head, fmt.Sprintf(`"version":%d,`, form)) {
			t.Errorf("the manifest has form %d and the rows begin with %s, want %d", b.Format, head, form)
		}
		if _, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil {
			t.Error(err)
		}
		return b, db
	}
	back(1)
	f["0002_loose.up.sql"] = "CREATE TABLE loose (name TEXT);\nINSERT INTO loose VALUES ('a');"
	b, db := back(2)
	name := b.Parts[0].Name
	content := strings.Replace(getObject(t, tldwdb.DirStore(dir), name), `"version":2,"writer":"`, `"version":3,"writer":"later `, 1)
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	remanifest(t, b, dir, func(b *tldwdb.Backup) {
		p := &b.Parts[0]
		p.Size, p.SHA256 = int64(len(content)), fmt.Sprintf("%x", sha256.Sum256([]byte(content)))
		p.PlainSize, p.PlainSHA256 = p.Size, p.SHA256
	})
	_, verified := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{})
	_, restored := db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true})
	for _, err := range []error{verified, restored} {
		if !errors.Is(err, tldwdb.ErrBackupNewer) || errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(tldwdb.Hint(err), "later tldwdb") {
			t.Errorf("%v; %s", err, tldwdb.Hint(err))
		}
	}
}
