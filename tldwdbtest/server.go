package tldwdbtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// On a server, everything that is ours has the mark in its name, behind the name of
// the database in the server's URL, because rights are often given by such a pattern:
//
//	app_tldwdbtest_t_KEY              a template
//	app_tldwdbtest_p_KEY              a template of one build of one program
//	app_tldwdbtest_s_KEY_NUMBER       a database that one test leaves to the next: see spare.go
//	app_tldwdbtest_RUN_SECONDS_NUMBER a database of the process RUN
//
// Each process holds one lock for its whole life, by which others see that it lives.
// Nothing without the mark is ever dropped, and nothing of a living process.
const mark = "_tldwdbtest_"

const (
	maxName = 63 // bytes: PostgreSQL's limit, and one below MySQL's

	// controlConns is how many databases a process makes or drops at once.
	controlConns = 4
	// spareConns is how many connections of a server are left to others.
	spareConns = 10
	// slotWait is how long a test waits until others have ended that use as many
	// connections as the server has. Then it goes on, for the count is a guess.
	slotWait = time.Minute
	// slotPatience is how long a test waits before it says so.
	slotPatience = 3 * time.Second
)

// engine is what differs between servers. Each call has a session of its own.
type engine interface {
	// lock takes the session's lock of a name without waiting; unlock gives it back.
	lock(ctx context.Context, c *sql.Conn, name string) (bool, error)
	unlock(ctx context.Context, c *sql.Conn, name string) error
	// stay keeps the server from ending the session because it is idle.
	stay(ctx context.Context, c *sql.Conn) error
	// limit is how many connections this account may have.
	limit(ctx context.Context, c *sql.Conn) (int, error)
	// found lists the databases whose names begin with prefix and that the account may drop.
	found(ctx context.Context, c *sql.Conn, prefix string) ([]foundDatabase, error)
	drop(ctx context.Context, c *sql.Conn, name string) error
	// has reports whether the template is whole, and says in it that it is in use.
	has(ctx context.Context, c *sql.Conn, name string) (bool, error)
	make(ctx context.Context, c *sql.Conn, name string) error
	// seal makes a database that has been filled a template.
	seal(ctx context.Context, c *sql.Conn, name string) error
	// clone fails with errNoTemplate when there is none.
	clone(ctx context.Context, c *sql.Conn, t *template, from, name string) error
	// restore makes the database of db what it was.
	restore(ctx context.Context, c *sql.Conn, db *tldwdb.DB, t *template, from, name string) error
	// keep says in the database that it is to be kept.
	keep(ctx context.Context, c *sql.Conn, name, test string) error
	noRight(err error) bool
	grant(user, prefix string) string
	tool(u dburl.URL) string
}

// foundDatabase is a database that has the mark.
type foundDatabase struct {
	name string
	used time.Duration // since a template was used, or since a spare was kept
	half bool          // of a template, that it is not whole
	kept bool
	busy bool // somebody is connected, if only a worker of autovacuum: not to be dropped now
}

// server is the house of one server.
type server struct {
	engine
	raw     string
	url     dburl.URL
	kind    Engine
	prefix  string
	run     string
	pool    *sql.DB
	counter atomic.Int64
	templates

	spares

	mu      sync.Mutex
	session *sql.Conn // holds the locks of this process
	slots   []int     // that this process has
	held    []string  // databases with names that stay, which are this process's
	room    int       // how many slots there are
	// patience is slotPatience.
	patience time.Duration
	first    int // the slot to begin with: another one in each process
}

var (
	serversMu sync.Mutex
	servers   = map[string]*server{}

	// keepsSpare says that [Main] will drop what tests have left for each other.
	keepsSpare atomic.Bool
)

// houseOf finds the house that a database is to be made in.
func houseOf(ctx context.Context, at target) (house, error) {
	if at.engine == SQLite {
		return theFolder()
	}
	serversMu.Lock()
	defer serversMu.Unlock()
	key := string(at.engine) + " " + at.url
	if s := servers[key]; s != nil {
		return s, nil
	}
	s, err := newServer(ctx, at)
	if err != nil {
		return nil, err
	}
	servers[key] = s
	return s, nil
}

// closeServers closes what is shared by the tests of this process.
func closeServers() error {
	serversMu.Lock()
	defer serversMu.Unlock()
	var errs []error
	for key, s := range servers {
		errs = append(errs, s.dropSpare(), s.close())
		delete(servers, key)
	}
	return errors.Join(errs...)
}

