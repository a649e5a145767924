package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// This file is the table of docs/guide/health.md: what each fault is answered
// with, and that the answer is well again by itself when the fault has gone.

const healthySchema = "up 0001_user, up 0002_media; 0 → 2"

// gate stands between a client and a server, and can be shut.
type gate struct {
	listener net.Listener
	server   string

	mu    sync.Mutex
	conns []net.Conn
	state gateState
	moved chan struct{} // closed when state changes
}

type gateState int

const (
	gateOpen gateState = iota
	gateGone           // as a server that was stopped: connections end, new ones too
	gateHung           // as a server that was stopped by SIGSTOP: connections stay, and nothing comes
)

// throughGate is the URL of a database behind a gate.
func throughGate(t *testing.T, rawURL string) (*gate, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL cannot be parsed")
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{listener: l, server: u.Host, moved: make(chan struct{})}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { g.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		g.set(gateGone)
		all.Wait()
	})
	u.Host = l.Addr().String()
	return g, u.String()
}

func (g *gate) set(s gateState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state = s
	close(g.moved)
	g.moved = make(chan struct{})
	if s == gateGone {
		for _, c := range g.conns {
			_ = c.Close()
		}
		g.conns = nil
	}
}

// pass waits while the gate hangs, and reports whether it is open.
func (g *gate) pass() bool {
	for {
		g.mu.Lock()
		state, moved := g.state, g.moved
		g.mu.Unlock()
		if state != gateHung {
			return state == gateOpen
		}
		<-moved
	}
}

func (g *gate) serve(client net.Conn) {
	defer client.Close() //nolint:errcheck // it may be closed
	g.mu.Lock()
	g.conns = append(g.conns, client)
	g.mu.Unlock()
	if !g.pass() {
		return
	}
	server, err := net.Dial("tcp", g.server) //nolint:noctx // ends with the gate
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // it may be closed
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		both.Go(func() {
			buffer := make([]byte, 32<<10)
			for {
				n, err := way[0].Read(buffer)
				if !g.pass() || err != nil {
					break
				}
				if _, err := way[1].Write(buffer[:n]); err != nil {
					break
				}
			}
			_ = way[0].Close()
			_ = way[1].Close()
		})
	}
	both.Wait()
}

// A server that was stopped, and one that hangs: there is an answer in time, and
// all is well again when the server is.
func TestHealthServerAway(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no server")
		}
		g, through := throughGate(t, db.URL)
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.URL = through
			cfg.Health.Timeout = 2 * time.Second
		})
		succeed(t, healthySchema)(d.Up(t.Context()))
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
		for _, tc := range []struct {
			state gateState
			class string
		}{{gateGone, "unreachable"}, {gateHung, "timeout"}} {
			g.set(tc.state)
			h := probe(t, d)
			wantHealth(t, h, tldwdb.StatusUnhealthy, false, tldwdb.CheckConnection, tc.class)
			if h.Connection || h.Tables || h.WriteAccess {
				t.Errorf("what was not seen is said to be well:\n%s", shown(h))
			}
			g.set(gateOpen)
			for h = probe(t, d); h.Class == "unreachable" || h.Class == "timeout"; h = probe(t, d) { // connections that are being given up
				if t.Context().Err() != nil {
					t.Fatal("it does not recover")
				}
			}
			wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
		}
	})
}

// A connection that the server has ended meanwhile is no news.
func TestHealthConnectionEnded(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Application = db.Name() })
	succeed(t, healthySchema)(d.Up(t.Context()))
	admin := db.AdminDB(t)
	for range 5 {
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
		rowsOf(t, admin, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = '"+db.Name()+"'")
		for rowsOf(t, admin, "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+db.Name()+"'") != "0" && t.Context().Err() == nil {
			continue // they are ending; PostgreSQL 14 and newer could wait
		}
	}
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
}

// A driver that does not keep to its context holds up nobody.
func TestHealthDriverHangs(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	cfg := configFor(db, healthFiles)
	connector := &deafConnector{wrapped: wrapped{connectorFor(t, db)}, held: make(chan struct{}), release: make(chan struct{})}
	deaf := sqlx.NewDb(sql.OpenDB(connector), "sqlite3")
	cfg.URL = ""
	fresh(&cfg)
	cfg.Health.Timeout = 100 * time.Millisecond
	d, err := tldwdb.Attach(t.Context(), deaf, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // the first waits for its time to pass; the others find it stuck
		wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, false, tldwdb.CheckConnection, "timeout")
	}
	<-connector.held
	close(connector.release)
	for probe(t, d).Class == "timeout" {
		if t.Context().Err() != nil {
			t.Fatal("it does not recover")
		}
	}
	if err := errors.Join(d.Close(), deaf.Close()); err != nil {
		t.Error(err)
	}
}

