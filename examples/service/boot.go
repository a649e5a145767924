package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/tldw/tldwdb"
)

// The roles that a process can have had in a start-up.
const (
	roleMigrated = "migrated"      // it applied migrations
	roleWaited   = "waited"        // another process applied them meanwhile
	roleNothing  = "nothing to do" // the schema was current at the first look
	roleFailed   = "failed"        // it did not become ready
)

// report is what one process has to say about its start-up.
type report struct {
	Worker    int      `json:"worker,omitempty"` // 1 to N; 0 without -workers
	PID       int      `json:"pid"`
	Role      string   `json:"role"`
	Applied   []string `json:"applied"`              // by this process, in order
	Version   int64    `json:"version"`              // of the schema at the end
	WaitedMS  float64  `json:"waited_ms"`            // for the migration lock, or for another process's run
	WaitedFor string   `json:"waited_for,omitempty"` // as far as could be seen
	ReadyMS   float64  `json:"ready_ms"`             // from the start to the end of boot
	Error     string   `json:"error,omitempty"`
	Hint      string   `json:"hint,omitempty"`
}

// boot opens the database and brings its schema up to date: the start-up of
// any service. opened, if there is one, learns of the database before the
// migrations run. The report is valid beside an error too.
func (s *service) boot(ctx context.Context, opened func(*tldwdb.DB)) (*tldwdb.DB, report, error) {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.timeout, fmt.Errorf("the start took longer than -timeout %v", s.timeout))
		defer cancel()
	}
	start := time.Now()
	db, err := tldwdb.Open(ctx, s.cfg)
	if err != nil {
		return nil, newReport(&tldwdb.Result{}, start, err), ended(ctx, false, err)
	}
	if opened != nil {
		opened(db)
	}
	res, err := db.Up(ctx)
	r := newReport(res, start, err)
	if err != nil {
		return nil, r, errors.Join(ended(ctx, res.Locked, err), db.Close())
	}
	return db, r, nil
}

func newReport(res *tldwdb.Result, start time.Time, err error) report {
	r := report{PID: os.Getpid(), Role: roleNothing, Applied: []string{}, Version: res.After, WaitedMS: milliseconds(res.Waited), WaitedFor: res.Holder, ReadyMS: milliseconds(time.Since(start))}
	for _, a := range res.Applied {
		r.Applied = append(r.Applied, a.Migration.String())
	}
	switch {
	case err != nil:
		r.Role = roleFailed
	case len(r.Applied) > 0:
		r.Role = roleMigrated
	case res.Locked || res.Waited > 0:
		r.Role = roleWaited
	}
	return r
}

// ended says what a signal or -timeout has left behind, when one of them is
// why the start failed.
func ended(ctx context.Context, locked bool, err error) error {
	if ctx.Err() == nil {
		return err
	}
	left := "no migration had begun"
	if locked {
		left = "the migration in progress was interrupted; what ran in a transaction was rolled back, anything else is in the journal, and the next start goes on from there"
	}
	return fmt.Errorf("%w: %s: %w", context.Cause(ctx), left, err)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// migrate is -once without -workers.
func (s *service) migrate(ctx context.Context) error {
	db, r, err := s.boot(ctx, nil)
	if err != nil {
		return err
	}
	return errors.Join(s.print(r, r.text()), db.Close())
}

// text is the report of a process that became ready, as one line.
func (r report) text() string {
	did := "nothing to do"
	switch r.Role {
	case roleMigrated:
		did = "applied " + strings.Join(r.Applied, ", ")
	case roleWaited:
		did = "another process applied the migrations"
	}
	return fmt.Sprintf("ready after %s at version %d: %s\n", ms(r.ReadyMS), r.Version, did)
}

// print writes value under -json, and text otherwise.
func (s *service) print(value any, text string) error {
	if s.json {
		return json.NewEncoder(s.stdout).Encode(value)
	}
	_, err := fmt.Fprint(s.stdout, text)
	return err
}

// ms shows milliseconds with the digits that mean something.
func ms(v float64) string {
	if v < 10 {
		return fmt.Sprintf("%.1f ms", v)
	}
	return fmt.Sprintf("%.0f ms", v)
}
