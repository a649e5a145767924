package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// backupFiles is a schema with what a copy could lose.
var backupFiles = files{
	"0001_people.up.sql": "CREATE TABLE people (id INTEGER NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL);",
	"0002_notes.up.sql":  "CREATE TABLE notes (id INTEGER NOT NULL PRIMARY KEY, person INTEGER NOT NULL REFERENCES people (id), body VARCHAR(200));\nCREATE INDEX notes_person ON notes (person);\nCREATE VIEW people_notes AS SELECT people.name, notes.body FROM people JOIN notes ON notes.person = people.id;",
}

// keeping lets backups of a test go to a folder of its own.
func keeping(t *testing.T, tdb *testdb.Database) (dir string, edit func(*tldwdb.Config)) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "kept")
	return dir, func(cfg *tldwdb.Config) { cfg.Backup.Dir, cfg.Backup.ToolDir = dir, toolDir(tdb.Engine) }
}

// toolDir is a folder with an engine's programs that are not in the PATH, such as
// Oracle's on a machine that has MariaDB's.
func toolDir(e testdb.Engine) string {
	return os.Getenv("TLDWDB_TEST_" + strings.ToUpper(string(e)) + "_TOOLS")
}

// people makes the schema with rows of odd content.
func people(t *testing.T, db *tldwdb.DB) {
	t.Helper()
	if _, err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"Ada", "", "O'Brien \\ \"x\" `y`", "🦊 müde\nzwei\tTabs", strings.Repeat("x", 100)} {
		if _, err := db.Pool().ExecContext(t.Context(), db.Pool().Rebind("INSERT INTO people VALUES (?, ?)"), i+1, name); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), db.Pool().Rebind("INSERT INTO notes VALUES (?, ?, ?)"), i+1, i+1, name); err != nil {
			t.Fatal(err)
		}
	}
}

// forEachBackup runs f on every engine whose programs are here.
func forEachBackup(t *testing.T, f func(t *testing.T, tdb *testdb.Database)) {
	t.Helper()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		_, kept := keeping(t, tdb)
		probe, err := tldwdb.Open(t.Context(), configFor(tdb, files{}, kept))
		if err != nil {
			t.Fatal(err)
		}
		err = tldwdb.CanBackUp(t.Context(), probe)
		if closeErr := probe.Close(); closeErr != nil {
			t.Fatal(closeErr)
		}
		if err != nil {
			t.Skipf("%v", err)
		}
		f(t, tdb)
	})
}

// TestBackupAndRestore: what was backed up comes back, and nothing else.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		for _, o := range []struct {
			name string
			edit func(*tldwdb.BackupOptions)
		}{
			{"plain", func(o *tldwdb.BackupOptions) { o.Compression = "none" }},
			{"compressed", func(*tldwdb.BackupOptions) {}},
			{"parallel", func(o *tldwdb.BackupOptions) { o.Jobs = 2 }},
			{"encrypted", func(o *tldwdb.BackupOptions) { o.PassphraseFile = passphrase(t, "a passphrase that is long enough") }},
		} {
			t.Run(o.name, func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				dir, kept := keeping(t, tdb)
				db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { o.edit(&cfg.Backup) })
				people(t, db)
				before := dumped(t, tdb)
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if b.Size() == 0 || len(b.Migrations) != 2 || b.Reason != tldwdb.ReasonManual || b.Objects["view"] != 1 || b.Finished.Before(b.Started) {
					t.Errorf("%+v", b)
				}
				for _, table := range b.Tables {
					if (table.Name == "people" || table.Name == "notes") && table.Rows != 5 {
						t.Errorf("%+v", table)
					}
				}
				wantKept(t, dir, b)
				v, err := db.VerifyBackup(t.Context(), "", tldwdb.VerifyOptions{})
				if err != nil || !v.OK {
					t.Errorf("%+v, %v", v, err)
				}
				if got := dumped(t, tdb); got != before {
					t.Errorf("backup or verification has changed the database:\n%s", got)
				}

				// Over what is there, only if it is named.
				if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM notes"); err != nil {
					t.Fatal(err)
				}
				if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNotEmpty) {
					t.Errorf("%v", err)
				}
				changed := dumped(t, tdb)
				done, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)})
				if err != nil {
					t.Fatal(err)
				}
				if got := dumped(t, tdb); got != before {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
				}

				// The latest is still the one that somebody made.
				if v, err := db.VerifyBackup(t.Context(), "latest", tldwdb.VerifyOptions{}); err != nil || v.Backup != b.Name {
					t.Errorf("the latest is %s, want %s: %v", v.Backup, b.Name, err)
				}

				// And what was replaced comes back too.
				if done.Replaced == nil || done.Replaced.Reason != tldwdb.ReasonRestore {
					t.Fatalf("%+v", done)
				}
				if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: done.Replaced.Name, Over: label(tdb), WithoutBackup: true}); err != nil {
					t.Fatal(err)
				}
				if got := dumped(t, tdb); got != changed {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, changed)
				}

				// Into an empty one.
				other := testdb.New(t, tdb.Engine)
				fresh := open(t, other, backupFiles, kept, func(cfg *tldwdb.Config) { o.edit(&cfg.Backup) })
				if _, err := restore(t, other, fresh, tldwdb.RestoreOptions{Name: b.Name, Up: true}); err != nil {
					t.Fatal(err)
				}
				if got := dumped(t, other); got != before {
					t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
				}
			})
		}
	})
}

// dumped is Dump of a database that may have taken the place of another one, so that
// connections of before have ended. Oracle's server shows more of the same table when
// a dump has made it.
func dumped(t *testing.T, tdb *testdb.Database, except ...string) string {
	t.Helper()
	withoutDead(t, tdb.AdminDB(t))
	return strings.ReplaceAll(tdb.Dump(t, except...), " CHARACTER SET utf8mb4 COLLATE", " COLLATE")
}

// withoutDead takes the connections out of a pool that the server has ended.
func withoutDead(t *testing.T, pool *sql.DB) {
	t.Helper()
	for alive := false; !alive && pool.Stats().Idle > 0; {
		alive = pool.PingContext(t.Context()) == nil
	}
}

