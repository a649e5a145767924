package tldwdbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"testing/fstest"
)

// TestRecycle: a database that a test has written to is as it was at first for the
// next one, and one whose schema was changed is not handed on.
func TestRecycle(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{MySQL, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			migrations := files(3).(fstest.MapFS)
			migrations["9001_pair.up.sql"] = &fstest.MapFile{Data: []byte("CREATE TABLE pair (id int PRIMARY KEY, a varchar(9), b varchar(9));\nINSERT INTO pair VALUES (1, 'ab', 'c');\n")}
			cfg := Config{Migrations: migrations}
			New(t, Config{Migrations: migrations, Engine: e}) // skips, and keeps the others from being the last
			at, err := cfg.target(os.Getenv, e)
			if err != nil {
				t.Fatal(err)
			}
			h, err := houseOf(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			s := h.(*server)
			for _, c := range []struct {
				name, statement string
				want            bool
			}{
				{"untouched", "DO 1", true},
				{"rows", "INSERT INTO t0 (name) VALUES ('x')", true},
				{"counter", "INSERT INTO t0 (id, name) VALUES (100, 'x'); DELETE FROM t0 WHERE id = 100", true},
				{"updated", "UPDATE t0 SET v = 7", true},
				{"moved", "UPDATE pair SET a = 'a', b = 'bc'", true},
				{"renamed column", "ALTER TABLE pair RENAME COLUMN a TO c", false},
				{"child", "INSERT INTO t1 (name, parent) VALUES ('x', 1)", true},
				{"column", "ALTER TABLE t2 ADD COLUMN more int", false},
				{"table", "CREATE TABLE more (v int)", false},
				{"view", "CREATE VIEW more AS SELECT * FROM t0", false},
				{"collation", "ALTER DATABASE COLLATE latin1_bin", false},
				{"trigger", "CREATE TRIGGER more BEFORE INSERT ON t0 FOR EACH ROW SET NEW.v = 1", false},
			} {
				db, p, err := open(t.Context(), t, cfg, at)
				if err != nil {
					t.Fatal(err)
				}
				err = s.on(t.Context(), func(conn *sql.Conn) error {
					_, err := conn.ExecContext(t.Context(), "USE "+backticked(p.name)+"; "+c.statement+elsewhere)
					return err
				})
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
				tpl, err := s.template(cfg, at)
				if err != nil {
					t.Fatal(err)
				}
				err = s.on(t.Context(), func(conn *sql.Conn) error {
					clean, err := s.engine.(recycler).recycle(t.Context(), conn, tpl, s.templateName(tpl), p.name)
					if clean != c.want {
						t.Errorf("%s: clean is %t: %v", c.name, clean, err)
					}
					if !clean {
						return err
					}
					m := s.engine.(*mysql)
					is, err := m.read(t.Context(), conn, p.name)
					if err != nil {
						return err
					}
					was, err := m.script(t.Context(), conn, tpl, s.templateName(tpl))
					if err != nil {
						return err
					}
					rows, err := m.checksums(t.Context(), conn, was, p.name)
					if err != nil {
						return err
					}
					want, err := m.checksums(t.Context(), conn, was, s.templateName(tpl))
					if err != nil || !slices.Equal(rows, want) {
						t.Errorf("%s: the rows are not those of the template: %v", c.name, err)
					}
					for i, table := range was.Copy.Tables {
						if is.Tables[i].Create != table.Create {
							t.Errorf("%s: %s, and not %s", c.name, is.Tables[i].Create, table.Create)
						}
					}
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := p.undo(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestHalfTemplate: what a process was making when it was killed is no template, and
// goes; what one is just making stays.
func TestHalfTemplate(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{Postgres, MySQL, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			key := fmt.Sprintf("half-%08x", rand.Uint32())
			s := home(t, e, key).(*server)
			tpl, err := s.template(childConfig(key), target{engine: e})
			if err != nil {
				t.Fatal(err)
			}
			name := s.templateName(tpl)
			if err := s.on(t.Context(), func(c *sql.Conn) error { return s.make(t.Context(), c, name) }); err != nil {
				t.Fatal(err)
			}
			unlock, got, err := s.try(t.Context(), tpl)
			if err != nil || !got {
				t.Fatalf("the lock is taken: %t: %v", got, err)
			}
			if ok, err := s.look(t.Context(), tpl); ok || err != nil {
				t.Errorf("it is taken for a template: %v", err)
			}
			sweep(t, s)
			if !exists(t, s, name) {
				t.Error("it was dropped while it is made")
			}
			unlock()
			collected(t, s, name)
		})
	}
}

// TestBytesInAnotherSession: what somebody else runs does not keep a database from being
// handed on, bytes that are no text in particular.
func TestBytesInAnotherSession(t *testing.T) {
	t.Parallel()
	for _, e := range []Engine{MySQL, MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			cfg := Config{Migrations: files(2), Engine: e}
			db := New(t, cfg)
			at, err := cfg.target(os.Getenv, e)
			if err != nil {
				t.Fatal(err)
			}
			h, err := houseOf(t.Context(), at)
			if err != nil {
				t.Fatal(err)
			}
			s := h.(*server)
			var database string
			if err := db.Pool().GetContext(t.Context(), &database, "SELECT DATABASE()"); err != nil {
				t.Fatal(err)
			}
			name := fmt.Sprintf("'bytes-%08x'", rand.Uint32())
			holder, err := db.Pool().Conn(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := holder.Close(); err != nil && !errors.Is(err, sql.ErrConnDone) {
					t.Error(err)
				}
			}()
			if _, err := holder.ExecContext(t.Context(), "DO GET_LOCK("+name+", 0)"); err != nil {
				t.Fatal(err)
			}
			waited := make(chan error, 1)
			go func() {
				_, err := db.Pool().ExecContext(t.Context(), "DO '\x86\xb2', GET_LOCK("+name+", 60)")
				waited <- err
			}()
			m := s.engine.(*mysql)
			for running := "0"; running == "0"; {
				rows, err := texts(t.Context(), holder, "SELECT COUNT(*) FROM "+m.sessions+" WHERE state = 'User lock' AND db = DATABASE()")
				if err != nil {
					t.Fatal(err)
				}
				running = rows[0][0]
				if err := pause(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			tpl, err := s.template(cfg, at)
			if err != nil {
				t.Fatal(err)
			}
			err = s.on(t.Context(), func(conn *sql.Conn) error {
				_, _, err := m.takeOver(t.Context(), conn, tpl, s.templateName(tpl), database)
				return err
			})
			if err != nil {
				t.Error(err)
			}
			if _, err := holder.ExecContext(t.Context(), "DO RELEASE_LOCK("+name+")"); err != nil {
				t.Error(err)
			}
			if err := <-waited; err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
