package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// FreshSecret reports whether Config.Password is asked because what it gave before
// will not do: the server has refused it, or [DB.Rotate] is to replace it. A
// callback that answers from a cache fetches the secret anew then.
func FreshSecret(ctx context.Context) bool { return dialect.WhyAsked(ctx) != dialect.AskUsual }

// Rotate makes every connection of the pool sign in anew. It asks for the log-in
// (Config.Password, Config.PasswordFile or the file that the URL came from; see
// [FreshSecret]), proves it by a connection of its own, and then retires the
// connections that are there: idle ones at once, those in use when they come back.
// No statement is cut off. Rotate does not wait for the last one.
//
// A secret in a file is followed without this call. It is for a callback, whose
// answers may be different each time, and for whoever wants to know that a new
// secret is good while the old one still is.
//
// When the new secret is refused, or the server is away, the error says so and the
// old connections stay. The roads of Config.MigrateURL and Config.MonitorURL are proved
// too, where they are set. SQLite has
// no log-in, and Rotate does nothing there. It fails on a pool given to [Attach],
// which is its owner's to rotate.
func (db *DB) Rotate(ctx context.Context) error {
	if db.dialectName == dialect.NameSQLite {
		return nil
	}
	if len(db.owned) == 0 {
		return errors.New("rotate: the pool was given to Attach, and is its owner's")
	}
	err := db.prove(ctx, db.url, db.connectOptions(db.url, dialect.ConnectOptions{}))
	if db.migrateURL.Dialect != "" {
		err = errors.Join(err, db.prove(ctx, db.migrateURL, db.connectOptions(db.migrateURL, dialect.ConnectOptions{Migration: true})))
	}
	if u := db.cfg.monitorURL; u.Dialect != "" {
		err = errors.Join(err, db.prove(ctx, u, db.monitorOptions(u)))
	}
	return err
}

// prove signs in with what is to be in force from now on. That it works is what
// retires the older connections of the road.
func (db *DB) prove(ctx context.Context, u dburl.URL, o dialect.ConnectOptions) error {
	connector, err := dialect.Connector(u, o)
	if err != nil {
		return fmt.Errorf("rotate %s: %w", u, err)
	}
	conn, err := connector.Connect(dialect.Once(dialect.WithAsking(ctx, dialect.AskRotate)))
	if err != nil {
		return db.advise(fmt.Errorf("rotate %s: %w", u, err))
	}
	_ = conn.Close() // it has proved what it was made for
	return nil
}

// errOtherDatabase is a URL file that leads elsewhere now.
var errOtherDatabase = errors.New("the file now names another server, database or parameter, and not another log-in alone: the process goes on with what it was started with until it is restarted")

// loginSource is where the log-in of one road comes from. A file that cannot be
// used, because it is just being written or holds nonsense, does not take a
// service down whose last log-in still works.
type loginSource struct {
	url      dburl.URL
	urlFrom  string // the variable that names urlFile
	urlFile  string // empty: the URL's log-in is fixed
	password func(context.Context) (string, error)
	file     string // with the password; counts where there is no callback
	log      *slog.Logger

	mu         sync.Mutex
	last       dialect.Login
	answered   bool
	complained string
}

// credentials are what connectors take. wait bounds how long a refusal is waited
// out.
func (s *loginSource) credentials(wait time.Duration) *dialect.Credentials {
	switch {
	case s.password != nil:
		// Each answer may be a new token, good for connecting as the one before was:
		// that is no reason to replace what is connected.
		return dialect.NewCredentials(s.ask, false, wait, s.log)
	case s.file != "" || s.urlFile != "":
		return dialect.NewCredentials(s.ask, true, wait, s.log)
	}
	return dialect.NewCredentials(nil, false, wait, s.log)
}

