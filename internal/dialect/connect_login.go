package dialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"
)

// Login is what a connection signs in with. It prints without the password.
type Login struct {
	User     string // empty: the URL's
	Password Secret
}

// Secret is a text that no kind of printing shows. The zero value stands for none:
// the URL's own password, or what the driver finds elsewhere, is used.
type Secret struct{ reveal func() string }

// NewSecret wraps a text, which may be empty.
func NewSecret(text string) Secret { return Secret{func() string { return text }} }

// Reveal returns the text, and whether there is one.
func (s Secret) Reveal() (text string, given bool) {
	if s.reveal == nil {
		return "", false
	}
	return s.reveal(), true
}

func (l Login) equal(other Login) bool {
	mine, given := l.Password.Reveal()
	theirs, givenToo := other.Password.Reveal()
	return l.User == other.User && mine == theirs && given == givenToo
}

// Asking says why a log-in is asked for.
type Asking int

// The reasons to ask for a log-in.
const (
	AskUsual   Asking = iota // a connection is made
	AskRefused               // the server has refused the last answer
	AskRotate                // what was in force so far shall be replaced: no answer but a new one will do
)

type askingKey struct{}

// WithAsking marks the context of a question for a log-in with its reason.
func WithAsking(ctx context.Context, why Asking) context.Context {
	return context.WithValue(ctx, askingKey{}, why)
}

// WhyAsked is the reason that ctx is marked with.
func WhyAsked(ctx context.Context) Asking {
	why, _ := ctx.Value(askingKey{}).(Asking)
	return why
}

// Credentials gives the connections of one road to a database their log-in, and
// knows which sessions signed in with one that has been replaced. All pools of the
// road share it.
//
// A secret and the server's idea of it never change at the same instant. So a
// log-in that is refused is not the end: the secret is asked for once more, the one
// that worked last is tried, for it may be the newer one that the server does not
// know yet, and both again, with growing pauses, until wait is over. That time runs
// once, from the first refusal after a success: a service whose secret is plainly
// wrong answers at once after it. One connection at a time goes through this, or a
// large pool would get its account locked.
type Credentials struct {
	ask    func(context.Context) (Login, error) // nil: there is nobody to ask
	follow bool                                 // a log-in that is new and works replaces the old one by itself
	wait   time.Duration
	logger *slog.Logger

	asking    sync.Mutex    // where answers are followed: their order is that of the questions
	struggles chan struct{} // holds one: who deals with refusals

	mu       sync.Mutex
	last     version // of the newest answer
	good     version // the newest that the server has taken; number 0: none
	refused  time.Time
	newest   uint64         // number of the newest version
	oldest   uint64         // sessions below signed in with what has been replaced
	sessions map[uint64]int // open ones, by the number of their log-in
	retire   []*func()
}

// version is a log-in with the number of its appearance.
type version struct {
	Login
	number uint64
}

// NewCredentials returns credentials that ask for a log-in at every new
// connection; ask may be nil. follow says that a change of the answer is an event:
// sessions that signed in with the old one are then to be replaced as soon as the
// new one has worked. It is not for tokens, of which each is new. wait is for how
// long a refusal is taken to be the middle of a change.
func NewCredentials(ask func(context.Context) (Login, error), follow bool, wait time.Duration, logger *slog.Logger) *Credentials {
	return &Credentials{ask: ask, follow: follow, wait: wait, logger: logger, struggles: make(chan struct{}, 1), sessions: map[uint64]int{}}
}

// Follows reports whether a change of the answer is an event.
func (c *Credentials) Follows() bool { return c.follow }

// OnRetire adds a function that is called whenever sessions have become outdated,
// until forget is called. It must not wait for a connection.
func (c *Credentials) OnRetire(f func()) (forget func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.retire = append(c.retire, &f)
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.retire = slices.DeleteFunc(c.retire, func(other *func()) bool { return other == &f })
	}
}

// Outdated is the number of open sessions that signed in with a log-in which has
// been replaced.
func (c *Credentials) Outdated() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for number, open := range c.sessions {
		if number < c.oldest {
			n += open
		}
	}
	return n
}

