package tldwdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// healthFiles are a schema with a table to count.
var healthFiles = files{
	"1_user.up.sql":   "CREATE TABLE app_user (id int PRIMARY KEY, name varchar(20));\nINSERT INTO app_user VALUES (1, 'secretname');\nINSERT INTO app_user VALUES (2, 'b');\n",
	"1_user.down.sql": "DROP TABLE app_user;\n",
	"2_media.up.sql":  "CREATE TABLE media (id int PRIMARY KEY);\n",
}

// fresh probes at each question, and asks everything each time.
func fresh(cfg *tldwdb.Config) {
	cfg.Health.Interval = time.Millisecond
	cfg.Health.DetailInterval = time.Millisecond
	cfg.Health.Timeout = 5 * time.Second // this machine may be busy
	cfg.Health.ReadyGrace = -1
	cfg.Health.Tables = []string{"app_user", "media"}
	cfg.Health.Counts = []string{"app_user"}
}

// probe asks anew.
func probe(t *testing.T, db *tldwdb.DB) tldwdb.Health {
	t.Helper()
	last := db.Health(t.Context())
	for {
		if next := db.Health(t.Context()); next.Time.After(last.Time) {
			return next
		}
	}
}

// wantHealth compares the answer with what is documented of a fault: the status, what
// ready says, and the first check that is not as it should be with its class.
func wantHealth(t *testing.T, h tldwdb.Health, status string, ready bool, check, class string) {
	t.Helper()
	var got *tldwdb.Check
	for i := range h.Checks {
		if c := &h.Checks[i]; c.Name == check && c.Status != tldwdb.CheckPass {
			got = c
		}
	}
	switch {
	case h.Status != status || h.Ready != ready:
		t.Errorf("it is %s, ready %t; want %s, ready %t\n%s", h.Status, h.Ready, status, ready, shown(h))
	case check == "" && (h.Error != "" || h.Class != ""):
		t.Errorf("there is something wrong:\n%s", shown(h))
	case check != "" && (got == nil || string(got.Class) != class):
		t.Errorf("want %s with %q\n%s", check, class, shown(h))
	case check != "" && h.Error == "":
		t.Errorf("nothing is said about %s", check)
	}
}

func shown(h tldwdb.Health) string {
	text, err := json.MarshalIndent(h, "", "  ")
	return fmt.Sprintf("%s %v", text, err)
}

// ask is a request to a handler.
func ask(t *testing.T, handler http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, req)
	return w
}

func TestHealth(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.Health.Backup = func(context.Context) (tldwdb.BackupState, error) {
				return tldwdb.BackupState{LastGood: time.Now().Add(-time.Hour), LastRestoreTest: time.Now().Add(-48 * time.Hour)}, nil
			}
		})
		h := probe(t, d)
		wantHealth(t, h, tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		if h.Pending != 2 || h.Head != 2 || !h.Connection || h.Tables || h.Error != "2 migrations are pending" {
			t.Errorf("before the migrations:\n%s", shown(h))
		}
		succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
		before := rowsOf(t, db.AdminDB(t), "SELECT count(*) FROM tldwdb_history")
		h = probe(t, d)
		wantHealth(t, h, tldwdb.StatusHealthy, true, "", "")
		if h.Current != 2 || h.Pending != 0 || !h.Tables || !h.WriteAccess || h.Counts["app_user"] != 2 || h.Stale || h.Activity != nil {
			t.Errorf("after the migrations:\n%s", shown(h))
		}
		for name, want := range map[string]string{tldwdb.CheckWriteAccess: tldwdb.MethodInsert, tldwdb.CheckCount: tldwdb.MethodExact} {
			if c := h.Check(name); c == nil || c.Method != want {
				t.Errorf("%s was asked by %+v, want %s", name, c, want)
			}
		}
		for _, name := range []string{tldwdb.CheckRoundTrip, tldwdb.CheckSize, tldwdb.CheckPool, tldwdb.CheckPoolWait, tldwdb.CheckBackup, tldwdb.CheckRestoreTest} {
			if c := h.Check(name); c == nil || c.Status != tldwdb.CheckPass || c.Unit == "" || c.Time.IsZero() {
				t.Errorf("%s: %+v", name, c)
			}
		}
		if c := h.Check(tldwdb.CheckDisk); (c == nil) == (db.Engine == testdb.SQLite) {
			t.Errorf("the disk: %+v", c)
		}
		if after := rowsOf(t, db.AdminDB(t), "SELECT count(*) FROM tldwdb_history"); after != before {
			t.Errorf("the history had %s rows, and has %s", before, after)
		}
	})
}