// ask gives the log-in of now, or the last one while a file is of no use.
func (s *loginSource) ask(ctx context.Context) (dialect.Login, error) {
	l, fileErr, err := s.read(ctx)
	if err != nil {
		return dialect.Login{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if fileErr == nil {
		s.last, s.answered, s.complained = l, true, ""
		return l, nil
	}
	why := dialect.WhyAsked(ctx)
	if !s.answered || why == dialect.AskRotate || why == dialect.AskRefused && errors.Is(fileErr, errOtherDatabase) {
		return dialect.Login{}, fileErr
	}
	if text := fileErr.Error(); text != s.complained {
		s.complained = text
		s.log.WarnContext(ctx, "a file with a secret cannot be used: the secret before stays in force", "error", fileErr)
	}
	return s.last, nil
}

// read reads the files and asks the callback. What is wrong with a file is told
// apart from everything else.
func (s *loginSource) read(ctx context.Context) (l dialect.Login, fileErr, err error) {
	if s.urlFile != "" {
		u, err := s.readURL()
		if err != nil {
			return l, err, nil
		}
		l.User = u.User
		if password, given := u.Password(); given {
			l.Password = dialect.NewSecret(password)
		}
	}
	switch {
	case s.password != nil:
		password, err := s.password(ctx)
		if err != nil {
			return l, nil, err
		}
		l.Password = dialect.NewSecret(password)
	case s.file != "":
		password, err := readPassword("Config.PasswordFile (TLDWDB_PASSWORD_FILE)", s.file)
		if err == nil && password == "" {
			err = errors.New("Config.PasswordFile (TLDWDB_PASSWORD_FILE): the file is empty")
		}
		if err != nil {
			return l, err, nil
		}
		l.Password = dialect.NewSecret(password)
	}
	return l, nil, nil
}

// readURL reads the URL anew, which may have another log-in and nothing else.
func (s *loginSource) readURL() (dburl.URL, error) {
	text, err := readSecret(s.urlFrom, s.urlFile)
	if err != nil {
		return dburl.URL{}, err
	}
	u, err := dburl.Parse(text)
	if err == nil && !u.SameDatabase(s.url) {
		err = errOtherDatabase
	}
	if err != nil {
		return dburl.URL{}, fmt.Errorf("%s: %w", s.urlFrom, err)
	}
	return u, nil
}

// useLogins sets up what connections of each road sign in with.
func (db *DB) useLogins() {
	if db.cfg.login != nil {
		db.login, db.migrateLogin, db.monitorLogin = db.cfg.login, db.cfg.login, db.cfg.login
		return
	}
	db.monitorLogin = (&loginSource{url: db.cfg.monitorURL, urlFrom: db.cfg.monitorURLFrom, urlFile: db.cfg.monitorURLFile, log: db.log}).credentials(db.cfg.ConnectTimeout)
	db.login = (&loginSource{url: db.url, urlFrom: db.cfg.urlFrom, urlFile: db.cfg.urlFile,
		password: db.cfg.Password, file: db.cfg.PasswordFile, log: db.log}).credentials(db.cfg.ConnectTimeout)
	if db.migrateURL.Dialect == "" {
		db.migrateLogin = db.login
		return
	}
	s := &loginSource{url: db.migrateURL, urlFrom: db.cfg.migrateURLFrom, urlFile: db.cfg.migrateURLFile, log: db.log}
	if _, own := db.migrateURL.Password(); !own {
		s.password, s.file = db.cfg.Password, db.cfg.PasswordFile
	}
	db.migrateLogin = s.credentials(db.cfg.ConnectTimeout)
}

// How often files with secrets are looked at where nobody needs a new connection, and
// how seldom a new secret is tried that the server does not know yet: an account may
// be locked after a number of failures.
const (
	lookEvery  = 5 * time.Second
	lookRarely = 5 * time.Minute
)

// secretWatch notices that a file has changed while the pool has all the connections
// that it needs. A new secret is proved first, so that the old connections outlive a
// file that came too early. It is a timer and no goroutine, and reading a small file:
// not every file system tells of changes, and none of the links that Kubernetes
// replaces.
type secretWatch struct {
	db   *DB
	ctx  context.Context // ends at Close
	stop context.CancelFunc

	mu    sync.Mutex
	timer *time.Timer
	pause time.Duration
}

func (db *DB) watchSecrets() {
	if db.dialectName == dialect.NameSQLite || db.cfg.login != nil || !db.login.Follows() {
		return
	}
	w := &secretWatch{db: db, pause: lookEvery}
	w.ctx, w.stop = context.WithCancel(context.Background())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer = time.AfterFunc(w.pause, w.look)
	db.secrets = w
}

// look is what the timer does.
func (w *secretWatch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ctx.Err() != nil {
		return
	}
	next := lookEvery
	if w.db.login.Pending(w.ctx) {
		ctx, cancel := context.WithTimeout(w.ctx, w.db.cfg.ConnectTimeout)
		defer cancel()
		if err := w.db.prove(ctx, w.db.url, w.db.connectOptions(w.db.url, dialect.ConnectOptions{})); err != nil && w.ctx.Err() == nil {
			w.pause = min(2*w.pause, lookRarely)
			next = w.pause
			w.db.log.Warn("a new secret does not work yet: connections with the old one stay", "error", err, "next", next)
		}
	}
	if next == lookEvery {
		w.pause = lookEvery
	}
	w.timer.Reset(next)
}

// end stops the watch, and returns when it has stopped.
func (w *secretWatch) end() {
	if w == nil {
		return
	}
	w.stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
}

// retirement closes the connections of a pool that signed in with a log-in which
// has been replaced. database/sql has one way to be rid of a connection that never
// fails a request, its age; so for as long as there are old ones the age limit of
// the pool is what has passed since the change. The driver's own way, to call a
// connection bad, is handed on to the caller at the third time.
type retirement struct {
	pool     *sqlx.DB
	logins   *dialect.Credentials
	lifetime time.Duration // the pool's usual age limit; 0: none
	log      *slog.Logger
	forget   func()

	mu    sync.Mutex
	since time.Time // of the newest change
	timer *time.Timer
	ended bool
}

const (
	// retireEvery is how often the age limit is moved on. At first no connection made
	// after the change may reach it between two times, or under load each would be closed
	// behind its first use: the limit is ahead by as much. But it does not reach those that
	// were made right before the change and that nobody uses. After two times it
	// is behind by as much, and those that were made around the change are replaced once.
	retireEvery = 250 * time.Millisecond
	// noLimit stands in for none: database/sql only looks at its idle connections
	// when an age limit is lowered.
	noLimit = 10 * 365 * 24 * time.Hour
)

func newRetirement(pool *sqlx.DB, logins *dialect.Credentials, lifetime time.Duration, log *slog.Logger) *retirement {
	r := &retirement{pool: pool, logins: logins, lifetime: lifetime, log: log}
	r.forget = logins.OnRetire(r.start)
	return r
}

// start begins, or begins anew after another change.
func (r *retirement) start() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	r.since = time.Now()
	r.log.Info("the log-in has changed: connections with the old one are replaced", "connections", r.logins.Outdated())
	if r.timer != nil {
		r.timer.Stop()
	}
	r.step()
}

// step moves the age limit on. r.mu is held.
func (r *retirement) step() {
	r.timer = nil
	r.pool.SetConnMaxLifetime(noLimit)
	passed := time.Since(r.since)
	if r.logins.Outdated() == 0 || r.lifetime > 0 && passed > r.lifetime {
		r.pool.SetConnMaxLifetime(r.lifetime)
		r.log.Info("the connections with the old log-in are gone", "took", passed.Round(time.Millisecond))
		return
	}
	limit := passed + retireEvery
	if passed >= 2*retireEvery {
		limit = passed - retireEvery
	}
	r.pool.SetConnMaxLifetime(limit)
	r.timer = time.AfterFunc(retireEvery, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.ended {
			r.step()
		}
	})
}

// stop ends it with its pool.
func (r *retirement) stop() {
	r.forget()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	if r.timer != nil {
		r.timer.Stop()
	}
}

// readPassword reads a password file. Only the line's end is cut: a password may
// begin or end with a blank.
func readPassword(name, file string) (string, error) {
	text, err := readSecret(name, file)
	return strings.TrimRight(text, "\r\n"), err
}
