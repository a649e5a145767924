package loadtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tldw/tldwdb"
)

// watch asks for the service's health and scrapes its metrics, often, until ctx
// ends. The channel is closed when it has ended.
func (b *bench) watch(ctx context.Context, db *tldwdb.DB, metrics prometheus.Gatherer) <-chan error {
	done := make(chan error, 1)
	handler := db.HealthHandler()
	ticks := time.NewTicker(100 * time.Millisecond)
	go func() {
		defer ticks.Stop()
		var failed error
		for {
			select {
			case <-ctx.Done():
				done <- failed
				return
			case <-ticks.C:
			}
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/health/database", nil))
			if _, err := metrics.Gather(); err != nil {
				failed = err
			}
		}
	}()
	return done
}
