package dialect

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-sql-driver/mysql"
)

// fakeServer lets in who has its password, and is away while it is told to.
type fakeServer struct {
	sync.Mutex // where several goroutines have to do with it
	password   string
	gone       bool
	attempts   int
	closed     int
}

type fakeConn struct {
	driver.Conn
	s *fakeServer
}

func (c fakeConn) Close() error { c.s.closed++; return nil }

func (s *fakeServer) Connect(ctx context.Context) (driver.Conn, error) {
	s.Lock()
	defer s.Unlock()
	s.attempts++
	if s.gone {
		return nil, fmt.Errorf("dial: %w", syscall.ECONNRESET)
	}
	l, _ := loginOf(ctx)
	if password, _ := l.Password.Reveal(); password != s.password {
		return nil, &mysql.MySQLError{Number: 1045, Message: "Access denied for " + password}
	}
	return fakeConn{s: s}, nil
}

func (*fakeServer) Driver() driver.Driver { return nil }

// fakeVault is where the password comes from.
type fakeVault struct {
	sync.Mutex
	password string
	asked    int
	refused  int // times that it was told so
}

func (v *fakeVault) ask(ctx context.Context) (Login, error) {
	v.Lock()
	defer v.Unlock()
	v.asked++
	if WhyAsked(ctx) == AskRefused {
		v.refused++
	}
	return Login{Password: NewSecret(v.password)}, nil
}

const patience = 10 * time.Second

func newFake(follow bool) (*fakeServer, *fakeVault, *loginConnector) {
	s, v := &fakeServer{password: "one"}, &fakeVault{password: "one"}
	return s, v, &loginConnector{Connector: s, credentials: NewCredentials(v.ask, follow, patience, slog.New(slog.DiscardHandler))}
}

func mustConnect(t *testing.T, c driver.Connector) {
	t.Helper()
	if _, err := c.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// A wrong password is told at once to who has never been let in, and never shown.
func TestLoginRefusedAtFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, v, c := newFake(true)
		v.password = "hunter2"
		start := time.Now()
		_, err := c.Connect(t.Context())
		if !LoginRefused(err) || strings.Contains(err.Error(), "hunter2") || time.Since(start) > 0 || s.attempts != 1 || v.asked != 2 {
			t.Errorf("after %v, %d attempts and %d questions: %v", time.Since(start), s.attempts, v.asked, err)
		}
		// A newer secret is taken without a pause.
		v.password = "stale"
		s.password = "two"
		c.credentials = NewCredentials(func(ctx context.Context) (Login, error) {
			if WhyAsked(ctx) == AskRefused {
				v.password = "two"
			}
			return v.ask(ctx)
		}, true, patience, slog.New(slog.DiscardHandler))
		if mustConnect(t, c); time.Since(start) > 0 {
			t.Errorf("it took %v", time.Since(start))
		}
	})
}

// The server has the new password, and the file has it a while later.
func TestLoginServerFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, v, c := newFake(true)
		mustConnect(t, c)
		s.password = "two"
		done := make(chan error)
		for range 5 {
			go func() {
				_, err := c.Connect(t.Context())
				done <- err
			}()
		}
		time.Sleep(patience / 2) // of the bubble: it takes no time
		s.Lock()
		before := s.attempts
		s.Unlock()
		v.Lock()
		v.password = "two"
		v.Unlock()
		for range 5 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		// 5 were refused, and then one at a time with growing pauses: an account that
		// is locked after some failures would be by a crowd.
		if failures := before - 1 - 5; failures < 2 || failures > 10 {
			t.Errorf("%d more attempts with a password that is refused", failures)
		}
		if n := c.credentials.Outdated(); n != 0 {
			t.Errorf("%d sessions that were never dialled are outdated", n)
		}
	})
}

// The file has the new password, and the server a while later: the old one is good
// for as long.
func TestLoginFileFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, v, c := newFake(true)
		retired := 0
		forget := c.credentials.OnRetire(func() { retired++ })
		mustConnect(t, c)
		v.password = "two"
		start := time.Now()
		if mustConnect(t, c); time.Since(start) > 0 || retired != 0 {
			t.Errorf("it took %v, and connections were retired %d times before the new password worked", time.Since(start), retired)
		}
		s.password = "two"
		mustConnect(t, c)
		mustConnect(t, c)
		if retired != 1 {
			t.Errorf("connections were retired %d times, want once", retired)
		}
		forget()
		s.password, v.password = "three", "three"
		if mustConnect(t, c); retired != 1 {
			t.Error("told although it asked to be forgotten")
		}
	})
}