// What a stranger to the schema did to it.
func TestHealthSchema(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh)
		succeed(t, healthySchema)(d.Up(t.Context()))
		admin := db.AdminDB(t)
		well := func() {
			t.Helper()
			wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
		}
		well()

		execute(t, admin, "DROP TABLE media") // dropped by hand
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusUnhealthy, true, tldwdb.CheckTables, "missing_table")
		if h.Tables || h.Error != "a table is missing or may not be read" {
			t.Errorf("the table:\n%s", shown(h))
		}
		execute(t, admin, "CREATE TABLE media (id int PRIMARY KEY)")
		well()

		newer := open(t, db, healthFiles.with(files{"3_more.up.sql": "CREATE TABLE more (id int);", "3_more.down.sql": "DROP TABLE more;"}), fresh)
		wantHealth(t, probe(t, newer), tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		succeed(t, "up 0003_more; 2 → 3")(newer.Up(t.Context()))
		well() // newer than this binary
		strict := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Strict = true })
		wantHealth(t, probe(t, strict), tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")

		execute(t, admin, "UPDATE tldwdb_history SET state = 'running' WHERE version = 2") // half applied
		wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		execute(t, admin, "UPDATE tldwdb_history SET state = 'applied' WHERE version = 2")
		well()

		changed := open(t, db, healthFiles.with(files{"2_media.up.sql": "CREATE TABLE media (id int PRIMARY KEY, more int);\n"}), fresh)
		h = probe(t, changed)
		wantHealth(t, h, tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		if h.Error != "migrations and database disagree" {
			t.Errorf("an edited file: %s", h.Error)
		}

		execute(t, admin, "UPDATE tldwdb_history SET state = 'running' WHERE version = 3") // a newer binary's
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, tldwdb.CheckHistory, "")
		execute(t, admin, "UPDATE tldwdb_history SET state = 'applied' WHERE version = 3")

		execute(t, admin, "ALTER TABLE tldwdb_history RENAME TO hidden_history")
		h = probe(t, d)
		wantHealth(t, h, tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		if c := h.Check(tldwdb.CheckWriteAccess); c == nil || c.Method == tldwdb.MethodInsert || c.Status != tldwdb.CheckPass {
			t.Errorf("write access without a history: %+v", c)
		}
		execute(t, admin, "ALTER TABLE hidden_history RENAME TO tldwdb_history")
		well()
	})
}

// A pool whose connections are all in use is not a database that is down.
func TestHealthPoolExhausted(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		short := func(cfg *tldwdb.Config) {
			cfg.PoolSize = 2
			cfg.Health.Timeout = 2 * time.Second
		}
		d := open(t, db, healthFiles, fresh, short)
		succeed(t, healthySchema)(d.Up(t.Context()))
		var taken []*sqlx.Conn
		for range 2 {
			c, err := d.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			taken = append(taken, c)
		}
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusUnhealthy, false, tldwdb.CheckPoolWait, "pool_exhausted")
		if !h.Connection || !h.Tables || !h.WriteAccess {
			t.Errorf("the database is well:\n%s", shown(h))
		}
		for _, c := range taken {
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		}
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")

		// A borrowed pool without a URL is all that there is.
		cfg := configFor(db, healthFiles, fresh, short)
		cfg.URL = ""
		pool, err := testdb.Open(db.Engine, db.URL)
		if err != nil {
			t.Fatal(err)
		}
		pool.SetMaxOpenConns(1)
		names := map[testdb.Engine]string{testdb.SQLite: "sqlite3", testdb.Postgres: "pgx", testdb.MariaDB: "mysql", testdb.MySQL: "mysql"}
		attached, err := tldwdb.Attach(t.Context(), sqlx.NewDb(pool, names[db.Engine]), cfg)
		if err != nil {
			t.Fatal(err)
		}
		wantHealth(t, probe(t, attached), tldwdb.StatusHealthy, true, "", "")
		conn, err := pool.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantHealth(t, probe(t, attached), tldwdb.StatusUnhealthy, false, tldwdb.CheckConnection, "pool_exhausted")
		if err := errors.Join(conn.Close(), attached.Close(), pool.Close()); err != nil {
			t.Error(err)
		}
	})
}