// restore restores, and drops what the server keeps of before.
func restore(t *testing.T, tdb *testdb.Database, db *tldwdb.DB, o tldwdb.RestoreOptions) (tldwdb.Restored, error) {
	t.Helper()
	done, err := db.Restore(t.Context(), o)
	if done.Kept != "" {
		pool := tdb.AdminDB(t)
		withoutDead(t, pool)
		execIn(t, pool, "DROP DATABASE "+done.Kept)
	}
	return done, err
}

// label is what a person calls the database.
func label(tdb *testdb.Database) string { return filepath.Base(tdb.Name()) }

// passphrase writes a file with it.
func passphrase(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "passphrase")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wantKept fails unless the folder has that backup, and nothing else.
func wantKept(t *testing.T, dir string, b tldwdb.Backup) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
	if len(names) != 2 || !slices.Contains(names, b.Parts[0].Name) || !slices.Contains(names, b.Name+".json") {
		t.Errorf("%s has %v", dir, names)
	}
}

// TestVerifyFinds: a verification says what is wrong with a backup, and remembers
// it; the newest good one is then another.
func TestVerifyFinds(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { cfg.Backup.Compression = "none" })
		people(t, db)
		good, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, fault := range []struct {
			name, says string
			do         func(t *testing.T, b tldwdb.Backup)
		}{
			{"a row is missing", "people has 5 rows, and had 6", func(t *testing.T, b tldwdb.Backup) {
				remanifest(t, b, dir, func(b *tldwdb.Backup) { b.Tables[tableAt(b, "people")].Rows++ })
			}},
			{"a table is missing", "the table other is missing", func(t *testing.T, b tldwdb.Backup) {
				remanifest(t, b, dir, func(b *tldwdb.Backup) {
					b.Tables = append(b.Tables, tldwdb.BackupTable{Name: "other"})
				})
			}},
			{"another schema", "the schema that was restored", func(t *testing.T, b tldwdb.Backup) {
				remanifest(t, b, dir, func(b *tldwdb.Backup) { b.Schema = strings.Repeat("0", 64) })
			}},
			{"another history", "other migrations", func(t *testing.T, b tldwdb.Backup) {
				remanifest(t, b, dir, func(b *tldwdb.Backup) { b.Migrations[0].Checksum = "x" })
			}},
			{"an altered byte", "SHA-256", func(t *testing.T, b tldwdb.Backup) {
				path := filepath.Join(dir, b.Parts[0].Name)
				content, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				content[len(content)/2] ^= 1
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}},
			{"cut short", "bytes", func(t *testing.T, b tldwdb.Backup) {
				if err := os.Truncate(filepath.Join(dir, b.Parts[0].Name), b.Parts[0].Size/2); err != nil {
					t.Fatal(err)
				}
			}},
			{"gone", "not there", func(t *testing.T, b tldwdb.Backup) {
				if err := os.Remove(filepath.Join(dir, b.Parts[0].Name)); err != nil {
					t.Fatal(err)
				}
			}},
		} {
			t.Run(fault.name, func(t *testing.T) {
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				fault.do(t, b)
				before := dumped(t, tdb)
				if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); !errors.Is(err, tldwdb.ErrBackupDamaged) {
					t.Errorf("restored: %v", err)
				}
				if got := dumped(t, tdb); got != before {
					t.Errorf("the database has changed:\n%s", got)
				}
				v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{})
				if !errors.Is(err, tldwdb.ErrBackupDamaged) || v.OK || !strings.Contains(v.Error, fault.says) {
					t.Errorf("%+v, %v", v, err)
				}
				list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
				i := slices.IndexFunc(list, func(one tldwdb.Backup) bool { return one.Name == b.Name })
				if err != nil || i < 0 || list[i].Err == nil && (list[i].Verified == nil || list[i].Verified.OK) {
					t.Errorf("%+v, %v", list, err)
				}
			})
		}
		// All that came after it are bad, and known to be.
		done, err := restore(t, tdb, db, tldwdb.RestoreOptions{Over: label(tdb)})
		if err != nil || done.Backup.Name != good.Name {
			t.Errorf("%s, and the good one is %s: %v", done.Backup.Name, good.Name, err)
		}
	})
}

func tableAt(b *tldwdb.Backup, name string) int {
	return slices.IndexFunc(b.Tables, func(t tldwdb.BackupTable) bool { return t.Name == name })
}

// TestBackupNeedsItsKey: without the key nothing is known of a backup, and nothing
// is noted about it.
func TestBackupNeedsItsKey(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{PassphraseFile: passphrase(t, "the passphrase of backups")})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []tldwdb.BackupOptions{{}, {PassphraseFile: passphrase(t, "another passphrase of them")}} {
			if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{BackupOptions: o}); !errors.Is(err, tldwdb.ErrBackupKey) || v.OK {
				t.Errorf("%+v, %v", v, err)
			}
			if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{BackupOptions: o, Name: b.Name, Over: label(tdb), WithoutBackup: true}); !errors.Is(err, tldwdb.ErrBackupKey) {
				t.Errorf("%v", err)
			}
		}
		wantKept(t, dir, b)
		if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err == nil || !strings.Contains(tldwdb.Hint(err), "--passphrase-file") {
			t.Errorf("%v, %s", err, tldwdb.Hint(err))
		}

		// What is replaced is not written down for everybody either.
		key := filepath.Join(t.TempDir(), "key")
		identity, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(key, []byte(identity.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		recipients := []string{identity.Recipient().String()}
		if b, err = db.Backup(t.Context(), tldwdb.BackupOptions{Recipients: recipients}); err != nil {
			t.Fatal(err)
		}
		o := tldwdb.RestoreOptions{BackupOptions: tldwdb.BackupOptions{IdentityFiles: []string{key}}, Name: b.Name, Over: label(tdb)}
		if done, err := restore(t, tdb, db, o); err == nil || !strings.Contains(tldwdb.Hint(err), recipients[0]) || done.Replaced != nil {
			t.Errorf("%+v, %v", done.Replaced, err)
		}
		o.Recipients = recipients
		if done, err := restore(t, tdb, db, o); err != nil || len(done.Replaced.Recipients) != 1 {
			t.Errorf("%+v, %v", done.Replaced, err)
		}
	})
}

