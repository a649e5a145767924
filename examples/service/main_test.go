package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// programVariable makes the test binary be the program itself, so that tests
// start real processes, which start workers, without building anything.
const programVariable = "TLDW_SERVICE_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) != "" {
		main()
	}
	testdb.Main(m)
}

// patience bounds waits that should be short, so that a hang names itself.
const patience = time.Minute

// environment is the process's own without any setting of tldwdb, and then
// what the test wants.
func environment(extra ...string) []string {
	env := slices.DeleteFunc(os.Environ(), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return strings.HasPrefix(name, "TLDWDB_") || strings.Contains(name, "_URL") || name == "APP_ENV"
	})
	return append(env, extra...)
}

// command is the program as a process of its own. At the test's end it is gone.
func command(t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(slices.Clip(env), programVariable+"=1")
	return cmd
}

// output runs the program to its end.
func output(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := command(t, env, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"-help", "--help", "-h"} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), []string{flag}, nil, &stdout, &stderr); code != exitDone {
			t.Errorf("%s: exit code %d", flag, code)
		}
		for _, want := range []string{"-addr", "-workers", "-once", "-timeout", "-migrations", "-json", "DATABASE_URL", "examples:", "exit codes:"} {
			if !strings.Contains(stdout.String(), want) {
				t.Errorf("%s does not tell of %s", flag, want)
			}
		}
		if stderr.Len() > 0 {
			t.Errorf("%s writes to stderr: %s", flag, &stderr)
		}
	}
}

func TestWrongUsage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-wrong"}, "-wrong"},
		{[]string{"extra"}, `unexpected argument "extra"`},
		{[]string{"-workers", "-1"}, "accepted is 1 to 200"},
		{[]string{"-workers", "201"}, "accepted is 1 to 200"},
		{[]string{"-workers", "many"}, "many"},
		{[]string{"-timeout", "-1s"}, "accepted is a positive duration"},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), c.args, nil, &stdout, &stderr); code != exitUsage {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		if !strings.Contains(stderr.String(), c.want) || !strings.Contains(stderr.String(), "service: hint: ") {
			t.Errorf("%v: %s", c.args, &stderr)
		}
		if stdout.Len() > 0 {
			t.Errorf("%v writes to stdout: %s", c.args, &stdout)
		}
	}
}

func TestBadSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ env, want string }{
		{"DATABASE_URL=oracle://app:hunter2@127.0.0.1/app", "DATABASE_URL"},
		{"DATABASE_URL=postgres://app:hunter2@127.0.0.1:many/app", "DATABASE_URL"},
		{"DATABASE_URL=postgres://app:hunter2@127.0.0.1:1/app", "127.0.0.1:1"},
		{"DATABASE_URL=mysql://app:hunter2@127.0.0.1:1/app", "127.0.0.1:1"},
		{"TLDWDB_ENV=hunter2", "accepted are development, test and production"},
		{"TLDWDB_ENV=production", "DATABASE_URL is not set"},
	} {
		for _, workers := range []string{"0", "2"} {
			var stdout, stderr bytes.Buffer
			env := environment(c.env, "TLDWDB_CONNECT_WAIT=0", programVariable+"=1")
			if code := run(t.Context(), []string{"-once", "-workers", workers}, env, &stdout, &stderr); code != exitFailed {
				t.Errorf("%s, %s workers: exit code %d", c.env, workers, code)
			}
			text := stdout.String() + stderr.String()
			if !strings.Contains(stderr.String(), "service: error: ") || !strings.Contains(text, c.want) {
				t.Errorf("%s, %s workers: %s", c.env, workers, text)
			}
			if strings.Contains(text, "hunter2") && !strings.HasPrefix(c.env, "TLDWDB_ENV") {
				t.Errorf("%s, %s workers: the password is shown: %s", c.env, workers, text)
			}
		}
	}
}

// get asks the service, and returns the status code and the body.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// serving is the service, running inside the test.
type serving struct {
	address string
	lines   *bufio.Reader // what it prints after the address
	stop    context.CancelFunc
	code    chan int
	stderr  *bytes.Buffer // to be read after the end
}

func startServing(t *testing.T, env []string) *serving {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, in := io.Pipe()
	s := &serving{lines: bufio.NewReader(out), stop: cancel, code: make(chan int, 1), stderr: &bytes.Buffer{}}
	go func() {
		s.code <- run(ctx, []string{"-addr", "127.0.0.1:0"}, env, in, s.stderr)
		_ = in.Close() // never fails
	}()
	address, ok := strings.CutPrefix(s.line(t), "listening on ")
	if !ok {
		t.Fatalf("the first line is %q: %s", address, s.stderr)
	}
	s.address = address
	return s
}

