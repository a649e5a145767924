package tldwdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Health is the answer to "can this database serve this binary?". Its text is
// meant for operators; it names no addresses, users or credentials.
type Health struct {
	Status      string  `json:"status"`     // healthy or unhealthy
	Connection  bool    `json:"connection"` // a query was answered in time
	Ready       bool    `json:"ready"`      // the schema is what this binary needs
	Current     int64   `json:"current"`    // highest applied version; 0 for none
	Head        int64   `json:"head"`       // highest version that this binary knows
	Pending     int     `json:"pending"`    // steps that Up would take
	RoundTrip   float64 `json:"round_trip_ms"`
	InUse       int     `json:"pool_in_use"`
	Idle        int     `json:"pool_idle"`
	PoolSize    int     `json:"pool_size"`
	WaitedTotal int64   `json:"pool_waits"` // how often a caller had to wait for a connection, in all
	Error       string  `json:"error,omitempty"`
}

// healthTimeout bounds the database's part of one answer.
const healthTimeout = 2 * time.Second

// The two values of Health.Status.
const (
	statusHealthy   = "healthy"
	statusUnhealthy = "unhealthy"
)

// Health asks the database with one SELECT, for at most two seconds. It is
// unhealthy when there is no answer, or when the schema is not what this binary
// needs. It writes nothing and takes no lock.
func (db *DB) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	stats := db.Pool().Stats()
	h := Health{Status: statusUnhealthy, InUse: stats.InUse, Idle: stats.Idle, PoolSize: stats.MaxOpenConnections, WaitedTotal: stats.WaitCount}
	start := time.Now()
	status, wrong, err := db.status(ctx)
	h.RoundTrip = float64(time.Since(start).Microseconds()) / 1000
	if err != nil {
		// The driver's text may name hosts and users: it is for the log only.
		db.log.WarnContext(ctx, "the database does not answer a health check", "error", err.Error())
		if h.Error = "the database does not answer"; errors.Is(err, ErrFileReplaced) {
			h.Error = ErrFileReplaced.Error()
		}
		return h
	}
	h.Connection = true
	h.Current, h.Head, h.Pending = status.Current, status.Head, status.Pending
	switch {
	case wrong != nil:
		h.Error = "migrations and database disagree"
	case status.Pending > 0:
		h.Error = fmt.Sprintf("%d migrations are pending", status.Pending)
	default:
		h.Ready = true
		h.Status = statusHealthy
	}
	return h
}

// HealthHandler answers with [Health] as JSON: 200 when healthy, 503 otherwise.
func (db *DB) HealthHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := db.Health(req.Context())
		answer(w, req, h.Status == statusHealthy, h)
	})
}

// ReadyHandler answers 200 when the schema is what this binary needs and a
// query is answered, and 503 otherwise: for a readiness probe.
func (db *DB) ReadyHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := db.Health(req.Context())
		answer(w, req, h.Ready, map[string]any{"ready": h.Ready, "error": h.Error})
	})
}

// LiveHandler answers 200 as long as the process serves at all. It never asks
// the database: a database that blinks must not get its clients killed.
func LiveHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		answer(w, req, true, map[string]any{"live": true})
	})
}

func answer(w http.ResponseWriter, req *http.Request, ok bool, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		http.Error(w, "the answer cannot be written as JSON", http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Length", strconv.Itoa(len(text)+1))
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	w.WriteHeader(code)
	if req.Method != http.MethodHead {
		_, _ = w.Write(append(text, '\n')) // the client may have gone: nothing to do about it
	}
}