// TestRestoreRefuses: what is not empty, what is production and what is newer than the
// files.
func TestRestoreRefuses(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		_, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNoBackup) {
			t.Errorf("there is none: %v", err)
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, refused := range []struct {
			name string
			want error
			over string
			edit func(*tldwdb.Config)
		}{
			{"nobody named it", tldwdb.ErrNotEmpty, "", func(*tldwdb.Config) {}},
			{"another was named", tldwdb.ErrNotEmpty, "another", func(*tldwdb.Config) {}},
			{"production", tldwdb.ErrProtected, label(tdb), func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production }},
			{"newer", tldwdb.ErrNewer, label(tdb), func(cfg *tldwdb.Config) {
				cfg.Migrations = files{"0001_people.up.sql": backupFiles["0001_people.up.sql"]}.fs()
			}},
		} {
			before := dumped(t, tdb)
			other := open(t, tdb, backupFiles, kept, refused.edit)
			if _, err := restore(t, tdb, other, tldwdb.RestoreOptions{Name: b.Name, Over: refused.over}); !errors.Is(err, refused.want) {
				t.Errorf("%s: %v", refused.name, err)
			}
			if got := dumped(t, tdb); got != before {
				t.Errorf("%s: the database has changed:\n%s", refused.name, got)
			}
		}
	})
}

// fullStore is a store that takes nothing more.
type fullStore struct{ tldwdb.BackupStore }

var errFull = errors.New("the store takes nothing more")

func (fullStore) Create(context.Context, string) (tldwdb.BackupWriter, error) { return nil, errFull }

// TestRestoreTriesItsStore: where what is replaced cannot be backed up, that is known
// before anything is restored.
func TestRestoreTriesItsStore(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		if _, err := db.Backup(t.Context(), tldwdb.BackupOptions{}); err != nil {
			t.Fatal(err)
		}
		for _, why := range []struct {
			name string
			o    tldwdb.BackupOptions
			is   func(error) bool
		}{
			{"a store that is full", tldwdb.BackupOptions{Store: fullStore{tldwdb.DirStore(dir)}}, func(err error) bool {
				return errors.Is(err, errFull) && strings.Contains(tldwdb.Hint(err), "--no-backup")
			}},
			{"no recipients", tldwdb.BackupOptions{RecipientsFile: filepath.Join(t.TempDir(), "none")}, func(err error) bool { return errors.Is(err, os.ErrNotExist) }},
		} {
			why.o.Progress = func(p tldwdb.BackupProgress) {
				if p.Phase == "load" || p.Phase == "verify" {
					t.Errorf("%s: it was restored first", why.name)
				}
			}
			if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{BackupOptions: why.o, Over: label(tdb)}); !why.is(err) {
				t.Errorf("%s: %v", why.name, err)
			}
		}
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 2 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}

// TestBackupsOfNamesakes: of databases that share a store and a name each one finds
// its own backups, and one that is new does not guess.
func TestBackupsOfNamesakes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "kept")
	at := func(f files) *tldwdb.DB {
		path := filepath.Join(t.TempDir(), "tldw.db")
		db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: "sqlite:///" + path, Migrations: f.fs(), Backup: tldwdb.BackupOptions{Dir: dir}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		return db
	}
	backup := func(db *tldwdb.DB) tldwdb.Backup {
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	one, other := at(backupFiles), at(backupFiles)
	mine, foreign := backup(one), backup(other)
	if mine.Identity == "" || mine.Identity == foreign.Identity {
		t.Fatalf("the identities are %q and %q", mine.Identity, foreign.Identity)
	}
	latest := func(db *tldwdb.DB) string {
		t.Helper()
		v, err := db.VerifyBackup(t.Context(), "latest", tldwdb.VerifyOptions{})
		if err != nil {
			t.Error(err)
		}
		return v.Backup
	}
	if got := latest(one); got != mine.Name {
		t.Errorf("the latest of the one is %s, want %s", got, mine.Name)
	}
	if got := latest(other); got != foreign.Name {
		t.Errorf("the latest of the other is %s, want %s", got, foreign.Name)
	}
	// A new one may be the successor of either.
	if _, err := at(backupFiles).Restore(t.Context(), tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNoBackup) || !strings.Contains(tldwdb.Hint(err), mine.Name) || !strings.Contains(tldwdb.Hint(err), foreign.Name) {
		t.Errorf("%v (%s)", err, tldwdb.Hint(err))
	}
	// One of another service is neither's, and says so.
	stranger := at(files{"0001_books.up.sql": "CREATE TABLE books (id INTEGER PRIMARY KEY);"})
	if _, err := stranger.Restore(t.Context(), tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNoBackup) || !strings.Contains(tldwdb.Hint(err), "with other migrations") {
		t.Errorf("%v (%s)", err, tldwdb.Hint(err))
	}
	// Its own successor has its identity, and what is put over another keeps that one's.
	successor := at(backupFiles)
	if _, err := successor.Restore(t.Context(), tldwdb.RestoreOptions{Name: mine.Name}); err != nil {
		t.Fatal(err)
	}
	if b := backup(successor); b.Identity != mine.Identity {
		t.Errorf("restored it is %q, and it was %q", b.Identity, mine.Identity)
	}
	if _, err := other.Restore(t.Context(), tldwdb.RestoreOptions{Name: mine.Name, Over: "tldw.db"}); err != nil {
		t.Fatal(err)
	}
	if b := backup(other); b.Identity != foreign.Identity {
		t.Errorf("it is %q now, and was %q", b.Identity, foreign.Identity)
	}
	// Whose backups go is told by the identity too.
	done, err := tldwdb.PruneBackups(t.Context(), tldwdb.DirStore(dir), tldwdb.RetentionPolicy{Last: 1}, tldwdb.PruneOptions{Database: "tldw.db", Identity: foreign.Identity, DryRun: true})
	if err != nil || slices.Contains(done.Removed, mine.Name) {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestWaitingForARestore: a worker that waits for the lock while the database is
// replaced goes on with the one that is there then.
func TestWaitingForARestore(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		for _, lock := range []tldwdb.LockKind{tldwdb.LockAuto, tldwdb.LockLease} {
			if tdb.Engine == testdb.SQLite && lock == tldwdb.LockLease {
				continue // SQLite has none
			}
			t.Run("lock "+string(lock), func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				_, kept := keeping(t, tdb)
				locked := func(cfg *tldwdb.Config) { cfg.Lock = lock }
				db := open(t, tdb, backupFiles, kept, locked)
				people(t, db)
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				newer := maps.Clone(backupFiles)
				newer["0003_more.up.sql"] = "CREATE TABLE more (id INTEGER NOT NULL PRIMARY KEY);"
				waiting, upped := make(chan struct{}), make(chan error, 1)
				var waits, begins sync.Once
				log := &logbook{watched: func(line string) {
					if strings.Contains(line, "waiting for the migration lock") {
						waits.Do(func() { close(waiting) })
					}
				}}
				worker := open(t, tdb, newer, locked, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
				o := tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true}
				o.Progress = func(p tldwdb.BackupProgress) {
					if p.Phase != "switch" {
						return
					}
					begins.Do(func() {
						go func() {
							_, err := worker.Up(t.Context())
							upped <- err
						}()
						<-waiting
					})
				}
				if _, err := restore(t, tdb, db, o); err != nil {
					t.Error(err)
				}
				if err := <-upped; err != nil {
					t.Errorf("the worker: %v", err)
				}
				if status, err := worker.Status(t.Context()); err != nil || status.Current != 3 {
					t.Errorf("%+v, %v", status, err)
				}
				withoutDead(t, worker.Pool().DB)
				withoutDead(t, db.Pool().DB)
			})
		}
	})
}