// An account that has lost its rights, or may not sign in any more.
func TestHealthRightsRevoked(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no accounts")
		}
		admin := db.AdminDB(t)
		owner := open(t, db, healthFiles)
		succeed(t, healthySchema)(owner.Up(t.Context()))
		role := makeRole(t, db, admin, "x")
		tables := []string{"app_user", "media"}
		grant := func(what, to string, tables ...string) {
			for _, table := range tables {
				execute(t, admin, what+" ON "+table+" "+to+" "+role)
			}
		}
		grant("GRANT SELECT", "TO", "tldwdb_history", "app_user", "media")
		as := func(cfg *tldwdb.Config) { cfg.URL = urlAs(t, db, role, "x") }
		d := open(t, db, healthFiles, fresh, as)
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
		if c := h.Check(tldwdb.CheckWriteAccess); c == nil || c.Method != tldwdb.MethodFlags {
			t.Errorf("an account that may not write the history: %+v", c)
		}
		grant("REVOKE SELECT", "FROM", tables...)
		wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, true, tldwdb.CheckTables, "permission")
		grant("GRANT SELECT", "TO", tables...)
		grant("REVOKE SELECT", "FROM", "tldwdb_history")
		wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "permission")
		grant("GRANT SELECT", "TO", "tldwdb_history")
		wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")

		// A process that connects for the first time after the password has changed.
		late := open(t, db, healthFiles, fresh, as)
		// The same, where a refusal is waited out: the file may bring the new one.
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		patient := open(t, db, healthFiles, fresh, as, func(cfg *tldwdb.Config) { cfg.PasswordFile = file })
		if isMySQL(db) {
			execute(t, admin, "ALTER USER "+role+" IDENTIFIED BY 'y'")
		} else {
			execute(t, admin, "ALTER ROLE "+role+" PASSWORD 'y'")
		}
		// The pool's own connections go on, so that the probe can ask by them.
		wantHealth(t, probe(t, late), tldwdb.StatusHealthy, true, "", "")
		wantHealth(t, probe(t, patient), tldwdb.StatusHealthy, true, "", "")
	})
}

// A monitor that was led to another database does not say of this one that its
// schema is missing.
func TestHealthMonitorElsewhere(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no accounts")
		}
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.MonitorURL = testdb.New(t, db.Engine).URL })
		succeed(t, healthySchema)(d.Up(t.Context()))
		h := probe(t, d)
		if c := h.Check(tldwdb.CheckMonitor); !h.Ready || !h.Degraded || c == nil || c.Status != tldwdb.CheckWarn || !strings.Contains(c.Output, "MonitorURL") {
			t.Errorf("a monitor that was led elsewhere:\n%s", shown(h))
		}
	})
}

// The monitoring account needs no right to read a row of a user, and one that is
// refused takes no process out of service.
func TestHealthMonitor(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no accounts")
		}
		admin := db.AdminDB(t)
		monitor := makeRole(t, db, admin, "x")
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.MonitorURL = urlAs(t, db, monitor, "x") })
		succeed(t, healthySchema)(d.Up(t.Context()))
		execute(t, admin, "GRANT SELECT ON tldwdb_history TO "+monitor)
		if isMySQL(db) { // to see that they are there
			execute(t, admin, "GRANT SHOW VIEW ON "+db.Name()+".* TO "+monitor)
		} else {
			execute(t, admin, "ANALYZE app_user")
		}
		as := *db
		as.URL = urlAs(t, db, monitor, "x")
		own, err := testdb.Open(db.Engine, as.URL)
		if err != nil {
			t.Fatal(err)
		}
		for _, query := range []string{"SELECT name FROM app_user", "SELECT count(*) FROM app_user", "INSERT INTO media VALUES (1)", "DELETE FROM tldwdb_history"} {
			if _, err := own.ExecContext(t.Context(), query); tldwdb.ClassOf(err) != "permission" {
				t.Errorf("%s: %v", query, err)
			}
		}
		if err := own.Close(); err != nil {
			t.Error(err)
		}
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
		if c := h.Check(tldwdb.CheckWriteAccess); c == nil || c.Method != tldwdb.MethodFlags || !h.WriteAccess {
			t.Errorf("write access: %+v", c)
		}
		if c := h.Check(tldwdb.CheckCount); c == nil || c.Method != tldwdb.MethodEstimate || h.Counts["app_user"] != 2 {
			t.Errorf("the count: %+v", c)
		}
		if c := h.Check(tldwdb.CheckTables); c == nil || c.Method != tldwdb.MethodCatalog {
			t.Errorf("the tables: %+v", c)
		}
		execute(t, admin, "DROP TABLE media")
		wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, true, tldwdb.CheckTables, "missing_table")
		execute(t, admin, "CREATE TABLE media (id int PRIMARY KEY)")

		wrong := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.MonitorURL = urlAs(t, db, monitor, "wrong") })
		h = probe(t, wrong)
		wantHealth(t, h, tldwdb.StatusHealthy, true, tldwdb.CheckMonitor, "auth")
		if strings.Contains(shown(h), "wrong") {
			t.Errorf("the password is shown:\n%s", shown(h))
		}

		// Its URL is in a file, and gets another password.
		file := filepath.Join(t.TempDir(), "url")
		write := func(password string) {
			if err := os.WriteFile(file, []byte(urlAs(t, db, monitor, password)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write("x")
		fromFile, err := tldwdb.ConfigFromLookup(func(name string) (string, bool) {
			if name != "TLDWDB_MONITOR_URL_FILE" {
				return "", false
			}
			return file, true
		})
		if err != nil {
			t.Fatal(err)
		}
		fromFile.URL, fromFile.Migrations = db.URL, configFor(db, healthFiles).Migrations
		fresh(&fromFile)
		follows, err := tldwdb.Open(t.Context(), fromFile)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = follows.Close() }()
		if isMySQL(db) {
			execute(t, admin, "ALTER USER "+monitor+" IDENTIFIED BY 'z'")
		} else {
			execute(t, admin, "ALTER ROLE "+monitor+" PASSWORD 'z'")
		}
		write("z")
		wantHealth(t, probe(t, follows), tldwdb.StatusHealthy, true, "", "")
	})
}