func (s *serving) line(t *testing.T) string {
	t.Helper()
	text, err := s.lines.ReadString('\n')
	if err != nil {
		t.Fatalf("%v; stderr: %s", err, s.stderr)
	}
	return strings.TrimSuffix(text, "\n")
}

// While another process has the lock the service is alive and not ready.
func TestServe(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		holding, release := make(chan struct{}), make(chan struct{})
		other, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Set: "another", GoMigrations: []tldwdb.GoMigration{{
			Version: 1, Name: "hold", Up: func(context.Context, tldwdb.Conn) error {
				close(holding)
				<-release
				return nil
			},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		held := make(chan error, 1)
		go func() {
			_, err := other.Up(t.Context())
			held <- errors.Join(err, other.Close())
		}()
		<-holding

		s := startServing(t, environment("DATABASE_URL="+d.URL))
		for path, want := range map[string]int{"/health/live": 200, "/health/ready": 503, "/health/database": 503, "/": 503} {
			if code, body := get(t, s.address+path); code != want {
				t.Errorf("%s while another process migrates: %d, want %d: %s", path, code, want, body)
			}
		}
		if _, body := get(t, s.address+"/"); !strings.Contains(body, "Starting: ") {
			t.Errorf("the page does not say that the service is starting: %s", body)
		}
		if _, body := get(t, s.address+"/health/ready"); !regexp.MustCompile(`"state":"(starting|unready|waiting)"`).MatchString(body) {
			t.Errorf("the probe does not say what is going on: %s", body)
		}
		close(release)
		if err := <-held; err != nil {
			t.Fatal(err)
		}

		if line := s.line(t); !strings.HasPrefix(line, "ready after ") || !strings.HasSuffix(line, "at version 2: applied 0001_create_user, 0002_add_selected_playlist") {
			t.Errorf("the second line is %q", line)
		}
		for path, want := range map[string]int{"/health/live": 200, "/health/ready": 200, "/health/database": 200, "/": 200, "/nothing": 404} {
			if code, body := get(t, s.address+path); code != want {
				t.Errorf("%s: %d, want %d: %s", path, code, want, body)
			}
		}
		_, body := get(t, s.address+"/")
		for _, want := range []string{"<title>TL;DW – schema version 2</title>", ">ready<", "0001_create_user", "0002_add_selected_playlist", ">applied<", fmt.Sprintf(":%d:", os.Getpid()), "<dt>At most</dt><dd>20</dd>"} {
			if !strings.Contains(body, want) {
				t.Errorf("the page lacks %q:\n%s", want, body)
			}
		}
		if strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "<no value>") {
			t.Errorf("the page has a hole:\n%s", body)
		}
		s.stop()
		if code := <-s.code; code != exitDone {
			t.Errorf("exit code %d: %s", code, s.stderr)
		}
	})
}

func TestAddressInUse(t *testing.T) {
	t.Parallel()
	d := testdb.New(t, testdb.SQLite)
	s := startServing(t, environment("DATABASE_URL="+d.URL))
	var stdout, stderr bytes.Buffer
	address := strings.TrimPrefix(s.address, "http://")
	if code := run(t.Context(), []string{"-addr", address}, environment("DATABASE_URL="+d.URL), &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "-addr "+address) {
		t.Errorf("the error does not name the flag: %s", &stderr)
	}
	s.line(t)
	s.stop()
	if code := <-s.code; code != exitDone {
		t.Errorf("exit code %d: %s", code, s.stderr)
	}
}

// fleetOf runs the workers and reads the report.
func fleetOf(t *testing.T, env []string, args ...string) fleetReport {
	t.Helper()
	code, stdout, stderr := output(t, env, append([]string{"-once", "-json"}, args...)...)
	if code != exitDone {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	var f fleetReport
	if err := json.Unmarshal([]byte(stdout), &f); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return f
}

func TestWorkers(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, d *testdb.Database) {
		const n = 8
		for _, c := range []struct {
			name string
			runs int // of each migration
		}{{"fresh database", 1}, {"migrated database", 0}} {
			f := fleetOf(t, environment("DATABASE_URL="+d.URL), "-workers", fmt.Sprint(n))
			if f.Ready != n || len(f.Workers) != n || !f.ExactlyOnce {
				t.Errorf("%s: %+v", c.name, f)
			}
			if len(f.Migrations) != 2 {
				t.Errorf("%s: %d migrations, want 2", c.name, len(f.Migrations))
			}
			for _, m := range f.Migrations {
				if m.Runs != c.runs || m.State != tldwdb.StateApplied {
					t.Errorf("%s: %s is %s and ran %d times", c.name, m.Name, m.State, m.Runs)
				}
			}
			pids := map[int]bool{}
			for _, w := range f.Workers {
				pids[w.PID] = true
				if w.Version != 2 || (w.Role == roleMigrated) != (len(w.Applied) > 0) || c.runs == 0 && w.Role != roleNothing {
					t.Errorf("%s: %+v", c.name, w)
				}
			}
			if len(pids) != n {
				t.Errorf("%s: %d processes, want %d", c.name, len(pids), n)
			}
			if strings.Contains(f.Database, "tldw:tldw@") {
				t.Errorf("the password is shown: %s", f.Database)
			}
		}
	})
}

