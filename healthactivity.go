package tldwdb

import (
	"sync/atomic"
	"time"
)

// activity knows what the process does for its schema, for those that ask how
// ready it is meanwhile.
type activity struct{ now atomic.Pointer[Activity] }

// waits notes that there is work which somebody else may be doing.
func (a *activity) waits() {
	if was := a.now.Load(); was == nil || was.State != ActivityWaiting {
		a.now.Store(&Activity{State: ActivityWaiting, Since: time.Now()})
	}
}

// migrates notes that a migration is about to run.
func (a *activity) migrates(j *job) {
	next := &Activity{State: ActivityMigrating, Since: time.Now(), Step: j.place, Steps: j.places, To: j.id.Version}
	if was := a.now.Load(); was != nil && was.State == ActivityMigrating {
		next.Since = was.Since
	}
	a.now.Store(next)
}

// settled notes that the work is done, or given up.
func (db *DB) settled() {
	if db.activity.now.Swap(nil) != nil {
		db.prober.expire()
	}
}
