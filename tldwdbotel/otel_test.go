package tldwdbotel_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/wiretap"
	"github.com/tldw/tldwdb/tldwdbotel"
)

func TestMain(m *testing.M) { testdb.Main(m) }

var notes = fstest.MapFS{
	"1_note.up.sql":  {Data: []byte("CREATE TABLE note (id integer PRIMARY KEY, title varchar(20));\nINSERT INTO note VALUES (1, 'hunter1');")},
	"2_fault.up.sql": {Data: []byte("INSERT INTO note VALUES (1, 'hunter2');")},
}

// studio has what spans and metrics come to.
type studio struct {
	spans    *tracetest.InMemoryExporter
	provider *sdktrace.TracerProvider
	reader   *sdkmetric.ManualReader
	meters   *sdkmetric.MeterProvider
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	s := &studio{spans: tracetest.NewInMemoryExporter(), reader: sdkmetric.NewManualReader()}
	s.provider = sdktrace.NewTracerProvider(sdktrace.WithSyncer(s.spans))
	s.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	return s
}

func (s *studio) options() tldwdbotel.Options {
	return tldwdbotel.Options{TracerProvider: s.provider, MeterProvider: s.meters}
}

func (s *studio) open(t *testing.T, cfg tldwdb.Config, o tldwdbotel.Options) *tldwdb.DB {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), tldwdbotel.Observe(cfg, o))
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

// tree writes the spans below a parent, each by its name, in the order in which
// they began, without those of otelsql.
func (s *studio) tree(parent trace.SpanID, depth int) string {
	var b strings.Builder
	for _, span := range s.below(parent) {
		if strings.HasPrefix(span.Name, "sql.") {
			continue
		}
		failed := ""
		if span.Status.Code == codes.Error {
			failed = " failed"
		}
		fmt.Fprintf(&b, "%s%s%s\n%s", strings.Repeat("  ", depth), span.Name, failed, s.tree(span.SpanContext.SpanID(), depth+1))
	}
	return b.String()
}

// below are the spans with a parent.
func (s *studio) below(parent trace.SpanID) []tracetest.SpanStub {
	spans := slices.DeleteFunc(slices.Clone(s.spans.GetSpans()), func(span tracetest.SpanStub) bool { return span.Parent.SpanID() != parent })
	slices.SortStableFunc(spans, func(x, y tracetest.SpanStub) int { return x.StartTime.Compare(y.StartTime) })
	return spans
}

// says is everything that spans say, as text.
func (s *studio) says() string {
	var b strings.Builder
	for _, span := range s.spans.GetSpans() {
		fmt.Fprintln(&b, span.Name, span.Attributes, span.Events, span.Status)
	}
	return b.String()
}

// find returns the spans with a name.
func (s *studio) find(name string) []tracetest.SpanStub {
	return slices.DeleteFunc(slices.Clone(s.spans.GetSpans()), func(span tracetest.SpanStub) bool { return span.Name != name })
}

func value(span tracetest.SpanStub, key string) string {
	for _, a := range span.Attributes {
		if a.Key == attribute.Key(key) {
			return a.Value.String()
		}
	}
	return ""
}

// TestSpansOfARun: they nest below the caller's own, on every engine, and say
// what happened without a value.
func TestSpansOfARun(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		s := newStudio(t)
		db := s.open(t, tldwdb.Config{URL: tdb.URL, Migrations: notes}, s.options())
		s.spans.Reset()
		ctx, parent := s.provider.Tracer("test").Start(t.Context(), "boot")
		if _, err := db.Up(ctx); err == nil {
			t.Fatal("a duplicate was inserted")
		}
		parent.End()
		statement := "      tldwdb.statement\n"
		statements := statement + statement
		if tdb.Engine == testdb.Postgres { // one packet, which is given to pgx itself
			statements = statement
		}
		want := "  tldwdb.run failed\n    tldwdb.lock\n    tldwdb.migration\n" + statements + "    tldwdb.migration failed\n      tldwdb.statement failed\n"
		if got := s.tree(parent.SpanContext().SpanID(), 1); got != want {
			t.Errorf("the spans are\n%s\nwant\n%s", got, want)
		}
		if said := s.says(); strings.Contains(said, "hunter") || strings.Contains(said, "INSERT") || strings.Contains(strings.ToLower(said), "duplicate") {
			t.Errorf("the spans say too much:\n%s", said)
		}
		failed := s.find("tldwdb.statement")[len(s.find("tldwdb.statement"))-1]
		for key, want := range map[string]string{
			"db.system.name": system(tdb.Engine), "tldwdb.set": "default", "tldwdb.migration.version": "2", "tldwdb.migration.name": "fault",
			"tldwdb.migration.direction": "up", "tldwdb.migration.file": "2_fault.up.sql", "tldwdb.migration.line": "1", "error.type": "constraint",
		} {
			if got := value(failed, key); got != want {
				t.Errorf("%s is %q, want %q", key, got, want)
			}
		}
		if run := s.find("tldwdb.run")[0]; value(run, "tldwdb.run") != "up" || value(run, "error.type") != "constraint" {
			t.Errorf("the run's attributes: %v", run.Attributes)
		}
		if inside := s.below(failed.SpanContext.SpanID()); tdb.Engine != testdb.Postgres && len(inside) == 0 {
			t.Error("what a statement sends is not below its span")
		}
	})
}

