package portable

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/tldw/tldwdb/internal/dialect"
)

// engine is one engine's part: what is asked, and how rows are read and written.
// It works on one connection.
type engine interface {
	// tables reads the catalogue: tables with their columns, keys and references,
	// in no order, without those of schemas of the server's own.
	tables(ctx context.Context) ([]*Table, error)

	// beginRead opens the snapshot in which everything is read from then on, and
	// says where the server's log is then: at the snapshot or behind it, because servers
	// tell it apart from that. endRead closes it, also when ctx has ended.
	beginRead(ctx context.Context) (position string, err error)
	endRead(ctx context.Context) error
	// read calls row with every row of the columns of t. line is the row as a line
	// of an archive, newline included, where the engine writes it so; else nil.
	read(ctx context.Context, t *Table, row func(line []byte, row []value) error) error
	// numbers fills in Table.next.
	numbers(ctx context.Context, tables []*Table) error
	sequences(ctx context.Context) ([]Sequence, error)
	// rest says what content the database has that is in no table; empty for none.
	rest(ctx context.Context) (string, error)

	// beginLoad sets the session up for loading. endLoad sets it back.
	beginLoad(ctx context.Context) error
	endLoad(ctx context.Context) error
	// begin are the statements that begin a transaction that loads, and chunk is how many
	// bytes of rows are in one: at its end is where a load goes on that was cut short.
	begin() []string
	chunk() int64
	// suspend lists what stands between the rows and the tables, their triggers and
	// the foreign keys from and to them: the statement that takes each away, and those that bring it
	// back. Where DDL is not transactional, away may run twice.
	suspend(ctx context.Context, tables []*Table) ([]obstacle, error)
	// isThere reports whether an obstacle has been brought back already. It is asked
	// where DDL is not transactional.
	isThere(ctx context.Context, o obstacle) (bool, error)
	// empty takes all rows out of the tables, inside a transaction.
	empty(ctx context.Context, tables []*Table) error
	// sink writes rows into m.to, inside a transaction. They have the values of
	// m.insert.
	sink(ctx context.Context, m *mapping) (sink, error)
	// setNumbers makes the next row of each table get the number that it would have
	// got at the source, or the one behind the greatest that is there.
	setNumbers(ctx context.Context, next map[*Table]int64) error
	setSequence(ctx context.Context, s Sequence) error
	// settle does what is left when all rows are there: it computes what is computed
	// from tables, and looks for rows that break a foreign key from or to one of the
	// tables, which was not watched. There is a line for each such key.
	settle(ctx context.Context, tables []*Table) (orphans []string, err error)
}

// sink takes the rows of one table.
type sink interface {
	// write takes a row. line is the same as a line, where it can be handed on.
	write(line []byte, row []value) error
	// close writes what is left.
	close() error
	// abort ends the work where close is not called.
	abort()
}

// obstacle is a trigger or a foreign key that must not see the rows, or an event, which
// belongs to no table and must not write between them.
type obstacle struct {
	Table string   `json:"table"`
	Name  string   `json:"name"`
	Away  string   `json:"away"`
	Back  []string `json:"back"`
	Order int      `json:"order"` // in which they come back
}

// label is what a message calls it.
func (o obstacle) label() string {
	if o.Table == "" {
		return "event " + o.Name
	}
	return o.Name + " of table " + o.Table
}

func newEngine(d dialect.Dialect, c *sql.Conn, o *Options) engine {
	base := session{d: d, c: c, options: o}
	switch d.Name() {
	case dialect.NameSQLite:
		return &sqlite{session: base}
	case dialect.NamePostgres:
		return &postgres{session: base}
	}
	return &mysql{session: base}
}

// session is a connection and what is known about it.
type session struct {
	d       dialect.Dialect
	c       *sql.Conn
	options *Options
	before  []map[string]string // settings, where the engine can set them back; a stack
}

func (s *session) exec(ctx context.Context, statements ...string) error {
	for _, statement := range statements {
		if _, err := s.c.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("%s: %w", firstWords(statement), err)
		}
	}
	return nil
}

// firstWords is as much of a statement as an error needs.
func firstWords(statement string) string {
	const enough = 80
	if len(statement) > enough {
		return statement[:enough] + "…"
	}
	return statement
}

// keep remembers the session's settings, and giveBack sets them back.
func (s *session) keep(ctx context.Context) error {
	keeper, ok := s.d.(dialect.SessionKeeper)
	if !ok {
		return nil
	}
	settings, err := keeper.Snapshot(ctx, s.c)
	if err == nil {
		s.before = append(s.before, settings)
	}
	return err
}

func (s *session) giveBack(ctx context.Context) error {
	n := len(s.before)
	if n == 0 {
		return nil
	}
	settings := s.before[n-1]
	s.before = s.before[:n-1]
	return s.d.(dialect.SessionKeeper).RestoreSnapshot(ctx, s.c, settings)
}

// each runs a query and calls row for each of its rows, after scanning it into
// dest.
func each(ctx context.Context, c dialect.Queryer, query string, args []any, dest []any, row func() error) (err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		if err := row(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// leftOut reports whether a table is not part of the data: one of this package's
// own, or one that the caller has named.
func (o *Options) leftOut(name string) bool {
	for _, pattern := range o.Skip {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}
