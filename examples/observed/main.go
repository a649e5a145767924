// Observed is a service whose database is watched: Prometheus scrapes /metrics,
// the log names slow queries by their fingerprint, and each request has a trace
// when the program that embeds this code sets a tracer provider.
//
//	go run ./examples/observed
//	DATABASE_URL=postgres://user:password@127.0.0.1/db go run ./examples/observed -addr 127.0.0.1:9100
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/migrations"
	"github.com/tldw/tldwdb/tldwdbmetrics"
	"github.com/tldw/tldwdb/tldwdbotel"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	addr := flag.String("addr", "127.0.0.1:8080", "`address` to listen on")
	flag.Parse()
	cfg, err := tldwdb.ConfigFromEnv()
	if err == nil {
		err = run(ctx, cfg, *addr, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "observed:", err)
		os.Exit(1)
	}
}

// run serves until the context ends.
func run(ctx context.Context, cfg tldwdb.Config, addr string, stdout, stderr io.Writer) (err error) {
	cfg.Migrations = migrations.FS
	cfg.Logger = slog.New(slog.NewJSONHandler(stderr, nil))
	if cfg.SlowQuery == 0 {
		cfg.SlowQuery = time.Second
	}
	metrics := tldwdbmetrics.New(tldwdbmetrics.Options{})
	cfg = metrics.Observe(cfg)
	cfg = tldwdbotel.Observe(cfg, tldwdbotel.Options{}) // costs little while nobody has set a provider
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics)

	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Up(ctx); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true}))
	mux.Handle("/health/live", tldwdb.LiveHandler())
	mux.Handle("/health/ready", db.ReadyHandler())
	mux.Handle("/health/database", db.HealthHandler())
	return serve(ctx, addr, mux, stdout)
}

func serve(ctx context.Context, addr string, handler http.Handler, stdout io.Writer) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(stdout, "metrics on http://%s/metrics\n", listener.Addr()); err != nil {
		return err
	}
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ending)
}
