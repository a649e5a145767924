package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/testdb"
)

// secret is a password that needs care everywhere: in URLs, option files, password
// files and connection strings.
const secret = `p:\a'"#$ %;` + "`" + `=[x]é`

// withSecret gives the database an account whose password is secret.
func withSecret(t *testing.T, db *testdb.Database) *testdb.Database {
	t.Helper()
	admin := db.AsAdmin(t).AdminDB(t)
	account := db.Name()
	if db.Engine == testdb.Postgres {
		run(t, admin, "CREATE ROLE "+account+" LOGIN PASSWORD '"+strings.ReplaceAll(secret, "'", "''")+"'")
		run(t, admin, "ALTER DATABASE "+db.Name()+" OWNER TO "+account)
		t.Cleanup(func() {
			pool, err := testdb.Open(db.Engine, db.AsAdmin(t).URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = pool.Close() }()
			ctx := context.WithoutCancel(t.Context())
			for _, s := range []string{"ALTER DATABASE " + db.Name() + " OWNER TO tldw", "REASSIGN OWNED BY " + account + " TO tldw", "DROP OWNED BY " + account, "DROP ROLE " + account} {
				if _, err := pool.ExecContext(ctx, s); err != nil {
					t.Error(err)
				}
			}
		})
	} else {
		run(t, admin, "CREATE USER "+account+"@'127.0.0.1' IDENTIFIED BY '"+strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(secret)+"'; GRANT ALL ON "+db.Name()+".* TO "+account+"@'127.0.0.1'")
		t.Cleanup(func() {
			pool, err := testdb.Open(db.Engine, db.AsAdmin(t).URL)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = pool.Close() }()
			if _, err := pool.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+account+"@'127.0.0.1'"); err != nil {
				t.Error(err)
			}
		})
	}
	there := *db
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(account, secret)
	there.URL = u.String()
	return &there
}

// stolen lists where the secret can be read while programs run: in the arguments and
// environments of all processes but this one.
func stolen(t *testing.T) (places []string, programs int) {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range entries {
		if dir == fmt.Sprintf("/proc/%d", os.Getpid()) {
			continue
		}
		if status, err := os.ReadFile(filepath.Join(dir, "status")); err == nil && bytes.Contains(status, fmt.Appendf(nil, "\nPPid:\t%d\n", os.Getpid())) {
			programs++ // of ours
		}
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				continue // it has ended, or is somebody else's
			}
			for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret), url.UserPassword("", secret).String()[1:]} {
				if bytes.Contains(text, []byte(form)) {
					places = append(places, filepath.Join(dir, name))
				}
			}
		}
	}
	return places, programs
}

// leftovers are the private folders that are there.
func leftovers(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(os.TempDir(), "tldwdb-dump-*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestNoPasswordIsSeen: while a dump runs the password is in no process' arguments
// or environment, and in a file for this account alone, which is gone afterwards;
// also when the dump is broken off.
func TestNoPasswordIsSeen(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("this looks into /proc")
	}
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("DATABASE_URL", "postgres://u:"+url.QueryEscape(secret)+"@h/db") // a service has it there
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			db := withSecret(t, testdb.New(t, e))
			from := engine(t, db)
			kind := "longtext"
			if e == testdb.Postgres {
				kind = "text"
			}
			fill(t, db, nil, "CREATE TABLE t (id int PRIMARY KEY, v "+kind+")")
			for i := range 12 { // more than pipes hold
				fill(t, db, nil, fmt.Sprintf("INSERT INTO t VALUES (%d, REPEAT('abcdefgh', 65536))", i))
			}
			_, before := stolen(t) // servers of the tests may be ours too
			ctx, cancel := context.WithCancelCause(t.Context())
			broken := errors.New("somebody has had enough")
			looked := false
			_, err := from.Dump(ctx, writerFunc(func(b []byte) (int, error) {
				if !looked {
					looked = true
					places, programs := stolen(t)
					if len(places) > 0 || programs <= before {
						t.Errorf("of %d programs the password is seen in %v", programs, places)
					}
					folders := leftovers(t)
					if len(folders) != 1 {
						t.Fatalf("%v", folders)
					}
					modes(t, folders[0])
				}
				return len(b), nil
			}), Options{})
			if err != nil || !looked {
				t.Fatal(err, looked)
			}
			if left := leftovers(t); len(left) > 0 {
				t.Errorf("left is %v", left)
			}

			_, err = from.Dump(ctx, writerFunc(func(b []byte) (int, error) {
				cancel(broken)
				return len(b), nil
			}), Options{Jobs: 1})
			if !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
			full := errors.New("no space left on device")
			if _, err = from.Dump(t.Context(), writerFunc(func([]byte) (int, error) { return 0, full }), Options{}); !errors.Is(err, full) {
				t.Errorf("%v", err)
			}
			if err := from.Load(t.Context(), io.MultiReader(strings.NewReader("PGDMP\x01\x0e"), readerFunc(func([]byte) (int, error) { return 0, full })), map[testdb.Engine]string{
				testdb.Postgres: "pg_dump", testdb.MariaDB: "mariadb-dump", testdb.MySQL: "mysqldump",
			}[e], Options{}); !errors.Is(err, full) {
				t.Errorf("%v", err)
			}
			if left := leftovers(t); len(left) > 0 {
				t.Errorf("left is %v", left)
			}
			if _, programs := stolen(t); programs > before {
				t.Errorf("%d programs still run", programs-before)
			}

			// A wrong password: the error has neither it nor the right one.
			wrong := engine(t, db, func(to *Target) {
				to.Password = func(context.Context) (string, error) { return secret + "!", nil }
			})
			if _, err := wrong.Dump(t.Context(), io.Discard, Options{}); err == nil || strings.Contains(err.Error(), secret) {
				t.Errorf("%v", err)
			}
			asked := engine(t, db, func(to *Target) {
				u, err := dburl.Parse(strings.Replace(db.URL, url.UserPassword(db.Name(), secret).String(), db.Name(), 1))
				if err != nil {
					t.Fatal(err)
				}
				to.URL, to.Password = u, func(context.Context) (string, error) { return secret, nil }
			})
			if _, err := asked.Dump(t.Context(), io.Discard, Options{}); err != nil {
				t.Error(err)
			}
		})
	}
}