// A database in memory is its only connection, which a probe that fails must not
// take away.
func TestHealthInMemory(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.URL = "sqlite://" })
	succeed(t, healthySchema)(d.Up(t.Context()))
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
	execute(t, d.Pool().DB, "PRAGMA query_only = ON")
	wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "read_only")
	execute(t, d.Pool().DB, "PRAGMA query_only = OFF")
	h := probe(t, d)
	wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
	if h.Counts["app_user"] != 2 {
		t.Errorf("the rows are gone:\n%s", shown(h))
	}
}

// Another one writes.
func TestHealthLocked(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Health.Timeout = 400 * time.Millisecond })
	succeed(t, healthySchema)(d.Up(t.Context()))
	tx, err := d.Pool().BeginTxx(t.Context(), nil) // immediate
	if err != nil {
		t.Fatal(err)
	}
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, tldwdb.CheckWriteAccess, "locked")
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
}

// Somebody holds the tables for longer than a probe lasts: no session of a probe
// stays behind to wait for them.
func TestHealthTablesHeld(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		if db.Engine == testdb.SQLite {
			t.Skip("SQLite has no sessions")
		}
		edit := func(cfg *tldwdb.Config) {
			cfg.Application = db.Name()
			cfg.PoolSize = 1
			cfg.Health.Timeout = 2 * time.Second
		}
		d := open(t, db, healthFiles, fresh, edit)
		succeed(t, healthySchema)(d.Up(t.Context()))
		// A pool without a URL: the probe asks by one of its connections.
		pool := open(t, db, healthFiles, edit).Pool()
		cfg := configFor(db, healthFiles, fresh, edit)
		cfg.URL = ""
		borrowed, err := tldwdb.Attach(t.Context(), pool, cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := borrowed.Close(); err != nil {
				t.Error(err)
			}
		})
		limits := func() string {
			return rowsOf(t, pool.DB, pick(db, "", "SHOW lock_timeout", "SELECT @@SESSION.lock_wait_timeout, @@SESSION.innodb_lock_wait_timeout"))
		}
		before := limits()
		admin := db.AdminDB(t)
		holder, err := admin.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		hold, release, sessions := []string{"LOCK TABLES tldwdb_history WRITE"}, "UNLOCK TABLES",
			"SELECT count(*) FROM "+db.Processlist()+" WHERE db = '"+db.Name()+"' AND command <> 'Sleep' AND info LIKE '%tldwdb_history%' AND id <> connection_id()"
		if !isMySQL(db) {
			hold, release = []string{"BEGIN", "LOCK TABLE tldwdb_history"}, "COMMIT"
			sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = '" + db.Name() + "' AND wait_event_type = 'Lock'"
		}
		for _, statement := range hold {
			if _, err := holder.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
		for _, asked := range []*tldwdb.DB{d, borrowed, d, borrowed} {
			until(t, asked, func(h tldwdb.Health) bool {
				told := h.Class == "locked" || h.Class == "timeout"
				if h.Status != tldwdb.StatusUnhealthy || !told && h.Class != "unreachable" { // a busy machine may not get as far as to the lock
					t.Errorf("%s", shown(h))
					return true
				}
				return told
			})
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for rowsOf(t, admin, sessions) != "0" { // the server ends them in its own time
			if ctx.Err() != nil {
				t.Fatal("sessions wait on")
			}
		}
		if _, err := holder.ExecContext(t.Context(), release); err != nil {
			t.Fatal(err)
		}
		if err := holder.Close(); err != nil {
			t.Error(err)
		}
		for _, asked := range []*tldwdb.DB{d, borrowed} {
			until(t, asked, func(h tldwdb.Health) bool { return h.Status == tldwdb.StatusHealthy })
		}
		if after := limits(); after != before {
			t.Errorf("a connection of the program's had the limits %s, and has %s", before, after)
		}
	})
}

