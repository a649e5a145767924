package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"
)

// BackupSchedule says when backups are made, and what is done with them. The zero
// value makes one each day, verifies one each week, and deletes none.
type BackupSchedule struct {
	BackupOptions

	// Every is the time from one backup to the next. At goes before it. Default: 24
	// hours.
	Every time.Duration

	// At are times of day in UTC, such as "03:30", at which a backup is made.
	At []string

	// Jitter delays each backup by a random time up to that, so that not all services
	// of a server begin at once; one that was missed, by two minutes at most. Negative:
	// none. Default: a twentieth of the time from one backup to the next.
	Jitter time.Duration

	// VerifyEvery is how old the newest good verification may be before the next backup
	// is verified as soon as it is made. Negative: never. Default: 7 days.
	VerifyEvery time.Duration

	// ScratchURL is as in [VerifyOptions].
	ScratchURL string

	// Keep says which backups of this database stay after the next one was made.
	// Default: all of them.
	Keep RetentionPolicy

	// OnResult is told of each backup that was made, or was not: for notifications. The
	// next backup waits until it returns.
	OnResult func(context.Context, ScheduledBackup)
}

// ScheduledBackup is what a [BackupSchedule] has done.
type ScheduledBackup struct {
	Backup       Backup              // zero where none was made
	Verification *BackupVerification // nil where it was not verified now
	Pruned       Pruned
	Err          error     // of any of the three
	Failures     int       // in a row, this one included
	Next         time.Time // when the next one is tried
}

// The defaults of [BackupSchedule], and the pauses behind failures.
const (
	defaultBackupEvery = 24 * time.Hour
	defaultVerifyEvery = 7 * 24 * time.Hour
	jitterShare        = 20
	missedJitter       = 2 * time.Minute

	scheduleRetryFirst = time.Minute
	scheduleRetryLast  = time.Hour
)

// ScheduleBackups makes backups until ctx ends, and then returns nil; it returns an
// error at once for a schedule that cannot be meant. Every worker of a service may
// call it, best in a goroutine of its own: whoever has the migration lock first makes
// the backup, and the others see in the store that there is one. What was missed while
// no worker ran, or while the machine was suspended, is made up for within minutes, by
// one backup.
//
// A backup that fails is logged, told to OnResult, and tried again after a minute,
// then two, up to an hour. It never ends the schedule, nor does a panic of OnResult,
// Progress or the store: where it is in the work on a backup, that backup has failed.
func (db *DB) ScheduleBackups(ctx context.Context, s BackupSchedule) error {
	s.Reason = ReasonScheduled
	t, err := s.times()
	if err != nil {
		return err
	}
	p, err := db.backupOptions(s.BackupOptions)
	if err != nil {
		return err
	}
	s.Store, s.Progress = db.surviving(p.options.Store, p.options.Progress)
	for failures := 0; ; {
		newest, err := db.newestBackup(ctx, s, nil)
		now := time.Now()
		due := now
		if err == nil {
			due = t.next(newest, now)
		}
		if sleepUntil(ctx, s.start(t, due, now, failures)) != nil {
			return nil
		}
		done, made := db.scheduledBackup(ctx, s, t)
		if ctx.Err() != nil {
			return nil
		}
		if done.Err == nil {
			failures = 0
		} else {
			failures++
		}
		if !made && done.Err == nil {
			continue // another worker did it
		}
		done.Failures = failures
		done.Next = t.next(time.Now(), time.Now())
		if failures > 0 {
			done.Next = time.Now().Add(retryPause(failures))
			db.log.LogAttrs(ctx, slog.LevelError, "the scheduled backup failed", slog.String("error", done.Err.Error()), slog.Int("failures", failures), slog.Time("next", done.Next))
		}
		db.tellScheduled(ctx, s, done)
	}
}

// start is when a backup that is due is begun: late by chance, and behind a failure not
// before its pause. One that was missed has waited enough: it is late by as much as it
// takes for a fleet not to begin in one instant.
func (s *BackupSchedule) start(t backupTimes, due, now time.Time, failures int) time.Time {
	switch {
	case failures > 0:
		if again := now.Add(retryPause(failures)); again.After(due) {
			return again
		}
		return due
	case due.After(now):
		return due.Add(chance(s.jitter(t)))
	}
	return now.Add(chance(min(s.jitter(t), missedJitter)))
}

// sleepSlice is how often a sleeper looks at the clock on the wall: timers stand still
// while a machine is suspended, and the hour of a backup does not.
const sleepSlice = time.Minute

// sleepUntil waits for a time of day, or returns the context's error.
func sleepUntil(ctx context.Context, at time.Time) error {
	at = at.Round(0) // without the clock of timers
	for {
		left := at.Sub(time.Now().Round(0))
		if left <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, min(left, sleepSlice)); err != nil {
			return err
		}
	}
}

// retryPause grows with the failures in a row.
func retryPause(failures int) time.Duration {
	return min(scheduleRetryFirst<<min(failures-1, 10), scheduleRetryLast)
}

// jitter is how late a backup is by chance, at most.
func (s *BackupSchedule) jitter(t backupTimes) time.Duration {
	if s.Jitter == 0 {
		return t.shortest() / jitterShare
	}
	return max(s.Jitter, 0)
}

// chance is a time up to a limit.
func chance(limit time.Duration) time.Duration {
	if limit <= 0 {
		return 0
	}
	return rand.N(limit)
}