func system(e testdb.Engine) string {
	switch e {
	case testdb.SQLite:
		return "sqlite"
	case testdb.Postgres:
		return "postgresql"
	}
	return "mysql"
}

// TestSpansOfQueries: those of the application are children of its own spans, and
// hold text only where that is wished.
func TestSpansOfQueries(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		for _, open := range []bool{false, true} {
			s := newStudio(t)
			o := s.options()
			o.QueryText, o.ErrorText, o.Attributes = open, open, []attribute.KeyValue{attribute.String("team", "notes")}
			db := s.open(t, tldwdb.Config{URL: tdb.URL}, o)
			s.spans.Reset()
			ctx, parent := s.provider.Tracer("test").Start(t.Context(), "request")
			if _, err := db.Pool().ExecContext(ctx, "SELECT 'hunter2' FROM hunter3"); err == nil {
				t.Fatal("there is no such table")
			}
			parent.End()
			var query tracetest.SpanStub
			for _, span := range s.below(parent.SpanContext().SpanID()) {
				if span.Status.Code == codes.Error {
					query = span
				}
			}
			for key, want := range map[string]string{"db.system.name": system(tdb.Engine), "team": "notes"} {
				if got := value(query, key); got != want {
					t.Errorf("%s is %q, want %q", key, got, want)
				}
			}
			if value(query, "db.namespace") == "" || tdb.Engine != testdb.SQLite && value(query, "server.address") != "127.0.0.1" {
				t.Errorf("which database it is: %v", query.Attributes)
			}
			said := s.says()
			if strings.Contains(said, "hunter2") != open || strings.Contains(said, "hunter3") != open || !open && value(query, "error.type") != "missing_table" {
				t.Errorf("text %v:\n%s", open, said)
			}
			if strings.Contains(said, "tldw:tldw") {
				t.Errorf("a credential is in the spans:\n%s", said)
			}
		}
	})
}

// TestHealthProbesMakeNoTraces, whoever asks: the answer is everybody's.
func TestHealthProbesMakeNoTraces(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	db := s.open(t, tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: notes}, s.options())
	ctx, parent := s.provider.Tracer("test").Start(t.Context(), "request")
	s.spans.Reset()
	if h := db.Health(ctx); !h.Connection {
		t.Fatalf("%+v", h)
	}
	if said := s.says(); said != "" {
		t.Errorf("spans:\n%s", said)
	}
	parent.End()
}

// TestMeters: the pool's figures and the queries are measured, until Close.
func TestMeters(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		s := newStudio(t)
		db := s.open(t, tldwdb.Config{URL: tdb.URL}, s.options())
		if _, err := db.Pool().ExecContext(t.Context(), "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		before := s.metrics(t)
		if !slices.Contains(before, "db.client.operation.duration") || !slices.Contains(before, "db.sql.connection.open") {
			t.Errorf("measured: %v", before)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		if after := s.metrics(t); slices.Contains(after, "db.sql.connection.open") {
			t.Errorf("a pool that is closed is still measured: %v", after)
		}
	})
}

func (s *studio) metrics(t *testing.T) []string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			names = append(names, m.Name)
		}
	}
	return names
}

// TestABootIsOneRoundTrip with tracing too, on the drivers whose connections are
// reached through otelsql.
func TestABootIsOneRoundTrip(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, e)
			s := newStudio(t)
			files := fstest.MapFS{"1_note.up.sql": notes["1_note.up.sql"]}
			if _, err := s.open(t, tldwdb.Config{URL: tdb.URL, Migrations: files}, s.options()).Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			proxy, through := wiretap.Through(t, tdb.URL)
			db := s.open(t, tldwdb.Config{URL: through, Migrations: files}, s.options())
			if _, err := db.Up(t.Context()); err != nil {
				t.Fatal(err)
			}
			if c := proxy.Counts(); c.Connections != 1 || c.After != 1 {
				t.Errorf("%+v", c)
			}
		})
	}
}