// Whoever asks what is pending gets one number, also where files and database
// disagree and a migration is half applied beside that.
func TestHealthPendingIsOneNumber(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	succeed(t, "up 0001_user, up 0002_media; 0 → 2")(open(t, db, healthFiles).Up(t.Context()))
	execute(t, db.AdminDB(t), "UPDATE tldwdb_history SET state = 'running' WHERE version = 2")
	var told tldwdb.SchemaInfo
	d := open(t, db, healthFiles.with(files{"1_user.up.sql": "CREATE TABLE other (id int);\n", "3_more.up.sql": "CREATE TABLE more (id int);\n"}), fresh, func(cfg *tldwdb.Config) {
		cfg.Observers = []*tldwdb.Observer{{Schema: func(s tldwdb.SchemaInfo) { told = s }}}
	})
	status, err := d.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if h := probe(t, d); status.Pending != 2 || h.Pending != 2 || told.Pending != 2 {
		t.Errorf("pending are %d by Status, %d by Health, %d by the observer; want 2", status.Pending, h.Pending, told.Pending)
	}
}

// What is behind a count is told: large tables are estimated.
func TestHealthEstimates(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Health.ExactCountLimit = 10 })
		succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
		admin := db.AdminDB(t)
		for i := range 200 {
			if _, err := admin.ExecContext(t.Context(), fmt.Sprintf("INSERT INTO app_user VALUES (%d, 'x')", i+3)); err != nil {
				t.Fatal(err)
			}
		}
		analyze := map[testdb.Engine]string{testdb.SQLite: "ANALYZE", testdb.Postgres: "ANALYZE app_user", testdb.MariaDB: "ANALYZE TABLE app_user", testdb.MySQL: "ANALYZE TABLE app_user"}
		if _, err := admin.ExecContext(t.Context(), analyze[db.Engine]); err != nil {
			t.Fatal(err)
		}
		h := probe(t, d)
		if c := h.Check(tldwdb.CheckCount); c == nil || c.Method != tldwdb.MethodEstimate || c.Observed < 150 || c.Observed > 250 || h.Counts["app_user"] != int64(c.Observed) {
			t.Errorf("202 rows: %+v", c)
		}
	})
}

// clock is the time of an answer.
var clock = regexp.MustCompile(`"time":"[^"]*"`)

