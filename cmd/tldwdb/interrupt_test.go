//go:build unix

package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/tldw/tldwdb/internal/faultdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A running command that is a process.
type running struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr *bufio.Scanner
}

// start runs this very program as tldwdb.
func start(t *testing.T, db *testdb.Database, dir string, args ...string) *running {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &running{cmd: exec.CommandContext(t.Context(), program, append(args, "--dir", dir)...)}
	r.cmd.Env = append(os.Environ(), asCommand+"=1", "DATABASE_URL="+db.URL)
	r.cmd.Stdout = &r.stdout
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.stderr = bufio.NewScanner(stderr)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.cmd.Process.Kill() })
	return r
}

// until reads standard error up to a line that has the text.
func (r *running) until(t *testing.T, text string) {
	t.Helper()
	var said []string
	for r.stderr.Scan() {
		said = append(said, r.stderr.Text())
		if strings.Contains(r.stderr.Text(), text) {
			return
		}
	}
	t.Fatalf("%q was not said, but\n%s", text, strings.Join(said, "\n"))
}

// end waits, and returns the exit code, -1 for a signal, and the rest of standard error.
func (r *running) end(t *testing.T) (code int, stderr string) {
	t.Helper()
	var said []string
	for r.stderr.Scan() {
		said = append(said, r.stderr.Text())
	}
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return r.cmd.ProcessState.ExitCode(), strings.Join(said, "\n")
}

// slowMigrations are one that is quick and one that takes a minute.
func slowMigrations(t *testing.T, e testdb.Engine) string {
	t.Helper()
	slow := "SELECT sleep(60);\n"
	switch e {
	case testdb.SQLite:
		slow = "CREATE TABLE slow AS WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 1000000000) SELECT count(*) AS n FROM c;\n"
	case testdb.Postgres:
		slow = "SELECT pg_sleep(60);\n"
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"0001_quick.up.sql": "CREATE TABLE quick (n int);\n", "0001_quick.down.sql": "DROP TABLE quick;\n",
		"0002_slow.up.sql": "CREATE TABLE before_it (n int);\n" + slow,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The first interrupt ends a run in order: it says what was done, and whoever
// comes next finds the lock free and nothing half done that it could not go on with.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		dir := slowMigrations(t, db.Engine)
		up := start(t, db, dir, "up")
		up.until(t, "applying 0002_slow")
		// Somebody else who will not wait is told so by the exit code.
		other := start(t, db, dir, "up", "--lock-wait", "0")
		if code, stderr := other.end(t); code != 4 || !strings.Contains(stderr, "lock") {
			t.Errorf("the other one: exit code %d\n%s", code, stderr)
		}
		if err := up.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		code, stderr := up.end(t)
		if code != 1 || !strings.Contains(up.stdout.String(), "applied 0001_quick") || !strings.Contains(stderr, "interrupted") {
			t.Errorf("exit code %d\nstdout:\n%s\nstderr:\n%s", code, &up.stdout, stderr)
		}
		next := start(t, db, dir, "down", "base", "--lock-wait", "0")
		code, stderr = next.end(t)
		if db.Engine == testdb.MySQL || db.Engine == testdb.MariaDB {
			// What was done of the second one stays, and its file has no way back.
			if code != 1 {
				t.Errorf("exit code %d\n%s", code, stderr)
			}
			return
		}
		if code != 0 || !strings.Contains(next.stdout.String(), "taken back 0001_quick") {
			t.Errorf("exit code %d\nstdout:\n%s\nstderr:\n%s", code, &next.stdout, stderr)
		}
	})
}

// The second interrupt ends the process at once, also where the server does not
// answer any more and ending in order takes its time.
func TestInterruptedTwice(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	silent := make(chan struct{})
	_, through := faultdb.Through(t, db.URL, faultdb.Fault{At: 6, All: true, Kind: faultdb.Silence, Call: func() { close(silent) }})
	muted := *db
	muted.URL = through
	up := start(t, &muted, slowMigrations(t, db.Engine), "up")
	<-silent
	if err := up.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	up.until(t, "once more ends at once")
	if err := up.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_, _ = up.end(t)
	status, ok := up.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("it ended with %v", up.cmd.ProcessState)
	}
}

// A reader that goes away in the middle, as in 'tldwdb up 2>&1 | head -1', ends
// nothing: neither what goes on nor the answer can be written, and all is applied.
func TestReaderGone(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		dir := t.TempDir()
		for _, name := range []string{"0001_a", "0002_b", "0003_c"} {
			if err := os.WriteFile(filepath.Join(dir, name+".up.sql"), []byte("CREATE TABLE "+name[5:]+" (n int);\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		reader, writer, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
		up := exec.CommandContext(t.Context(), program, "up", "--dir", dir)
		up.Env = append(os.Environ(), asCommand+"=1", "DATABASE_URL="+db.URL)
		up.Stdout, up.Stderr = writer, writer
		if err := errors.Join(up.Run(), writer.Close()); err != nil {
			t.Errorf("up ended with %v", err)
		}
		check := start(t, db, dir, "check")
		if code, stderr := check.end(t); code != 0 {
			t.Errorf("check: exit code %d\n%s", code, stderr)
		}
	})
}
