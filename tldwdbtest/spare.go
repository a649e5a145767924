package tldwdbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Databases that are there before a test wants them.
//
// A few databases of each template have names that stay on the server. What one process
// leaves the next one uses, and what nobody uses for an hour is dropped.
//
// PostgreSQL copies a database quickly, and cleans one slowly. There the database of the
// next test is made while one runs. It lets nobody in, which proves that it is as it was made;
// who renames it has it.
//
// MySQL and MariaDB make a database slowly, and clean one quickly. There a test cleans its
// database when it ends, and leaves it to the next one of the process. Whose a
// database is says a lock of the server's. A process that takes one over looks at it
// again, so that nothing has to say of a database that it is clean, and one that was
// killed leaves no more than others do.

const (
	// spareKind stands in the names of databases that stay.
	spareKind = "s"
	// sparesKept is how many of them a template has at most, and ownSparesKept that
	// of one build of a program. Tests in parallel that find none free have others,
	// which do not stay.
	sparesKept    = 4
	ownSparesKept = 1
	// spareNumbers is how many names there are: those of databases that were kept for
	// somebody to look at do not count.
	spareNumbers = 16
	// spareAge is how long the template was unused whose spares are dropped.
	spareAge = time.Hour
)

// recycler is an engine on which to clean a database takes a fraction of the time
// that making another one does.
type recycler interface {
	// recycle makes a database what it was at first, unless somebody is connected to
	// it or more than rows have changed.
	recycle(ctx context.Context, c *sql.Conn, t *template, from, name string) (bool, error)
	// takeOver does the same with what another process has left, if anything. What is of
	// no use is dropped. free is false for a database that is not to be touched.
	takeOver(ctx context.Context, c *sql.Conn, t *template, from, name string) (clean, free bool, err error)
}

// preparer is an engine that makes a database in little time, and cleans one in more.
type preparer interface {
	// prepare makes the database of a test that is to come, which lets nobody in, unless
	// the template is too large to have more of it than needed.
	prepare(ctx context.Context, c *sql.Conn, t *template, from, name string) error
	// prepared lists those databases whose names begin so.
	prepared(ctx context.Context, c *sql.Conn, prefix string) ([]string, error)
	// admit gives one to a test, under a name of its own. It reports false for one that
	// somebody else has got.
	admit(ctx context.Context, c *sql.Conn, name, to string) (bool, error)
}

// spares are what a process knows of the databases that its tests hand on.
type spares struct {
	useMu     sync.Mutex
	live      map[string]int      // databases of running tests, by the template's key
	spare     map[string][]string // clean ones that nobody has, on MySQL and MariaDB
	made      map[string]int      // how many tests have had one
	preparing sync.WaitGroup      // the next ones, on PostgreSQL
	coming    map[string]*upcoming
	closing   bool
}

// upcoming is a database that is being made.
type upcoming struct {
	done    chan struct{}
	awaited bool // by a test
}

// begin gives a database to a test: its name, and whether it is there already.
func (s *server) begin(ctx context.Context, t *template) (name string, clean bool, err error) {
	if name := s.pop(t); name != "" {
		return name, true, nil
	}
	switch e := s.engine.(type) {
	case recycler:
		name, clean, err = s.claim(ctx, e, t)
	case preparer:
		name, clean, err = s.fetch(ctx, e, t)
	}
	if err != nil {
		return "", false, errors.Join(err, s.ended(ctx, t, ""))
	}
	if name == "" {
		name = s.newName()
	}
	return name, clean, nil
}

// pop counts a test, and returns a clean database that this process has, if any.
func (s *server) pop(t *template) (name string) {
	s.useMu.Lock()
	defer s.useMu.Unlock()
	if s.live == nil {
		s.live, s.spare, s.made, s.coming = map[string]int{}, map[string][]string{}, map[string]int{}, map[string]*upcoming{}
	}
	s.live[t.key]++
	s.made[t.key]++
	for len(s.spare[t.key]) > 0 {
		list := s.spare[t.key]
		name, s.spare[t.key] = list[len(list)-1], list[:len(list)-1]
		if !s.stays(name) || s.holds(name) {
			return name
		}
	}
	return ""
}

func (s *server) newName() string {
	return fmt.Sprintf("%s%s_%s_%s", s.prefix, s.run, strconv.FormatInt(time.Now().Unix(), 36), strconv.FormatInt(s.counter.Add(1), 36))
}

func (s *server) spareName(t *template, number string) string {
	return s.prefix + spareKind + "_" + t.key + "_" + number
}

// stays reports whether a database is one that is left on the server.
func (s *server) stays(name string) bool { return strings.HasPrefix(name, s.prefix+spareKind+"_") }

// claim makes a database that stays this process's, if one is free: one that is clean, or
// a name without a database.
func (s *server) claim(ctx context.Context, r recycler, t *template) (name string, clean bool, err error) {
	left := sparesKept
	if t.own {
		left = ownSparesKept
	}
	for n := 0; n < spareNumbers && left > 0; n++ {
		name := s.spareName(t, strconv.Itoa(n))
		got, err := s.hold(ctx, name)
		if err != nil {
			return "", false, err
		}
		if !got {
			left--
			continue
		}
		free := false
		err = s.on(ctx, func(c *sql.Conn) (err error) {
			clean, free, err = r.takeOver(ctx, c, t, s.templateName(t), name)
			return err
		})
		if err == nil && free {
			return name, clean, nil
		}
		if err = errors.Join(err, s.letGo(ctx, name)); err != nil {
			return "", false, err
		}
	}
	return "", false, nil
}

