package tldwdb

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// A blink does not take a ready process out of service; a schema that does not fit
// does, and nothing makes one ready that never was.
func TestSettling(t *testing.T) {
	t.Parallel()
	o, err := HealthOptions{}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	const good, blink, slow, pending, reported = "good", "blink", "slow", "pending", "reported"
	checks := map[string]Check{
		good:     {Name: CheckConnection, Status: CheckPass},
		blink:    {Name: CheckConnection, Status: CheckFail, Class: "unreachable"},
		slow:     {Name: CheckPoolWait, Status: CheckFail, Class: "pool_exhausted"},
		pending:  {Name: CheckHistory, Status: CheckFail},
		reported: {Name: CheckWriteAccess, Status: CheckFail, Class: "read_only"},
	}
	type probe struct {
		after time.Duration
		what  string
		ready bool
	}
	for name, probes := range map[string][]probe{
		"a blink":               {{0, good, true}, {2 * time.Second, blink, true}, {2 * time.Second, good, true}},
		"three in a row":        {{0, good, true}, {time.Second, blink, true}, {time.Second, slow, true}, {time.Second, blink, false}, {time.Second, good, true}},
		"long apart":            {{0, good, true}, {10 * time.Second, blink, true}, {10 * time.Second, blink, false}},
		"never ready":           {{0, blink, false}, {time.Second, good, true}, {time.Second, blink, true}},
		"off, and off":          {{0, good, true}, {10 * time.Second, blink, true}, {10 * time.Second, blink, false}, {time.Second, blink, false}},
		"the schema":            {{0, good, true}, {time.Second, pending, false}, {time.Second, blink, false}, {time.Second, good, true}},
		"what is only reported": {{0, reported, true}, {time.Hour, reported, true}},
	} {
		var s settling
		now := time.Now()
		for i, p := range probes {
			now = now.Add(p.after)
			h := Health{Time: now, Checks: []Check{checks[p.what]}}
			if s.ready(&h, &o); h.Ready != p.ready {
				t.Errorf("%s: after probe %d it is ready: %t", name, i+1, h.Ready)
			}
		}
	}
}

func TestHealthLimits(t *testing.T) {
	t.Parallel()
	o, err := HealthOptions{
		Limits:   map[string]Limit{CheckSize: {Warn: 10, Fail: 20}, CheckDisk: {Warn: -1}, CheckReplication: {Fail: 60}},
		Advisory: []string{CheckReplication},
	}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	p := &prober{opts: &o}
	for _, tc := range []struct {
		name     string
		observed float64
		left     bool
		want     CheckStatus
	}{
		{CheckSize, 9, false, CheckPass},
		{CheckSize, 10, false, CheckWarn},
		{CheckSize, 20, false, CheckFail},
		{CheckGrowth, 1e15, false, CheckPass},
		{CheckDisk, 33 << 20, true, CheckPass}, // Warn is off, and Fail has its default
		{CheckDisk, 31 << 20, true, CheckFail},
		{CheckCertificate, 13 * day, true, CheckWarn},
		{CheckCertificate, -1, true, CheckFail},
		{CheckReplication, 61, false, CheckWarn}, // advisory
		{CheckBackup, 27 * 3600, false, CheckWarn},
		{CheckBackup, 4 * day, false, CheckFail},
		{CheckHistory, 5, false, CheckPass}, // no limit decides about it
	} {
		measure := p.measured
		if tc.left {
			measure = p.left
		}
		if c := measure(Check{Name: tc.name}, tc.observed, "x"); c.Status != tc.want {
			t.Errorf("%s at %v: %s, want %s", tc.name, tc.observed, c.Status, tc.want)
		}
	}
}

// Every check has words for a stranger.
func TestHealthWords(t *testing.T) {
	t.Parallel()
	for _, name := range checkNames {
		if publicError(&Check{Name: name, Output: "secret"}) == "" || strings.Contains(publicError(&Check{Name: name, Output: "secret"}), "secret") {
			t.Errorf("%s: %q", name, publicError(&Check{Name: name, Output: "secret"}))
		}
	}
}