// Without a database URL the workers have a database of their own, which is gone
// afterwards.
func TestWorkersOnFreshFile(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	code, stdout, stderr := output(t, environment("TMPDIR="+tmp), "-workers", "3", "-once")
	if code != exitDone || !strings.Contains(stdout, "all 3 ready after ") || !strings.Contains(stdout, "2 migrations, each ran exactly once") {
		t.Errorf("exit code %d: %s%s", code, stdout, stderr)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

// write makes a folder of migrations.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestWorkersFail(t *testing.T) {
	t.Parallel()
	tmp := t.TempDir()
	dir := write(t, map[string]string{
		"0001_good.up.sql": "CREATE TABLE a (id INTEGER);",
		"0002_bad.up.sql":  "CREATE TABLE b (id INTEGER);\nINSERT INTO c VALUES (1);",
	})
	code, stdout, stderr := output(t, environment("TMPDIR="+tmp), "-workers", "2", "-once", "-migrations", dir)
	if code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	for _, want := range []string{"worker 1, 2: 0002_bad.up.sql:2: ", "0002_bad is pending"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q: %s", want, stderr)
		}
	}
	if !strings.Contains(stdout, "0 of 2 ready") || !strings.Contains(stdout, "never") {
		t.Errorf("stdout: %s", stdout)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	ready := func(applied ...string) report { return report{Applied: applied} }
	status := func(states ...tldwdb.State) *tldwdb.Status {
		var s tldwdb.Status
		for i, state := range states {
			s.Migrations = append(s.Migrations, tldwdb.MigrationStatus{Migration: tldwdb.ID{Version: int64(i + 1), Name: "m"}, State: state})
		}
		return &s
	}
	for _, c := range []struct {
		name    string
		workers []report
		status  *tldwdb.Status
		want    string // in the error; empty for none
	}{
		{"one did all", []report{ready("0001_m", "0002_m"), ready()}, status("applied", "applied"), ""},
		{"shared", []report{ready("0001_m"), ready("0002_m")}, status("applied", "applied"), ""},
		{"before", []report{ready(), ready()}, status("baseline", "applied"), ""},
		{"newer database", []report{ready()}, status("applied", "unknown"), ""},
		{"twice", []report{ready("0001_m"), ready("0001_m")}, status("applied"), "0001_m ran 2 times"},
		{"pending", []report{ready("0001_m")}, status("applied", "pending"), "0002_m is pending"},
		{"half", []report{ready()}, status("running"), "0001_m is running"},
		{"not ready", []report{ready("0001_m"), {Worker: 2, Error: "no"}}, status("applied"), "worker 2: no"},
	} {
		f := fleetReport{Workers: c.workers}
		err := f.judge(c.status)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if once := c.want == "" || c.name == "not ready"; f.ExactlyOnce != once {
			t.Errorf("%s: exactly once is %t", c.name, f.ExactlyOnce)
		}
	}
}

// slow are migrations of which the second takes as long as the table pace says.
func slow(t *testing.T, e testdb.Engine) string {
	second := map[testdb.Engine]string{
		testdb.SQLite:   "UPDATE pace SET done = (WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < (SELECT pause FROM pace) * 20000000) SELECT max(n) FROM c);",
		testdb.Postgres: "UPDATE pace SET done = 1 FROM (SELECT pg_sleep(pause) FROM pace) AS s;",
		testdb.MariaDB:  "UPDATE pace SET done = SLEEP(pause);",
		testdb.MySQL:    "UPDATE pace SET done = SLEEP(pause);",
	}[e]
	return write(t, map[string]string{
		"0001_pace.up.sql": "CREATE TABLE pace (pause INTEGER NOT NULL, done INTEGER);\nINSERT INTO pace (pause) VALUES (600);",
		"0002_slow.up.sql": second,
	})
}

// awaitSlow returns when the second migration of slow is in its statement.
func awaitSlow(t *testing.T, d *testdb.Database) {
	t.Helper()
	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, BusyTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		var n int
		switch d.Engine {
		case testdb.SQLite: // it has the write lock, which any transaction of the pool wants
			tx, err := db.Pool().BeginTxx(t.Context(), nil)
			if err != nil {
				return
			}
			err = tx.Rollback()
			if err != nil {
				t.Fatal(err)
			}
		case testdb.Postgres:
			err = db.Pool().GetContext(t.Context(), &n, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
		default:
			err = db.Pool().GetContext(t.Context(), &n, "SELECT count(*) FROM "+d.Processlist()+" WHERE db = database() AND state = 'User sleep'")
		}
		if err != nil {
			t.Fatal(err)
		}
		if n > 0 {
			return
		}
	}
	t.Fatal("the slow migration did not begin")
}

// A signal in the middle of a migration ends all processes, takes the migration
// back, and leaves the lock free.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, workers := range []string{"0", "3"} {
		t.Run(workers+" workers", func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, d *testdb.Database) { interrupt(t, d, workers) })
		})
	}
}

