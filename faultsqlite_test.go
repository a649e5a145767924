//go:build unix

package tldwdb_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// SQLite has no wire: its messages are system calls. strace ends a worker at the
// n-th one that writes or syncs, or makes it fail as a full disk does. strace
// counts for each thread, so all of the worker's SQLite is on one.

// traced runs a worker under strace, and returns what it reported, if it did. The
// trace is in a file.
func traced(t *testing.T, j job, trace string, options ...string) (rep report, ended bool) {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: nothing can end SQLite inside a system call")
	}
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), strace, append(append([]string{"-f", "-qq", "-o", trace}, options...), program)...)
	cmd.Env = append(os.Environ(), jobVariable+"="+string(text))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	_, last, _ := strings.Cut(string(out), sayReady+"\n")
	if last == "" {
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.Success() {
			t.Fatalf("the worker said nothing and was not killed: %v: %s", err, stderr.String())
		}
		return report{}, false
	}
	if err := json.Unmarshal([]byte(last), &rep); err != nil {
		t.Fatalf("a worker's report %q: %v: %s", last, err, stderr.String())
	}
	return rep, true
}

// writing are the system calls by which SQLite changes files.
var writing = []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "unlink"}

// The modes in which SQLite keeps its transactions, as the driver names them.
// full log is written back every few pages, so that this happens in the middle.
var journals = map[string]string{
	"wal":      "_foreign_keys=on&_journal_mode=WAL&_synchronous=NORMAL&_txlock=immediate&_busy_timeout=5000",
	"rollback": "_foreign_keys=on&_journal_mode=DELETE&_synchronous=FULL&_txlock=immediate&_busy_timeout=5000",
}

// tortureSQLite goes through all writing system calls of a worker on SQLite.
func tortureSQLite(t *testing.T, results *tally) {
	t.Parallel()
	m := &matrix{engine: testdb.SQLite, way: upwards, files: faultLoad(testdb.SQLite), results: results}
	for name, dsn := range journals {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.SQLite)
			trace := filepath.Join(t.TempDir(), "trace")
			rep, _ := traced(t, job{Files: m.files, Path: tdb.Path(), Thread: dsn}, trace, "-e", "trace="+strings.Join(writing, ","))
			if rep.Error != "" {
				t.Fatal(rep.Error)
			}
			m := *m // the history's rows differ by nothing, the want of each mode is its own
			m.want = look(t, tdb, tdb.AdminDB(t))
			text, err := os.ReadFile(trace)
			if err != nil {
				t.Fatal(err)
			}
			for _, call := range writing {
				n := strings.Count(string(text), call+"(")
				results.note("sqlite up, %s: %d times %s", name, n, call)
				if n == 0 {
					continue
				}
				t.Run("kill, "+call, func(t *testing.T) {
					m.sysCall(t, "kill, "+name, dsn, n, 6, call, "signal=KILL:when=%d")
				})
				kind, fault := "disk full, "+name, "error=ENOSPC:when=%d+"
				if call != "pwrite64" && call != "ftruncate" {
					kind, fault = "disk fails, "+name, "error=EIO:when=%d+"
				}
				t.Run(strings.Split(kind, ",")[0]+", "+call, func(t *testing.T) {
					m.sysCall(t, kind, dsn, n, 3, call, fault)
				})
			}
		})
	}
}

// sysCall lets something happen at each of n system calls of a name.
func (m *matrix) sysCall(t *testing.T, kind, dsn string, n, some int, call, fault string) {
	for _, at := range places(n, some, 1) {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			t.Parallel()
			tdb := testdb.New(t, testdb.SQLite)
			rep, ended := traced(t, job{Files: m.files, Path: tdb.Path(), Thread: dsn}, os.DevNull,
				"-e", "trace="+call, "-e", "inject="+call+":"+fmt.Sprintf(fault, at))
			if ended && strings.HasPrefix(fault, "signal") {
				m.results.add(kind, m.engine, missed)
				return
			}
			first := rep.Result
			if first == nil {
				first = &tldwdb.Result{}
			}
			var err error
			if rep.Error != "" || !ended {
				err = errors.New("killed " + rep.Error)
			}
			m.boot(t, kind, tdb, first, err)
		})
	}
}