// A stranger learns whether the database is well, and nothing that helps to
// attack it. Whoever is let in sees all.
func TestHealthHandlers(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.Health.Authorized = func(req *http.Request) bool { return req.Header.Get("Authorization") == "yes" }
		})
		succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
		mux := d.HealthMux()
		strangers := func() (all string) {
			for _, path := range []string{"/health/database", "/health/ready", "/health/live"} {
				for _, accept := range []string{"", "application/health+json"} {
					all += ask(t, mux, "GET", path, "Accept", accept).Body.String()
				}
			}
			return clock.ReplaceAllString(all, "") // any of the figures below may be in it
		}
		hidden := func(all string) {
			t.Helper()
			for _, word := range []string{"app_user", "127.0.0.1", "tldwdb_history", "SELECT", "INSERT", "0001", "secretname", db.Name(), "count", "latency", "current", "head", "checks", "3.", "127", "bytes"} {
				if strings.Contains(all, word) {
					t.Errorf("a stranger reads %q in\n%s", word, all)
				}
			}
		}
		hidden(strangers())
		var answer map[string]any
		w := ask(t, mux, "GET", "/health/database")
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
			t.Fatalf("%d %s: %v", w.Code, w.Body, err)
		}
		for key, want := range map[string]any{"status": "healthy", "connection": true, "tables": true, "write_access": true} {
			if answer[key] != want {
				t.Errorf("%s is %v", key, answer[key])
			}
		}
		for name, want := range map[string]string{"Content-Type": "application/json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Content-Length": fmt.Sprint(w.Body.Len())} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		w = ask(t, mux, "GET", "/health/database", "Authorization", "yes")
		if text := w.Body.String(); !strings.Contains(text, `"app_user_count":2`) || !strings.Contains(text, `"round_trip"`) {
			t.Errorf("who is let in reads\n%s", text)
		}
		w = ask(t, mux, "GET", "/health/database", "Authorization", "yes", "Accept", "application/health+json, application/json;q=0.9")
		var draft struct {
			Status string
			Checks map[string][]struct {
				ComponentType, ComponentID, ObservedUnit, Status, Time string
				ObservedValue                                          float64
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &draft); err != nil || draft.Status != "pass" || w.Header().Get("Content-Type") != "application/health+json" {
			t.Errorf("%v\n%s", err, w.Body)
		}
		if c := draft.Checks["database:count"]; len(c) != 1 || c[0].ObservedValue != 2 || c[0].ObservedUnit != "rows" || c[0].ComponentType != "datastore" || c[0].Status != "pass" || c[0].Time == "" {
			t.Errorf("the count: %+v", c)
		}
		for accept, want := range map[string]string{"*/*": "application/json", "application/json": "application/json", "application/health+json;q=0.1, application/json": "application/json", "application/health+json;q=0": "application/json"} {
			if got := ask(t, mux, "GET", "/health/database", "Accept", accept).Header().Get("Content-Type"); got != want {
				t.Errorf("Accept %s gives %s", accept, got)
			}
		}
		for _, path := range []string{"/health/live", "/health/ready", "/health/database"} {
			if w := ask(t, mux, "HEAD", path); w.Code != 200 || w.Body.Len() > 0 || w.Header().Get("Content-Length") == "" {
				t.Errorf("HEAD %s: %d %q %v", path, w.Code, w.Body, w.Header())
			}
			if w := ask(t, mux, "POST", path); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("POST %s: %d %v", path, w.Code, w.Header())
			}
		}
		if w := ask(t, mux, "GET", "/health/other"); w.Code != 404 {
			t.Errorf("another path: %d", w.Code)
		}
		// Something is wrong: still nothing for a stranger.
		if _, err := d.Pool().ExecContext(t.Context(), "DROP TABLE app_user"); err != nil {
			t.Fatal(err)
		}
		probe(t, d)
		hidden(strangers())
		if w := ask(t, mux, "GET", "/health/database"); w.Code != 503 || !strings.Contains(w.Body.String(), `"missing_table"`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if w := ask(t, mux, "GET", "/health/database", "Authorization", "yes"); !strings.Contains(w.Body.String(), "app_user: missing_table") {
			t.Errorf("%s", w.Body)
		}
	})
}