// TestSecondRestoreWaits: a restore that waits for the lock while another one replaces
// the database has its turn in the one that is there then.
func TestSecondRestoreWaits(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		for _, lock := range []tldwdb.LockKind{tldwdb.LockAuto, tldwdb.LockLease} {
			if tdb.Engine != testdb.Postgres && lock == tldwdb.LockLease {
				continue // the session of who waits lives on
			}
			t.Run("lock "+string(lock), func(t *testing.T) {
				tdb := testdb.New(t, tdb.Engine)
				_, kept := keeping(t, tdb)
				locked := func(cfg *tldwdb.Config) { cfg.Lock = lock }
				db := open(t, tdb, backupFiles, kept, locked)
				people(t, db)
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
				if err != nil {
					t.Fatal(err)
				}
				o := tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true}
				waiting := make(chan struct{})
				var waits, begins sync.Once
				log := &logbook{watched: func(line string) {
					if strings.Contains(line, "waiting for the migration lock") {
						waits.Do(func() { close(waiting) })
					}
				}}
				second := open(t, tdb, backupFiles, kept, locked, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
				type outcome struct {
					done tldwdb.Restored
					err  error
				}
				came := make(chan outcome, 1)
				first := o
				first.Progress = func(p tldwdb.BackupProgress) {
					if p.Phase == "switch" {
						begins.Do(func() {
							go func() {
								done, err := second.Restore(t.Context(), o)
								came <- outcome{done, err}
							}()
							<-waiting
						})
					}
				}
				if _, err := restore(t, tdb, db, first); err != nil {
					t.Error(err)
				}
				other := <-came
				if other.err != nil || other.done.Backup.Name != b.Name {
					t.Errorf("the second: %+v, %v", other.done, other.err)
				}
				if other.done.Kept != "" {
					withoutDead(t, tdb.AdminDB(t))
					execIn(t, tdb.AdminDB(t), "DROP DATABASE "+other.done.Kept)
				}
				withoutDead(t, second.Pool().DB)
				withoutDead(t, db.Pool().DB)
				if status, err := db.Status(t.Context()); err != nil || status.Current != 2 {
					t.Errorf("%+v, %v", status, err)
				}
			})
		}
	})
}

// TestKeptDatabases: what a restore has replaced is listed, and dropped when it is told
// so; nothing else ever is, and on a production database it has to be named.
func TestKeptDatabases(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		_, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		done, err := db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb), WithoutBackup: true})
		if err != nil {
			t.Fatal(err)
		}
		withoutDead(t, db.Pool().DB)
		list, err := db.KeptDatabases(t.Context())
		if tdb.Engine == testdb.SQLite {
			if err != nil || len(list) > 0 {
				t.Errorf("%+v, %v", list, err)
			}
			return
		}
		if err != nil || len(list) != 1 || list[0].Name != done.Kept || list[0].Dropped || list[0].Replaced.Before(b.Started) {
			t.Fatalf("%+v, %v; want %s", list, err, done.Kept)
		}
		// Like a name of ours, and none of this database's.
		strange := label(tdb) + "_before_20260101_000000_00x"
		other := label(tdb) + "x_before_20260101_000000_000"
		pool := tdb.AdminDB(t)
		withoutDead(t, pool)
		for _, name := range []string{strange, other} {
			execIn(t, pool, "CREATE DATABASE "+name)
			defer execIn(t, pool, "DROP DATABASE "+name)
		}
		production := open(t, tdb, backupFiles, func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production })
		if _, err := production.DropKept(t.Context(), tldwdb.DropKeptOptions{}); !errors.Is(err, tldwdb.ErrProtected) {
			t.Errorf("production: %v", err)
		}
		for _, try := range []struct {
			o    tldwdb.DropKeptOptions
			want bool
			left int
		}{
			{tldwdb.DropKeptOptions{DryRun: true}, true, 1},
			{tldwdb.DropKeptOptions{OlderThan: time.Hour}, false, 1},
			{tldwdb.DropKeptOptions{}, true, 0},
		} {
			list, err := db.DropKept(t.Context(), try.o)
			if err != nil || len(list) != 1 || list[0].Dropped != try.want {
				t.Errorf("%+v: %+v, %v", try.o, list, err)
			}
			if left, err := db.KeptDatabases(t.Context()); err != nil || len(left) != try.left {
				t.Errorf("%+v: %+v are left, %v", try.o, left, err)
			}
		}
	})
}

