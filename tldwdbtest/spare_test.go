package tldwdbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
)

// given is a database that a test has.
type given struct {
	*place
	db *tldwdb.DB
	t  *testing.T
}

// give makes the next test's database.
func give(t *testing.T, s *server, cfg Config) given {
	t.Helper()
	db, p, err := openIn(t.Context(), s, t, cfg, target{engine: s.kind})
	if err != nil {
		t.Fatal(err)
	}
	if n, m := count(t, db, "t0"), count(t, db, "t1"); n != 2 || m != 0 {
		t.Errorf("%s begins with %d and %d rows", p.name, n, m)
	}
	return given{p, db, t}
}

// number is the last part of the name of a database that stays; -1 for another one.
func (g given) number() int {
	_, rest, ok := strings.Cut(g.name, mark+spareKind+"_")
	_, last, _ := strings.Cut(rest, "_")
	n, err := strconv.Atoi(last)
	if !ok || err != nil {
		return -1
	}
	return n
}

// end is the end of the test.
func (g given) end() {
	g.t.Helper()
	if err := errors.Join(g.db.Close(), g.undo(g.t.Context())); err != nil {
		g.t.Error(err)
	}
}

// dirty writes rows.
func (g given) dirty() given {
	g.t.Helper()
	run(g.t, g.db, "INSERT INTO t0 (id, name) VALUES (100, 'mine')", "INSERT INTO t1 (name, parent) VALUES ('mine', 100)")
	return g
}

