package tldwdb_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A foreign process keeps the whole file to itself, from before the service
// starts. As long as it does, the service says so; it boots when the file is
// free, also when it was waiting already.
func TestFileHeld(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	f := faultLoad(testdb.SQLite)
	conn, err := tdb.AdminDB(t).Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{"CREATE TABLE foreign_table (i int)", "BEGIN EXCLUSIVE"} {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	short := func(cfg *tldwdb.Config) {
		cfg.BusyTimeout, cfg.ConnectWait, cfg.LockTimeout, cfg.RetryBudget = 20*time.Millisecond, -1, 20*time.Millisecond, -1
	}
	boot := func(edit func(*tldwdb.Config)) error {
		db, err := tldwdb.Open(t.Context(), configFor(tdb, f, edit))
		if err != nil {
			return err
		}
		_, err = db.Up(t.Context())
		return errors.Join(err, db.Close())
	}
	err = boot(short)
	if err == nil || !strings.Contains(err.Error(), "locked") {
		t.Errorf("the file is held, and a boot says %v", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- boot(func(*tldwdb.Config) {}) }()
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// The file goes away under a service that runs: by hand, or because a backup is
// put in its place. The next boot is on what is there then.
func TestFileGone(t *testing.T) {
	t.Parallel()
	for _, during := range []bool{false, true} {
		for _, replaced := range []bool{false, true} {
			t.Run(fmt.Sprintf("during=%v,replaced=%v", during, replaced), func(t *testing.T) {
				t.Parallel()
				fileGone(t, during, replaced)
			})
		}
	}
}

func fileGone(t *testing.T, during, replaced bool) {
	t.Helper()
	tdb, undisturbed := testdb.New(t, testdb.SQLite), testdb.New(t, testdb.SQLite)
	f := faultLoad(testdb.SQLite)
	if _, err := open(t, undisturbed, f).Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := look(t, undisturbed, undisturbed.AdminDB(t))
	away := func() {
		for _, suffix := range []string{"", "-wal", "-shm"} {
			if err := os.Remove(tdb.Path() + suffix); err != nil && !os.IsNotExist(err) {
				t.Error(err)
			}
		}
		if !replaced {
			return
		}
		other := testdb.New(t, testdb.SQLite)
		if _, err := open(t, other, f).MigrateTo(t.Context(), 2); err != nil {
			t.Error(err)
			return
		}
		if _, err := other.AdminDB(t).ExecContext(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(other.Path())
		if err != nil {
			t.Error(err)
			return
		}
		beside := tdb.Path() + ".restored"
		if err := errors.Join(os.WriteFile(beside, text, 0o600), os.Rename(beside, tdb.Path())); err != nil {
			t.Error(err)
		}
	}
	log := &logbook{watched: func(line string) {
		if during && strings.Contains(line, "migration applied") && strings.Contains(line, "0003") {
			away()
		}
	}}
	db := open(t, tdb, f, func(cfg *tldwdb.Config) { cfg.Logger = log.logger() })
	attached, err := tldwdb.Attach(t.Context(), db.Pool(), tldwdb.Config{Migrations: f.fs()})
	if err != nil {
		t.Fatal(err)
	}
	if err := attached.Check(t.Context()); !errors.Is(err, tldwdb.ErrPending) {
		t.Errorf("Check before Up: %v", err)
	}
	_, err = db.Up(t.Context())
	switch {
	case during && !errors.Is(err, tldwdb.ErrFileReplaced):
		t.Errorf("Up, in whose middle it went: %v", err)
	case !during && err != nil:
		t.Fatal(err)
	case !during:
		away()
	}
	for _, db := range []*tldwdb.DB{db, attached} {
		if _, err := db.Up(t.Context()); !errors.Is(err, tldwdb.ErrFileReplaced) || tldwdb.Hint(err) == "" {
			t.Errorf("Up afterwards: %v", err)
		}
		if err := db.Check(t.Context()); !errors.Is(err, tldwdb.ErrFileReplaced) {
			t.Errorf("Check: %v", err)
		}
		if h := db.Health(t.Context()); h.Ready || !strings.Contains(h.Error, "database file") || strings.Contains(h.Error, tdb.Path()) {
			t.Errorf("Health: %+v", h)
		}
	}
	if _, err := open(t, tdb, f).Up(t.Context()); err != nil {
		t.Fatalf("the next boot: %v\nhint: %s", err, tldwdb.Hint(err))
	}
	if verdict, detail := judge(look(t, tdb, tdb.AdminDB(t)), want); verdict != survived {
		t.Errorf("%s: %s", verdict, detail)
	}
}