func newServer(ctx context.Context, at target) (_ *server, err error) {
	u, err := dburl.Parse(at.url)
	if err != nil {
		return nil, err
	}
	s := &server{raw: at.url, url: u, kind: at.engine, prefix: prefixOf(u), run: fmt.Sprintf("%08x", rand.Uint32()), patience: slotPatience}
	control := u
	switch u.Dialect {
	case dburl.Postgres:
		s.engine = &postgres{}
	default:
		s.engine = &mysql{database: u.Database, urlOf: s.urlOf, newName: s.newName}
		// A template is copied by one packet with all statements.
		many, err := withDatabase(at.url, u.Database, "multiStatements=true")
		if err != nil {
			return nil, err
		}
		if control, err = dburl.Parse(many); err != nil {
			return nil, err
		}
	}
	connector, err := dialect.Connector(control, dialect.ConnectOptions{Application: "tldwdbtest:" + s.run, ConnectTimeout: 10 * time.Second, ReconnectWait: 10 * time.Second, PrePing: true})
	if err != nil {
		return nil, err
	}
	s.pool = sql.OpenDB(connector)
	s.pool.SetMaxOpenConns(controlConns + 1)
	s.pool.SetMaxIdleConns(2)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.locked(ctx, func(c *sql.Conn) error {
		if m, ok := s.engine.(*mysql); ok {
			return m.start(ctx, c)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", u, err)
	}
	return s, s.sweep(ctx)
}

func (s *server) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.session != nil {
		err = s.session.Close()
		s.session = nil
	}
	return errors.Join(err, s.pool.Close())
}

// prefixOf is what the names of all that is ours begin with.
func prefixOf(u dburl.URL) string {
	database := u.Database
	if database == "" && u.Dialect == dburl.Postgres {
		database = u.User
	}
	const room = maxName - len(mark) - len("12345678_1234567_123456")
	if len(database) > room {
		sum := sha256.Sum256([]byte(database))
		database = strings.ToValidUTF8(database[:room-9], "") + "_" + hex.EncodeToString(sum[:4])
	}
	return database + mark
}

// lockName is the name of a lock. On MySQL it is the whole server's, and may have 64
// bytes.
func (s *server) lockName(what string) string {
	sum := sha256.Sum256([]byte(s.prefix + what))
	return "tldwdbtest:" + hex.EncodeToString(sum[:16])
}

// connect makes a connection, waiting while the server has no room for one.
func (s *server) connect(ctx context.Context) (*sql.Conn, error) {
	end := time.Now().Add(slotWait)
	for {
		conn, err := s.pool.Conn(ctx)
		if err == nil || !dialect.Unreachable(err) || dialect.FaultOf(err) != dialect.FaultTooMany || time.Now().After(end) {
			return conn, err
		}
		if err := pause(ctx); err != nil {
			return nil, err
		}
	}
}

// on calls f with a connection.
func (s *server) on(ctx context.Context, f func(*sql.Conn) error) (err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := conn.Close(); err == nil && !errors.Is(closeErr, sql.ErrConnDone) {
			err = closeErr
		}
	}()
	return f(conn)
}

// locked calls f with the session that has this process's locks. A session that was
// lost is replaced, and what it had is taken again. s.mu is held.
func (s *server) locked(ctx context.Context, f func(*sql.Conn) error) error {
	if s.session != nil {
		err := f(s.session)
		if err == nil || ctx.Err() != nil || s.session.PingContext(ctx) == nil {
			return err
		}
		_ = s.session.Close() // it is broken
		s.session = nil
	}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	if err := s.stay(ctx, conn); err != nil {
		return errors.Join(err, conn.Close())
	}
	names := []string{"run " + s.run}
	for _, n := range s.slots {
		names = append(names, "slot "+strconv.Itoa(n))
	}
	for i, name := range names {
		// A slot may have been taken meanwhile; the sign of life cannot.
		if got, err := s.lock(ctx, conn, s.lockName(name)); err != nil || !got && i == 0 {
			return errors.Join(fmt.Errorf("taking the lock by which others see that this process lives: %w", err), conn.Close())
		}
	}
	var held []string
	for _, name := range s.held {
		got, err := s.lock(ctx, conn, s.lockName(name))
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		if got { // otherwise somebody else has taken the database over
			held = append(held, name)
		}
	}
	s.held = held
	if s.room == 0 {
		limit, err := s.limit(ctx, conn)
		if err != nil {
			return errors.Join(err, conn.Close())
		}
		s.room = max(1, (limit-spareConns)/defaultPoolSize)
		s.first = rand.IntN(s.room)
	}
	s.session = conn
	return f(conn)
}