// Before the database is open the process lives and is not ready.
func TestHealthMuxStarting(t *testing.T) {
	t.Parallel()
	var mux tldwdb.HealthMux
	for path, want := range map[string]int{"/live": 200, "/ready": 503, "/database": 503, "/": 404} {
		if w := ask(t, &mux, "GET", path); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := ask(t, &mux, "GET", "/ready"); !strings.Contains(w.Body.String(), `"starting"`) {
		t.Error(w.Body)
	}
	for accept, want := range map[string]string{"": "application/json", "application/health+json": "application/health+json"} {
		w := ask(t, &mux, "GET", "/database", "Accept", accept)
		word := map[bool]string{true: `"status":"fail"`, false: `"status":"unhealthy"`}[accept == want]
		if got := w.Header().Get("Content-Type"); got != want || w.Header().Get("Vary") != "Accept" || !strings.Contains(w.Body.String(), word) || !strings.Contains(w.Body.String(), "not open yet") {
			t.Errorf("who prefers %q gets %s: %s", accept, got, w.Body)
		}
	}
	if w := ask(t, &mux, "POST", "/database"); w.Code != 405 {
		t.Error(w.Code)
	}
}

// However many ask, the database is asked once, by one connection more.
func TestHealthBurst(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.Health.Interval = time.Hour
			cfg.Health.Authorized = func(*http.Request) bool { return true }
			cfg.Application = db.Name()
		})
		succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
		handler := d.HealthHandler()
		var mu sync.Mutex
		times := map[string]int{}
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for range 50 {
					w := ask(t, handler, "GET", "/health/database")
					var answer struct{ Time string }
					if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 200 {
						t.Errorf("%d %s: %v", w.Code, w.Body, err)
						return
					}
					mu.Lock()
					times[answer.Time]++
					mu.Unlock()
				}
			})
		}
		all.Wait()
		if len(times) != 1 {
			t.Errorf("10,000 requests made %d probes: %v", len(times), times)
		}
		if db.Engine == testdb.Postgres {
			if n := rowsOf(t, db.AdminDB(t), "SELECT count(*) FROM pg_stat_activity WHERE application_name = '"+db.Name()+"'"); n != "1" && n != "2" {
				t.Errorf("%s connections are open: one is the pool's, and one the probe's", n)
			}
		}
	})
}

// Nobody waits for a probe longer than he wants, and a caller who leaves does not
// end it for the others.
func TestHealthCallerLeaves(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	entered, leave := make(chan struct{}), make(chan struct{})
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
		cfg.Health.Timeout = time.Minute
		once := sync.OnceFunc(func() { close(entered) })
		cfg.Health.Backup = func(context.Context) (tldwdb.BackupState, error) {
			once()
			<-leave
			return tldwdb.BackupState{LastGood: time.Now(), LastRestoreTest: time.Now()}, nil
		}
	})
	succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan tldwdb.Health, 1)
	go func() { left <- d.Health(ctx) }()
	<-entered
	cancel()
	if h := <-left; !h.Stale || h.Ready || h.Class != "canceled" || h.Status != tldwdb.StatusUnhealthy {
		t.Errorf("who leaves before there was an answer gets\n%s", shown(h))
	}
	close(leave)
	first := d.Health(t.Context())
	wantHealth(t, first, tldwdb.StatusHealthy, true, "", "")
	// probes go on at once here, so that one may be under way or done: both are an answer.
	if h := d.Health(ctx); h.Time.Before(first.Time) || h.Status != tldwdb.StatusHealthy || h.Stale != (h.Age > 0) {
		t.Errorf("who leaves later gets\n%s", shown(h))
	}
}

// A function of the program that hangs, fails or panics costs its own check only.
func TestHealthProgramFunctions(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	release := make(chan struct{})
	d := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
		cfg.Health.DetailInterval = time.Hour
		cfg.Health.Backup = func(context.Context) (tldwdb.BackupState, error) {
			<-release
			return tldwdb.BackupState{LastGood: time.Now()}, nil
		}
	})
	succeed(t, "up 0001_user, up 0002_media; 0 → 2")(d.Up(t.Context()))
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, tldwdb.CheckBackup, "other")
	panics := open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
		cfg.Health.Backup = func(context.Context) (tldwdb.BackupState, error) { panic("boom") }
	})
	wantHealth(t, probe(t, panics), tldwdb.StatusHealthy, true, tldwdb.CheckBackup, "other")
	close(release)
	for probe(t, d).Check(tldwdb.CheckBackup).Status != tldwdb.CheckPass {
		if t.Context().Err() != nil {
			t.Fatal("what the function returned in the end is not told")
		}
	}
}

