package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// These tests kill a process in the middle of a backup and of a restore.

// backupJob is what a worker does with backups.
type backupJob struct {
	Do    string `json:"do"` // backup, verify or restore
	Dir   string `json:"dir"`
	Tools string `json:"tools"`
	Name  string `json:"name"`
	Over  string `json:"over"`
	// Halt is the phase in which the worker says so and stops for ever, and Bytes
	// whether it is to be in the middle of it.
	Halt  string `json:"halt"`
	Bytes bool   `json:"bytes"`
}

func (j backupJob) run(ctx context.Context, db *tldwdb.DB) error {
	o := tldwdb.BackupOptions{Dir: j.Dir, ToolDir: j.Tools, Progress: func(p tldwdb.BackupProgress) {
		if p.Phase == j.Halt && (!j.Bytes || p.Bytes > 0) {
			fmt.Println(sayHalt)
			select {}
		}
	}}
	var err error
	switch j.Do {
	case "backup":
		_, err = db.Backup(ctx, o)
	case "verify":
		_, err = db.VerifyBackup(ctx, j.Name, tldwdb.VerifyOptions{BackupOptions: o})
	case "restore":
		_, err = db.Restore(ctx, tldwdb.RestoreOptions{BackupOptions: o, Name: j.Name, Over: j.Over})
	}
	return err
}

// large adds rows until a copy takes several steps.
func large(t *testing.T, db *tldwdb.DB) {
	t.Helper()
	body := strings.Repeat("0123456789", 20)
	tx, err := db.Pool().BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100_000 {
		if _, err := tx.ExecContext(t.Context(), db.Pool().Rebind("INSERT INTO notes VALUES (?, 1, ?)"), 1000+i, body); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
}

// TestKilledInABackup: whatever the moment, there is no backup that is none, the
// database is as it was, and the next backup goes well.
func TestKilledInABackup(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it kills processes until each phase was met")
	}
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		large(t, db)
		before := dumped(t, tdb)
		moments := []backupJob{{Halt: "dump"}, {Halt: "dump", Bytes: true}}
		if tdb.Engine == testdb.SQLite { // a dump of a server is checked while it is written
			moments = append(moments, backupJob{Halt: "check"}, backupJob{Halt: "check", Bytes: true})
		}
		for _, at := range moments {
			at.Do, at.Dir, at.Tools = "backup", dir, toolDir(tdb.Engine)
			w := startWorker(t, job{URL: tdb.URL, Files: backupFiles, Backup: at})
			w.await(t, sayHalt)
			w.kill()
			if list, err := tldwdb.ListBackups(t.Context(), tldwdb.DirStore(dir)); err != nil || len(list) > 0 {
				t.Errorf("%+v: %+v, %v", at, list, err)
			}
			if got := dumped(t, tdb); got != before {
				t.Errorf("%+v: the database has changed", at)
			}
		}
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{}); err != nil || !v.OK {
			t.Errorf("%+v, %v", v, err)
		}
		entries, err := os.ReadDir(dir)
		if want := len(b.Parts) + 2; err != nil || len(entries) != want { // with manifest and verification
			t.Errorf("%v, %v: want %d, and nothing of those that were killed", entries, err, want)
		}
	})
}

// TestKilledInARestore: whatever the moment, the old content is there, and others
// see nothing else meanwhile.
func TestKilledInARestore(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it kills processes until each phase was met")
	}
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		large(t, db)
		b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		backedUp := dumped(t, tdb)
		if _, err := db.Pool().ExecContext(t.Context(), "UPDATE notes SET body = 'newer' WHERE id < 50000"); err != nil {
			t.Fatal(err)
		}
		before := dumped(t, tdb)
		moments := []backupJob{{Halt: "load", Bytes: true}, {Halt: "verify"}, {Halt: "dump", Bytes: true}, {Halt: "switch"}}
		if tdb.Engine == testdb.SQLite {
			moments = append(moments, backupJob{Halt: "switch", Bytes: true})
		}
		for _, at := range moments {
			at.Do, at.Dir, at.Tools, at.Name, at.Over = "restore", dir, toolDir(tdb.Engine), b.Name, label(tdb)
			w := startWorker(t, job{URL: tdb.URL, Files: backupFiles, Backup: at})
			w.await(t, sayHalt)
			if got := dumped(t, tdb); got != before {
				t.Errorf("%+v: meanwhile, the database has changed", at)
			}
			w.kill()
			if got := dumped(t, tdb); got != before {
				t.Errorf("%+v: the database has changed", at)
			}
			if _, err := db.Pool().ExecContext(t.Context(), "UPDATE people SET name = name"); err != nil {
				t.Errorf("%+v: %v", at, err)
			}
		}
		if _, err := restore(t, tdb, db, tldwdb.RestoreOptions{Name: b.Name, Over: label(tdb)}); err != nil {
			t.Fatal(err)
		}
		if got := dumped(t, tdb); got != backedUp {
			t.Error("it was not restored in the end")
		}
		collected(t, tdb, db, b.Name)
	})
}

