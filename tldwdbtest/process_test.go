package tldwdbtest

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childVariable makes this program play another package's tests: the engine, how
// many tests, and the key of the template.
const childVariable = "TLDWDBTEST_CHILD"

func childConfig(key string) Config { return Config{Migrations: files(3), SetupKey: key} }

// TestChild is run by the tests below, in processes of its own.
func TestChild(t *testing.T) {
	e, rest, ok := strings.Cut(os.Getenv(childVariable), " ")
	if !ok {
		t.Skip("it is not called by another test")
	}
	count, key, _ := strings.Cut(rest, " ")
	cfg := childConfig(key)
	cfg.Engine = Engine(e)
	if count == "hang" {
		db := New(t, cfg)
		fmt.Println("made", placeOf(t, db).name)
		_, _ = io.Copy(io.Discard, os.Stdin) // until we are killed
		return
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			db := New(t, cfg)
			fmt.Println("made", placeOf(t, db).name)
			for range 3 {
				run(t, db, "INSERT INTO t0 (name) VALUES ('mine')")
			}
			var rows int
			if err := db.Pool().GetContext(t.Context(), &rows, "SELECT count(*) FROM t0"); err != nil || rows != 5 {
				t.Errorf("%d rows: %v", rows, err)
			}
		})
	}
}

func child(ctx context.Context, e Engine, count, key string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run", "^TestChild$", "-test.parallel", "8", "-test.v")
	cmd.Env = append(os.Environ(), childVariable+"="+string(e)+" "+count+" "+key, "TLDWDBTEST_KEEP=")
	return cmd
}

// home is the house of an engine, or the test is skipped. The template of the key is
// dropped at the end, and what stays of it.
func home(t *testing.T, e Engine, key string) house {
	t.Helper()
	New(t, Config{Engine: e, Migrations: files(1)}) // skips where there is no server
	cfg := childConfig(key)
	at, err := cfg.target(os.Getenv, e)
	if err != nil {
		t.Fatal(err)
	}
	h, err := houseOf(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	tpl, err := h.template(cfg, at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.drop(context.WithoutCancel(t.Context()), tpl); err != nil {
			t.Error(err)
		}
		if s, ok := h.(*server); ok {
			if err := s.sweep(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
		}
	})
	return h
}

// exists reports whether a database is there, or any whose name begins so.
func exists(t *testing.T, h house, name string) (there bool) {
	t.Helper()
	switch h := h.(type) {
	case *folder:
		_, err := os.Stat(filepath.Dir(name))
		return err == nil
	case *server:
		query := "SELECT count(*) FROM information_schema.schemata WHERE LEFT(schema_name, " + strconv.Itoa(len(name)) + ") = " + literal(name)
		if h.kind == Postgres {
			query = "SELECT count(*) FROM pg_catalog.pg_database WHERE starts_with(datname, " + literal(name) + ")"
		}
		n := 0
		err := h.on(t.Context(), func(c *sql.Conn) error { return c.QueryRowContext(t.Context(), query).Scan(&n) })
		there = n > 0
		if err != nil {
			t.Fatal(err)
		}
	}
	return there
}

// TestProcesses: many tests in several processes that begin at the same instant, with
// no template yet. Each has a database of its own, and nothing is left.
// TLDWDBTEST_EACH is the number of tests in each process.
func TestProcesses(t *testing.T) {
	t.Parallel()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprintf("processes-%08x", rand.Uint32())
			h := home(t, e, key)
			each := cmp.Or(os.Getenv("TLDWDBTEST_EACH"), map[Engine]string{SQLite: "50"}[e], "4")
			if testing.Short() && e != SQLite && os.Getenv("TLDWDBTEST_EACH") == "" {
				t.Skip("it takes seconds")
			}
			const processes = 4
			type answer struct {
				out []byte
				err error
			}
			answers := make(chan answer)
			for range processes {
				go func() {
					out, err := child(t.Context(), e, each, key).CombinedOutput()
					answers <- answer{out, err}
				}()
			}
			made := map[string]bool{}
			lines := 0
			for range processes {
				a := <-answers
				if a.err != nil {
					t.Errorf("%v: %s", a.err, a.out)
				}
				for line := range strings.Lines(string(a.out)) {
					if _, name, ok := strings.Cut(line, "made "); ok {
						made[strings.TrimSpace(name)] = true
						lines++
					}
				}
			}
			if n, err := strconv.Atoi(each); err != nil || lines != processes*n {
				t.Errorf("%d tests have told of their database: %v", lines, err)
			}
			for name := range made {
				if s, ok := h.(*server); ok {
					if s.stays(name) {
						continue
					}
					name = name[:len(s.prefix)+len(s.run)] // and all that no test has told of
				}
				if exists(t, h, name) {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// TestKilled: what a killed process leaves is collected by the next one, and what
// belongs to a living one is not.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, e := range Engines() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprintf("killed-%08x", rand.Uint32())
			h := home(t, e, key)
			if s, ok := h.(*server); ok { // what stays is a matter of TestSpares
				tpl, err := s.template(childConfig(key), target{engine: e})
				if err != nil {
					t.Fatal(err)
				}
				for n := range sparesKept {
					name := s.spareName(tpl, strconv.Itoa(n))
					if got, err := s.hold(t.Context(), name); err != nil || !got {
						t.Fatal(err)
					}
					defer func() { _ = s.letGo(t.Context(), name) }() // it ends with the process
				}
			}
			cmd := child(t.Context(), e, "hang", key)
			stdin, err := cmd.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = stdin.Close() }()
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			name := ""
			for lines := bufio.NewScanner(stdout); name == "" && lines.Scan(); {
				_, name, _ = strings.Cut(lines.Text(), "made ")
			}
			if name == "" {
				t.Fatalf("the process has made nothing: %v", cmd.Wait())
			}
			sweep(t, h)
			if !exists(t, h, name) {
				t.Error("the database of a living process was dropped")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the process has ended by itself")
			}
			collected(t, h, name)
		})
	}
}