// While this process migrates, or waits for another that does, ready says so.
func TestHealthWhileMigrating(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		entered, leave := make(chan struct{}), make(chan struct{})
		slow := func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 3, Name: "slow", NoTransaction: true, Up: func(context.Context, tldwdb.Conn) error {
				close(entered)
				<-leave
				return nil
			}}}
		}
		first, second := open(t, db, healthFiles, fresh, slow), open(t, db, healthFiles, fresh, slow)
		var all sync.WaitGroup
		for _, d := range []*tldwdb.DB{first, second} {
			all.Go(func() {
				if _, err := d.Up(t.Context()); err != nil {
					t.Error(err)
				}
			})
			if d == first {
				<-entered
			}
		}
		state := func(d *tldwdb.DB) (state string) {
			for state == "" || state == "unready" { // until its Up has looked
				w := ask(t, d.ReadyHandler(), "GET", "/health/ready")
				var answer struct {
					State                string
					Ready                bool
					Step, Steps, Version int
					Since                time.Time
				}
				if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != 503 || answer.Ready {
					t.Fatalf("%d %s: %v", w.Code, w.Body, err)
				}
				state = answer.State
				if state == "migrating" && (answer.Step != 3 || answer.Steps != 3 || answer.Version != 3 || answer.Since.IsZero()) {
					t.Errorf("the progress is %s", w.Body)
				}
			}
			return state
		}
		if s := state(first); s != "migrating" {
			t.Errorf("who migrates is %s", s)
		}
		if s := state(second); s != "waiting" {
			t.Errorf("who waits is %s", s)
		}
		if h := probe(t, second); h.Ready || !h.Connection || h.Activity == nil {
			t.Errorf("meanwhile\n%s", shown(h))
		}
		close(leave)
		all.Wait()
		for _, d := range []*tldwdb.DB{first, second} {
			wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
		}
	})
}

// An answer from before the migrations is not given behind them, however long it
// would be good, and ready does not wait for it meanwhile.
func TestHealthAfterUp(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		var d *tldwdb.DB
		d = open(t, db, healthFiles, fresh, func(cfg *tldwdb.Config) {
			cfg.Health.Interval = time.Hour
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 3, Name: "look", Up: func(context.Context, tldwdb.Conn) error {
				if w := ask(t, d.ReadyHandler(), "GET", "/"); w.Code != 503 || !strings.Contains(w.Body.String(), `"migrating"`) {
					t.Errorf("while it migrates: %d %s", w.Code, w.Body)
				}
				return nil
			}}}
		})
		wantHealth(t, d.Health(t.Context()), tldwdb.StatusUnhealthy, false, tldwdb.CheckHistory, "")
		if _, err := d.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantHealth(t, d.Health(t.Context()), tldwdb.StatusHealthy, true, "", "")
	})
}

func TestHealthOptionsRejectNonsense(t *testing.T) {
	t.Parallel()
	_, err := tldwdb.Config{
		MonitorURL: "sqlite:///x.db",
		Health: tldwdb.HealthOptions{
			Interval: -1, Timeout: time.Nanosecond, DeepWrite: time.Second, ReadyFailures: -1, Tables: []string{"a; DROP TABLE b"}, Counts: []string{"a b"},
			Ready: []string{"nothing"}, Advisory: []string{"none"}, Limits: map[string]tldwdb.Limit{"history": {Warn: 1}},
		},
	}.Effective()
	if err == nil {
		t.Fatal("no error")
	}
	for _, field := range []string{"Interval", "Timeout", "DeepWrite", "ReadyFailures", "Tables", "Counts", "Ready ", "Advisory", "Limits"} {
		if !strings.Contains(err.Error(), "Config.Health."+field) {
			t.Errorf("%s is not named in\n%v", field, err)
		}
	}
	if _, err := (tldwdb.Config{MonitorURL: "sqlite:///x.db"}).Effective(); err == nil || !strings.Contains(err.Error(), "TLDWDB_MONITOR_URL") {
		t.Errorf("a monitor on SQLite: %v", err)
	}
	if _, err := (tldwdb.Config{URL: "mysql://a@b/c", MonitorURL: "postgres://m:hunter2@h/d"}).Effective(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a monitor on another engine: %v", err)
	}
}

