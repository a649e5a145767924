package dump

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// magic begins pg_dump's custom format; what else comes is a packed folder.
const magic = "PGDMP"

// archiveNeeds is the oldest pg_restore that reads a version of the format.
var archiveNeeds = map[byte]int{14: 12, 15: 16, 16: 17}

// Load runs pg_restore, which reads the stream itself if one connection is to do the
// work, and a file or folder in the folder for temporary files if several are.
func (p *postgres) Load(ctx context.Context, r io.Reader, content string, o Options) (err error) {
	if content != "pg_dump" {
		return fmt.Errorf("a dump in the form %s cannot be loaded into PostgreSQL", content)
	}
	in := bufio.NewReaderSize(r, 1<<16)
	pool, to, password, given, err := p.dial(ctx, "") // which of several hosts
	if err != nil {
		return err
	}
	if err := pool.Close(); err != nil {
		return err
	}
	head, err := in.Peek(len(magic) + 2)
	if err != nil {
		return fmt.Errorf("reading the dump: %w", err)
	}
	stream := string(head[:len(magic)]) == magic
	var a *access
	defer func() {
		if a != nil {
			a.remove()
		}
	}()
	// Owners and rights come behind all else, because what of them fails is no reason to
	// load nothing.
	args := []string{"--no-password", "--no-subscriptions", "--no-owner", "--no-privileges"}
	if role := p.URL.Params["role"]; role != "" {
		args = append(args, "--role="+role)
	}
	server, _, err := p.server(ctx)
	if err != nil {
		return err
	}
	begin := func(minor byte) (tool, error) {
		restore, err := p.restorer(ctx, server, minor)
		if err != nil {
			return restore, err
		}
		a, err = p.open(to, password, given, restore.release)
		return restore, err
	}
	var restore tool
	call := program{}
	read := &meteredReader{r: in, meter: meter{tell: p.Progress}}
	if stream {
		if restore, err = begin(head[len(magic)+1]); err != nil {
			return err
		}
		call.stdin = read
		if o.Jobs > 1 { // not from a stream: the connections read it in their own order
			file := filepath.Join(a.dir, "dump")
			if err := spool(ctx, file, read); err != nil {
				return err
			}
			args, call.stdin = append(args, "--jobs="+strconv.Itoa(o.Jobs), file), nil
		}
	} else {
		dir, remove, err := privateDir()
		if err != nil {
			return err
		}
		defer remove()
		if err := unpack(ctx, read, dir); err != nil {
			return err
		}
		minor, err := folderVersion(dir)
		if err != nil {
			return err
		}
		if restore, err = begin(minor); err != nil {
			return err
		}
		args = append(args, "--jobs="+strconv.Itoa(max(o.Jobs, 1)), dir)
	}
	place := args[len(args)-1] // where it is not a stream
	args = append([]string{"--dbname=" + a.conn}, args...)
	// From version 17 on pg_restore sets a parameter that servers before do not have.
	// It must not stop at that, and is judged by what it complained of.
	stranger := restore.release.major >= 17 && server.major < 17
	if !stranger {
		args = append(args, "--exit-on-error")
	}
	call.path, call.args, call.env, call.secrets = restore.path, args, a.env, a.secrets
	owners := func() (string, error) { return "", nil }
	if o.Owners {
		s := &pgScript{program: program{path: restore.path, args: []string{"--schema-only", "--no-subscriptions", "--file=-"}, env: a.env, secrets: a.secrets}}
		if call.stdin != nil {
			call.stdin = s.beside(ctx, read)
		} else {
			s.args = append(s.args, place)
		}
		owners = func() (string, error) { return s.read(ctx) }
	}
	complaints, err := call.run(ctx)
	script, ownersErr := owners()
	if err != nil && stranger && onlyTransactionTimeout(complaints) {
		err = nil
	}
	if err == nil && call.stdin != nil {
		// What is behind the end of the archive is the reader's to check.
		_, err = io.Copy(io.Discard, in)
	}
	if err == nil {
		err = ownersErr
	}
	if err == nil {
		err = p.giveBack(ctx, script, o.Note)
	}
	return p.judge(ctx, pgAdvice(err), outsidePostgres(complaints))
}

// pgScript is a call of pg_restore that writes what it would do as SQL, without rows.
type pgScript struct {
	program
	text  bytes.Buffer
	write *io.PipeWriter // of a stream; nil: the program reads a file
	done  chan error
}

// beside has the program read what somebody else reads of r: all that it needs stands
// at the beginning.
func (s *pgScript) beside(ctx context.Context, r io.Reader) io.Reader {
	var from *io.PipeReader
	from, s.write = io.Pipe()
	s.done = make(chan error, 1)
	s.stdin, s.stdout = from, &s.text
	go func() {
		_, err := s.run(ctx)
		_ = from.Close() // nobody reads on: what is written from here is not for it
		s.done <- err
	}()
	reading := true
	return readerFunc(func(b []byte) (int, error) {
		n, err := r.Read(b)
		if reading && n > 0 {
			if _, err := s.write.Write(b[:n]); err != nil {
				reading = false
			}
		}
		return n, err
	})
}