// TestBackupBeforeMigrate: there is one when it is asked for, and a run whose backup
// fails does nothing.
func TestBackupBeforeMigrate(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		f := files{}
		maps.Copy(f, backupFiles)
		for _, step := range []struct {
			name, file, text string
			when             tldwdb.BackupWhen
			want             bool
		}{
			{"empty", "0003_a.up.sql", "CREATE TABLE a (id INTEGER NOT NULL PRIMARY KEY);", tldwdb.BackupAlways, false},
			{"always", "0004_b.up.sql", "CREATE TABLE b (id INTEGER NOT NULL PRIMARY KEY);", tldwdb.BackupAlways, true},
			{"harmless", "0005_c.up.sql", "CREATE TABLE c (id INTEGER NOT NULL PRIMARY KEY); ALTER TABLE c ADD COLUMN x INTEGER; INSERT INTO c VALUES (1, 2);", tldwdb.BackupDestructive, false},
			{"destructive", "0006_d.up.sql", "DROP TABLE c;", tldwdb.BackupDestructive, true},
			{"never", "0007_e.up.sql", "DROP TABLE b;", tldwdb.BackupNever, false},
		} {
			f[step.file] = step.text
			db := open(t, tdb, f, kept, func(cfg *tldwdb.Config) { cfg.BackupBeforeMigrate = step.when })
			before := dumped(t, tdb)
			res, err := db.Up(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if (res.Backup != "") != step.want {
				t.Errorf("%s: %q", step.name, res.Backup)
			}
			if !step.want {
				continue
			}
			// It is what was there before.
			other := testdb.New(t, tdb.Engine)
			fresh := open(t, other, f, kept)
			done, err := restore(t, other, fresh, tldwdb.RestoreOptions{Name: res.Backup})
			if err != nil {
				t.Fatal(err)
			}
			if got := dumped(t, other); done.Backup.Reason != tldwdb.ReasonMigration || got != before {
				t.Errorf("%s: %s:\n%s\nand it was:\n%s", step.name, done.Backup.Reason, got, before)
			}
		}
		f["0008_f.up.sql"] = "DROP TABLE a;"
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // where the folder would be
			t.Fatal(err)
		}
		db := open(t, tdb, f, kept, func(cfg *tldwdb.Config) { cfg.BackupBeforeMigrate = tldwdb.BackupDestructive })
		before := dumped(t, tdb)
		if res, err := db.Up(t.Context()); err == nil || len(res.Applied) > 0 || !strings.Contains(err.Error(), "backup before the migration") {
			t.Errorf("%+v, %v", res, err)
		}
		if got := dumped(t, tdb); got != before {
			t.Errorf("the database has changed:\n%s", got)
		}
	})
}

func remanifest(t *testing.T, b tldwdb.Backup, dir string, edit func(*tldwdb.Backup)) {
	t.Helper()
	if err := tldwdb.RewriteManifest(t.Context(), b, dir, edit); err != nil {
		t.Fatal(err)
	}
}

// TestMayLose: what is not known to be harmless is taken for harmful.
func TestMayLose(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"CREATE TABLE a (x int)":                                       false,
		"CREATE UNIQUE INDEX i ON a (x)":                               false,
		"CREATE OR REPLACE TABLE a (x int)":                            true,
		"ALTER TABLE s.a ADD COLUMN b int, ADD CHECK (b > 0)":          false,
		"ALTER TABLE IF EXISTS ONLY a ADD COLUMN b numeric(3, 2)":      false,
		"ALTER TABLE a ADD COLUMN b int, DROP COLUMN c":                true,
		"ALTER TABLE a ALTER COLUMN b TYPE int":                        true,
		"ALTER TABLE a RENAME TO b":                                    true,
		"CREATE RULE r AS ON INSERT TO a DO ALSO DELETE FROM b":        true,
		"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM a":      true,
		"ALTER SEQUENCE s RESTART":                                     true,
		"INSERT INTO a VALUES (1)":                                     false,
		"INSERT INTO a VALUES (1) ON CONFLICT (x) DO UPDATE SET x = 1": true,
		"UPDATE a SET x = 1":                                           true,
		"DELETE FROM a":                                                true,
		"DROP TABLE a":                                                 true,
		"TRUNCATE a":                                                   true,
		"SELECT do_it()":                                               true,
		"SET search_path TO x":                                         false,
		"CREATE TABLE a (x int); DROP TABLE a":                         true,
	} {
		if got, err := tldwdb.MayLose("postgres", text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
}

// TestRestoreRowsIsOneRun: a worker with newer migrations that waits for the lock
// comes when the rows are in the database, and not between its tables and them.
func TestRestoreRowsIsOneRun(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine == testdb.SQLite {
			t.Skip("a file is restored beside, and takes the other's place")
		}
		_, kept := keeping(t, tdb)
		rows := func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable }
		db := open(t, tdb, backupFiles, kept, rows)
		people(t, db)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		target := testdb.New(t, tdb.Engine)
		newer := maps.Clone(backupFiles)
		newer["0003_less.up.sql"] = "DROP VIEW people_notes; ALTER TABLE notes DROP COLUMN body;"
		waiting, upped := make(chan struct{}), make(chan error, 1)
		var waits, begins sync.Once
		log := &logbook{watched: func(line string) {
			if strings.Contains(line, "waiting for the migration lock") {
				waits.Do(func() { close(waiting) })
			}
		}}
		worker := open(t, target, newer, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
		fresh := open(t, target, backupFiles, kept, rows, func(cfg *tldwdb.Config) {
			cfg.Progress = func(tldwdb.Progress) { // under the lock
				begins.Do(func() {
					if err := worker.Check(t.Context()); !errors.Is(err, tldwdb.ErrHalfLoaded) { // what a killed process would leave
						t.Errorf("while the tables are made: %v", err)
					}
					go func() {
						_, err := worker.Up(t.Context())
						upped <- err
					}()
					<-waiting
				})
			}
		})
		if _, err := fresh.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name}); err != nil {
			t.Error(err)
		}
		if err := <-upped; err != nil {
			t.Error(err)
		}
		status, err := worker.Status(t.Context())
		if err != nil || status.Current != 3 {
			t.Errorf("%+v, %v", status, err)
		}
		if got := rowsOf(t, target.AdminDB(t), "SELECT COUNT(*) FROM people"); !strings.Contains(got, "5") {
			t.Errorf("there are %s people", got)
		}
	})
}