func interrupt(t *testing.T, d *testdb.Database, workers string) {
	dir := slow(t, d.Engine)
	env := environment("DATABASE_URL=" + d.URL)
	args := []string{"-migrations", dir, "-addr", "127.0.0.1:0", "-workers", workers, "-v"}
	cmd := command(t, env, args...)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	for lines := bufio.NewScanner(pipe); lines.Scan(); {
		_, _ = fmt.Fprintln(&stderr, lines.Text()) // a Builder takes everything
		if strings.Contains(lines.Text(), "migration applied") {
			awaitSlow(t, d)
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	// All writers of the pipe have ended by now, and so have all workers.
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("%v, want exit code %d: %s", err, exitFailed, &stderr)
	}
	if !strings.Contains(stderr.String(), "the migration in progress was interrupted") {
		t.Errorf("stderr does not tell what happened: %s", &stderr)
	}

	db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Migrations: os.DirFS(dir)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}()
	count := func(where string) (n int) {
		t.Helper()
		if err := db.Pool().GetContext(t.Context(), &n, "SELECT count(*) FROM pace WHERE "+where); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if status, err := db.Status(t.Context()); err != nil || status.Current != 1 {
		t.Errorf("after the signal: %+v %v, want version 1", status, err)
	}
	if count("done IS NULL") != 1 {
		t.Error("the interrupted migration left its mark")
	}
	if _, err := db.Pool().ExecContext(t.Context(), "UPDATE pace SET pause = 0"); err != nil {
		t.Fatal(err)
	}
	code, stdout, text := output(t, append(env, "TLDWDB_LOCK_WAIT=5s"), "-migrations", dir, "-once")
	if code != exitDone || !strings.Contains(stdout, "at version 2: applied 0002_slow") {
		t.Errorf("the next start: exit code %d: %s%s", code, stdout, text)
	}
	if count("done IS NOT NULL") != 1 {
		t.Error("the migration says that it is applied, and is not")
	}
}

// A signal while serving is no failure.
func TestSignalWhileServing(t *testing.T) {
	t.Parallel()
	d := testdb.New(t, testdb.SQLite)
	cmd := command(t, environment("DATABASE_URL="+d.URL), "-addr", "127.0.0.1:0", "-json", "-workers", "2")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for scan := bufio.NewScanner(pipe); scan.Scan(); {
		lines = append(lines, scan.Text())
		if strings.Contains(scan.Text(), `"ready_ms"`) && len(lines) == 3 {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &stderr)
	}
	if len(lines) != 3 || !strings.Contains(lines[1], `"listening":"http://127.0.0.1:`) || !strings.Contains(lines[2], roleNothing) {
		t.Errorf("printed: %s", strings.Join(lines, "\n"))
	}
}

// -timeout bounds the whole start, here one that waits for a lock.
func TestTimeout(t *testing.T) {
	t.Parallel()
	d := testdb.New(t, testdb.SQLite)
	holding, release := make(chan struct{}), make(chan struct{})
	other, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: d.URL, Set: "another", GoMigrations: []tldwdb.GoMigration{{
		Version: 1, Name: "hold", Up: func(context.Context, tldwdb.Conn) error {
			close(holding)
			<-release
			return nil
		},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan error, 1)
	go func() {
		_, err := other.Up(t.Context())
		held <- errors.Join(err, other.Close())
	}()
	<-holding
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"-once", "-timeout", "50ms"}, environment("DATABASE_URL="+d.URL), &stdout, &stderr); code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "the start took longer than -timeout 50ms: no migration had begun") {
		t.Errorf("stderr: %s", &stderr)
	}
	close(release)
	if err := <-held; err != nil {
		t.Error(err)
	}
}