// Closing ends the probes' connection and their goroutines.
func TestHealthAfterClose(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		d := open(t, db, healthFiles, fresh)
		probe(t, d)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if h := d.Health(t.Context()); h.Ready || h.Connection || h.Status != tldwdb.StatusUnhealthy {
			t.Errorf("a closed database is\n%s", shown(h))
		}
	})
}

// A disk fills within seconds: it is looked at each time, and the details are not.
func TestHealthDiskIsNoDetail(t *testing.T) {
	t.Parallel()
	d := open(t, testdb.New(t, testdb.SQLite), healthFiles, fresh, func(cfg *tldwdb.Config) { cfg.Health.DetailInterval = time.Hour })
	succeed(t, healthySchema)(d.Up(t.Context()))
	first, second := probe(t, d), probe(t, d)
	for name, again := range map[string]bool{tldwdb.CheckDisk: true, tldwdb.CheckSize: false} {
		if a, b := first.Check(name), second.Check(name); a == nil || b == nil || b.Time.After(a.Time) != again {
			t.Errorf("%s: first %+v, then %+v", name, a, b)
		}
	}
}

// faulty is a driver whose connections panic when they are asked something, once
// they are told to.
type faulty struct {
	driver.Connector
	on *atomic.Bool
}

func (f faulty) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return faultyConn{conn.(wholeConn), f.on}, nil
}

// wholeConn is what SQLite's connections can do, which are no type of theirs
// without cgo.
type wholeConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
}

type faultyConn struct {
	wholeConn
	on *atomic.Bool
}

func (c faultyConn) Raw() driver.Conn { return c.wholeConn }

func (c faultyConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if c.on.Load() {
		panic("a fault of the driver")
	}
	return c.wholeConn.QueryContext(ctx, query, args)
}

// Whoever asks for the health must not be able to end the process by it.
func TestHealthDriverPanics(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	var on atomic.Bool
	pool := sqlx.NewDb(sql.OpenDB(faulty{connectorFor(t, db), &on}), "sqlite3")
	defer func() { _ = pool.Close() }()
	cfg := configFor(db, healthFiles, fresh)
	cfg.URL = ""
	d, err := tldwdb.Attach(t.Context(), pool, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = d.Close() }()
	succeed(t, healthySchema)(d.Up(t.Context()))
	on.Store(true)
	wantHealth(t, probe(t, d), tldwdb.StatusUnhealthy, false, tldwdb.CheckConnection, "other")
	on.Store(false)
	wantHealth(t, probe(t, d), tldwdb.StatusHealthy, true, "", "")
}

// Thousands who do not wait share what they are told.
func TestHealthStaleIsShared(t *testing.T) {
	t.Parallel()
	d := open(t, testdb.New(t, testdb.SQLite), healthFiles, fresh)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for !tldwdb.SaysTheSame(ctx, d) { // one that is made a moment later may be another
		if t.Context().Err() != nil {
			t.Fatal("each caller gets an answer of its own")
		}
	}
}

// An observer that does not return from Health is one goroutine, however many
// probes there are, and is told again when it has.
func TestHealthObserverHangs(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	entered, leave := make(chan struct{}, 100), make(chan struct{})
	d := open(t, testdb.New(t, testdb.SQLite), healthFiles, fresh, func(cfg *tldwdb.Config) {
		cfg.Observers = []*tldwdb.Observer{
			{Health: func(tldwdb.Health, time.Duration) { entered <- struct{}{}; <-leave }},
			{Health: func(tldwdb.Health, time.Duration) { told.Add(1) }},
		}
	})
	probe(t, d)
	<-entered
	for told.Load() < 10 {
		probe(t, d)
	}
	if n := len(entered); n > 0 {
		t.Errorf("it was told %d times more while it was told", n)
	}
	close(leave)
	for len(entered) == 0 {
		probe(t, d)
		if t.Context().Err() != nil {
			t.Fatal("it is told no more")
		}
	}
}
