//go:build unix

package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// The test binary is the program, so that signals and statuses are real.
func TestMain(m *testing.M) {
	if os.Getenv("TLDWDB_WITH") != "" {
		main()
	}
	os.Exit(m.Run())
}

func with(t *testing.T, engines string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), "TLDWDB_WITH=1", "TLDWDB_TEST_ENGINES="+engines)
	return cmd
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args   []string
		status int
		output string
	}{
		{[]string{"--", "sh", "-c", "exit 0"}, 0, ""},
		{[]string{"sh", "-c", "exit 7"}, 7, ""},
		{[]string{"--", "sh", "-c", "kill -TERM $$"}, 128 + 15, ""},
		{[]string{"--", "no-such-program"}, 1, "no-such-program"},
		{[]string{"--"}, 2, "usage: with"},
	} {
		cmd := with(t, "sqlite", c.args...)
		out, _ := cmd.CombinedOutput() // the status below is what counts
		if got := cmd.ProcessState.ExitCode(); got != c.status || !strings.Contains(string(out), c.output) {
			t.Errorf("%q: status %d, want %d; %s", c.args, got, c.status, out)
		}
	}
}

func TestCommandHasServers(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres) // skips where there is none
	cmd := with(t, "postgres,mysql", "--", "sh", "-c", "echo $TLDWDB_TEST_POSTGRES_URL; echo $TLDWDB_TEST_MYSQL_URL")
	cmd.Env = append(cmd.Env, "TLDWDB_TEST_POSTGRES_URL=", "TLDWDB_TEST_MYSQL_URL=mysql://named@127.0.0.1/x")
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "with: no postgres") {
		t.Skip("the server is of the environment, its programs are not here")
	}
	lines := strings.Split(string(out), "\n")
	if err != nil || !strings.HasPrefix(lines[0], "postgres://tldw:") || lines[0] == db.URL {
		t.Errorf("no server of its own: %v\n%s", err, out)
	}
	if lines[1] != "mysql://named@127.0.0.1/x" {
		t.Errorf("a server that the environment names is not kept: %s", lines[1])
	}
}

func TestSignalsAreForwarded(t *testing.T) {
	t.Parallel()
	cmd := with(t, "sqlite", "--", "sh", "-c", `trap 'exit 9' TERM; echo ready; while :; do read -r _ || :; done`)
	stdin, err := cmd.StdinPipe() // holds the read above
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }() // Wait has closed it
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the status below is what counts
	if got := cmd.ProcessState.ExitCode(); got != 9 {
		t.Errorf("status %d, want the command's 9", got)
	}
}
