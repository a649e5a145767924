package tldwdb_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/testdb"
)

// results collects what schedules have told.
type results struct {
	mu   sync.Mutex
	list []tldwdb.ScheduledBackup
}

func (r *results) add(_ context.Context, done tldwdb.ScheduledBackup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, done)
}

func (r *results) all() []tldwdb.ScheduledBackup {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.list
}

// opened is a database that is opened and closed inside a bubble of synctest.
func opened(t *testing.T, tdb *testdb.Database, edits ...func(*tldwdb.Config)) (db *tldwdb.DB, done func()) {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), configFor(tdb, backupFiles, edits...))
	if err != nil {
		t.Fatal(err)
	}
	return db, func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestScheduleBackups: of three workers one makes the backup each time; what was
// missed is made up for once; the verification is as seldom as it was asked for, and
// old backups go.
func TestScheduleBackups(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	synctest.Test(t, func(t *testing.T) {
		db, done := opened(t, tdb, kept)
		defer done()
		people(t, db)
		ctx, stop := context.WithCancel(t.Context())
		told := &results{}
		schedule := tldwdb.BackupSchedule{Every: time.Hour, Jitter: time.Minute, VerifyEvery: 5 * time.Hour, Keep: tldwdb.RetentionPolicy{Last: 3}, OnResult: told.add}
		var workers sync.WaitGroup
		for range 3 {
			workers.Go(func() {
				if err := db.ScheduleBackups(ctx, schedule); err != nil {
					t.Error(err)
				}
			})
		}
		time.Sleep(10*time.Hour + 30*time.Minute)
		stop()
		workers.Wait()
		verified, pruned := 0, 0
		for i, one := range told.all() {
			if one.Err != nil || one.Backup.Reason != tldwdb.ReasonScheduled {
				t.Errorf("%d: %+v", i, one)
			}
			if one.Verification != nil {
				verified++
			}
			pruned += len(one.Pruned.Removed)
		}
		if n := len(told.all()); n < 10 || n > 11 || verified < 2 || verified > 3 || pruned == 0 {
			t.Errorf("%d backups, %d verified, %d deleted", n, verified, pruned)
		}

		// All workers were away for a day.
		time.Sleep(24 * time.Hour)
		before := len(told.all())
		ctx, stop = context.WithCancel(t.Context())
		for range 3 {
			workers.Go(func() { _ = db.ScheduleBackups(ctx, schedule) })
		}
		time.Sleep(30 * time.Minute)
		stop()
		workers.Wait()
		if n := len(told.all()) - before; n != 1 {
			t.Errorf("%d backups made up for a day", n)
		}
	})
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// TestScheduleGoesOn: a failure is told, tried again after longer and longer pauses,
// and forgotten when it is over; nor does a panic end the schedule.
func TestScheduleGoesOn(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	synctest.Test(t, func(t *testing.T) {
		db, done := opened(t, tdb, kept)
		defer done()
		people(t, db)
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // where the folder would be
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		told := &results{}
		var worker sync.WaitGroup
		worker.Go(func() {
			err := db.ScheduleBackups(ctx, tldwdb.BackupSchedule{Jitter: -1, VerifyEvery: -1, OnResult: func(ctx context.Context, one tldwdb.ScheduledBackup) {
				told.add(ctx, one)
				panic("a hook of the program")
			}})
			if err != nil {
				t.Error(err)
			}
		})
		time.Sleep(4*time.Hour + 30*time.Minute)
		failed := told.all()
		for i, one := range failed {
			if one.Err == nil || one.Failures != i+1 || !one.Next.After(time.Now().Add(-5*time.Hour)) {
				t.Errorf("%d: %+v", i, one)
			}
		}
		if n := len(failed); n < 6 || n > 12 { // after 0, 1, 2, 4, 8, 16, 32 and then each 60 minutes
			t.Errorf("%d tries", n)
		}
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		all := told.all()
		if last := all[len(all)-1]; last.Err != nil || last.Failures != 0 || len(all) != len(failed)+1 {
			t.Errorf("%d more, the last: %+v", len(all)-len(failed), last)
		}
		stop()
		worker.Wait()
	})
}

// panicking is a store that panics while something is written, in whichever goroutine
// that is, as long as it is told to.
type panicking struct {
	tldwdb.BackupStore
	now *atomic.Bool
}

type panickingWriter struct{ tldwdb.BackupWriter }

func (panickingWriter) Write([]byte) (int, error) { panic("a store of the program") }

func (s panicking) Create(ctx context.Context, name string) (tldwdb.BackupWriter, error) {
	w, err := s.BackupStore.Create(ctx, name)
	if err == nil && s.now.Load() {
		w = panickingWriter{w}
	}
	return w, err
}

// TestScheduleSurvives: neither a store nor a hook for progress that panics ends the
// service; a missed backup is not late by a part of the whole time between two.
func TestScheduleSurvives(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	synctest.Test(t, func(t *testing.T) {
		db, done := opened(t, tdb, kept)
		defer done()
		people(t, db)
		keepBackup(t, tldwdb.DirStore(dir), time.Now().AddDate(0, 0, -3), "x", archive.Options{Compression: archive.None}, func(b *tldwdb.Backup) {
			b.Engine, b.Database = "sqlite", label(tdb)
		})
		var now atomic.Bool
		now.Store(true)
		ctx, stop := context.WithCancel(t.Context())
		told := &results{}
		schedule := tldwdb.BackupSchedule{VerifyEvery: -1, OnResult: told.add}
		schedule.Store = panicking{tldwdb.DirStore(dir), &now}
		schedule.Progress = func(tldwdb.BackupProgress) { panic("a hook of the program") }
		var worker sync.WaitGroup
		worker.Go(func() {
			if err := db.ScheduleBackups(ctx, schedule); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(2*time.Minute + time.Second)
		if all := told.all(); len(all) == 0 || all[0].Err == nil || !strings.Contains(all[0].Err.Error(), "panicked") {
			t.Errorf("within two minutes: %+v", all)
		}
		now.Store(false)
		time.Sleep(time.Hour)
		all := told.all()
		if last := all[len(all)-1]; last.Err != nil || last.Failures != 0 {
			t.Errorf("the last: %+v", last)
		}
		stop()
		worker.Wait()
	})
}

// TestScheduleAfterAWrongClock: a backup of next year, whoever has made it, is none of
// today.
func TestScheduleAfterAWrongClock(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	dir, kept := keeping(t, tdb)
	synctest.Test(t, func(t *testing.T) {
		db, done := opened(t, tdb, kept)
		defer done()
		people(t, db)
		ahead := keepBackup(t, tldwdb.DirStore(dir), time.Now().AddDate(1, 0, 0), "x", archive.Options{Compression: archive.None}, func(b *tldwdb.Backup) {
			b.Engine, b.Database = "sqlite", label(tdb)
		})
		ctx, stop := context.WithCancel(t.Context())
		told := &results{}
		var worker sync.WaitGroup
		worker.Go(func() {
			if err := db.ScheduleBackups(ctx, tldwdb.BackupSchedule{Every: time.Hour, Jitter: -1, OnResult: told.add}); err != nil {
				t.Error(err)
			}
		})
		time.Sleep(3*time.Hour + 30*time.Minute)
		stop()
		worker.Wait()
		verified := 0
		for _, one := range told.all() {
			if one.Err != nil {
				t.Error(one.Err)
			}
			if one.Verification != nil {
				verified++
			}
		}
		if n := len(told.all()); n != 4 || verified != 1 {
			t.Errorf("%d backups beside %s, %d verified", n, ahead.Name, verified)
		}
	})
}

// TestScheduleRefuses: what cannot be meant is said at once.
func TestScheduleRefuses(t *testing.T) {
	t.Parallel()
	db := open(t, testdb.New(t, testdb.SQLite), backupFiles)
	for want, s := range map[string]tldwdb.BackupSchedule{
		"Every":       {Every: time.Second},
		"At":          {At: []string{"25:00"}},
		"Compression": {BackupOptions: tldwdb.BackupOptions{Compression: "gzip"}},
	} {
		if err := db.ScheduleBackups(t.Context(), s); err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// TestScheduleTimes: when the next backup is due.
func TestScheduleTimes(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		parsed, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct {
		s                 tldwdb.BackupSchedule
		newest, now, want string
	}{
		{tldwdb.BackupSchedule{}, "", "2026-03-01 12:00", "2026-03-01 12:00"},
		{tldwdb.BackupSchedule{}, "2026-03-01 10:00", "2026-03-01 12:00", "2026-03-02 10:00"},
		{tldwdb.BackupSchedule{Every: time.Hour}, "2026-03-01 10:00", "2026-03-03 12:00", "2026-03-01 11:00"},
		{tldwdb.BackupSchedule{At: []string{"21:30", "03:30"}}, "2026-02-28 22:00", "2026-02-28 22:05", "2026-03-01 03:30"},
		{tldwdb.BackupSchedule{At: []string{"21:30", "03:30"}}, "2026-03-01 03:30", "2026-03-01 03:31", "2026-03-01 21:30"},
		{tldwdb.BackupSchedule{At: []string{"21:30", "03:30"}}, "2026-03-01 03:30", "2026-03-05 03:31", "2026-03-01 21:30"},
	} {
		got, err := tldwdb.NextBackup(c.s, at(c.newest), at(c.now))
		if err != nil || !got.Equal(at(c.want)) {
			t.Errorf("%v %v behind %q at %s: %v, %v", c.s.Every, c.s.At, c.newest, c.now, got, err)
		}
	}
}
