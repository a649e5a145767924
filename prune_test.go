package tldwdb_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
)

// prunedStore has a backup of each day, the newest first, and the clock that goes
// with it.
func prunedStore(t *testing.T, days int) (store tldwdb.BackupStore, dir string, all []tldwdb.Backup, now time.Time) {
	t.Helper()
	dir = t.TempDir()
	store = tldwdb.DirStore(dir)
	now = time.Now().UTC()
	for i := range days {
		all = append(all, keepBackup(t, store, now.Add(-time.Hour).AddDate(0, 0, -i), "content", plainArchive))
	}
	return store, dir, all, now
}

func markVerified(t *testing.T, store tldwdb.BackupStore, b tldwdb.Backup, ok bool) {
	t.Helper()
	if err := tldwdb.WriteVerification(t.Context(), store, b, tldwdb.BackupVerification{OK: ok}); err != nil {
		t.Fatal(err)
	}
}

func namesOf(backups []tldwdb.Backup) []string {
	var names []string
	for _, b := range backups {
		names = append(names, b.Name)
	}
	return names
}

// agedFile says that a file was last written to some time ago.
func agedFile(t *testing.T, path string, at time.Time) {
	t.Helper()
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestPrune(t *testing.T) {
	t.Parallel()
	store, dir, all, now := prunedStore(t, 10)
	markVerified(t, store, all[9], true)
	markVerified(t, store, all[5], true)
	markVerified(t, store, all[2], false)
	policy := tldwdb.RetentionPolicy{Last: 2}
	var before []string
	for _, dry := range []bool{true, false} {
		before = storedNames(t, store)
		done, err := tldwdb.PruneAt(t.Context(), store, policy, tldwdb.PruneOptions{DryRun: dry}, now)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(done.Removed, namesOf(all[6:])) {
			t.Errorf("dry %v: removed %v, want %v", dry, done.Removed, namesOf(all[6:]))
		}
		if len(done.Leftovers) > 0 || done.Freed < 4*7 {
			t.Errorf("dry %v: %+v", dry, done)
		}
		for i, want := range []string{"last newest newer than the newest verified", "last newer than the newest verified", "newer than the newest verified", "newer than the newest verified", "newer than the newest verified", "newest verified"} {
			if k := done.Kept[i]; k.Name != all[i].Name || strings.Join(k.Reasons, " ") != want {
				t.Errorf("dry %v: %+v, want %s", dry, k, want)
			}
		}
		if got := storedNames(t, store); slices.Equal(got, before) != dry {
			t.Errorf("dry %v: %v", dry, got)
		}
	}
	if got, want := len(storedNames(t, store)), 6*2+2; got != want { // with two verifications
		t.Errorf("%d objects, want %d: %v", got, want, storedNames(t, store))
	}
	list, err := tldwdb.ListBackups(t.Context(), store)
	if err != nil || !slices.Equal(namesOf(list), namesOf(all[:6])) {
		t.Errorf("%v, %v", namesOf(list), err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}

// Without a successful verification the policy alone decides; the newest stays, even
// where the policy would not keep it.
func TestPruneUnverified(t *testing.T) {
	t.Parallel()
	store, _, all, now := prunedStore(t, 3)
	markVerified(t, store, all[1], false)
	future := keepBackup(t, store, now.AddDate(0, 0, 2), "content", plainArchive)
	done, err := tldwdb.PruneAt(t.Context(), store, tldwdb.RetentionPolicy{Last: 1}, tldwdb.PruneOptions{}, now)
	if err != nil || !slices.Equal(done.Removed, namesOf(all[1:])) || done.Kept[0].Name != future.Name {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestPruneWithoutPolicy(t *testing.T) {
	t.Parallel()
	store, _, all, now := prunedStore(t, 3)
	done, err := tldwdb.PruneAt(t.Context(), store, tldwdb.RetentionPolicy{}, tldwdb.PruneOptions{}, now)
	if err != nil || len(done.Removed) > 0 || len(done.Kept) != len(all) {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := tldwdb.PruneBackups(t.Context(), store, tldwdb.RetentionPolicy{Daily: -1}, tldwdb.PruneOptions{}); err == nil {
		t.Error("no error for a policy that keeps less than nothing")
	}
}

// Each database, and each method, has the policy to itself.
func TestPruneGroups(t *testing.T) {
	t.Parallel()
	store, _, all, now := prunedStore(t, 3)
	for i := range 3 {
		at := now.Add(-time.Minute * time.Duration(i+1))
		all = append(all,
			keepBackup(t, store, at, "content", plainArchive, func(b *tldwdb.Backup) { b.Database = "other.db" }),
			keepBackup(t, store, at, "content", plainArchive, func(b *tldwdb.Backup) { b.Method = tldwdb.BackupPortable }))
	}
	policy := tldwdb.RetentionPolicy{Last: 1}
	done, err := tldwdb.PruneAt(t.Context(), store, policy, tldwdb.PruneOptions{Database: "other.db"}, now)
	if err != nil || !slices.Equal(done.Removed, []string{all[5].Name, all[7].Name}) || len(done.Kept) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	done, err = tldwdb.PruneAt(t.Context(), store, policy, tldwdb.PruneOptions{}, now)
	if err != nil || len(done.Removed) != 4 || len(done.Kept) != 3 {
		t.Errorf("%+v, %v", done, err)
	}
}

// What cannot be read is neither deleted nor counted.
func TestPruneDamaged(t *testing.T) {
	t.Parallel()
	store, dir, all, now := prunedStore(t, 4)
	markVerified(t, store, all[0], true)
	rewrite(t, filepath.Join(dir, all[0].Name+".json"), func([]byte) []byte { return nil })
	done, err := tldwdb.PruneAt(t.Context(), store, tldwdb.RetentionPolicy{Last: 2}, tldwdb.PruneOptions{}, now)
	if err != nil || !slices.Equal(done.Removed, namesOf(all[3:])) || !slices.Equal(done.Kept[0].Reasons, []string{"damaged"}) {
		t.Errorf("%+v, %v", done, err)
	}
}

func TestPruneLeftovers(t *testing.T) {
	t.Parallel()
	store, dir, all, now := prunedStore(t, 1)
	old, young := now.AddDate(0, 0, -2), now.Add(-time.Hour)
	for name, at := range map[string]time.Time{
		"tldw_backup_20260101_000000_aaaa.db":                  old,   // without a manifest
		"tldw_backup_20260101_000000_aaaa.verified.json":       old,   // of a backup that is deleted already
		"tldw_backup_20260101_000000_bbbb.1.db":                old,   // the second part is being written
		"tldw_backup_20260101_000000_bbbb.2.db":                young, //
		"tldw_backup_20260101_000000_cccc.db.partial-abcdefgh": old,   // killed
		"tldw_backup_20260101_000000_dddd.db.partial-abcdefgh": young,
		"notes.txt": old, // somebody else's
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		agedFile(t, path, at)
	}
	agedFile(t, filepath.Join(dir, all[0].Parts[0].Name), old)
	want := []string{"tldw_backup_20260101_000000_aaaa.db", "tldw_backup_20260101_000000_aaaa.verified.json", "tldw_backup_20260101_000000_cccc.db.partial-abcdefgh"}
	for _, dry := range []bool{true, false} {
		done, err := tldwdb.PruneAt(t.Context(), store, tldwdb.RetentionPolicy{}, tldwdb.PruneOptions{DryRun: dry}, now)
		if err != nil || !slices.Equal(done.Leftovers, want) || len(done.Removed) > 0 {
			t.Errorf("dry %v: %+v, %v", dry, done, err)
		}
		for _, name := range want {
			if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != dry {
				t.Errorf("dry %v: %s: %v", dry, name, err)
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2+4 {
		t.Errorf("%v, %v", entries, err)
	}
}

// forgetful is a store that fails at deleting one object.
type forgetful struct {
	tldwdb.BackupStore
	fails   func(name string) bool
	deleted []string
}

var errForgetful = errors.New("the store is away")

func (s *forgetful) Delete(ctx context.Context, name string) error {
	if s.fails(name) {
		return errForgetful
	}
	s.deleted = append(s.deleted, name)
	return s.BackupStore.Delete(ctx, name)
}

// A deletion that is cut short never leaves a manifest without its parts, and one
// that fails does not stop the others.
func TestPruneFails(t *testing.T) {
	t.Parallel()
	store, _, all, now := prunedStore(t, 4)
	markVerified(t, store, all[2], false)
	policy := tldwdb.RetentionPolicy{Last: 1}
	s := &forgetful{BackupStore: store, fails: func(name string) bool { return name == all[2].Name+".json" || name == all[1].Name+".db" }}
	done, err := tldwdb.PruneAt(t.Context(), s, policy, tldwdb.PruneOptions{}, now)
	if !errors.Is(err, errForgetful) || !slices.Equal(done.Removed, namesOf(all[3:])) {
		t.Errorf("%+v, %v", done, err)
	}
	if want := []string{all[1].Name + ".json", all[3].Name + ".json", all[3].Name + ".db"}; !slices.Equal(s.deleted, want) {
		t.Errorf("deleted %v, want %v", s.deleted, want)
	}
	list, err := tldwdb.ListBackups(t.Context(), store)
	if err != nil || !slices.Equal(namesOf(list), []string{all[0].Name, all[2].Name}) || list[1].Err != nil {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestPruneBad: a backup that was found bad is not the one that its day is kept by.
func TestPruneBad(t *testing.T) {
	t.Parallel()
	store := tldwdb.DirStore(t.TempDir())
	noon := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	early := keepBackup(t, store, noon.Add(-2*time.Hour), "early", plainArchive)
	bad := keepBackup(t, store, noon.Add(-time.Hour), "bad", plainArchive)
	newer := keepBackup(t, store, noon.AddDate(0, 0, 1), "newer", plainArchive)
	markVerified(t, store, bad, false)
	markVerified(t, store, newer, true)
	done, err := tldwdb.PruneBackups(t.Context(), store, tldwdb.RetentionPolicy{Daily: 2}, tldwdb.PruneOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(done.Removed, []string{bad.Name}) || len(done.Kept) != 2 || done.Kept[1].Name != early.Name {
		t.Errorf("removed %v and kept %v, want to keep %s", done.Removed, done.Kept, early.Name)
	}
}

// TestPruneMigration: what was there before a migration stays until something is
// known to be good.
func TestPruneMigration(t *testing.T) {
	t.Parallel()
	store, _, all, now := prunedStore(t, 2)
	before := keepBackup(t, store, now.AddDate(0, 0, -5), "before", plainArchive, func(b *tldwdb.Backup) { b.Reason = tldwdb.ReasonMigration })
	policy := tldwdb.RetentionPolicy{Last: 2}
	if done, err := tldwdb.PruneBackups(t.Context(), store, policy, tldwdb.PruneOptions{}); err != nil || len(done.Removed) > 0 {
		t.Fatalf("removed %v: %v", done.Removed, err)
	}
	markVerified(t, store, all[0], true)
	done, err := tldwdb.PruneBackups(t.Context(), store, policy, tldwdb.PruneOptions{})
	if err != nil || !slices.Equal(done.Removed, []string{before.Name}) {
		t.Errorf("removed %v: %v", done.Removed, err)
	}
}
