package atomicfile

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// childVariable makes the test binary write to the file that it names until it is
// killed.
const childVariable = "TLDWDB_TEST_WRITE"

func TestMain(m *testing.M) {
	path, ok := os.LookupEnv(childVariable)
	if !ok {
		os.Exit(m.Run())
	}
	if _, _, err := TempDir("tldwdb-one-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	f, err := Create(path)
	for n := 0; err == nil; n++ {
		if _, err = f.Write(make([]byte, 64<<10)); n == 3 {
			fmt.Println("writing")
		}
		if n == 1000 {
			time.Sleep(time.Hour) // that is enough of the disk
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// names are what is in the folder.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

func wantFile(t *testing.T, path, want string) {
	t.Helper()
	if got, err := os.ReadFile(path); err != nil || string(got) != want {
		t.Errorf("%s: %q, %v; want %q", filepath.Base(path), got, err, want)
	}
}

func TestCommit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	for _, text := range []string{"one", "another one"} {
		f, err := Create(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		all := names(t, dir)
		if i := slices.IndexFunc(all, Partial); i < 0 || all[i] == "x" {
			t.Errorf("before: %v", all)
		}
		if text == "another one" {
			wantFile(t, path, "one") // until then
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, text)
		if err := f.Abort(); err != nil {
			t.Errorf("Abort behind Commit: %v", err)
		}
		wantFile(t, path, text)
		if err := f.Commit(); err == nil {
			t.Error("no error of a second Commit")
		}
		if all := names(t, dir); len(all) != 1 {
			t.Errorf("after: %v", all)
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 && runtime.GOOS != "windows" {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestAbort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f, err := Create(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Abort(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Commit(); err == nil {
		t.Error("no error of Commit behind Abort")
	}
	if all := names(t, dir); len(all) > 0 {
		t.Error(all)
	}
	if _, err := Create(filepath.Join(dir, "none", "x")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// A Commit that fails leaves nothing of its own, and what was there.
func TestCommitFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, "x", "y")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := Create(filepath.Dir(inTheWay))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err == nil {
		t.Error("a folder was replaced by a file")
	}
	if err := f.Abort(); err != nil {
		t.Error(err)
	}
	if all := names(t, dir); !slices.Equal(all, []string{"x"}) {
		t.Error(all)
	}
}

// A link is replaced, not followed: what it points to stays as it is.
func TestLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	outside := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(outside, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "x")); err != nil {
		t.Skip(err)
	}
	f, err := Create(filepath.Join(dir, "x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte("new")); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, outside, "old")
	wantFile(t, filepath.Join(dir, "x"), "new")
}

// A process that is killed in the middle leaves nothing under the file's name, and
// something that is known for what it is as soon as the process is gone.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir, temp := t.TempDir(), t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+path, "TMPDIR="+temp, "TMP="+temp)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "writing\n" {
		t.Errorf("%q, %v", line, err)
	}
	if left, err := Leftovers(dir, time.Now().Add(-time.Hour), false); err != nil || len(left) > 0 {
		t.Errorf("%v, %v: it is at work still", left, err)
	}
	if all := names(t, temp); len(all) != 1 {
		t.Errorf("temporary: %v", all)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("it was not killed")
	}
	wantFile(t, path, "old")
	if err := os.WriteFile(filepath.Join(dir, "x.partial-foreign-one"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "y.partial-abcdefgh"), 0o700); err != nil {
		t.Fatal(err)
	}
	// One that was made without a sign of life.
	if err := os.WriteFile(filepath.Join(dir, "z.partial-abcdefgh"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, keep := range []bool{true, false} {
		left, err := Leftovers(dir, time.Now().Add(-time.Hour), keep)
		if err != nil || len(left) != 1 || !Partial(left[0]) || !strings.HasPrefix(left[0], "x.") {
			t.Errorf("keep %v: %v, %v", keep, left, err)
		}
	}
	if left, err := Leftovers(dir, time.Now().Add(time.Hour), true); err != nil || !slices.Equal(left, []string{"z.partial-abcdefgh"}) {
		t.Errorf("%v, %v", left, err)
	}
	if all := names(t, dir); !slices.Equal(all, []string{"x", "x.partial-foreign-one", "y.partial-abcdefgh", "z.partial-abcdefgh"}) {
		t.Errorf("what is left is %v", all)
	}
	again := exec.CommandContext(t.Context(), os.Args[0])
	again.Env = append(os.Environ(), childVariable+"="+filepath.Join(dir, "none", "x"), "TMPDIR="+temp, "TMP="+temp)
	_ = again.Run() // the path is wrong
	if all := names(t, temp); len(all) != 1 {
		t.Errorf("temporary: %v, want that of the second process alone", all)
	}
}

func TestMkdirAll(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b", "c")
	for range 2 {
		if err := MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		info, err := os.Stat(d)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 && runtime.GOOS != "windows" {
			t.Errorf("%s: %v", d, info.Mode())
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := MkdirAll(filepath.Join(dir, "file", "d")); err == nil {
		t.Error("a folder in a file")
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{path, path, filepath.Join(dir, "none", "x")} {
		if err := Remove(p); err != nil {
			t.Error(err)
		}
	}
	if all := names(t, dir); len(all) > 0 {
		t.Error(all)
	}
}

// TestTempDir: what has no sign of life goes when it is four days old, and nothing else.
func TestTempDir(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("TMP", os.Getenv("TMPDIR"))
	left, other := filepath.Join(os.Getenv("TMPDIR"), "tldwdb-one-1"), filepath.Join(os.Getenv("TMPDIR"), "tldwdb-two-1")
	for _, dir := range []string{left, other} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(left, "password"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Add(-96 * time.Hour)
	for _, dir := range []string{left, other} {
		if err := os.Chtimes(dir, begun, begun); err != nil {
			t.Fatal(err)
		}
	}
	var removes []func() error
	for range 2 { // one that is in use stays, however old it is
		dir, remove, err := TempDir("tldwdb-one-")
		if err != nil {
			t.Fatal(err)
		}
		removes = append(removes, remove)
		if err := os.Chtimes(dir, begun, begun); err != nil {
			t.Fatal(err)
		}
	}
	if all := names(t, os.Getenv("TMPDIR")); len(all) != 3 || filepath.Base(other) != all[2] {
		t.Error(all)
	}
	for _, remove := range removes {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}
	if all := names(t, os.Getenv("TMPDIR")); len(all) != 1 {
		t.Errorf("they are still there: %v", all)
	}
}
