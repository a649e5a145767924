package main

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// askedFor are the metrics that docs/monitoring names.
func askedFor(t *testing.T) []string {
	t.Helper()
	names := map[string]bool{}
	for _, file := range []string{"alerts.yml", "dashboard.json"} {
		text, err := os.ReadFile(filepath.Join("../../docs/monitoring", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:^|[^:\w])((?:tldwdb|go_sql|db_client)_[a-z0-9_]+)\b[^:.]`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// TestObserved runs the program on every engine and scrapes it, as Prometheus
// does.
func TestObserved(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		out, in := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			err := run(ctx, tldwdb.Config{URL: tdb.URL}, "127.0.0.1:0", in, io.Discard)
			_ = in.CloseWithError(io.ErrUnexpectedEOF) // or whoever reads would wait
			ended <- err
		}()
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("%v, %v", err, <-ended)
		}
		_, url, _ := strings.Cut(strings.TrimSpace(line), " on ")
		// A scrape does not wait for the first answer about the health.
		code, text := get(t, url)
		for !strings.Contains(text, "\ntldwdb_health_ready ") && t.Context().Err() == nil {
			get(t, strings.Replace(url, "/metrics", "/health/database", 1))
			code, text = get(t, url)
		}
		for _, want := range []string{
			`tldwdb_migrations{state="applied"} 2`, `tldwdb_migrations{state="pending"} 0`, `tldwdb_operation_duration_seconds_count{operation="run",result="ok"} 1`,
			`go_sql_open_connections{db_name="application"}`, `db_client_operation_duration_seconds_bucket{error_type="",operation="query",le="0.001"}`,
		} {
			if code != http.StatusOK || !strings.Contains(text, want) {
				t.Errorf("%d, and no %s in\n%s", code, want, text)
			}
		}
		missing := slices.DeleteFunc(askedFor(t), func(name string) bool { return strings.Contains(text, "\n"+name) })
		missing = slices.DeleteFunc(missing, func(name string) bool {
			return strings.HasPrefix(name, "tldwdb_backup_") || // nobody tells of backups
				name == "tldwdb_replication_lag_seconds" || name == "tldwdb_certificate_expiry_timestamp_seconds" ||
				name == "tldwdb_disk_free_bytes" && tdb.Engine != testdb.SQLite
		})
		// What has not happened yet has no series, and no alert needs one.
		missing = slices.DeleteFunc(missing, func(name string) bool {
			return name == "tldwdb_operation_errors_total" || name == "tldwdb_slow_queries_total"
		})
		if len(missing) > 0 {
			t.Errorf("the alerts and the dashboard ask for %v, which the scrape has not", missing)
		}
		if code, text := get(t, strings.Replace(url, "/metrics", "/health/ready", 1)); code != http.StatusOK {
			t.Errorf("not ready: %d %s", code, text)
		}
		if strings.Contains(text, tdb.URL) || strings.Contains(text, "127.0.0.1") {
			t.Error("the scrape names the server")
		}
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the end: %v", err)
		}
	})
}
