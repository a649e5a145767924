package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"
)

// MissingError says that an engine's server programs are not on this machine.
type MissingError struct {
	// Engine is what was asked for.
	Engine Engine
	// Looked says where it was looked for, Get how to get it.
	Looked, Get string
}

// Error has both halves: what is not there, and what to do.
func (e *MissingError) Error() string {
	return fmt.Sprintf("found no %s; %s, or set %s", e.Looked, e.Get, e.Engine.URLVariable())
}

// TLSFiles are what a server with TLS is started with, in PEM form.
type TLSFiles struct {
	Cert, Key []byte // the server's own
	CA        []byte // of its clients
}

// shared holds what a test process knows of its servers, found or started at first use.
var shared = map[Engine]*sharedServer{Postgres: {}, MariaDB: {}, MySQL: {}}

type sharedServer struct {
	once   sync.Once
	url    string
	own    *Server // nil when the URL came from the environment
	failed error
}

// serverURL returns the URL of the engine's server: the environment's, else that of a server
// started now. A *[MissingError] is the only error that is no fault.
func serverURL(ctx context.Context, e Engine) (string, error) {
	s := shared[e]
	s.once.Do(func() {
		// Not the first test's context alone: the server is there for all the tests after it.
		ctx := context.WithoutCancel(ctx)
		if s.url = os.Getenv(e.URLVariable()); s.url == "" {
			if s.own, s.failed = Start(ctx, e); s.failed != nil {
				return
			}
			s.url = s.own.URL
		}
		ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
		defer cancel()
		if s.failed = identify(ctx, e, s.url); s.failed != nil {
			s.failed = fmt.Errorf("server of %s: %w", e.URLVariable(), s.failed)
		}
	})
	return s.url, s.failed
}

// identify makes sure that the URL is local and that the engine it names is what answers there:
// a MySQL suite run on MariaDB by mistake would prove nothing.
func identify(ctx context.Context, e Engine, rawURL string) error {
	if err := checkURL(e, rawURL); err != nil {
		return err
	}
	if e == Postgres {
		return withPool(ctx, e, rawURL, func(ctx context.Context, pool *sql.DB) error { return pool.PingContext(ctx) })
	}
	return withPool(ctx, e, rawURL, func(ctx context.Context, pool *sql.DB) error {
		var version string
		if err := pool.QueryRowContext(ctx, "SELECT CONCAT(VERSION(), ' ', @@version_comment)").Scan(&version); err != nil {
			return err
		}
		if is := flavour(version); is != e {
			return fmt.Errorf("it is %s (%s) and not %s", is, version, e)
		}
		return nil
	})
}

// lifetime ends the line that names a kept database: a database of our own server goes with it.
func lifetime(e Engine) string {
	if s := shared[e]; s != nil && s.own != nil {
		return " until this test process ends (its server is private: `go run ./internal/testdb/with -- sh` gives a shell whose servers stay)"
	}
	return ""
}

// Main is for TestMain: it runs the tests and stops the servers that they started. Without it
// they are stopped as well, by their watchdog, a moment after the process has ended.
//
//	func TestMain(m *testing.M) { testdb.Main(m) }
func Main(m *testing.M) {
	code := m.Run()
	for e, s := range shared {
		if s.own == nil {
			continue
		}
		if err := s.own.Stop(); err != nil {
			fmt.Fprintf(os.Stderr, "testdb: stop %s: %v\n", e, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// waitReady asks until the server lets the account in, or the server has ended.
func waitReady(ctx context.Context, e Engine, rawURL string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	tick := time.NewTicker(30 * time.Millisecond)
	defer tick.Stop()
	for {
		err := identify(ctx, e, rawURL)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not ready after 90 s: %w", err)
		case <-ended:
			return errEnded
		case <-tick.C:
		}
	}
}

var errEnded = errors.New("the server ended while starting")