// What could not be asked is not said to be bad.
func TestHealthWordsOfAFailure(t *testing.T) {
	t.Parallel()
	for _, name := range figures {
		seen, unknown := publicError(&Check{Name: name}), publicError(&Check{Name: name, Class: "timeout"})
		if unknown == seen || !strings.Contains(unknown, "could not be made") {
			t.Errorf("%s: %q, and %q when it could not be asked", name, seen, unknown)
		}
	}
}

// Two tables may have one name, in two schemas.
func TestHealthCountsOfOneName(t *testing.T) {
	t.Parallel()
	text, err := json.Marshal(detailBody{&Health{Counts: map[string]int64{"a.note": 1, "b.note": 2, "tag": 3}}, true})
	if err != nil {
		t.Fatal(err)
	}
	if want := `"note_count":1,"b_note_count":2,"tag_count":3}`; !strings.HasSuffix(string(text), want) {
		t.Errorf("%s\nshould end in %s", text, want)
	}
}

// A log that takes its time, or asks for the health itself, holds up nobody who
// asks.
func TestHealthLogHoldsUpNobody(t *testing.T) {
	t.Parallel()
	var db *DB
	asked := make(chan Health, 100)
	db = openDB(t, Config{URL: sqliteURL(t), Health: HealthOptions{Interval: time.Millisecond, Tables: []string{"missing"}},
		Logger: slog.New(logFunc(func(ctx context.Context, r slog.Record) {
			if r.Message == "the database is unhealthy" {
				asked <- db.Health(ctx)
			}
		}))})
	db.Health(t.Context())
	if h := <-asked; h.Status != StatusUnhealthy {
		t.Errorf("%+v", h)
	}
}

// nowhere is a response that is thrown away.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header         { return n.header }
func (n nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (n nowhere) WriteHeader(int)             {}

// While the answer is good nothing is made for a request.
func TestHealthHandlerSharesItsAnswer(t *testing.T) {
	t.Parallel()
	db := openDB(t, Config{URL: sqliteURL(t), Health: HealthOptions{Interval: time.Hour}})
	handler := db.HealthHandler()
	req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/health/database", nil)
	w := nowhere{http.Header{}}
	handler.ServeHTTP(w, req)
	before := db.prober.last.Load()
	for range 1000 {
		handler.ServeHTTP(w, req)
	}
	if db.prober.last.Load() != before {
		t.Error("an answer that is good was made again")
	}
}

// BenchmarkHealthHandler is a warm answer beside a handler that writes the same
// bytes with the same headers.
func BenchmarkHealthHandler(b *testing.B) {
	db, err := Open(b.Context(), Config{URL: "sqlite://", Health: HealthOptions{Interval: time.Hour}})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close() //nolint:errcheck // a benchmark
	health := db.HealthHandler()
	req := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/health/database", nil)
	rec := httptest.NewRecorder()
	health.ServeHTTP(rec, req)
	text := rec.Body.Bytes()
	same := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Length", fmt.Sprint(len(text)))
		w.WriteHeader(rec.Code)
		_, _ = w.Write(text)
	})
	least := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) })
	for _, h := range []struct {
		name    string
		handler http.Handler
	}{{"health", health}, {"same bytes and headers", same}, {"same bytes", least}} {
		b.Run(h.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				h.handler.ServeHTTP(nowhere{http.Header{}}, req)
			}
		})
	}
	for _, h := range []struct {
		name    string
		handler http.Handler
	}{{"health over loopback", health}, {"same bytes over loopback", least}} {
		b.Run(h.name, func(b *testing.B) {
			server := httptest.NewServer(h.handler)
			defer server.Close()
			client := server.Client()
			b.ReportAllocs()
			for b.Loop() {
				res, err := client.Get(server.URL) //nolint:noctx // a benchmark
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		})
	}
}