// take waits until the server has room for n slots of connections.
func (s *server) take(ctx context.Context, tb TB, n int) (release func(), err error) {
	var mine []int
	release = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
		defer cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.slots = slices.DeleteFunc(s.slots, func(slot int) bool { return slices.Contains(mine, slot) })
		for _, slot := range mine {
			if s.session != nil { // a lost session has given it back
				_ = s.unlock(ctx, s.session, s.lockName("slot "+strconv.Itoa(slot)))
			}
		}
	}
	began, told := time.Now(), false
	for len(mine) < min(n, s.room) {
		slot, err := s.tryTake(ctx)
		if err != nil {
			release()
			return nil, err
		}
		if slot >= 0 {
			mine = append(mine, slot)
			continue
		}
		waited := time.Since(began)
		if waited > slotWait {
			break // whoever has them may be waiting for us
		}
		if !told && waited >= s.patience {
			told = true
			tb.Logf("tldwdbtest: waiting for other tests: there are connections for %d databases at a time, and all are in use; the server's max_connections, and Config.Base.PoolSize, decide how many", s.room)
		}
		if err := pause(ctx); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}

// tryTake takes one slot, or returns -1. Processes begin to look at places of their own.
func (s *server) tryTake(ctx context.Context) (slot int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	slot = -1
	err = s.locked(ctx, func(c *sql.Conn) error {
		for i := range s.room {
			n := (s.first + i) % s.room
			if slices.Contains(s.slots, n) {
				continue
			}
			got, err := s.lock(ctx, c, s.lockName("slot "+strconv.Itoa(n)))
			if err != nil {
				return err
			}
			if got {
				s.slots = append(s.slots, n)
				slot = n
				return nil
			}
		}
		return nil
	})
	return slot, err
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(20 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

func (s *server) template(cfg Config, at target) (*template, error) {
	return s.get(cfg, at.engine, s.url.User)
}

func (s *server) templateName(t *template) string {
	if t.own {
		return s.prefix + "p_" + t.key
	}
	return s.prefix + "t_" + t.key
}

func (s *server) look(ctx context.Context, t *template) (ok bool, err error) {
	err = s.on(ctx, func(c *sql.Conn) error {
		ok, err = s.has(ctx, c, s.templateName(t))
		return err
	})
	return ok, err
}

func (s *server) try(ctx context.Context, t *template) (func(), bool, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	name := s.lockName("template " + t.key)
	got, err := s.lock(ctx, conn, name)
	if err != nil || !got {
		return nil, false, errors.Join(err, conn.Close())
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
		defer cancel()
		_ = s.unlock(ctx, conn, name) // a session that was lost has given it back
		_ = conn.Close()
	}, true, nil
}

func (s *server) build(ctx context.Context, t *template) error {
	name := s.templateName(t)
	return s.on(ctx, func(c *sql.Conn) (err error) {
		// There may be half of one, by a process that was killed.
		if err := s.engine.drop(ctx, c, name); err != nil {
			return s.explain(err)
		}
		defer func() {
			if err != nil {
				clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
				defer cancel()
				err = errors.Join(err, s.on(clean, func(c *sql.Conn) error { return s.engine.drop(clean, c, name) }))
			}
		}()
		if err := s.make(ctx, c, name); err != nil {
			return s.explain(err)
		}
		url, err := s.urlOf(name)
		if err != nil {
			return err
		}
		if err := t.fillIn(ctx, url); err != nil {
			return err
		}
		return s.seal(ctx, c, name)
	})
}

// explain says what the account lacks.
func (s *server) explain(err error) error {
	if s.noRight(err) {
		return fmt.Errorf("%w\n\tthe account may not create databases here. Give it the right: %s", err, s.grant(s.url.User, s.prefix))
	}
	return err
}

func (s *server) urlOf(name string) (string, error) { return withDatabase(s.raw, name, "") }

func (s *server) drop(ctx context.Context, t *template) error {
	return s.on(ctx, func(c *sql.Conn) error { return s.engine.drop(ctx, c, s.templateName(t)) })
}

func (s *server) clone(ctx context.Context, t *template, tb TB) (_ *place, err error) {
	name, clean, err := s.begin(ctx, t)
	if err != nil {
		return nil, err
	}
	p := &place{config: t.cfg.base(), name: name}
	p.drop = func(ctx context.Context) error { return s.end(ctx, t, name) }
	if p.config.URL, err = s.urlOf(name); err != nil {
		return nil, errors.Join(err, p.drop(ctx))
	}
	if p.release, err = s.take(ctx, tb, (p.config.PoolSize+defaultPoolSize-1)/defaultPoolSize); err != nil {
		return nil, errors.Join(err, p.drop(ctx))
	}
	p.restore = func(ctx context.Context, db *tldwdb.DB) error {
		return s.on(ctx, func(c *sql.Conn) error { return s.restore(ctx, c, db, t, s.templateName(t), name) })
	}
	p.keep = func(ctx context.Context, test string) (show, tool string, err error) {
		u := s.url
		u.Database = name
		err = s.on(ctx, func(c *sql.Conn) error { return s.keep(ctx, c, name, test) })
		return u.String(), s.tool(u), errors.Join(err, s.letGo(ctx, name), s.ended(ctx, t, ""))
	}
	defer s.prepare(t)
	if clean {
		return p, nil
	}
	if err := s.on(ctx, func(c *sql.Conn) error { return s.engine.clone(ctx, c, t, s.templateName(t), name) }); err != nil {
		return nil, errors.Join(s.explain(err), p.undo(ctx))
	}
	return p, nil
}

// sweep drops what killed processes have left, and what nobody has used for long. What
// cannot be dropped is no test's trouble: the next process tries again. s.mu is held.
func (s *server) sweep(ctx context.Context) error {
	return s.on(ctx, func(c *sql.Conn) error {
		list, err := s.found(ctx, c, s.prefix)
		if err != nil {
			return err
		}
		dead := map[string]bool{s.run: false}
		used := map[string]time.Duration{} // of the templates that are there, by key
		for _, d := range list {
			if kind, key, ok := strings.Cut(strings.TrimPrefix(d.name, s.prefix), "_"); ok && (kind == "t" || kind == "p") {
				used[key] = d.used
			}
		}
		for _, d := range list {
			kind, rest, ok := strings.Cut(strings.TrimPrefix(d.name, s.prefix), "_")
			seconds, number, isClone := strings.Cut(rest, "_")
			made, timeErr := strconv.ParseInt(seconds, 36, 64)
			_, numberErr := strconv.ParseInt(number, 36, 64)
			switch {
			case !ok, d.busy:
			case !isClone && unused(kind, d):
				// Whoever makes it has the lock; whoever still uses it makes it again. It may
				// have become whole since it was listed.
				_ = s.underLock(ctx, c, "template "+rest, func() {
					now, err := s.found(ctx, c, d.name)
					if err == nil && slices.ContainsFunc(now, func(n foundDatabase) bool { return n.name == d.name && !n.busy && unused(kind, n) }) {
						_ = s.engine.drop(ctx, c, d.name)
					}
				})
			case kind == spareKind && isClone && numberErr == nil: // not a scratch database beside a spare one
				age, there := used[seconds] // which is the key here
				if d.kept && d.used > keptAge || !d.kept && (!there || age > spareAge) {
					_ = s.underLock(ctx, c, d.name, func() { _ = s.engine.drop(ctx, c, d.name) })
				}
			case len(kind) != len(s.run) || !isClone || timeErr != nil || numberErr != nil:
			case d.kept:
				if time.Since(time.Unix(made, 0)) > keptAge {
					_ = s.engine.drop(ctx, c, d.name)
				}
			case kind != s.run:
				if _, asked := dead[kind]; !asked {
					// The lock of a dead process stays ours until its databases are gone.
					got, err := s.lock(ctx, c, s.lockName("run "+kind))
					if err != nil {
						return err
					}
					dead[kind] = got
				}
				if dead[kind] {
					_ = s.engine.drop(ctx, c, d.name)
				}
			}
		}
		for run, is := range dead {
			if is {
				if err := s.unlock(ctx, c, s.lockName("run "+run)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// unused reports whether a template of that kind was not used for long, or never was whole.
func unused(kind string, d foundDatabase) bool {
	return kind == "t" && (d.half || d.used > templateAge) || kind == "p" && (d.half || d.used > programAge)
}

// underLock calls f if nobody else has the lock.
func (s *server) underLock(ctx context.Context, c *sql.Conn, what string, f func()) error {
	got, err := s.lock(ctx, c, s.lockName(what))
	if err != nil || !got {
		return err
	}
	f()
	return s.unlock(ctx, c, s.lockName(what))
}
