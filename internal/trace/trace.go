// Package trace runs statements and observes what the server does for them: which
// locks it takes, what it rewrites, reads from end to end or builds anew. Nothing of
// that is read out of the statement's text where the server can be asked, so that
// what a rule about texts says can be held against it.
//
// It is for a database that nobody else uses: every statement is run for good.
package trace

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Blocks says what others cannot do with a table while a lock is held.
type Blocks string

// What a lock keeps others from, the least first.
const (
	BlocksNothing Blocks = ""
	BlocksSchema  Blocks = "schema changes"
	BlocksWrites  Blocks = "writes"
	BlocksAll     Blocks = "reads and writes"
)

// over reports whether b keeps others from more than c.
func (b Blocks) over(c Blocks) bool { return b.rank() > c.rank() }

func (b Blocks) rank() int {
	return slices.Index([]Blocks{BlocksNothing, BlocksSchema, BlocksWrites, BlocksAll}, b)
}

// Observation is what one statement did.
type Observation struct {
	Tables []Table  // by name
	Notes  []string // what has no place in a table
}

// Table is what a statement did with one table, or view.
type Table struct {
	Name      string // on PostgreSQL with its schema
	Kind      string // table, partitioned table, view, materialized view, foreign table, sequence
	New       bool   // made by this migration: nobody else can wait for it
	Dropped   bool
	Lock      string // the strongest, as the server calls it; empty for none that was seen
	Held      bool   // the lock is one that an earlier statement of the transaction took
	Blocks    Blocks // what others cannot do, by that lock and by those of its indexes
	Algorithm string // MySQL and MariaDB: INSTANT, NOCOPY, INPLACE or COPY
	Scanned   bool   // read from end to end
	Rewritten bool   // written anew, with all indexes
	Built     []string
	Rows      int64 // inserted, changed and deleted
}

// Find returns what was done with the table of that name, with or without a schema,
// or nil.
func (o Observation) Find(name string) *Table {
	for i := range o.Tables {
		if t := &o.Tables[i]; t.Name == name || strings.HasSuffix(t.Name, "."+name) {
			return t
		}
	}
	return nil
}

// Tracer observes the statements that run on one connection.
type Tracer struct {
	d     dialect.Dialect
	c     *sql.Conn
	e     engine
	begun bool // a transaction that Begin opened
}

// engine is one engine's part of the work.
type engine interface {
	// begin remembers what is there before a migration.
	begin(ctx context.Context) error
	// observe calls run, for st or a variant of it that means the same.
	observe(ctx context.Context, st sqlscan.Statement, class dialect.Class, inside bool, run runner) (Observation, error)
	// end says what became of the migration as a whole.
	end(ctx context.Context) ([]string, error)
}

// runner runs a statement and says how many rows it wrote, where the server tells.
type runner func(ctx context.Context, st sqlscan.Statement) (rows int64, err error)

// Watch opens a second connection to the same database, and says how to close it.
type Watch func(ctx context.Context) (c *sql.Conn, done func(), err error)

// New returns a Tracer for statements on c. d has been inspected. watch may be nil: it
// is asked for what cannot be seen from within a transaction.
func New(d dialect.Dialect, c *sql.Conn, watch Watch) *Tracer {
	t := &Tracer{d: d, c: c}
	switch d.Name() {
	case dialect.NamePostgres:
		t.e = &postgres{d: d, c: c, watch: watch}
	case dialect.NameMySQL:
		t.e = &mysql{d: d, c: c}
	default:
		t.e = &sqlite{d: d, c: c}
	}
	return t
}

// Begin begins a migration. open are the statements that open its transaction; without
// any, each statement has a transaction of its own where it may have one.
func (t *Tracer) Begin(ctx context.Context, open []string) error {
	for _, text := range open {
		if _, err := t.c.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("opening the transaction: %w", err)
		}
	}
	t.begun = len(open) > 0
	if err := t.e.begin(ctx); err != nil {
		return fmt.Errorf("reading the catalogue: %w", err)
	}
	return nil
}

// Statement runs a statement. An error of the statement is the server's own; one of the
// observation says so.
func (t *Tracer) Statement(ctx context.Context, st sqlscan.Statement, class dialect.Class) (Observation, error) {
	return t.observe(ctx, st, class, t.run)
}

