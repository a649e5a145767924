package loadtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbmetrics"
)

// watchEvery is many times as often as a kubelet and a Prometheus come by.
const watchEvery = 100 * time.Millisecond

// watch asks for the service's health and scrapes its metrics until the test ends,
// as those who watch it do.
func (b *bench) watch(t *testing.T, db *tldwdb.DB, metrics *tldwdbmetrics.Metrics) {
	t.Helper()
	registry := prometheus.NewRegistry()
	if err := registry.Register(metrics); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { stop(); <-done })
	handler := db.HealthHandler()
	go func() {
		defer close(done)
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/health/database", nil))
			if _, err := registry.Gather(); err != nil {
				t.Error(err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}
