package tldwdbmetrics_test

import (
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdbmetrics"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { testdb.Main(m) }

// never is a scrape that asks nobody.
var never = tldwdbmetrics.Options{HealthAge: -1}

func migrations(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

var notes = migrations(map[string]string{
	"1_note.up.sql":   "CREATE TABLE note (id integer PRIMARY KEY, title varchar(20));",
	"1_note.down.sql": "DROP TABLE note;",
	"2_row.up.sql":    "INSERT INTO note VALUES (1, 'first');",
})

func open(t testing.TB, m *tldwdbmetrics.Metrics, cfg tldwdb.Config) *tldwdb.DB {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), m.Observe(cfg))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// values are the metrics of a scrape, by name and labels; of a histogram its count.
func values(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(c); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			key := f.GetName()
			if len(labels) > 0 {
				key += "{" + strings.Join(labels, ",") + "}"
			}
			switch {
			case m.Histogram != nil:
				all[key] = float64(m.GetHistogram().GetSampleCount())
			case m.Counter != nil:
				all[key] = m.GetCounter().GetValue()
			default:
				all[key] = m.GetGauge().GetValue()
			}
		}
	}
	return all
}

// expect compares some of the metrics.
func expect(t *testing.T, c prometheus.Collector, want map[string]float64) {
	t.Helper()
	got := values(t, c)
	for key, value := range want {
		if v, ok := got[key]; !ok || v != value {
			t.Errorf("%s is %v (there: %v), want %v", key, v, ok, value)
		}
	}
}

// TestMetrics: what happens on each engine is counted, and only that.
func TestMetrics(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx := t.Context()
		m := tldwdbmetrics.New(never)
		db := open(t, m, tldwdb.Config{URL: tdb.URL, Migrations: notes, PoolSize: 3, PoolTimeout: time.Minute})
		before := values(t, m)
		if _, ok := before["tldwdb_migrations{state=\"pending\"}"]; ok {
			t.Error("nobody has read the history, and its figures are there")
		}
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		lock := map[testdb.Engine]string{testdb.SQLite: "file"}[tdb.Engine]
		if lock == "" {
			lock = "session"
		}
		expect(t, m, map[string]float64{
			`tldwdb_migrations{state="applied"}`:                                    2,
			`tldwdb_migrations{state="pending"}`:                                    0,
			`tldwdb_migrations{state="failed"}`:                                     0,
			`tldwdb_migrations{state="half_applied"}`:                               0,
			`tldwdb_migration_version`:                                              2,
			`tldwdb_migration_head`:                                                 2,
			`tldwdb_lock_info{kind="` + lock + `"}`:                                 1,
			`tldwdb_operation_duration_seconds{operation="run",result="ok"}`:        1,
			`tldwdb_operation_duration_seconds{operation="run",result="error"}`:     0,
			`tldwdb_operation_duration_seconds{operation="lock",result="ok"}`:       1,
			`tldwdb_operation_duration_seconds{operation="migration",result="ok"}`:  2,
			`tldwdb_operation_duration_seconds{operation="statement",result="ok"}`:  2,
			`tldwdb_operations_running{operation="run"}`:                            0,
			`tldwdb_connects_total{error_type="",result="ok"}`:                      values(t, m)[`tldwdb_connect_duration_seconds`],
			`tldwdb_connects_total{error_type="auth",result="error"}`:               0,
			`tldwdb_pool_timeouts_total`:                                            0,
			`go_sql_max_open_connections{db_name="application"}`:                    3,
			`tldwdb_build_info{version="` + tldwdb.Version + `"}`:                   1,
			`db_client_operation_duration_seconds{error_type="",operation="begin"}`: before[`db_client_operation_duration_seconds{error_type="",operation="begin"}`],
		})

		execs := values(t, m)[`db_client_operation_duration_seconds{error_type="",operation="exec"}`]
		if _, err := db.Pool().ExecContext(ctx, "INSERT INTO note VALUES (2, 'second')"); err != nil {
			t.Fatal(err)
		}
		if _, err := db.Pool().ExecContext(ctx, "INSERT INTO note VALUES (2, 'hunter2')"); err == nil {
			t.Fatal("a duplicate was inserted")
		}
		canceled, cancel := context.WithCancel(ctx)
		tx, err := db.Pool().BeginTx(canceled, nil)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		_ = tx.Rollback() // database/sql does it as well
		expect(t, m, map[string]float64{
			`db_client_operation_duration_seconds{error_type="",operation="exec"}`:           execs + 1,
			`db_client_operation_duration_seconds{error_type="constraint",operation="exec"}`: 1,
			`tldwdb_query_errors_total{error_type="constraint"}`:                             1,
			`tldwdb_slow_queries_total{operation="exec"}`:                                    0,
		})
		if got := values(t, m); got[`go_sql_max_open_connections{db_name="reader"}`] != map[bool]float64{true: 3}[tdb.Engine == testdb.SQLite] {
			t.Errorf("the reader's pool: %v", got)
		}
		for key := range values(t, m) {
			if strings.Contains(key, "hunter2") || strings.Contains(key, "note") {
				t.Errorf("%s says too much", key)
			}
		}

		counted := values(t, m)["tldwdb_connect_duration_seconds"]
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		after := values(t, m)
		for key := range after {
			if strings.HasPrefix(key, "go_sql") || strings.HasPrefix(key, "tldwdb_migration") || strings.HasPrefix(key, "tldwdb_health") {
				t.Errorf("%s is there after Close", key)
			}
		}
		if after["tldwdb_connect_duration_seconds"] != counted {
			t.Error("a counter has changed at Close")
		}
	})
}