// TestPortableBackup: rows come back into what the migrations make, on every engine,
// over what is there and into nothing.
func TestPortableBackup(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { cfg.Backup.Method = tldwdb.BackupPortable })
		people(t, db)
		before := dumped(t, tdb, "tldwdb_history")
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		wantKept(t, dir, b)
		if len(b.Tables) != 2 || b.Tables[0].Name != "notes" || b.Tables[0].Rows != 5 || b.Tables[0].Digest == "" || b.Content != "rows" {
			t.Errorf("%+v", b)
		}
		if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM notes"); err != nil {
			t.Fatal(err)
		}
		if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err != nil {
			t.Fatal(err)
		}
		if got := dumped(t, tdb, "tldwdb_history"); got != before {
			t.Errorf("restored:\n%s\nand it was:\n%s", got, before)
		}
		for _, e := range testdb.Wanted() {
			t.Run("into "+string(e), func(t *testing.T) {
				other := testdb.New(t, e)
				fresh := open(t, other, backupFiles, kept)
				if _, err := restore(t, other, fresh, tldwdb.RestoreOptions{Name: b.Name}); err != nil {
					t.Fatal(err)
				}
				again, err := fresh.Backup(t.Context(), tldwdb.BackupOptions{Method: tldwdb.BackupPortable})
				if err != nil || !slices.Equal(again.Tables, b.Tables) {
					t.Errorf("%+v, and it was %+v: %v", again.Tables, b.Tables, err)
				}
			})
		}
	})
}

// TestRestoreKeepsTheEnvironment: a production database stays one, whatever it is restored
// from, and the migrations that a portable backup is restored with stamp nothing else.
func TestRestoreKeepsTheEnvironment(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		_, kept := keeping(t, tdb)
		development := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Development })
		people(t, development)
		stamped := func(want tldwdb.Environment) {
			t.Helper()
			if s, err := development.Status(t.Context()); err != nil || s.Environment != string(want) {
				t.Errorf("it is stamped as %+v, want %s: %v", s, want, err)
			}
		}
		backup := func(method tldwdb.BackupMethod) string {
			t.Helper()
			b, err := development.Backup(t.Context(), tldwdb.BackupOptions{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			return b.Name
		}
		native, rows := backup(tldwdb.BackupNative), backup(tldwdb.BackupPortable)
		back := func(name string) {
			t.Helper()
			named := func(cfg *tldwdb.Config) { cfg.Environment, cfg.Confirm = tldwdb.Development, label(tdb) }
			if _, err := restore(t, tdb, open(t, tdb, backupFiles, kept, named), tldwdb.RestoreOptions{Name: name, Over: label(tdb), WithoutBackup: true}); err != nil {
				t.Fatal(err)
			}
		}
		back(rows)
		stamped(tldwdb.Development)
		more := files{"0099_more.up.sql": "CREATE TABLE more (id integer);", "0099_more.down.sql": "DROP TABLE more;"}
		maps.Copy(more, backupFiles)
		if _, err := open(t, tdb, more, func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production }).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		stamped(tldwdb.Production)
		back(rows)
		stamped(tldwdb.Production)
		back(native)
		stamped(tldwdb.Production)

		empty := testdb.New(t, tdb.Engine)
		first := open(t, empty, backupFiles, kept, func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production })
		if _, err := restore(t, empty, first, tldwdb.RestoreOptions{Name: native}); err != nil {
			t.Fatal(err)
		}
		if s, err := first.Status(t.Context()); err != nil || s.Environment != string(tldwdb.Production) {
			t.Errorf("the first database of production is stamped as %+v: %v", s, err)
		}
	})
}

// TestBackupNamesItsDatabase: what names its own database, as routines of MySQL may, is
// the same where it is restored beside it, and a backup that cannot be tried out is not
// called bad for that.
func TestBackupNamesItsDatabase(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		if tdb.Engine != testdb.MariaDB && tdb.Engine != testdb.MySQL {
			t.Skip("nothing there can name its database, or lead to another one")
		}
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, files{
			"0001_t.up.sql": "CREATE TABLE t (id INTEGER NOT NULL PRIMARY KEY);\nCREATE PROCEDURE fill_t() INSERT INTO " + tdb.Name() + ".t VALUES (1);\nINSERT INTO " + tdb.Name() + ".t VALUES (2);",
		}, kept)
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err != nil {
			t.Errorf("%v", err)
		}
		if _, err := db.Pool().ExecContext(t.Context(), "CREATE TRIGGER "+tdb.Name()+".g\n  BEFORE INSERT ON "+tdb.Name()+".t FOR EACH ROW SET NEW.id = 5"); err != nil {
			t.Fatal(err)
		}
		if b, err = db.Backup(t.Context(), tldwdb.BackupOptions{}); err != nil {
			t.Fatal(err)
		}
		if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
			t.Errorf("with a trigger: %+v, %v", v, err)
		}
		// Its table cannot change places: that is known before anything is restored.
		before, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		early := tldwdb.BackupOptions{Progress: func(p tldwdb.BackupProgress) {
			if p.Phase == "load" {
				t.Error("it was restored first")
			}
		}}
		if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{BackupOptions: early, Name: b.Name, Over: label(tdb)}); err == nil || !strings.Contains(err.Error(), "has a trigger, g") || tldwdb.Hint(err) == "" {
			t.Errorf("over a table with a trigger: %v", err)
		}
		if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
			t.Errorf("the store has %d objects, not %d: %v", len(after), len(before), err)
		}
		rows, err := db.Backup(t.Context(), tldwdb.BackupOptions{Method: tldwdb.BackupPortable})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.VerifyBackup(t.Context(), rows.Name, tldwdb.VerifyOptions{}); !errors.Is(err, tldwdb.ErrNoScratch) || errors.Is(err, tldwdb.ErrBackupDamaged) {
			t.Errorf("%v", err)
		}
		list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
		if err != nil || list[0].Name != rows.Name || list[0].Verified != nil {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

// TestBackupWithWriters: whatever others write meanwhile, a backup is one instant:
// never half of a transaction.
func TestBackupWithWriters(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a while")
	}
	for _, method := range []tldwdb.BackupMethod{tldwdb.BackupNative, tldwdb.BackupPortable} {
		t.Run(string(method), func(t *testing.T) {
			t.Parallel()
			forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
				_, kept := keeping(t, tdb)
				db := open(t, tdb, backupFiles, kept)
				people(t, db)
				large(t, db)
				ctx, stop := context.WithCancel(t.Context())
				wrote, first := make(chan error, 1), make(chan struct{})
				go func() {
					for n := 0; ; n++ {
						err := transfer(ctx, db, n)
						if n == 0 {
							close(first)
						}
						if ctx.Err() != nil || err != nil {
							if ctx.Err() != nil {
								err = nil
							}
							wrote <- err
							return
						}
					}
				}()
				<-first
				b, err := db.Backup(t.Context(), tldwdb.BackupOptions{Method: method, Digests: true})
				stop()
				if writeErr := <-wrote; writeErr != nil {
					t.Errorf("the writer: %v", writeErr)
				}
				if err != nil {
					t.Fatal(err)
				}
				if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
					t.Errorf("%+v, %v", v, err)
				}
				other := testdb.New(t, tdb.Engine)
				fresh := open(t, other, backupFiles, kept)
				if _, err := restore(t, other, fresh, tldwdb.RestoreOptions{Name: b.Name}); err != nil {
					t.Fatal(err)
				}
				var people, notes int
				if err := fresh.Pool().QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM people WHERE id > 100), (SELECT count(*) FROM notes WHERE id > 1000000)").Scan(&people, &notes); err != nil {
					t.Fatal(err)
				}
				if people != notes {
					t.Errorf("%d people and %d notes were written together", people, notes)
				}
			})
		})
	}
}