// process is a server as another process has it.
func process(t *testing.T, at target) *server {
	t.Helper()
	s, err := newServer(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSpares: tests of one process have one database after the other, and a process
// has what another one has left, clean whatever became of that one. Nobody has what another one
// uses, what was kept, or what somebody is connected to; and few of them stay.
func TestSpares(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{MySQL, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			cfg := childConfig(fmt.Sprintf("spares-%08x", rand.Uint32()))
			home(t, e, cfg.SetupKey)
			at, err := cfg.target(os.Getenv, e)
			if err != nil {
				t.Fatal(err)
			}
			first := process(t, at)
			second := process(t, at)
			take := func(s *server, want int) given {
				t.Helper()
				g := give(t, s, cfg)
				if g.number() != want {
					t.Errorf("the database is %s, want number %d", g.name, want)
				}
				return g
			}
			take(first, 0).dirty().end()
			a := take(first, 0)
			b := take(second, 1).dirty()
			a.dirty().end()
			take(second, 2).end() // number 0 is the first one's for as long as it lives
			take(second, 2).end()
			b.end()

			// A process that is killed cleans nothing.
			a = take(first, 0).dirty()
			if err := errors.Join(a.db.Close(), first.close()); err != nil {
				t.Error(err)
			}
			first = process(t, at)
			take(first, 0).end()

			// Somebody has changed what nobody used.
			if err := first.dropSpare(); err != nil {
				t.Error(err)
			}
			on(t, first, "CREATE TABLE "+backticked(a.name)+".more (v int)")
			a = take(first, 0)
			if _, err := a.db.Pool().ExecContext(t.Context(), "SELECT 1 FROM more"); err == nil {
				t.Error("there is a table that the migrations do not make")
			}

			// What is kept, or used, by somebody who has lost the lock, stays as it is.
			if _, _, err := a.keep(t.Context(), t.Name()); err != nil {
				t.Error(err)
			}
			c := take(first, 3).dirty() // 1 and 2 are the second one's
			if err := first.letGo(t.Context(), c.name); err != nil {
				t.Error(err)
			}
			take(first, 4).end()
			c.end()
			if n := count(t, a.db, "t0"); n != 2 || !exists(t, first, a.name) || !exists(t, first, c.name) {
				t.Errorf("%d rows in what was kept", n)
			}
			if err := a.db.Close(); err != nil {
				t.Error(err)
			}

			// Many at once: those for which there is no name do not stay.
			if err := errors.Join(first.dropSpare(), second.dropSpare()); err != nil {
				t.Error(err)
			}
			var many []given
			stay := 0
			for range sparesKept + 2 {
				g := give(t, first, cfg).dirty()
				if g.number() >= 0 {
					stay++
				}
				many = append(many, g)
			}
			if stay != sparesKept {
				t.Errorf("%d databases stay", stay)
			}
			for _, g := range many {
				g.end()
			}
			if err := errors.Join(first.dropSpare(), first.close()); err != nil {
				t.Error(err)
			}
			if exists(t, second, first.prefix+first.run) {
				t.Error("something is left that has no name that stays")
			}

			// They go with their template, or before it.
			tpl, err := second.template(cfg, at)
			if err != nil {
				t.Fatal(err)
			}
			sweep(t, second)
			if !exists(t, second, many[0].name) {
				t.Error("it was dropped too early")
			}
			on(t, second, fmt.Sprintf("ALTER TABLE %s.%s COMMENT = '%d'", backticked(second.templateName(tpl)), scriptTable, time.Now().Add(-2*spareAge).Unix()))
			for _, g := range many {
				collected(t, second, g.name) // another process that looks at one keeps others from it for that moment
			}
			if !exists(t, second, second.templateName(tpl)) || !exists(t, second, a.name) {
				t.Error("the template is gone, or what was kept")
			}
			if err := errors.Join(second.dropAll(t.Context(), a.name), second.close()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPrepared: from the third test on, PostgreSQL has the database ready, for one test
// of one process. One that is on its way is waited for. What no test wanted stays, lets nobody in,
// and goes with its template.
func TestPrepared(t *testing.T) {
	t.Parallel()
	cfg := childConfig(fmt.Sprintf("prepared-%08x", rand.Uint32()))
	home(t, Postgres, cfg.SetupKey)
	at, err := cfg.target(os.Getenv, Postgres)
	if err != nil {
		t.Fatal(err)
	}
	first, second := process(t, at), process(t, at)
	tpl, err := first.template(cfg, at)
	if err != nil {
		t.Fatal(err)
	}
	// ready is what the server has, by the numbers that renaming does not change.
	ready := func() (ids []string) {
		t.Helper()
		first.preparing.Wait()
		second.preparing.Wait()
		err := second.on(t.Context(), func(c *sql.Conn) error {
			rows, err := texts(t.Context(), c, "SELECT oid::text FROM pg_database WHERE NOT datallowconn AND starts_with(datname, "+literal(first.spareName(tpl, ""))+")")
			for _, row := range rows {
				ids = append(ids, row[0])
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ids
	}
	id := func(g given) (id string) {
		t.Helper()
		if err := g.db.Pool().GetContext(t.Context(), &id, "SELECT oid::text FROM pg_database WHERE datname = current_database()"); err != nil {
			t.Fatal(err)
		}
		return id
	}
	give(t, first, cfg).dirty().end()
	if ids := ready(); len(ids) > 0 {
		t.Errorf("%s for a package with one test", ids)
	}
	give(t, first, cfg).dirty().end()
	for _, s := range []*server{first, second} {
		ids := ready()
		if len(ids) != 1 {
			t.Fatalf("there are %s", ids)
		}
		g := give(t, s, cfg)
		if id(g) != ids[0] {
			t.Errorf("the database is not the one that was there: %s, not %s", id(g), ids[0])
		}
		if s == second { // its first test makes none
			first.prepare(tpl)
		}
		g.dirty().end()
	}
	spare := ready()

	// Of two one gets it, and who has none waits for the one that is coming.
	names, err := preparedOf(t, first, tpl)
	if err != nil || len(names) != 1 {
		t.Fatalf("%s: %v", names, err)
	}
	for i, want := range []bool{true, false} {
		err := first.on(t.Context(), func(c *sql.Conn) error {
			got, err := first.engine.(preparer).admit(t.Context(), c, names[0], first.newName())
			if got != want {
				t.Errorf("the try %d has got it: %t", i, got)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	first.prepare(tpl)
	a := give(t, first, cfg)
	if left := ready(); len(left) > 1 || slices.Contains(left, spare[0]) || slices.Contains(left, id(a)) {
		t.Errorf("there are %s", left)
	}
	a.end()
	first.preparing.Wait()
	if err := errors.Join(first.dropSpare(), first.close()); err != nil {
		t.Error(err)
	}
	collected(t, second, first.prefix+first.run) // what has been taken and not used
	sweep(t, second)
	if left := ready(); len(left) != 1 {
		t.Errorf("there are %s", left)
	}
	if err := second.drop(t.Context(), tpl); err != nil {
		t.Error(err)
	}
	sweep(t, second)
	if names, err := preparedOf(t, second, tpl); err != nil || len(names) > 0 {
		t.Errorf("%s is still there: %v", names, err)
	}
	if err := second.close(); err != nil {
		t.Error(err)
	}
}

func preparedOf(t *testing.T, s *server, tpl *template) (names []string, err error) {
	t.Helper()
	err = s.on(t.Context(), func(c *sql.Conn) error {
		names, err = s.engine.(preparer).prepared(t.Context(), c, s.spareName(tpl, ""))
		return err
	})
	return names, err
}

// on runs a statement on the server.
func on(t *testing.T, s *server, statement string) {
	t.Helper()
	err := s.on(t.Context(), func(c *sql.Conn) error {
		_, err := c.ExecContext(t.Context(), statement)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