// hold takes the lock of a database that stays, unless somebody has it, or this process.
func (s *server) hold(ctx context.Context, name string) (got bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.held, name) { // a session gets its own lock again
		return false, nil
	}
	err = s.locked(ctx, func(c *sql.Conn) error {
		got, err = s.lock(ctx, c, s.lockName(name))
		return err
	})
	if got {
		s.held = append(s.held, name)
	}
	return got, err
}

// holds reports whether a database that stays is still this process's: a session that
// was lost takes its locks with it, and somebody else may be quicker.
func (s *server) holds(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.held, name)
}

// letGo leaves a database that stays to others.
func (s *server) letGo(ctx context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.held, name)
	if i < 0 {
		return nil
	}
	s.held = slices.Delete(s.held, i, i+1)
	if s.session == nil { // it was lost, and the lock with it
		return nil
	}
	return s.unlock(ctx, s.session, s.lockName(name))
}

// fetch finds a database that was made beforehand, if there is one, or if one is on its way that no
// other test waits for: it is there before another one would be.
func (s *server) fetch(ctx context.Context, p preparer, t *template) (name string, found bool, err error) {
	look := func() error {
		return s.on(ctx, func(c *sql.Conn) error {
			list, err := p.prepared(ctx, c, s.spareName(t, ""))
			for _, spare := range list {
				if err == nil && !found {
					name = s.newName()
					found, err = p.admit(ctx, c, spare, name)
				}
			}
			return err
		})
	}
	if err = look(); err != nil || found {
		return name, found, err
	}
	s.useMu.Lock()
	next := s.coming[t.key]
	wait := next != nil && !next.awaited
	if wait {
		next.awaited = true
	}
	s.useMu.Unlock()
	if wait {
		select {
		case <-ctx.Done():
			return "", false, context.Cause(ctx)
		case <-next.done:
			err = look()
		}
	}
	return name, found, err
}

// prepare makes the database of the next test while this one runs. A package with a
// single test is spared that.
func (s *server) prepare(t *template) {
	s.useMu.Lock()
	defer s.useMu.Unlock()
	p, ok := s.engine.(preparer)
	if !ok || s.closing || s.made[t.key] < 2 || s.coming[t.key] != nil {
		return
	}
	next := &upcoming{done: make(chan struct{})}
	s.coming[t.key] = next
	s.preparing.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), housekeeping)
		defer cancel()
		_ = s.on(ctx, func(c *sql.Conn) error { // the next test makes one itself otherwise, and tells why it cannot
			list, err := p.prepared(ctx, c, s.spareName(t, ""))
			if err != nil || len(list) > 0 {
				return err
			}
			return p.prepare(ctx, c, t, s.templateName(t), s.spareName(t, strconv.Itoa(rand.IntN(sparesKept))))
		})
		s.useMu.Lock()
		delete(s.coming, t.key)
		s.useMu.Unlock()
		close(next.done)
	})
}

// end drops a database, or cleans it for the next test: always one that stays, and others
// while there are tests, since without [Main] nobody knows which one is the last.
func (s *server) end(ctx context.Context, t *template, name string) error {
	stays := s.stays(name)
	if stays && !s.holds(name) {
		return s.ended(ctx, t, "")
	}
	s.useMu.Lock()
	wanted := stays || s.live[t.key] > 1 || keepsSpare.Load()
	s.useMu.Unlock()
	if r, ok := s.engine.(recycler); ok && wanted {
		clean := false
		err := s.on(ctx, func(c *sql.Conn) (err error) {
			clean, err = r.recycle(ctx, c, t, s.templateName(t), name)
			return err
		})
		// What keeps it from being cleaned, a lock for instance, is no reason not to drop it.
		if err == nil && clean {
			return s.ended(ctx, t, name)
		}
	}
	return errors.Join(s.dropAll(ctx, name), s.letGo(ctx, name), s.ended(ctx, t, ""))
}

// ended notes that a test is over, with a clean database or none.
func (s *server) ended(ctx context.Context, t *template, clean string) error {
	s.useMu.Lock()
	s.live[t.key]--
	if clean != "" {
		s.spare[t.key] = append(s.spare[t.key], clean)
	}
	var last []string
	if s.live[t.key] == 0 && !keepsSpare.Load() {
		last = slices.DeleteFunc(slices.Clone(s.spare[t.key]), s.stays)
		s.spare[t.key] = slices.DeleteFunc(s.spare[t.key], func(name string) bool { return !s.stays(name) })
	}
	s.useMu.Unlock()
	return s.dropAll(ctx, last...)
}

func (s *server) dropAll(ctx context.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		errs = append(errs, s.on(ctx, func(c *sql.Conn) error { return s.engine.drop(ctx, c, name) }))
	}
	return errors.Join(errs...)
}

// dropSpare drops what was kept for tests that did not come, and leaves what stays to
// other processes.
func (s *server) dropSpare() error {
	ctx, cancel := context.WithTimeout(context.Background(), housekeeping)
	defer cancel()
	s.useMu.Lock()
	s.closing = true
	s.useMu.Unlock()
	s.preparing.Wait()
	s.useMu.Lock()
	defer s.useMu.Unlock()
	s.closing = false
	var errs []error
	for key, list := range s.spare {
		for _, name := range list {
			if s.stays(name) {
				errs = append(errs, s.letGo(ctx, name))
			} else {
				errs = append(errs, s.dropAll(ctx, name))
			}
		}
		delete(s.spare, key)
	}
	return errors.Join(errs...)
}