// collected lets an hour pass for what killed restores have left on a server: the next
// verification drops it.
func collected(t *testing.T, tdb *testdb.Database, db *tldwdb.DB, backup string) {
	t.Helper()
	if tdb.Engine == testdb.SQLite {
		return // it was in the folder for temporary files
	}
	admin := tdb.AdminDB(t)
	withoutDead(t, admin)
	left := scratches(t, tdb)
	if len(left) == 0 {
		t.Error("no killed restore has left anything")
	}
	for _, name := range left {
		front, rest, _ := strings.Cut(name, "_tldwdb_scratch_")
		at, random, _ := strings.Cut(rest, "_")
		made, err := strconv.ParseInt(at, 10, 64)
		if err != nil {
			t.Errorf("%s is no scratch database: %v", name, err)
			continue
		}
		older := fmt.Sprintf("%s_tldwdb_scratch_%d_%s", front, made-4000, random)
		if tdb.Engine == testdb.Postgres {
			execIn(t, admin, fmt.Sprintf("ALTER DATABASE %q RENAME TO %q", name, older))
			continue
		}
		execIn(t, admin, "DROP DATABASE "+name) // which cannot be renamed
		execIn(t, admin, "CREATE DATABASE "+older)
	}
	if _, err := db.VerifyBackup(t.Context(), backup, tldwdb.VerifyOptions{}); err != nil {
		t.Error(err)
	}
	if left := scratches(t, tdb); len(left) > 0 {
		t.Errorf("behind an hour there is still %q", left)
	}
}

// TestBackupDiskFull: a folder without room is an error, and has nothing in it that
// could be taken for a backup.
func TestBackupDiskFull(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it fills a disk")
	}
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir := filepath.Join(fullDisk(t, "1m"), "kept")
		db := open(t, tdb, backupFiles, func(cfg *tldwdb.Config) { cfg.Backup.Dir, cfg.Backup.ToolDir = dir, toolDir(tdb.Engine) })
		people(t, db)
		large(t, db)
		before := dumped(t, tdb)
		for _, compression := range []string{"none", "zstd"} {
			if compression == "zstd" {
				if _, err := db.Pool().ExecContext(t.Context(), pick(tdb, "UPDATE notes SET body = hex(randomblob(90))",
					"UPDATE notes SET body = md5(id::text) || md5((id + 1)::text) || md5((id + 2)::text)", "UPDATE notes SET body = concat(sha2(id, 512), sha2(id + 1, 256))")); err != nil {
					t.Fatal(err)
				}
				before = dumped(t, tdb)
			}
			_, err := db.Backup(t.Context(), tldwdb.BackupOptions{Compression: compression})
			if tldwdb.ClassOf(err) != "disk_full" {
				t.Errorf("%s: %v is %q", compression, err, tldwdb.ClassOf(err))
			}
			if !strings.Contains(err.Error(), "there is no room in the folder of backups, "+dir+": ") || !strings.Contains(tldwdb.Hint(err), "prune") {
				t.Errorf("%s: %v; %s", compression, err, tldwdb.Hint(err))
			}
			if entries, err := os.ReadDir(dir); err != nil && !errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
				t.Errorf("%s: %v, %v", compression, entries, err)
			}
		}
		if got := dumped(t, tdb); got != before {
			t.Error("the database has changed")
		}
	})
}

// TestDiskFullIsNamed: of the other disks that a backup, a verification and a restore
// write to, the one that is full is named, and the database is as it was.
func TestDiskFullIsNamed(t *testing.T) { //nolint:paralleltest // it sets TMPDIR
	if testing.Short() {
		t.Skip("it fills disks")
	}
	own, temp := fullDisk(t, "6m"), fullDisk(t, "1m")
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{
		URL:        "sqlite:///" + filepath.Join(own, "app.db"),
		Migrations: files{"0001_blobs.up.sql": "CREATE TABLE blobs (id INTEGER PRIMARY KEY, body BLOB);"}.fs(),
		Backup:     tldwdb.BackupOptions{Dir: t.TempDir()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	execIn(t, db.Pool().DB, "INSERT INTO blobs (body) VALUES (randomblob(2000000))")
	b, err := db.Backup(t.Context(), tldwdb.BackupOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wants := func(err error, place string) {
		t.Helper()
		if tldwdb.ClassOf(err) != "disk_full" || !strings.Contains(err.Error(), "there is no room in "+place+": ") || strings.Count(err.Error(), "no room") != 1 || tldwdb.Hint(err) == "" {
			t.Errorf("%v; %s", err, tldwdb.Hint(err))
		}
	}
	usual := os.Getenv("TMPDIR")
	t.Setenv("TMPDIR", temp)
	_, err = db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{})
	wants(err, "the folder for temporary files, "+temp)
	_, err = db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: "app.db", WithoutBackup: true})
	wants(err, "the folder for temporary files, "+temp)
	_, err = db.Backup(t.Context(), tldwdb.BackupOptions{Store: elsewhere{tldwdb.DirStore(t.TempDir())}})
	wants(err, "the folder for temporary files, "+temp)
	t.Setenv("TMPDIR", usual)
	execIn(t, db.Pool().DB, "DELETE FROM blobs; VACUUM; PRAGMA wal_checkpoint(TRUNCATE)")
	if err := os.WriteFile(filepath.Join(own, "another"), make([]byte, 5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = db.Restore(t.Context(), tldwdb.RestoreOptions{Name: b.Name, Over: "app.db", WithoutBackup: true})
	wants(err, "the folder of the database, "+own)
	var rows int
	if err := db.Pool().QueryRowContext(t.Context(), "SELECT count(*) FROM blobs").Scan(&rows); err != nil || rows > 0 {
		t.Errorf("%d rows, %v", rows, err)
	}
}

// elsewhere is a store that is no folder of this machine.
type elsewhere struct{ tldwdb.BackupStore }