// read is what the program has written.
func (s *pgScript) read(ctx context.Context) (string, error) {
	var err error
	if s.write != nil {
		_ = s.write.Close() // never fails
		err = <-s.done
	} else {
		s.stdout = &s.text
		_, err = s.run(ctx)
	}
	return s.text.String(), err
}

// toOwner is the end of a statement that gives an object to its owner.
var toOwner = regexp.MustCompile(` OWNER TO (?:"(?:[^"]|"")+"|[^"'\s]+)$`)

// giveBack runs those statements of a script that are about owners and rights.
func (p *postgres) giveBack(ctx context.Context, script string, note func(string)) (err error) {
	statements, err := sqlscan.Split(script, p.Dialect.ScanOptions())
	if err != nil {
		return fmt.Errorf("reading who owns what in the dump: %w", err)
	}
	conn, err := p.DB.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	failed := map[string]int{}
	for _, st := range statements {
		switch {
		case st.Verb == "GRANT", st.Verb == "REVOKE", st.Verb == "ALTER" && (toOwner.MatchString(st.Text) || strings.HasPrefix(st.Text, "ALTER DEFAULT PRIVILEGES ")):
		default:
			continue
		}
		if _, err := conn.ExecContext(ctx, st.Text); err != nil {
			if _, refused := errors.AsType[*pgconn.PgError](err); !refused {
				return err
			}
			failed[err.Error()]++
		}
	}
	for _, text := range slices.Sorted(maps.Keys(failed)) {
		if note != nil {
			note(fmt.Sprintf("%d owners or rights could not be given back: %s", failed[text], text))
		}
	}
	return nil
}

// onlyTransactionTimeout reports whether pg_restore complained of nothing else.
func onlyTransactionTimeout(complaints string) bool {
	left := strings.ReplaceAll(complaints, `pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter "transaction_timeout"`+"\nCommand was: SET transaction_timeout = 0;\n", "")
	for line := range strings.Lines(left) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "pg_restore: warning: errors ignored on restore: ") {
			return false
		}
	}
	return left != complaints
}

// restorer is the pg_restore that reads a version of the format and fits the server
// best.
func (p *postgres) restorer(ctx context.Context, server release, minor byte) (tool, error) {
	oldest := release{archiveNeeds[minor], -1}
	if minor > 16 {
		oldest.major = 19 // newer than all that are known here
	}
	wanted := server
	if wanted.compare(oldest) < 0 {
		wanted = oldest
	}
	found, others := postgresProduct.find(ctx, p.ToolDir, wanted, "pg_restore")
	if t, ok := choose(found, wanted); ok {
		return t, nil
	}
	// An older one loads into a newer server, if it can read the archive.
	found = slices.DeleteFunc(found, func(t tool) bool { return t.release.compare(oldest) < 0 })
	if len(found) > 0 {
		return slices.MaxFunc(found, func(a, b tool) int { return a.release.compare(b.release) }), nil
	}
	return tool{}, postgresProduct.missing("PostgreSQL "+server.String(), "pg_restore", p.ToolDir, wanted, nil, others)
}

// spool writes a stream to a private file.
func spool(ctx context.Context, name string, r io.Reader) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = io.Copy(f, readerFunc(func(b []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, context.Cause(ctx)
		}
		return r.Read(b)
	}))
	return err
}

// pack writes the files of a folder as a tar.
func pack(ctx context.Context, w io.Writer, dir string) (err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, e := range entries {
		if err := packFile(ctx, t, dir, e.Name()); err != nil {
			return err
		}
	}
	return t.Close()
}

func packFile(ctx context.Context, t *tar.Writer, dir, name string) (err error) {
	f, err := os.Open(filepath.Join(dir, name)) //nolint:gosec // of a private folder
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := t.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: info.Size(), Format: tar.FormatPAX}); err != nil {
		return err
	}
	_, err = io.Copy(t, readerFunc(func(b []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		return f.Read(b)
	}))
	return err
}

// unpack is the way back. A name that leads out of the folder is refused: the dump
// may be from anywhere.
func unpack(ctx context.Context, r io.Reader, dir string) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			// What is behind the end of the archive is the reader's to check.
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return fmt.Errorf("the dump is neither pg_dump's custom format nor a packed folder: %w", err)
		}
		if h.Typeflag != tar.TypeReg || h.Name != filepath.Base(h.Name) || !filepath.IsLocal(h.Name) {
			return fmt.Errorf("the packed folder has an entry %q, which pg_dump does not write", h.Name)
		}
		if err := spool(ctx, filepath.Join(dir, h.Name), t); err != nil {
			return err
		}
	}
}

// folderVersion reads the version of the format out of a folder's contents.
func folderVersion(dir string) (_ byte, err error) {
	f, err := os.Open(filepath.Join(dir, "toc.dat"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	head := make([]byte, len(magic)+2)
	if _, err := io.ReadFull(f, head); err != nil || string(head[:len(magic)]) != magic {
		return 0, errors.Join(errors.New("toc.dat is not pg_dump's"), err)
	}
	return head[len(magic)+1], nil
}