// collected waits until a database that nobody needs is gone, or all whose names begin so: a
// server takes a moment to see that a client is gone, and other processes sweep as well.
func collected(t *testing.T, h house, name string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; {
		sweep(t, h)
		if !exists(t, h, name) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s is still there", name)
		}
		if err := pause(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// sweep does what a new process does first.
func sweep(t *testing.T, h house) {
	t.Helper()
	switch h := h.(type) {
	case *folder:
		h.sweep()
	case *server:
		if err := h.sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWaiting: a test that waits for others says so, and goes on when one is over.
func TestWaiting(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{Postgres, MySQL, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			home(t, e, "waiting")
			at, err := Config{}.target(os.Getenv, e)
			if err != nil {
				t.Fatal(err)
			}
			s := process(t, at)
			s.room, s.patience = 1, 0
			s.prefix += "w" // its slots are nobody else's
			release, err := s.take(t.Context(), t, 1)
			if err != nil {
				t.Fatal(err)
			}
			listening := &listener{TB: t, heard: release}
			again, err := s.take(t.Context(), listening, 1)
			if err != nil {
				t.Fatal(err)
			}
			again()
			if len(listening.lines) != 1 || !strings.Contains(listening.lines[0], "waiting for other tests") {
				t.Errorf("it says %q", listening.lines)
			}
			if err := s.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// listener is a test whose words somebody hears.
type listener struct {
	TB
	heard func()
	lines []string
}

func (l *listener) Logf(format string, args ...any) {
	l.lines = append(l.lines, fmt.Sprintf(format, args...))
	l.heard()
}

// stale tells something else of a database the first time it is asked.
type stale struct {
	engine
	name  string
	tells func(*foundDatabase)
	asked bool
}

func (s *stale) found(ctx context.Context, c *sql.Conn, prefix string) ([]foundDatabase, error) {
	list, err := s.engine.found(ctx, c, prefix)
	for i := range list {
		if list[i].name == s.name && !s.asked {
			s.tells(&list[i])
		}
	}
	s.asked = true
	return list, err
}

// onServers runs a test on each server, with this process's house there.
func onServers(t *testing.T, key string, run func(t *testing.T, e Engine, h *server)) {
	t.Helper()
	for _, e := range Engines() {
		if e == SQLite {
			continue
		}
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			h, ok := home(t, e, key).(*server)
			if !ok {
				t.Fatal("it is no server")
			}
			run(t, e, h)
		})
	}
}

// TestSweepLooksAgain: a template that became whole since it was listed is not dropped, nor
// are the databases that were made of one that a worker of autovacuum is in.
func TestSweepLooksAgain(t *testing.T) {
	t.Parallel()
	key := fmt.Sprintf("stale-%08x", rand.Uint32())
	onServers(t, key, func(t *testing.T, e Engine, h *server) {
		cfg := childConfig(key)
		cfg.Engine = e
		New(t, cfg)
		at, err := cfg.target(os.Getenv, e)
		if err != nil {
			t.Fatal(err)
		}
		tpl, err := h.template(cfg, at)
		if err != nil {
			t.Fatal(err)
		}
		other, err := newServer(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		spare := h.spareName(tpl, "zz")
		err = h.on(t.Context(), func(c *sql.Conn) error { return h.make(t.Context(), c, spare) })
		if err != nil {
			t.Fatal(err)
		}
		actual := other.engine
		for _, tells := range []func(*foundDatabase){
			func(d *foundDatabase) { d.half = true },
			func(d *foundDatabase) { d.busy = true },
		} {
			other.engine = &stale{engine: actual, name: h.templateName(tpl), tells: tells}
			if err := other.sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !exists(t, h, h.templateName(tpl)) || !exists(t, h, spare) {
				t.Error("the template or what was made of it is gone")
			}
		}
		err = h.on(t.Context(), func(c *sql.Conn) error { return h.engine.drop(t.Context(), c, spare) })
		if err := errors.Join(err, other.close()); err != nil {
			t.Error(err)
		}
	})
}

// TestSweepLeavesScratch: a scratch database, which has the beginning of the name of the
// database that it is beside, is not this package's to drop.
func TestSweepLeavesScratch(t *testing.T) {
	t.Parallel()
	onServers(t, "scratch", func(t *testing.T, e Engine, h *server) {
		New(t, Config{Migrations: files(1), Engine: e}) // keeps the others from being the last
		for _, name := range []string{
			h.prefix + spareKind + "_" + fmt.Sprintf("%010x", rand.Int64N(1<<40)) + "_tldwdb_scratch_1795470290_460a7d19",
			h.prefix + spareKind + "_" + fmt.Sprintf("%08x", rand.Uint32()) + "_0_tldwdb_scratch_1795470290_460a7d19",
			h.prefix + fmt.Sprintf("%08x", rand.Uint32()) + "_s_0_tldwdb_scratch_1795470290_460a7d19",
		} {
			err := h.on(t.Context(), func(c *sql.Conn) error { return h.make(t.Context(), c, name) })
			if err != nil {
				t.Fatal(err)
			}
			if err := h.sweep(t.Context()); err != nil {
				t.Error(err)
			}
			if !exists(t, h, name) {
				t.Errorf("%s is gone", name)
			}
			err = h.on(t.Context(), func(c *sql.Conn) error { return h.engine.drop(t.Context(), c, name) })
			if err != nil {
				t.Error(err)
			}
		}
	})
}