// A server that takes no writes for now.
func TestHealthReadOnly(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it takes a server of its own")
	}
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			server, err := testdb.Start(t.Context(), e)
			if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
				t.Skip(missing)
			}
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
			db := server.New(t)
			d := open(t, db, healthFiles, fresh)
			reader := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Health.Advisory = []string{tldwdb.CheckWriteAccess} })
			succeed(t, healthySchema)(d.Up(t.Context()))
			wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
			admin := db.Seen(t, server.AdminURL).AdminDB(t)
			on, off := "SET GLOBAL read_only = ON", "SET GLOBAL read_only = OFF"
			if e == testdb.Postgres {
				on = "ALTER SYSTEM SET default_transaction_read_only = on"
				off = "ALTER SYSTEM SET default_transaction_read_only = off"
			}
			change := func(statement string) {
				t.Helper()
				execute(t, admin, statement)
				if e == testdb.Postgres {
					execute(t, admin, "SELECT pg_reload_conf()")
				}
			}
			change(on)
			until(t, d, func(h tldwdb.Health) bool { return h.Status == tldwdb.StatusUnhealthy })
			h := probe(t, d)
			wantHealth(t, h, tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "read_only")
			if h.WriteAccess || !h.Connection {
				t.Errorf("%s", shown(h))
			}
			h = probe(t, reader)
			wantHealth(t, h, tldwdb.StatusHealthy, true, tldwdb.CheckWriteAccess, "read_only")
			change(off)
			until(t, d, func(h tldwdb.Health) bool { return h.Status == tldwdb.StatusHealthy })
		})
	}
}

// until probes until the answer is as it should become: a server takes its time
// to read its settings.
func until(t *testing.T, d *tldwdb.DB, ok func(tldwdb.Health) bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); ; {
		h := probe(t, d)
		if ok(h) {
			return
		}
		if t.Context().Err() != nil || time.Now().After(deadline) {
			t.Fatalf("it stays at\n%s", shown(h))
		}
	}
}

// A standby serves readers; promoted, it takes writes, and health says so by itself.
func TestHealthStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	succeed(t, healthySchema)(open(t, p.Database, healthFiles).Up(t.Context()))
	p.arrived(t)
	d := open(t, p.replica, healthFiles, fresh)
	h := probe(t, d)
	wantHealth(t, h, tldwdb.StatusUnhealthy, true, tldwdb.CheckWriteAccess, "read_only")
	if c := h.Check(tldwdb.CheckWriteAccess); !strings.Contains(c.Output, "standby") {
		t.Errorf("what is said of a standby: %+v", c)
	}
	behind := func(is bool) func(tldwdb.Health) bool {
		return func(h tldwdb.Health) bool {
			c := h.Check(tldwdb.CheckReplication)
			return c != nil && c.Unit == "s" && (c.Observed > 0) == is
		}
	}
	until(t, d, behind(false))
	if err := p.primary.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, d, behind(true)) // it has all that it has got, and gets nothing any more
	p.promote(t)
	p.Move(t, p.standby.URL)
	until(t, d, func(h tldwdb.Health) bool { return h.Status == tldwdb.StatusHealthy && h.WriteAccess })
}

// deafConnector makes connections whose first question waits for release, whatever
// its context says.
type deafConnector struct {
	wrapped
	held, release chan struct{}
	asked         atomic.Bool
}

func (c *deafConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	return deafConn{wrappedConn{conn}, c}, err
}

type deafConn struct {
	wrappedConn
	c *deafConnector
}

func (c deafConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if !c.c.asked.Swap(true) {
		close(c.c.held)
		<-c.c.release
	}
	return c.wrappedConn.QueryContext(ctx, query, args)
}