// TestFailedConnectionsAreCounted by their kind.
func TestFailedConnectionsAreCounted(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(testdb.New(t, e).URL)
			if err != nil {
				t.Fatal(err)
			}
			u.User = url.UserPassword(u.User.Username(), "hunter2")
			m := tldwdbmetrics.New(never)
			if _, err := tldwdb.Open(t.Context(), m.Observe(tldwdb.Config{URL: u.String(), ConnectWait: -1})); err == nil {
				t.Fatal("connected")
			}
			if got := values(t, m)[`tldwdb_connects_total{error_type="auth",result="error"}`]; got < 1 {
				t.Errorf("%v failed attempts", got)
			}
		})
	}
}

// TestReopened: what was known of a database that was closed is not told of the next.
func TestReopened(t *testing.T) {
	t.Parallel()
	m := tldwdbmetrics.New(never)
	first := open(t, m, tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes})
	if _, err := first.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	first.Health(t.Context())
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, m, tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes})
	got := values(t, m)
	for _, key := range []string{`tldwdb_migrations{state="pending"}`, "tldwdb_health_ready"} {
		if v, ok := got[key]; ok {
			t.Errorf("of a database that nobody has asked %s is %v", key, v)
		}
	}
}

// TestFailedRunsAreCounted by their kind.
func TestFailedRunsAreCounted(t *testing.T) {
	t.Parallel()
	m := tldwdbmetrics.New(never)
	db := open(t, m, tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: migrations(map[string]string{"1_a.up.sql": "CREATE TABEL a (id integer);"})})
	if _, err := db.Up(t.Context()); err == nil {
		t.Fatal("applied")
	}
	expect(t, m, map[string]float64{
		`tldwdb_operation_duration_seconds{operation="run",result="error"}`:       1,
		`tldwdb_operation_duration_seconds{operation="migration",result="error"}`: 1,
		`tldwdb_operation_duration_seconds{operation="lock",result="ok"}`:         1,
		`tldwdb_operation_errors_total{error_type="syntax",operation="run"}`:      1,
		`tldwdb_migrations{state="pending"}`:                                      1,
	})
}

// blocker is an observer that holds up everybody who asks for the health.
func blocker() (o *tldwdb.Observer, asked <-chan struct{}, release func()) {
	began, gate := make(chan struct{}, 100), make(chan struct{})
	return &tldwdb.Observer{Start: func(ctx context.Context, op tldwdb.Operation) (context.Context, func(error)) {
		if op.Kind == tldwdb.OperationHealth {
			began <- struct{}{}
			<-gate
		}
		return ctx, nil
	}}, began, func() { close(gate) }
}

