package tldwdb

import (
	"context"
	"sync"
	"time"
)

// backupLook is how long an answer about the backups in a store is good for. They
// change once in hours, and to list a store elsewhere costs money.
const backupLook = 5 * time.Minute

// backupState returns what health probes ask about backups where nobody has said
// anything else: what is in the store that Config.Backup names.
func (db *DB) backupState() func(context.Context) (BackupState, error) {
	if db.cfg.Backup.Store == nil && db.cfg.Backup.Dir == "" {
		return nil
	}
	var mu sync.Mutex
	var asked time.Time
	var known BackupState
	return func(ctx context.Context) (BackupState, error) {
		mu.Lock()
		defer mu.Unlock()
		if !asked.IsZero() && time.Since(asked) < backupLook {
			return known, nil
		}
		p, err := db.backupOptions(BackupOptions{})
		if err != nil {
			return BackupState{}, err
		}
		list, err := ListBackups(ctx, p.store)
		if err != nil {
			return BackupState{}, err
		}
		owner, err := db.owner(ctx)
		if err != nil {
			return BackupState{}, err
		}
		known, asked = stateOf(owner.of(list)), time.Now()
		return known, nil
	}
}

// clockSkew is how far the clocks of those who share a store may be apart.
const clockSkew = time.Hour

// stateOf says when there was a good backup last, and a good restore. Times of the
// future do not count: by one that a wrong clock has written all would be well until
// it has come.
func stateOf(list []Backup) (s BackupState) {
	end := time.Now().Add(clockSkew)
	newest := func(a, b time.Time) time.Time {
		if b.After(a) && b.Before(end) {
			return b
		}
		return a
	}
	for _, b := range goodBackups(list) {
		s.LastGood = newest(s.LastGood, b.Started)
		if b.Verified != nil {
			s.LastRestoreTest = newest(s.LastRestoreTest, b.Verified.Time)
		}
	}
	return s
}