// Patience is over some time after the first refusal, for everybody.
func TestLoginRefusedForGood(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _, c := newFake(true)
		mustConnect(t, c)
		s.password = "nobody knows"
		for i, want := range []time.Duration{patience, 0, 0} {
			before, attempts := time.Now(), s.attempts
			if _, err := c.Connect(t.Context()); !LoginRefused(err) {
				t.Errorf("got %v", err)
			}
			if took := time.Since(before); took < want || took > want+longestLoginPause {
				t.Errorf("attempt %d took %v, want %v", i, took, want)
			}
			if want == 0 && s.attempts > attempts+2 {
				t.Errorf("%d attempts for one connection", s.attempts-attempts)
			}
		}
		// It is for the next time again once there was a success.
		s.password = "one"
		mustConnect(t, c)
		s.password = "nobody knows"
		start := time.Now()
		if _, err := c.Connect(t.Context()); !LoginRefused(err) || time.Since(start) < patience {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.password = "one"
		mustConnect(t, c)
		s.password = "nobody knows"
		if _, err := c.Connect(ctx); !errors.Is(err, context.DeadlineExceeded) || !LoginRefused(err) {
			t.Errorf("a request that ends first: %v", err)
		}
	})
}

// Tokens are new each time, and replace nothing. A connection that signed in with
// what was replaced meanwhile is not handed out.
func TestLoginVersions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, v, c := newFake(false)
		c.credentials.OnRetire(func() { t.Error("a new token has retired connections") })
		for i := range 3 {
			s.password = fmt.Sprint("token ", i)
			v.password = s.password
			mustConnect(t, c)
		}
	})
	s, v, c := newFake(true)
	mustConnect(t, c)
	slow := &loginConnector{Connector: connectorFunc(func(ctx context.Context) (driver.Conn, error) {
		conn, err := s.Connect(ctx)
		if v.password == "one" {
			s.password, v.password = "two", "two"
			mustConnect(t, c) // overtakes
		}
		return conn, err
	}), credentials: c.credentials}
	mustConnect(t, slow)
	if s.closed != 1 {
		t.Errorf("%d connections were closed; the one with the old password counts as new", s.closed)
	}
}

type connectorFunc func(context.Context) (driver.Conn, error)

func (f connectorFunc) Connect(ctx context.Context) (driver.Conn, error) { return f(ctx) }
func (connectorFunc) Driver() driver.Driver                              { return nil }

// Nothing prints a password of a log-in.
func TestLoginPrintsNoPassword(t *testing.T) {
	t.Parallel()
	l := Login{User: "app", Password: NewSecret("hunter2")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, l) + fmt.Sprintf(verb, &l); strings.Contains(text, "hunter2") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}

// TestOutage: the patience is that of an outage, and there is none before the first
// success, nor for who asks once.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &fakeServer{gone: true}
		c := &againConnector{Connector: s, wait: patience, logger: slog.New(slog.DiscardHandler)}
		try := func(ctx context.Context, want time.Duration, wantErr error) {
			t.Helper()
			start := time.Now()
			_, err := c.Connect(ctx)
			if took := time.Since(start); took != want || !errors.Is(err, wantErr) {
				t.Errorf("after %v: %v; want %v after %v", took, err, wantErr, want)
			}
		}
		try(t.Context(), 0, syscall.ECONNRESET)
		s.gone = false
		try(t.Context(), 0, nil)
		s.gone = true
		try(Once(t.Context()), 0, syscall.ECONNRESET)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		try(ctx, time.Second, context.DeadlineExceeded)
		try(t.Context(), patience-time.Second, syscall.ECONNRESET)
		try(t.Context(), 0, syscall.ECONNRESET)
		s.gone = false
		try(t.Context(), 0, nil)
		s.gone = true
		go func() {
			time.Sleep(patience / 2)
			s.Lock()
			defer s.Unlock()
			s.gone = false
		}()
		if _, err := c.Connect(t.Context()); err != nil {
			t.Errorf("a restart: %v", err)
		}
	})
}
