package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/tldw/tldwdb"
)

const (
	headerTimeout   = 5 * time.Second  // for a client to send its request's head
	shutdownTimeout = 10 * time.Second // for requests that run when a signal comes
)

// serve listens, migrates, and serves until the context ends. Listening comes
// first: while a long migration runs, the process is alive and not ready, which
// is what a supervisor needs to know to neither kill it nor send it users.
func (s *service) serve(ctx context.Context) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.addr)
	if err != nil {
		return fmt.Errorf("-addr %s: %w", s.addr, err)
	}
	web := &site{started: time.Now()}
	server := &http.Server{Handler: web.routes(), ReadHeaderTimeout: headerTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	var db *tldwdb.DB
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
		defer cancel()
		err = errors.Join(err, server.Shutdown(ctx)) // before the database: requests may be using it
		if db != nil {
			err = errors.Join(err, db.Close())
		}
	}()

	address := "http://" + listener.Addr().String()
	if err := s.print(map[string]string{"listening": address}, "listening on "+address+"\n"); err != nil {
		return err
	}
	var r report
	if db, r, err = s.boot(ctx, web.opened); err != nil {
		return err
	}
	web.ready.Store(true)
	if err := s.print(r, r.text()); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		s.cfg.Logger.Info("shutting down", "reason", context.Cause(ctx).Error())
		return nil
	case err := <-served:
		return fmt.Errorf("serving %s: %w", address, err)
	}
}

// site answers requests, from before the database is there.
type site struct {
	started time.Time
	health  tldwdb.HealthMux          // answers probes, also before the database is open
	db      atomic.Pointer[tldwdb.DB] // nil until the database is open
	ready   atomic.Bool               // the migrations are done
}

func (web *site) opened(db *tldwdb.DB) {
	web.db.Store(db)
	web.health.Use(db)
}

func (web *site) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/health/", &web.health)
	mux.HandleFunc("GET /{$}", web.page)
	return mux
}

// starting says what the start-up is at.
func (web *site) starting() string {
	if web.db.Load() == nil {
		return "connecting to the database"
	}
	return "bringing the schema up to date"
}