// Pending asks for the log-in, and reports whether it is newer than any that the
// server has taken.
func (c *Credentials) Pending(ctx context.Context) bool {
	v, err := c.current(ctx, AskUsual)
	if err != nil {
		return false // who needs a connection gets the error
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return v.number > c.good.number
}

// current asks for the log-in.
func (c *Credentials) current(ctx context.Context, why Asking) (version, error) {
	if c.ask == nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		if why == AskRotate || c.newest == 0 {
			c.newest++
		}
		return version{number: c.newest}, nil
	}
	if c.follow {
		c.asking.Lock()
		defer c.asking.Unlock()
	}
	l, err := c.ask(WithAsking(ctx, why))
	if err != nil {
		return version{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest == 0 || why == AskRotate || !l.equal(c.last.Login) {
		c.newest++
		c.last = version{l, c.newest}
	}
	return c.last, nil
}

// worked notes that the server has taken a log-in, and has the sessions of an
// older one replaced if the new one is to be followed.
func (c *Credentials) worked(v version, replace bool) {
	c.mu.Lock()
	c.refused = time.Time{}
	first := c.good.number == 0
	var retire []*func()
	if v.number > c.good.number {
		c.good = v
		if replace || c.follow && !first {
			c.oldest = v.number
			retire = slices.Clone(c.retire)
		}
	}
	c.mu.Unlock()
	for _, f := range retire {
		(*f)()
	}
}

// replaced reports whether something newer is in force than v.
func (c *Credentials) replaced(v version) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return v.number < c.oldest
}

// patience returns the log-in that worked last, if another than v, and until when
// a refusal is to be waited out. Before the first success that is not at all:
// a wrong password must be told at once. Who makes one attempt has no patience, and
// does not use up that of others.
func (c *Credentials) patience(v version, once bool) (good version, until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good.number == 0 {
		return version{}, time.Time{}
	}
	if c.good.number != v.number {
		good = c.good
	}
	if once {
		return good, time.Time{}
	}
	if c.refused.IsZero() {
		c.refused = time.Now()
	}
	return good, c.refused.Add(c.wait)
}

// opened counts a session, and returns what is to be called at its end.
func (c *Credentials) opened(number uint64) (closed func()) {
	count := func(n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.sessions[number] += n; c.sessions[number] == 0 {
			delete(c.sessions, number)
		}
	}
	count(1)
	return sync.OnceFunc(func() { count(-1) })
}

type loginKey struct{}

// signingIn is what a driver's callbacks find in the context of an attempt.
type signingIn struct {
	version
	credentials *Credentials
}

// loginOf returns the log-in of the attempt to connect that ctx belongs to. There
// is none where the driver connects by itself, as pgx does to cancel a query.
func loginOf(ctx context.Context) (Login, bool) {
	s, ok := ctx.Value(loginKey{}).(*signingIn)
	if !ok {
		return Login{}, false
	}
	return s.Login, true
}

// session is a network connection whose end is noticed.
type session struct {
	net.Conn
	closed func()
}

// Close closes the connection.
func (s *session) Close() error {
	s.closed()
	return s.Conn.Close()
}

// SyscallConn lets a look at the socket pass: see silent, and go-sql-driver's own.
func (s *session) SyscallConn() (syscall.RawConn, error) {
	raw, ok := s.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	return raw.SyscallConn()
}

// counted makes dial count its connections among the sessions of their log-in.
func counted(dial func(ctx context.Context, network, address string) (net.Conn, error)) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		s, ok := ctx.Value(loginKey{}).(*signingIn)
		if err != nil || !ok {
			return conn, err
		}
		return &session{Conn: conn, closed: s.credentials.opened(s.number)}, nil
	}
}

// refusedPostgres are the SQLSTATEs of a log-in that is refused.
var refusedPostgres = []string{
	"28P01", // invalid_password
	"28000", // invalid_authorization_specification: no such role, or one that may not log in
}

// refusedMySQL are the numbers of the same kind.
var refusedMySQL = []uint16{
	1045, // access denied
	1698, // access denied, said without the password
	1820, // the password has to be changed first
	1862, // the password has expired
	3118, // MySQL: the account is locked
	3955, // MySQL: the account is blocked after too many failures
	4151, // MariaDB: the account is locked
}