// modes checks that a folder and what is in it are for this account alone.
func modes(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestExcerpt(t *testing.T) {
	t.Parallel()
	var e excerpt
	for i := range 4000 {
		_, _ = fmt.Fprintf(&e, "line %d\n", i)
	}
	text := e.String()
	if !strings.HasPrefix(text, "line 0\n") || !strings.HasSuffix(text, "line 3999\n") || !strings.Contains(text, "bytes left out") || len(text) > 3*excerptPart {
		t.Errorf("%d bytes: %s", len(text), text)
	}
}

// TestProgramEndsWithItsChildren: what is called pg_dump may be a script.
func TestProgramEndsWithItsChildren(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("this looks into /proc")
	}
	ctx, cancel := context.WithCancel(t.Context())
	var child bytes.Buffer
	_, err := program{path: "/bin/sh", args: []string{"-c", "sleep 600 >&2 & echo $!; wait"}, stdout: writerFunc(func(b []byte) (int, error) {
		cancel()
		return child.Write(b)
	})}.run(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	// run returns when the pipes are closed, which the child has had open too.
	status, err := os.ReadFile("/proc/" + strings.TrimSpace(child.String()) + "/status")
	if err == nil && !bytes.Contains(status, []byte("State:\tZ")) && !bytes.Contains(status, []byte("FDSize:\t0\n")) { // a process that is ending
		t.Errorf("the child goes on: %s", status)
	}
}

// TestProgramWritesToFile: what a program writes to a file is told whole and in order,
// however it is written, and neither the program's failure nor the reader's gets lost.
func TestProgramWritesToFile(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, script string, w io.Writer) (content string, err error) {
		t.Helper()
		f, err := os.Create(filepath.Join(t.TempDir(), "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }() // it is read below
		_, err = program{path: "/bin/sh", args: []string{"-c", script}, file: f, stdout: w}.run(t.Context())
		b, readErr := os.ReadFile(f.Name())
		if readErr != nil {
			t.Fatal(readErr)
		}
		return string(b), err
	}
	for _, script := range []string{
		"true",
		"echo one",
		"for i in 1 2 3 4 5; do echo $i; sleep 0.01; done",
		"head -c 3000000 /dev/zero; echo end",
	} {
		var told strings.Builder
		content, err := run(t, script, &told)
		if err != nil || content != told.String() {
			t.Errorf("%s: %v; %d bytes in the file, %d told", script, err, len(content), told.Len())
		}
	}
	var told strings.Builder
	if content, err := run(t, "echo half; exit 3", &told); err == nil || !strings.Contains(err.Error(), "exit status 3") || told.String() != content {
		t.Errorf("a program that failed: %v, %q", err, told.String())
	}
	refused := errors.New("refused")
	if _, err := run(t, "echo a; exec sleep 600", writerFunc(func([]byte) (int, error) { return 0, refused })); !errors.Is(err, refused) {
		t.Errorf("a reader that failed: %v", err)
	}
	if _, err := run(t, "echo 'mariadb-dump: Got errno 28 on write' >&2; exit 5", io.Discard); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
}