// TestAScrapeWaitsForNobody: while a health check hangs, scrapes answer, and none
// of them begins another one.
func TestAScrapeWaitsForNobody(t *testing.T) {
	t.Parallel()
	m := tldwdbmetrics.New(tldwdbmetrics.Options{})
	o, asked, release := blocker()
	cfg := tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes, Observers: []*tldwdb.Observer{o}}
	cfg.Health.Timeout, cfg.Health.Interval = time.Hour, time.Millisecond // nothing ends the probe but the test
	db := open(t, m, cfg)
	for range 5 {
		if _, ok := values(t, m)["tldwdb_health_ready"]; ok {
			t.Error("an answer that is not there was shown")
		}
	}
	<-asked
	if len(asked) > 0 {
		t.Errorf("%d more have asked", len(asked))
	}
	release()
	db.Health(t.Context()) // waits for the probe
}

// TestHealth: what each check came to, and what it observed.
func TestHealth(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		m := tldwdbmetrics.New(never)
		told := make(chan tldwdb.Health, 100)
		good := time.Now().Add(-time.Hour).Truncate(time.Second)
		cfg := tldwdb.Config{URL: tdb.URL, Migrations: notes}
		cfg.Health = tldwdb.HealthOptions{Interval: time.Millisecond, DetailInterval: time.Millisecond, Timeout: time.Minute, Tables: []string{"nowhere"},
			Backup: func(context.Context) (tldwdb.BackupState, error) { return tldwdb.BackupState{LastGood: good}, nil }}
		cfg = m.Observe(cfg)
		cfg.Observers = append(cfg.Observers, &tldwdb.Observer{Health: func(h tldwdb.Health, _ time.Duration) { told <- h }}) // behind m
		db, err := tldwdb.Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		}()
		db.Health(t.Context())
		<-told
		expect(t, m, map[string]float64{"tldwdb_health_ready": 0, "tldwdb_health_healthy": 0, `tldwdb_migrations{state="pending"}`: 2,
			`tldwdb_health_status{check="history",status="fail"}`: 1, `tldwdb_health_status{check="history",status="pass"}`: 0})
		if _, err := db.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		var h tldwdb.Health
		for !h.Ready {
			db.Health(t.Context())
			h = <-told
		}
		expect(t, m, map[string]float64{"tldwdb_health_ready": 1, "tldwdb_health_healthy": 0,
			`tldwdb_health_status{check="history",status="pass"}`: 1, `tldwdb_health_status{check="tables",status="fail"}`: 1,
			`tldwdb_health_status{check="connection",status="pass"}`: 1, `tldwdb_health_status{check="backup",status="pass"}`: 1})
		got := values(t, m)
		for _, name := range []string{"tldwdb_round_trip_seconds", "tldwdb_database_size_bytes", "tldwdb_health_probe_duration_seconds"} {
			if got[name] <= 0 {
				t.Errorf("%s is %v", name, got[name])
			}
		}
		if d := got["tldwdb_backup_last_success_timestamp_seconds"] - float64(good.Unix()); d < -60 || d > 60 {
			t.Errorf("the backup is off by %v s", d)
		}
		if _, there := got["tldwdb_backup_last_verified_timestamp_seconds"]; there {
			t.Error("no backup was ever restored")
		}
		if _, there := got["tldwdb_disk_free_bytes"]; there != (tdb.Engine == testdb.SQLite) {
			t.Errorf("free disk: %v", there)
		}
		if got["tldwdb_health_probe_timestamp_seconds"] < float64(good.Unix()) {
			t.Errorf("the probe was at %v", got["tldwdb_health_probe_timestamp_seconds"])
		}
	})
}