// transfer writes two rows that belong together.
func transfer(ctx context.Context, db *tldwdb.DB, n int) (err error) {
	tx, err := db.Pool().BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = tx.Rollback() // the error says why
		}
	}()
	if _, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO people VALUES (?, 'x')"), 101+n); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, tx.Rebind("INSERT INTO notes VALUES (?, ?, 'y')"), 1_000_001+n, 101+n); err != nil {
		return err
	}
	return tx.Commit()
}

// TestHealthKnowsTheBackups: with a place for backups in the configuration, health
// answers say how old the newest one is, and when one was restored last.
func TestHealthKnowsTheBackups(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	_, kept := keeping(t, tdb)
	check := func(name string) *tldwdb.Check {
		db := open(t, tdb, backupFiles, kept, fresh)
		h := db.Health(t.Context())
		if h.Check(name) == nil {
			t.Fatalf("no check of %s: %+v", name, h.Checks)
		}
		return h.Check(name)
	}
	db := open(t, tdb, backupFiles, kept)
	people(t, db)
	if c := check(tldwdb.CheckBackup); c.Status != tldwdb.CheckWarn {
		t.Errorf("before the first: %+v", c)
	}
	b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c := check(tldwdb.CheckBackup); c.Status != tldwdb.CheckPass || c.Observed > 600 {
		t.Errorf("after it: %+v", c)
	}
	if c := check(tldwdb.CheckRestoreTest); c.Status != tldwdb.CheckWarn {
		t.Errorf("before a restore: %+v", c)
	}
	if _, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	if c := check(tldwdb.CheckRestoreTest); c.Status != tldwdb.CheckPass || c.Observed > 600 {
		t.Errorf("after it: %+v", c)
	}
	plain := open(t, tdb, backupFiles, fresh)
	if h := plain.Health(t.Context()); h.Check(tldwdb.CheckBackup) != nil {
		t.Errorf("nobody said where backups are: %+v", h.Check(tldwdb.CheckBackup))
	}
}

// TestObserversKnowOfBackups: each is an operation, and told with its size.
func TestObserversKnowOfBackups(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	_, kept := keeping(t, tdb)
	var kinds []string
	var told []tldwdb.Backup
	db := open(t, tdb, backupFiles, kept, func(cfg *tldwdb.Config) {
		cfg.Observers = []*tldwdb.Observer{{
			Start: func(ctx context.Context, op tldwdb.Operation) (context.Context, func(error)) {
				return ctx, func(err error) {
					if err != nil {
						kinds = append(kinds, op.Kind+": "+string(tldwdb.ClassOf(err)))
					} else {
						kinds = append(kinds, op.Kind)
					}
				}
			},
			Backup: func(b tldwdb.Backup) { told = append(told, b) },
		}}
	})
	people(t, db)
	kinds = nil
	b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{}); !errors.Is(err, tldwdb.ErrNotEmpty) {
		t.Fatal(err)
	}
	if want := []string{"lock", "backup", "verify", "lock", "restore: refused"}; !slices.Equal(kinds, want) {
		t.Errorf("%v, want %v", kinds, want)
	}
	if len(told) != 2 || told[0].Size() != b.Size() || told[0].Verified != nil || told[1].Verified == nil || !told[1].Verified.OK {
		t.Errorf("%+v", told)
	}
}

