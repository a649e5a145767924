// Service is a small web service that does the main job of tldwdb at start-up:
// it opens its database, brings the schema up to date, and serves a page that
// shows what happened. With -workers it does so as several processes at once,
// and counts.
//
//	go run ./examples/service
//	go run ./examples/service -workers 8 -once
//
// The code to copy is boot in boot.go, and the order of things in serve: listen
// first, so that a liveness probe is answered while a long migration runs, and
// say ready only when the schema is what this binary needs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/migrations"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// The exit codes of run.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

const usage = `service - a web service that migrates its database when it starts

usage: service [flags]

flags:
  -addr HOST:PORT   where to serve (default 127.0.0.1:8080; with port 0 the
                    system chooses a free one, which is printed)
  -workers N        start N processes at the same instant, each of which opens
                    and migrates the database, and print who did what; they end
                    when they are ready, and this process serves the page
  -once             do not serve: end as soon as the schema is up to date.
                    With -workers the exit code is 0 only if every worker
                    became ready and each migration ran exactly once
  -timeout D        how long connecting and migrating may take, such as 90s
                    (default: as long as tldwdb's own limits allow)
  -migrations DIR   apply the files of this folder, not the ones built in
  -json             print JSON instead of text
  -v                log more
  -help             this text

environment:
  DATABASE_URL, POSTGRES_URL, MYSQL_URL name the database, for example
    sqlite:///tldw.db  postgres://user:password@host/db  mysql://user:password@host/db
  With none of them it is sqlite:///tldw.db; with -workers it is a fresh SQLite
  file in a temporary folder, which is removed at the end. All other settings
  of tldwdb (TLDWDB_ENV, TLDWDB_LOCK_WAIT and so on) work too.

examples:
  service                            migrate tldw.db and serve http://127.0.0.1:8080
  service -once                      only migrate: the init step of a deployment
  service -workers 8 -once           eight processes on a fresh SQLite file
  DATABASE_URL=postgres://app:secret@127.0.0.1/app service -workers 8 -once

exit codes:
  0  done, or ended by a signal while serving
  1  failed, or ended by a signal before it was ready
  2  wrong usage
`

// options are what the command line asks for.
type options struct {
	addr       string
	workers    int
	once       bool
	timeout    time.Duration
	migrations string
	json       bool
	verbose    bool
}

// maxWorkers keeps a mistyped number from filling the process table.
const maxWorkers = 200

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("service", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints errors and the usage
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "")
	flags.IntVar(&o.workers, "workers", 0, "")
	flags.BoolVar(&o.once, "once", false, "")
	flags.DurationVar(&o.timeout, "timeout", 0, "")
	flags.StringVar(&o.migrations, "migrations", "", "")
	flags.BoolVar(&o.json, "json", false, "")
	flags.BoolVar(&o.verbose, "v", false, "")
	err := flags.Parse(args)
	switch {
	case err != nil:
		return o, err
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.workers < 0 || o.workers > maxWorkers:
		return o, fmt.Errorf("-workers is %d: accepted is 1 to %d", o.workers, maxWorkers)
	case o.timeout < 0:
		return o, fmt.Errorf("-timeout is %v: accepted is a positive duration such as 90s", o.timeout)
	}
	return o, nil
}

// service is one run of the program.
type service struct {
	options
	env    []string // of this process, and of the workers that it starts
	cfg    tldwdb.Config
	stdout io.Writer
	stderr io.Writer
}

// run is the program without its globals. env has the form of os.Environ.
func run(ctx context.Context, args, env []string, stdout, stderr io.Writer) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		_, _ = io.WriteString(stdout, usage)
		return exitDone
	}
	if err != nil {
		complain(stderr, err, "service -help lists the flags")
		return exitUsage
	}
	if _, file := stderr.(*os.File); !file {
		stderr = &lockedWriter{w: stderr} // the workers write to a file directly, and to anything else through us
	}
	s := &service{options: o, env: env, stdout: stdout, stderr: stderr}
	if err := s.run(ctx); err != nil {
		complain(stderr, err, tldwdb.Hint(err))
		return exitFailed
	}
	return exitDone
}

// lockedWriter takes the lines of several processes at once.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// complain tells what went wrong, and what to do about it where that is known.
func complain(w io.Writer, err error, hint string) {
	for line := range strings.SplitSeq(err.Error(), "\n") {
		_, _ = fmt.Fprintf(w, "service: error: %s\n", line)
	}
	if hint != "" {
		_, _ = fmt.Fprintf(w, "service: hint: %s\n", hint)
	}
}

func (s *service) run(ctx context.Context) error {
	var err error
	if s.cfg, err = tldwdb.ConfigFromLookup(s.lookup); err != nil {
		return err
	}
	if s.cfg.Migrations, err = s.files(); err != nil {
		return err
	}
	worker, isWorker := s.lookup(workerVariable)
	s.cfg.Logger = s.logger(isWorker)
	switch {
	case isWorker:
		number, err := strconv.Atoi(worker)
		if err != nil {
			return fmt.Errorf("%s is for the processes that -workers starts: %w", workerVariable, err)
		}
		return s.work(ctx, number)
	case s.workers > 0:
		return s.fleet(ctx)
	case s.once:
		return s.migrate(ctx)
	}
	return s.serve(ctx)
}

// lookup finds a variable in s.env. Of one that is there twice the last counts,
// as it does for a new process.
func (s *service) lookup(name string) (value string, ok bool) {
	for _, pair := range s.env {
		if k, v, _ := strings.Cut(pair, "="); k == name {
			value, ok = v, true
		}
	}
	return value, ok
}

// files are the migrations: TL;DW's own, or those of -migrations.
func (s *service) files() (fs.FS, error) {
	dir := s.migrations
	if dir == "" {
		return migrations.FS, nil
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, fmt.Errorf("-migrations %s: there is no such folder", dir)
	}
	return os.DirFS(dir), nil
}

// logger writes text to stderr. The parent tells in a table what its workers
// did, so that they log warnings only.
func (s *service) logger(worker bool) *slog.Logger {
	level := slog.LevelInfo
	switch {
	case s.verbose:
		level = slog.LevelDebug
	case worker:
		level = slog.LevelWarn
	}
	log := slog.New(slog.NewTextHandler(s.stderr, &slog.HandlerOptions{Level: level}))
	if worker {
		log = log.With("pid", os.Getpid())
	}
	return log
}