// tellScheduled calls what is the program's own, and survives it.
func (db *DB) tellScheduled(ctx context.Context, s BackupSchedule, done ScheduledBackup) {
	if s.OnResult == nil {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			db.log.LogAttrs(ctx, slog.LevelError, "BackupSchedule.OnResult panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
		}
	}()
	s.OnResult(ctx, done)
}

// newestBackup is when the newest good backup of this database was begun; zero if
// there is none. A run that is under way asks on its own connection: there may be no
// other.
func (db *DB) newestBackup(ctx context.Context, s BackupSchedule, r *run) (time.Time, error) {
	list, err := db.ownBackups(ctx, s, r)
	return stateOf(list).LastGood, err
}

// ownBackups are the backups of this database in the store of the schedule.
func (db *DB) ownBackups(ctx context.Context, s BackupSchedule, r *run) ([]Backup, error) {
	p, err := db.backupOptions(s.BackupOptions)
	if err != nil {
		return nil, err
	}
	list, err := ListBackups(ctx, p.store)
	if err != nil {
		return nil, err
	}
	var owner owner
	if r != nil {
		owner, err = r.owner(ctx)
	} else {
		owner, err = db.owner(ctx)
	}
	return owner.of(list), err
}

// scheduledBackup makes the backup if it is still due under the lock, and does what
// comes behind it. made is false where another worker was faster.
func (db *DB) scheduledBackup(ctx context.Context, s BackupSchedule, t backupTimes) (done ScheduledBackup, made bool) {
	defer func() {
		if p := recover(); p != nil {
			db.log.LogAttrs(ctx, slog.LevelError, "the scheduled backup panicked", slog.Any("panic", p), slog.String("stack", string(debug.Stack())))
			done.Err = fmt.Errorf("panic: %v", p)
		}
	}()
	done.Backup, made, done.Err = db.backupIf(ctx, s.BackupOptions, func(ctx context.Context, r *run) (bool, error) {
		newest, err := db.newestBackup(ctx, s, r)
		return !t.next(newest, time.Now()).After(time.Now()), err
	})
	if done.Err != nil || !made {
		return done, made
	}
	if s.VerifyEvery >= 0 {
		v, err := db.verifyIfOld(ctx, s, done.Backup)
		done.Verification, done.Err = v, err
	}
	if s.Keep != (RetentionPolicy{}) {
		p, err := db.backupOptions(s.BackupOptions)
		if err == nil {
			done.Pruned, err = PruneBackups(ctx, p.store, s.Keep, PruneOptions{Database: done.Backup.Database, Identity: done.Backup.Identity})
		}
		if err != nil {
			done.Err = errors.Join(done.Err, fmt.Errorf("deleting old backups: %w", err))
		}
	}
	return done, made
}

// verifyIfOld verifies a new backup where the newest good verification is old.
func (db *DB) verifyIfOld(ctx context.Context, s BackupSchedule, b Backup) (*BackupVerification, error) {
	list, err := db.ownBackups(ctx, s, nil)
	if err != nil {
		return nil, err
	}
	every := s.VerifyEvery
	if every == 0 {
		every = defaultVerifyEvery
	}
	if time.Since(stateOf(list).LastRestoreTest) < every {
		return nil, nil
	}
	v, err := db.VerifyBackup(ctx, b.Name, VerifyOptions{BackupOptions: s.BackupOptions, ScratchURL: s.ScratchURL})
	if v.Time.IsZero() { // it could not be found out
		return nil, err
	}
	return &v, err
}

// backupTimes are the moments at which backups are due.
type backupTimes struct {
	every time.Duration
	at    []time.Duration // since midnight in UTC, in order; empty: every counts
}

// times reads the schedule.
func (s *BackupSchedule) times() (t backupTimes, err error) {
	if s.Every < 0 || s.Every > 0 && s.Every < time.Minute {
		return t, fmt.Errorf("BackupSchedule.Every is %v: accepted is a duration from 1m, or 0 for %v", s.Every, defaultBackupEvery)
	}
	if t.every = s.Every; t.every == 0 {
		t.every = defaultBackupEvery
	}
	for _, text := range s.At {
		at, err := time.Parse("15:04", text)
		if err != nil {
			return t, fmt.Errorf("BackupSchedule.At has %.20q: accepted are times of day in UTC, such as 03:30", text)
		}
		t.at = append(t.at, time.Duration(at.Hour())*time.Hour+time.Duration(at.Minute())*time.Minute)
	}
	slices.Sort(t.at)
	t.at = slices.Compact(t.at)
	return t, nil
}

// next is when the backup behind the newest one is due. Missed ones are due at the
// time of the last of them.
func (t backupTimes) next(newest, now time.Time) time.Time {
	if newest.IsZero() {
		return now
	}
	if len(t.at) == 0 {
		return newest.Add(t.every)
	}
	newest = newest.UTC()
	midnight := newest.Truncate(24 * time.Hour)
	for {
		for _, at := range t.at {
			if due := midnight.Add(at); due.After(newest) {
				return due
			}
		}
		midnight = midnight.Add(24 * time.Hour)
	}
}

// shortest is the shortest time from one backup to the next.
func (t backupTimes) shortest() time.Duration {
	if len(t.at) == 0 {
		return t.every
	}
	const day = 24 * time.Hour
	shortest := t.at[0] + day - t.at[len(t.at)-1]
	for i := 1; i < len(t.at); i++ {
		shortest = min(shortest, t.at[i]-t.at[i-1])
	}
	return shortest
}
