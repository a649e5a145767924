package dump

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/dialect"
)

// This file runs the servers' programs. Their arguments are for everybody to read,
// and their environment for everybody with the same account: neither has a secret.

// lingering is how long a program that was killed may keep its pipes open.
const lingering = 10 * time.Second

// program is one call of a program.
type program struct {
	path    string
	args    []string
	env     []string
	stdin   io.Reader
	stdout  io.Writer
	file    *os.File // what the program writes goes here, and from here to stdout; nil: to stdout alone
	secrets []string // not to be seen in an error
}

// run waits for the program's end. complaints is what it said on standard error,
// the middle left out where that is long. A program that is not at its end when ctx
// is, or when stdin or stdout fails, is killed, and the error is the one of those.
func (p program) run(ctx context.Context) (complaints string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, p.path, p.args...) //nolint:gosec // found by find
	cmd.Env = p.env
	cmd.WaitDelay = lingering
	group(cmd)
	end := sync.OnceValue(func() error { return kill(cmd.Process) })
	cmd.Cancel = end
	var said excerpt
	cmd.Stderr = &said
	if p.stdin != nil {
		cmd.Stdin = readerFunc(func(b []byte) (int, error) {
			n, err := p.stdin.Read(b)
			if err != nil && !errors.Is(err, io.EOF) {
				cancel(err)
				// At once: an end of the input is an order to go on with what is there.
				_ = end()
			}
			return n, err
		})
	}
	err = p.wait(cmd, cancel)
	complaints = said.String()
	if cause := context.Cause(ctx); cause != nil {
		return complaints, cause
	}
	if err != nil {
		text := strings.TrimSpace(complaints)
		if text == "" {
			text = "it gave no reason"
		}
		err = dialect.Redact(fmt.Errorf("%s: %w: %s", baseName(p.path), err, text), p.secrets...)
		if p.file != nil && diskFull(text) {
			err = fmt.Errorf("%w: %w", &fs.PathError{Op: "write", Path: p.file.Name(), Err: syscall.ENOSPC}, err)
		}
	}
	return complaints, err
}

// diskFull reports whether a program said that there is no room for what it writes itself.
// What it tells of the server's disk reads otherwise.
func diskFull(complaints string) bool { return strings.Contains(complaints, "Got errno 28 on write") }

// wait starts the program and waits for its end, and for that of what it writes.
func (p program) wait(cmd *exec.Cmd, cancel context.CancelCauseFunc) (err error) {
	if p.stdout == nil {
		return cmd.Run()
	}
	if p.file != nil {
		return p.follow(cmd, cancel)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only read
	widen(w, pipeSize)
	cmd.Stdout = w
	if err := errors.Join(cmd.Start(), w.Close()); err != nil {
		return err
	}
	read := make(chan error, 1)
	go func() {
		b := make([]byte, pipeSize/4)
		for {
			n, err := r.Read(b)
			if n > 0 {
				if _, writeErr := p.stdout.Write(b[:n]); writeErr != nil {
					cancel(writeErr)
					err = writeErr
				}
			}
			if err != nil {
				read <- err
				return
			}
		}
	}()
	err = cmd.Wait()
	_ = r.SetReadDeadline(time.Now().Add(lingering)) // of a pipe it never fails
	if readErr := <-read; err == nil && !errors.Is(readErr, io.EOF) {
		err = readErr // somebody else has kept it open
	}
	return err
}

// followPause is how long a reader that has come to the end of a file waits for more.
// In that time a program writes a fraction of a megabyte, which is read from memory.
const followPause = 2 * time.Millisecond

// follow is wait for a program that writes to a file.
func (p program) follow(cmd *exec.Cmd, cancel context.CancelCauseFunc) error {
	cmd.Stdout = p.file
	if err := cmd.Start(); err != nil {
		return err
	}
	ended, read := make(chan struct{}), make(chan error, 1)
	go func() {
		behind := atomicfile.NewBehind(p.file)
		b := make([]byte, pipeSize/4)
		for at := int64(0); ; {
			last := false
			select {
			case <-ended:
				last = true // what is there now is all
			default:
			}
			n, err := p.file.ReadAt(b, at)
			if n > 0 {
				at += int64(n)
				behind.Reached(at)
				if _, err := p.stdout.Write(b[:n]); err != nil {
					cancel(err)
					read <- err
					return
				}
			}
			switch {
			case err == nil:
			case !errors.Is(err, io.EOF):
				cancel(err)
				read <- err
				return
			case last:
				read <- nil
				return
			default:
				select {
				case <-ended:
				case <-time.After(followPause):
				}
			}
		}
	}()
	err := cmd.Wait()
	close(ended)
	if readErr := <-read; err == nil {
		err = readErr
	}
	return err
}

// pipeSize is how far a program may write ahead of who reads: the usual 64 KiB make it
// wait whenever this process does not have its turn.
const pipeSize = 1 << 20

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// excerpt keeps the beginning and the end of what is written to it.
type excerpt struct {
	head, tail []byte
	left       int // bytes between them
}

const excerptPart = 4 << 10

func (e *excerpt) Write(b []byte) (int, error) {
	n := len(b)
	room := min(excerptPart-len(e.head), len(b))
	e.head = append(e.head, b[:room]...)
	e.tail = append(e.tail, b[room:]...)
	if over := len(e.tail) - excerptPart; over > 0 {
		e.left += over
		e.tail = append(e.tail[:0], e.tail[over:]...)
	}
	return n, nil
}

func (e *excerpt) String() string {
	if e.left == 0 {
		return string(e.head) + string(e.tail)
	}
	return fmt.Sprintf("%s\n… %d bytes left out …\n%s", e.head, e.left, e.tail)
}

// kept are the variables that programs get of this process' environment, beside
// those that a caller names. The rest is nobody's business, and is where services
// have their passwords.
var kept = []string{
	"PATH", "LD_LIBRARY_PATH", "TMPDIR", "TMP", "TEMP", "TZ", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "USERPROFILE", "APPDATA",
	"KRB5CCNAME", "KRB5_CONFIG", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF",
}

// environment is what a program is given: the kept variables, those that more
// accepts, and messages in English, because some are read here.
func environment(more func(name string) bool, set ...string) []string {
	var env []string
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if slices.Contains(kept, strings.ToUpper(name)) || more != nil && more(name) {
			env = append(env, entry)
		}
	}
	return append(append(env, "LC_ALL=C"), set...)
}

// privateDir is a folder for this process' account alone. One with a password that a
// killed process has left goes with the next one that is made.
func privateDir() (dir string, remove func(), err error) {
	dir, removeAll, err := atomicfile.TempDir("tldwdb-dump-") // 0700
	if err != nil {
		return "", nil, fmt.Errorf("a folder for credentials: %w", err)
	}
	return dir, func() { _ = removeAll() }, nil // what is left goes with the next one
}

// firstLine is for what --version says.
func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	return strings.TrimSpace(string(line))
}
