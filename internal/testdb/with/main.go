// With runs a command with a server of every engine at hand:
//
//	go run ./internal/testdb/with -- go test ./...
//
// It starts the servers that the environment does not already name, tells the command their URLs
// in the variables that testdb reads, forwards signals to it, stops the servers when it has ended,
// and ends with its status (which `go run` itself reports as 1 whenever it is not 0). An engine
// that is not on the machine is named on standard error; whether that is a failure is decided by
// the tests.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/tldw/tldwdb/internal/testdb"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stderr))
}

const (
	failed = 1
	usage  = 2
)

func run(ctx context.Context, args []string, stderr io.Writer) (status int) {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		_, _ = fmt.Fprintln(stderr, "usage: with [--] command [argument…]")
		return usage
	}
	// From here on a signal must not end us, or the command would run on without servers.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)

	servers, err := startAll(ctx, stderr)
	defer func() {
		for _, s := range servers {
			if err := s.Stop(); err != nil {
				_, _ = fmt.Fprintf(stderr, "with: %v\n", err)
				status = max(status, failed)
			}
		}
	}()
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "with: %v\n", err)
		return failed
	}

	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = os.Environ()
	for _, s := range servers {
		cmd.Env = append(cmd.Env, s.Engine.URLVariable()+"="+s.URL, s.Engine.AdminURLVariable()+"="+s.AdminURL)
	}
	if err := cmd.Start(); err != nil {
		_, _ = fmt.Fprintf(stderr, "with: %v\n", err)
		return failed
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may just have ended, and then Wait says so
		case err := <-ended:
			return statusOf(err, stderr)
		}
	}
}

// startAll starts the servers at once, since each spends most of its start waiting for the disk.
// It returns what has started also beside an error.
func startAll(ctx context.Context, stderr io.Writer) ([]*testdb.Server, error) {
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		servers []*testdb.Server
		faults  []error
	)
	for _, e := range testdb.Wanted() {
		if e.URLVariable() == "" || os.Getenv(e.URLVariable()) != "" {
			continue
		}
		wg.Go(func() {
			s, err := testdb.Start(ctx, e)
			mu.Lock()
			defer mu.Unlock()
			if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
				_, _ = fmt.Fprintf(stderr, "with: no %s for these tests: %v\n", e, missing)
			} else if err != nil {
				faults = append(faults, err)
			} else {
				servers = append(servers, s)
			}
		})
	}
	wg.Wait()
	return servers, errors.Join(faults...)
}

// statusOf is the command's status as a shell would report it.
func statusOf(err error, stderr io.Writer) int {
	if err == nil {
		return 0
	}
	exit, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		_, _ = fmt.Fprintf(stderr, "with: %v\n", err)
		return failed
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}
