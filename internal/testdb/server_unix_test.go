//go:build unix

package testdb

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

var servers = []Engine{Postgres, MariaDB, MySQL}

// accountStatements is what tests of accounts do, on PostgreSQL and on the others.
var accountStatements = map[bool][]string{
	true:  {"CREATE ROLE other LOGIN", "GRANT other TO CURRENT_USER", "GRANT CREATE ON DATABASE tldw TO other", "DROP OWNED BY other", "DROP ROLE other"},
	false: {"CREATE USER other@127.0.0.1 IDENTIFIED BY 'x'", "GRANT SELECT ON tldw.* TO other@127.0.0.1", "DROP USER other@127.0.0.1"},
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s, err := Start(t.Context(), e)
			if missing, ok := errors.AsType[*MissingError](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := identify(t.Context(), e, s.URL); err != nil {
				t.Error(err)
			}
			err = withPool(t.Context(), e, s.URL, func(ctx context.Context, pool *sql.DB) error {
				for _, statement := range accountStatements[e == Postgres] {
					if _, err := pool.ExecContext(ctx, statement); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				t.Errorf("the account may not make others: %v", err)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if err := s.Stop(); err != nil {
				t.Errorf("a second time: %v", err)
			}
			if what := remains(t.Context(), s.URL, s.dir); what != "" {
				t.Errorf("after Stop there is still %s", what)
			}
		})
	}
}

// A server that was killed is there again, with what was committed.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			s, err := StartDurable(t.Context(), e)
			if missing, ok := errors.AsType[*MissingError](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Stop(); err != nil {
					t.Error(err)
				}
				if what := remains(context.WithoutCancel(t.Context()), s.URL, s.dir); what != "" {
					t.Errorf("after Stop there is still %s", what)
				}
			})
			db := s.New(t)
			pool := db.AdminDB(t)
			for i := range 2 {
				if _, err := pool.ExecContext(t.Context(), fmt.Sprintf("CREATE TABLE t%d (i int)", i)); err != nil {
					t.Fatal(err)
				}
				if err := s.Crash(t.Context()); err != nil {
					t.Fatal(err)
				}
				if dump := db.Dump(t); !strings.Contains(dump, fmt.Sprintf("t%d", i)) {
					t.Errorf("after the crash there is\n%s", dump)
				}
			}
		})
	}
}

// A test binary that is killed takes its servers and their data with it.
func TestServerEndsWithItsStarter(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range servers {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), self)
			cmd.Env = append(os.Environ(), "TLDWDB_TESTDB_START="+string(e))
			hold, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = hold.Close() }() // Wait has closed it
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			lines.Scan()
			at := lines.Text()
			lines.Scan()
			dir := lines.Text()
			if strings.HasPrefix(at, "error: found no") {
				_ = cmd.Wait() // it has ended with status 1
				t.Skip(at)
			}
			if err := identify(t.Context(), e, at); err != nil {
				t.Errorf("%s: %v", at, err)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // killed, as was asked
			what, err := settle(t.Context(), func() ([]string, error) {
				if what := remains(t.Context(), at, dir); what != "" {
					return []string{what}, nil
				}
				return nil, nil
			})
			if err != nil || len(what) > 0 {
				t.Errorf("after its starter was killed there is still %s (%v)", what, err)
			}
		})
	}
}

// A standby has what its primary has committed, takes no writes, and is a server of its own when the
// primary is gone.
func TestPair(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{Postgres, MariaDB, MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			followed(t, e)
		})
	}
}

func followed(t *testing.T, e Engine) {
	primary, standby, err := StartPair(t.Context(), e)
	if missing, ok := errors.AsType[*MissingError](err); ok {
		t.Skip(missing)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []*Server{primary, standby} {
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if what := remains(context.WithoutCancel(t.Context()), s.URL, s.dir); what != "" {
				t.Errorf("after Stop there is still %s", what)
			}
		})
	}
	db := primary.New(t)
	if _, err := db.AdminDB(t).ExecContext(t.Context(), "CREATE TABLE a (i int)"); err != nil {
		t.Fatal(err)
	}
	there := db.Seen(t, standby.URL).AdminDB(t)
	arrived := func() ([]string, error) {
		if _, err := there.ExecContext(t.Context(), "SELECT * FROM a"); err != nil {
			return []string{err.Error()}, nil
		}
		return nil, nil
	}
	if missing, err := settle(t.Context(), arrived); err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
	if _, err := there.ExecContext(t.Context(), "CREATE TABLE b (i int)"); err == nil {
		t.Error("the standby takes writes")
	}
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	db.Move(t, standby.URL)
	if err := standby.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := there.ExecContext(t.Context(), "CREATE TABLE b (i int)"); err != nil {
		t.Error(err)
	}
}

// remains names what is left of a server.
func remains(ctx context.Context, at, dir string) string {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return "its folder " + dir
	}
	u, err := url.Parse(at)
	if err != nil {
		return "a URL that cannot be parsed"
	}
	var d net.Dialer
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if conn, err := d.DialContext(ctx, "tcp", u.Host); err == nil {
		_ = conn.Close() // nothing was sent
		return "somebody who answers on " + u.Host
	}
	return ""
}

// folderOf is where a private server keeps everything.
func folderOf(s *Server) string { return s.dir }
