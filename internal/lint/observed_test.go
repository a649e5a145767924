package lint

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/trace"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file and its neighbours hold what the rules say against what the server does: the examples of each rule, and lists of
// statements of every kind. Where they disagree the server is right.

// observer watches statements on a database that it has for itself.
type observer struct {
	d     dialect.Dialect
	c     *sql.Conn
	name  string // of the dialect
	watch trace.Watch
	setup string // what the tables at hand were made by; empty when they are to be made again
}

func newObserver(t *testing.T, engine testdb.Engine, dialectName string) *observer {
	t.Helper()
	db := testdb.New(t, engine)
	db.ExpectFindings("the examples leave references to nothing")
	pool, err := testdb.Open(engine, db.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	o := &observer{name: dialectName}
	if o.d, err = dialect.New(dialectName, true); err != nil {
		t.Fatal(err)
	}
	if o.c, err = pool.Conn(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.c.Close(); err != nil {
			t.Error(err)
		}
	})
	o.watch = func(ctx context.Context) (*sql.Conn, func(), error) {
		w, err := pool.Conn(ctx)
		if err != nil {
			return nil, nil, err
		}
		return w, func() { _ = w.Close() }, nil // the pool closes it
	}
	if _, err := o.d.Inspect(t.Context(), o.c, "tldwdb_history"); err != nil {
		t.Fatal(err)
	}
	if dialectName == sqlite {
		o.exec(t, "PRAGMA synchronous = OFF") // nothing here has to outlive the process
	}
	return o
}

func (o *observer) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := o.c.ExecContext(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// prepare makes tables, and puts a few rows into each, unless they are there from the time before.
func (o *observer) prepare(t *testing.T, setup, rows string) {
	t.Helper()
	if o.setup == setup+rows {
		return
	}
	empty(t, o.c, o.name)
	for _, text := range []string{setup, rows} {
		list, err := sqlscan.Split(text, o.d.ScanOptions())
		if err != nil {
			t.Fatal(err)
		}
		for _, st := range list {
			o.exec(t, st.Text)
		}
	}
	if _, err := trace.Fill(t.Context(), o.d, o.c, nil, nil); err != nil {
		t.Fatal(err)
	}
	o.setup = setup + rows
}

// seen is what one statement did.
type seen struct {
	file string
	st   sqlscan.Statement
	trace.Observation
	err error // the server's
}

// file observes the statements of one file, and calls look before what they did is undone, as far as it can be.
func (o *observer) file(t *testing.T, text *Text, look func()) (list []seen) {
	t.Helper()
	ctx := t.Context()
	statements, err := sqlscan.Split(text.SQL, o.d.ScanOptions())
	if err != nil {
		t.Fatalf("%s: %v", text.Path, err)
	}
	tracer := trace.New(o.d, o.c, o.watch)
	var open []string
	if class := o.d.Class(statements[0]); !text.NoTransaction && (len(statements) > 1 || class != dialect.ClassAlone && class != dialect.ClassRepeatable) {
		open = []string{"BEGIN"}
	}
	if err := tracer.Begin(ctx, open); err != nil {
		t.Fatal(err)
	}
	for _, st := range statements {
		s := seen{file: text.Path, st: st}
		s.Observation, s.err = tracer.Statement(ctx, st, o.d.Class(st))
		list = append(list, s)
		if s.err != nil {
			break
		}
	}
	if open == nil {
		o.setup = ""
		o.exec(t, "BEGIN")
	}
	if look != nil {
		look()
	}
	o.exec(t, "ROLLBACK")
	return list
}

// keep is file for what later files stand on: it stays.
func (o *observer) keep(t *testing.T, text *Text) (list []seen) {
	t.Helper()
	list = o.file(t, text, func() {
		o.exec(t, "COMMIT")
		o.exec(t, "BEGIN") // for the end of it
	})
	o.setup = ""
	return list
}

// about is the statement that a finding is about; -1 for none.
func about(list []seen, f tldwdblint.Finding) int {
	return slices.IndexFunc(list, func(s seen) bool {
		return s.file == f.File && f.Offset >= s.st.Offset && f.Offset <= s.st.Offset+len(s.st.Text)
	})
}

// compared are examples as they are held against a server: those that show what the rule is about. One in which somebody has
// taken it upon himself, and the way back, do the same as the bad ones.
func compared(t *testing.T, folder string) (list []example) {
	t.Helper()
	for _, e := range examples(t) {
		if e.folder != folder || e.good && (strings.Contains(e.text, "assured "+e.rule) || e.options["down"] != "") {
			continue
		}
		list = append(list, e)
	}
	// Those with the same tables stand together: they are made once.
	slices.SortStableFunc(list, func(a, b example) int { return strings.Compare(a.tables(), b.tables()) })
	return list
}

// tables are the statements before an example.
func (e *example) tables() string {
	var b strings.Builder
	for _, m := range e.list {
		if m.Up != nil && strings.HasSuffix(m.Up.Path, "_setup.up.sql") {
			b.WriteString(m.Up.SQL + "\n")
		}
	}
	return b.String()
}

// own are the files of an example itself.
func (e *example) own() (list []*Text) {
	for _, m := range e.list {
		text := m.Up
		if text == nil {
			text = m.Down
		}
		if !strings.HasSuffix(text.Path, "_setup.up.sql") {
			list = append(list, text)
		}
	}
	return list
}
