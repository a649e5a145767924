package loadtest

import (
	"context"
	"net/http"
	"net/http/httptest"

	"github.com/tldw/tldwdb"
)

// watch asks for the service's health, without a pause, until ctx ends. The
// channel is closed when it has ended.
func (b *bench) watch(ctx context.Context, db *tldwdb.DB) <-chan struct{} {
	done := make(chan struct{})
	handler := db.HealthHandler()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			handler.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/health/database", nil))
		}
	}()
	return done
}