// TestBackupOfMemory: a database that only its one connection can see is backed up
// and restored like any other.
func TestBackupOfMemory(t *testing.T) {
	t.Parallel()
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: "sqlite://", Migrations: backupFiles.fs(), Backup: tldwdb.BackupOptions{Dir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	people(t, db)
	b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := db.VerifyBackup(t.Context(), "latest", tldwdb.VerifyOptions{}); err != nil || !v.OK {
		t.Errorf("%+v, %v", v, err)
	}
	if _, err := db.Pool().ExecContext(t.Context(), "DELETE FROM notes"); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Restore(t.Context(), tldwdb.RestoreOptions{Over: b.Database}); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM notes").Scan(&n); err != nil || n != 5 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestEventsSleep: events of a backup are not let loose beside the database that they
// are about, and run when they have come back to it.
func TestEventsSleep(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			create := func() *testdb.Database { return testdb.New(t, e) }
			if e == testdb.MariaDB { // it has the scheduler off, which is all databases'
				server := ownServer(t, e, testdb.StartDurable)
				create = func() *testdb.Database { return server.New(t) }
				execute(t, create().Seen(t, server.AdminURL).AdminDB(t), "SET GLOBAL event_scheduler = ON")
			}
			tdb := create()
			dir, kept := keeping(t, tdb)
			db := open(t, tdb, backupFiles, kept)
			if err := tldwdb.CanBackUp(t.Context(), db); err != nil {
				t.Skip(err)
			}
			people(t, db)
			admin := tdb.AdminDB(t)
			execute(t, admin,
				"CREATE EVENT `tidy ``PRESERVE ENABLE``` ON SCHEDULE EVERY '1:1' DAY_HOUR STARTS '2037-01-01 00:00:00' ON COMPLETION PRESERVE COMMENT 'it''s PRESERVE ENABLE' DO DELETE FROM notes",
				"CREATE EVENT once ON SCHEDULE AT '2037-01-01 00:00:00' DO DELETE FROM notes",
				"CREATE EVENT off ON SCHEDULE EVERY 1 DAY STARTS '2037-01-01 00:00:00' DISABLE DO DELETE FROM notes WHERE body = 'ON COMPLETION PRESERVE ENABLE'")
			before := dumped(t, tdb)
			b, err := db.Backup(t.Context(), tldwdb.BackupOptions{Dir: dir})
			if err != nil || b.Objects["event"] != 3 {
				t.Fatalf("%v: %v", b.Objects, err)
			}
			statuses := func() (list []string) {
				rows, err := admin.QueryContext(t.Context(), "SELECT CONCAT(event_name, ' ', status) FROM information_schema.events WHERE event_schema LIKE CONCAT(?, '\\_tldwdb\\_scratch%') ORDER BY 1", tdb.Name())
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = rows.Close() }()
				for rows.Next() {
					var text string
					if err := rows.Scan(&text); err != nil {
						t.Fatal(err)
					}
					list = append(list, text)
				}
				if err := rows.Err(); err != nil {
					t.Fatal(err)
				}
				return list
			}
			seen := false
			v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{BackupOptions: tldwdb.BackupOptions{Progress: func(p tldwdb.BackupProgress) {
				if p.Phase != "verify" {
					return
				}
				seen = true
				want := []string{"off DISABLED", "once DISABLED", "tidy `PRESERVE ENABLE` DISABLED"}
				if got := statuses(); !slices.Equal(got, want) {
					t.Errorf("in the scratch database: %q", got)
				}
			}}})
			if err != nil || !v.OK || len(v.Notes) > 0 || !seen {
				t.Errorf("%+v, %v: %v", v, seen, err)
			}

			// Into an empty database they come with their own status.
			other := create()
			_, otherKept := keeping(t, other)
			empty := open(t, other, backupFiles, otherKept)
			if _, err := empty.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, BackupOptions: tldwdb.BackupOptions{Dir: dir}}); err != nil {
				t.Fatal(err)
			}
			if got := dumped(t, other); got != before {
				t.Errorf("restored:\n%s\nbacked up:\n%s", got, before)
			}

			// What is replaced keeps its own, if they are the same.
			execute(t, admin, "DELETE FROM notes")
			if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err != nil {
				t.Fatal(err)
			}
			if got := dumped(t, tdb); got != before {
				t.Errorf("replaced:\n%s\nbacked up:\n%s", got, before)
			}
		})
	}
}

// TestServerEndsMeanwhile: a server that goes down while a backup is restored on trial
// says nothing of the backup.
func TestServerEndsMeanwhile(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			server := ownServer(t, e, testdb.StartDurable)
			tdb := server.New(t)
			dir, kept := keeping(t, tdb)
			db := open(t, tdb, backupFiles, kept)
			if err := tldwdb.CanBackUp(t.Context(), db); err != nil {
				t.Skip(err)
			}
			people(t, db)
			var rows []string // more than what lies between us and the server
			for i := range 10_000 {
				rows = append(rows, fmt.Sprintf("(%d, 1, '%0200d')", i+10, i))
			}
			execute(t, tdb.AdminDB(t), "INSERT INTO notes VALUES "+strings.Join(rows, ", "))
			b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ended := false
			_, err = db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{BackupOptions: tldwdb.BackupOptions{Progress: func(p tldwdb.BackupProgress) {
				if p.Phase != "load" || p.Bytes < p.BytesAll || p.Bytes == 0 || ended {
					return
				}
				ended = true // the program is at work, and has not been given what was read last
				if err := server.Crash(context.WithoutCancel(t.Context())); err != nil {
					t.Error(err)
				}
			}}})
			if err == nil || errors.Is(err, tldwdb.ErrBackupDamaged) || !ended {
				t.Errorf("the server went down (%v): %v", ended, err)
			}
			list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
			if err != nil || len(list) != 1 || list[0].Verified != nil {
				t.Errorf("%+v, %v", list, err)
			}
			withoutDead(t, db.Pool().DB)
			if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
				t.Errorf("behind it: %+v, %v", v, err)
			}
		})
	}
}

// TestVerifyFindsUnsound: a fault in the database is in its backup, and the verification
// says so.
func TestVerifyFindsUnsound(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	db := open(t, tdb, backupFiles, kept)
	people(t, db)
	// The index is not of what it says.
	execute(t, tdb.AdminDB(t), "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '(person)', '(body)') WHERE name = 'notes_person'; PRAGMA writable_schema = OFF")
	b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); !errors.Is(err, tldwdb.ErrBackupDamaged) || v.OK || !strings.Contains(v.Error, "integrity_check") {
		t.Errorf("%+v, %v", v, err)
	}
	list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir))
	if err != nil || len(list) != 1 || list[0].Verified == nil || list[0].Verified.OK {
		t.Errorf("%+v, %v", list, err)
	}
	execute(t, tdb.AdminDB(t), "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, '(body)', '(person)') WHERE name = 'notes_person'; PRAGMA writable_schema = OFF")
}