// everything makes a scrape that has every metric.
func everything(t *testing.T) *tldwdbmetrics.Metrics {
	t.Helper()
	ctx := t.Context()
	m := tldwdbmetrics.New(never)
	cfg := tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes, SlowQuery: time.Nanosecond}
	db := open(t, m, cfg)
	if _, err := db.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Migrate(ctx, tldwdb.Request{Goal: tldwdb.GoalVersion, Version: 7}); err == nil {
		t.Fatal("there is no version 7")
	}
	if _, err := db.Backup(ctx, tldwdb.BackupOptions{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Pool().ExecContext(ctx, "INSERT INTO note VALUES (1, 'again')"); err == nil {
		t.Fatal("a duplicate was inserted")
	}
	// Not every check is to be had here.
	h := tldwdb.Health{Status: tldwdb.StatusHealthy, Time: time.Now()}
	for _, name := range []string{tldwdb.CheckRoundTrip, tldwdb.CheckSize, tldwdb.CheckDisk, tldwdb.CheckReplication, tldwdb.CheckCertificate, tldwdb.CheckBackup,
		tldwdb.CheckRestoreTest, tldwdb.CheckCount, tldwdb.CheckCount} {
		h.Checks = append(h.Checks, tldwdb.Check{Name: name, Status: tldwdb.CheckPass, Observed: 7, Unit: "a unit", Time: time.Now()})
	}
	m.Observe(cfg).Observers[0].Health(h, time.Second)
	return m
}

// TestNames: dashboards and alerts are made of these names and labels.
func TestNames(t *testing.T) {
	t.Parallel()
	m := everything(t)
	registry := prometheus.NewPedanticRegistry()
	if err := registry.Register(m); err != nil {
		t.Fatal(err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		var labels []string
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				if !slices.Contains(labels, l.GetName()) {
					labels = append(labels, l.GetName())
				}
			}
		}
		fmt.Fprintf(&b, "%s %s %s\n", f.GetName(), strings.ToLower(f.GetType().String()), strings.Join(labels, ","))
		if f.GetHelp() == "" {
			t.Errorf("%s has no help", f.GetName())
		}
	}
	golden := filepath.Join("testdata", "metrics.golden")
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the metrics are\n%s\nand not those of %s (write it with -update)", &b, golden)
	}
}

// TestIncreases: a series that an alert wants to see increase is there before it
// does. To Prometheus one that begins at 1 has not increased.
func TestIncreases(t *testing.T) {
	t.Parallel()
	rules, err := os.ReadFile(filepath.Join("..", "docs", "monitoring", "alerts.yml"))
	if err != nil {
		t.Fatal(err)
	}
	there := values(t, tldwdbmetrics.New(never))
	asked := regexp.MustCompile(`increase\((\w+)(?:\{([^}]*)\})?\[`).FindAllStringSubmatch(string(rules), -1)
	if len(asked) == 0 {
		t.Fatal("no alert asks for an increase")
	}
	for _, m := range asked {
		found := false
		for key := range there {
			name, labels, _ := strings.Cut(key, "{")
			all := name == m[1]
			for _, l := range regexp.MustCompile(`\w+="[^"]*"`).FindAllString(m[2], -1) {
				all = all && strings.Contains(labels, l)
			}
			found = found || all
		}
		if !found {
			t.Errorf("no series of %s{%s} is there at the start", m[1], m[2])
		}
	}
}

// TestSeriesAreFew: whatever a program does, the number of series has a limit.
func TestSeriesAreFew(t *testing.T) {
	t.Parallel()
	m := everything(t)
	if n := len(values(t, m)); n > 250 {
		t.Errorf("%d series", n)
	}
}

// TestExemplar: a query leads to its trace.
func TestExemplar(t *testing.T) {
	t.Parallel()
	type key struct{}
	m := tldwdbmetrics.New(tldwdbmetrics.Options{HealthAge: -1, Exemplar: func(ctx context.Context) prometheus.Labels {
		id, ok := ctx.Value(key{}).(string)
		if !ok {
			return nil
		}
		return prometheus.Labels{"trace_id": id}
	}})
	db := open(t, m, tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes})
	if _, err := db.Pool().ExecContext(context.WithValue(t.Context(), key{}, "abc"), "CREATE TABLE t (id integer)"); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(m)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, bucket := range metric.GetHistogram().GetBucket() {
				if bucket.GetExemplar() != nil {
					return
				}
			}
		}
	}
	t.Error("there is no exemplar")
}