// Call observes a function that uses the connection, as the one of a Go migration.
func (t *Tracer) Call(ctx context.Context, f func(context.Context) error) (Observation, error) {
	return t.observe(ctx, sqlscan.Statement{}, dialect.ClassOpaque, func(ctx context.Context, _ sqlscan.Statement) (int64, error) { return 0, f(ctx) })
}

func (t *Tracer) observe(ctx context.Context, st sqlscan.Statement, class dialect.Class, run runner) (Observation, error) {
	o, err := t.e.observe(ctx, st, class, t.begun, run)
	slices.SortFunc(o.Tables, func(a, b Table) int { return cmp.Compare(a.Name, b.Name) })
	return o, err
}

func (t *Tracer) run(ctx context.Context, st sqlscan.Statement) (int64, error) {
	if t.d.Name() == dialect.NamePostgres { // which counts the rows itself, and may need what follows a COPY
		_, err := t.d.ExecScript(ctx, t.c, []sqlscan.Statement{st}, 0)
		return 0, err
	}
	result, err := t.c.ExecContext(ctx, st.Text)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// End ends the migration, with its transaction. Its notes are about the migration as a
// whole.
func (t *Tracer) End(ctx context.Context) ([]string, error) {
	notes, err := t.e.end(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	if t.begun || !t.d.TransactionalDDL() {
		_, err = t.c.ExecContext(ctx, "COMMIT")
	}
	t.begun = false
	return notes, err
}

// Rollback ends a migration that failed.
func (t *Tracer) Rollback(ctx context.Context) error {
	if !t.begun && t.d.TransactionalDDL() {
		return nil
	}
	t.begun = false
	_, err := t.c.ExecContext(ctx, "ROLLBACK")
	return err
}

// Observe runs the statements of setup, and then one statement in the way in which a
// migration runs it, and returns what that did. watch may be nil. It is what a rule
// about texts is held against.
func Observe(ctx context.Context, d dialect.Dialect, c *sql.Conn, watch Watch, setup, statement string) (o Observation, err error) {
	if _, err := d.Inspect(ctx, c, "tldwdb_history"); err != nil {
		return Observation{}, err
	}
	if guard, ok := d.(dialect.ForeignKeyGuard); ok {
		restore, err := guard.SuspendForeignKeys(ctx, c)
		if err != nil {
			return o, err
		}
		defer func() { err = errors.Join(err, restore(context.WithoutCancel(ctx))) }()
	}
	t := New(d, c, watch)
	list, err := sqlscan.Split(setup, d.ScanOptions())
	if err != nil {
		return Observation{}, fmt.Errorf("setup: %w", err)
	}
	for _, st := range list {
		if _, err := t.run(ctx, st); err != nil {
			return Observation{}, fmt.Errorf("setup: %s: %w", st.Text, err)
		}
	}
	list, err = sqlscan.Split(statement, d.ScanOptions())
	if err != nil {
		return Observation{}, err
	}
	if len(list) != 1 {
		return Observation{}, fmt.Errorf("there are %d statements to observe, and not one", len(list))
	}
	class := d.Class(list[0])
	var open []string
	if d.TransactionalDDL() && class != dialect.ClassAlone && class != dialect.ClassRepeatable {
		open = []string{"BEGIN"}
	}
	if err := t.Begin(ctx, open); err != nil {
		return Observation{}, err
	}
	if o, err = t.Statement(ctx, list[0], class); err != nil {
		return o, errors.Join(err, t.Rollback(ctx))
	}
	notes, err := t.End(ctx)
	o.Notes = append(o.Notes, notes...)
	return o, err
}

// Names are the names and keywords of a statement in lower case, as the engine reads
// them. What is in them is in the statement's text, and perhaps not what it is about.
func Names(text string, opts sqlscan.Options) map[string]bool {
	opts.Comments = false
	list := map[string]bool{}
	for t := range sqlscan.Tokens(text, opts) {
		if t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent {
			list[strings.ToLower(t.Name(opts.Dialect))] = true
		}
	}
	return list
}

// each calls row for every row of a query.
func each(ctx context.Context, c dialect.Queryer, query string, args []any, dest []any, row func()) (err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		row()
	}
	return rows.Err()
}