// LoginRefused reports whether err means that the server did not accept the user or
// the password.
func LoginRefused(err error) bool {
	found := false
	walk(err, func(err error) {
		//nolint:errorlint // walk visits each error of the tree by itself
		switch e := err.(type) {
		case *pgconn.PgError:
			found = found || slices.Contains(refusedPostgres, e.Code)
		case *mysql.MySQLError:
			found = found || slices.Contains(refusedMySQL, e.Number)
		}
	})
	return found
}

// loginConnector signs in with what its credentials give.
type loginConnector struct {
	driver.Connector
	credentials *Credentials
}

// The pauses between attempts to sign in.
const (
	firstLoginPause   = 50 * time.Millisecond
	longestLoginPause = 2 * time.Second
)

// Connect opens a connection.
func (c *loginConnector) Connect(ctx context.Context) (driver.Conn, error) {
	why := WhyAsked(ctx)
	for {
		v, err := c.credentials.current(ctx, why)
		if err != nil {
			return nil, fmt.Errorf("asking for the password: %w", err)
		}
		conn, err := c.signIn(ctx, v, why == AskRotate)
		if LoginRefused(err) && c.credentials.ask != nil && why != AskRotate {
			conn, v, err = c.struggle(ctx, v, err)
		}
		if err != nil || !c.credentials.replaced(v) {
			return conn, err
		}
		// The log-in was replaced between the question and now: this session would
		// count as a new one for the pool, and stay.
		_ = conn.Close() // nothing was done with it
	}
}

// signIn makes one attempt.
func (c *loginConnector) signIn(ctx context.Context, v version, replace bool) (driver.Conn, error) {
	conn, err := c.Connector.Connect(context.WithValue(ctx, loginKey{}, &signingIn{v, c.credentials}))
	if err != nil {
		// What a callback has given is not among the secrets of the URL.
		password, _ := v.Password.Reveal()
		return nil, Redact(err, password)
	}
	c.credentials.worked(v, replace)
	return conn, nil
}

// struggle deals with the refusal of v.
func (c *loginConnector) struggle(ctx context.Context, v version, refusal error) (driver.Conn, version, error) {
	creds := c.credentials
	once := ctx.Value(onceKey{}) != nil
	select {
	case creds.struggles <- struct{}{}:
		defer func() { <-creds.struggles }()
	default:
		if once { // somebody else deals with it
			return nil, v, refusal
		}
		select {
		case creds.struggles <- struct{}{}:
			defer func() { <-creds.struggles }()
		case <-ctx.Done():
			return nil, v, fmt.Errorf("%w while the log-in was refused: %w", context.Cause(ctx), refusal)
		}
	}
	_, until := creds.patience(v, once)
	for pause := firstLoginPause; ; pause = min(2*pause, longestLoginPause) {
		next, err := creds.current(ctx, AskRefused)
		if err != nil {
			return nil, v, fmt.Errorf("asking for the password anew: %w", errors.Join(err, refusal))
		}
		good, _ := creds.patience(next, once)
		for _, candidate := range []version{next, good} {
			// What has just been refused is tried again after a pause only.
			if candidate.number == 0 || candidate.number == v.number && pause == firstLoginPause {
				continue
			}
			conn, err := c.signIn(ctx, candidate, false)
			if err == nil || !LoginRefused(err) {
				return conn, candidate, err
			}
			refusal = err
		}
		left := time.Until(until)
		if left <= 0 {
			return nil, v, refusal
		}
		if pause == firstLoginPause {
			creds.logger.WarnContext(ctx, "the server refuses the log-in: the secret is asked for again until it is taken", "error", refusal, "limit", left.Round(time.Millisecond))
		}
		timer := time.NewTimer(min(time.Duration(float64(pause)*(0.5+rand.Float64())), left))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, v, fmt.Errorf("%w while the log-in was refused: %w", context.Cause(ctx), refusal)
		case <-timer.C:
		}
	}
}

// Ask is the log-in of now, for a program that connects by itself. An empty user is
// the URL's; a password that is not given is the URL's too, or is found elsewhere.
func (c *Credentials) Ask(ctx context.Context) (user, password string, given bool, err error) {
	v, err := c.current(ctx, AskUsual)
	if err != nil || v.Password.reveal == nil {
		return v.User, "", false, err
	}
	return v.User, v.Password.reveal(), true, nil
}
