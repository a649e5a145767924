package trace

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// sqlite compares what is in the file before and after. There is one lock, which keeps
// everybody else from writing from the first statement to the end of the transaction.
type sqlite struct {
	d dialect.Dialect
	c *sql.Conn

	start *sqliteState // before the migration
	now   *sqliteState // as the last statement left it

	gone map[string]bool // tables that a statement has dropped, perhaps to make them again
}

// sqliteState is what is in the file.
type sqliteState struct {
	objects   map[string]sqliteObject // by name
	rows      map[string]int64        // of tables
	sequences map[string]int64        // AUTOINCREMENT: the last number given out
	broken    map[string]string       // views that cannot be read, and why
}

type sqliteObject struct {
	kind, of, text string
	page           int64 // where it begins in the file
}

func (s *sqlite) read(ctx context.Context) (*sqliteState, error) {
	st := &sqliteState{objects: map[string]sqliteObject{}, rows: map[string]int64{}, sequences: map[string]int64{}, broken: map[string]string{}}
	var (
		name string
		o    sqliteObject
		n    int64
	)
	err := each(ctx, s.c, "SELECT name, type, tbl_name, coalesce(sql, ''), rootpage FROM main.sqlite_master", nil, []any{&name, &o.kind, &o.of, &o.text, &o.page}, func() { st.objects[name] = o })
	if err != nil {
		return nil, err
	}
	for name, o := range st.objects {
		if o.kind == "table" && o.page != 0 { // a virtual table has none, and its module may do anything
			if err := dialect.QueryRow(ctx, s.c, "SELECT count(*) FROM main."+s.d.Identifier(name), nil, &n); err != nil {
				return nil, err
			}
			st.rows[name] = n
		}
		if o.kind == "view" {
			err := each(ctx, s.c, "SELECT 1 FROM main."+s.d.Identifier(name)+" LIMIT 0", nil, nil, func() {})
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				st.broken[name] = err.Error()
			}
		}
	}
	if _, ok := st.objects["sqlite_sequence"]; ok {
		err = each(ctx, s.c, "SELECT name, seq FROM main.sqlite_sequence", nil, []any{&name, &n}, func() { st.sequences[name] = n })
	}
	return st, err
}

func (s *sqlite) begin(ctx context.Context) (err error) {
	s.start, err = s.read(ctx)
	s.now, s.gone = s.start, map[string]bool{}
	return err
}

func (s *sqlite) observe(ctx context.Context, st sqlscan.Statement, class dialect.Class, _ bool, run runner) (Observation, error) {
	if class == dialect.ClassSession {
		_, err := run(ctx, st)
		return Observation{}, err
	}
	before := s.now
	written, err := run(ctx, st)
	if err != nil {
		return Observation{}, err
	}
	if s.now, err = s.read(ctx); err != nil {
		return Observation{}, fmt.Errorf("reading the file: %w", err)
	}
	return s.compare(st, class, before, written), nil
}

func (s *sqlite) compare(st sqlscan.Statement, class dialect.Class, before *sqliteState, written int64) Observation {
	var o Observation
	tables := map[string]*Table{}
	table := func(name string) *Table {
		if tables[name] == nil {
			was, ok := s.start.objects[name]
			kind := was.kind
			if !ok {
				kind = s.now.objects[name].kind
			}
			tables[name] = &Table{Name: name, Kind: kind, New: !ok}
		}
		return tables[name]
	}
	said := Names(st.Text, s.d.ScanOptions())
	renamed := st.Verb == "ALTER" && said["rename"]
	for name, was := range before.objects {
		is, there := s.now.objects[name]
		relation := was.kind == "table" || was.kind == "view"
		switch {
		case st.Verb == "VACUUM":
			if was.kind == "table" && !strings.HasPrefix(name, "sqlite_") {
				table(name).Rewritten = true
			}
		case relation && !there:
			table(name).Dropped = true
			if renamed {
				continue
			}
			s.gone[name] = true
			for other, o2 := range before.objects {
				_, kept := s.now.objects[other]
				if o2.of == name && other != name && !kept && o2.text != "" {
					o.Notes = append(o.Notes, fmt.Sprintf("%s %s goes with %s", o2.kind, other, name))
				}
			}
		case was.kind == "table" && (is.text != was.text || is.page != was.page):
			t := table(name)
			// A column that goes is taken out of every row, and nothing else is done to rows.
			t.Rewritten = is.page != was.page || st.Verb == "ALTER" && said["drop"] && !renamed && before.rows[name] > 0
		case was.kind == "index" && there && is.page != was.page:
			table(is.of).Built = append(table(is.of).Built, name)
		}
	}
	for name, is := range s.now.objects {
		if _, was := before.objects[name]; was {
			continue
		}
		switch {
		case is.kind == "table" || is.kind == "view":
			table(name)
		case is.kind == "index" && is.text != "" && !renamed:
			table(is.of).Built = append(table(is.of).Built, name)
		}
	}
	if class == dialect.ClassData && written > 0 && (st.Verb == "INSERT" || st.Verb == "REPLACE" || st.Verb == "UPDATE" || st.Verb == "DELETE" || st.Verb == "WITH") {
		for t := range sqlscan.Tokens(st.Text, s.d.ScanOptions()) {
			name := t.Name(sqlscan.SQLite)
			if s.now.objects[name].kind == "table" && (t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent) {
				table(name).Rows = written
				break
			}
		}
	}
	for _, t := range tables {
		slices.Sort(t.Built)
		t.Scanned = len(t.Built) > 0
		t.Lock, t.Blocks = "RESERVED", BlocksWrites
		o.Tables = append(o.Tables, *t)
	}
	slices.Sort(o.Notes)
	return o
}

// end says what has become of rows and numbers, and which views are left that have lost
// what they read.
func (s *sqlite) end(context.Context) ([]string, error) {
	var notes []string
	for _, name := range slices.Sorted(maps.Keys(s.start.sequences)) {
		if is, was := s.now.sequences[name], s.start.sequences[name]; is < was && s.now.objects[name].kind == "table" {
			notes = append(notes, fmt.Sprintf("the numbers of %s go back from %d to %d: AUTOINCREMENT gives some out a second time", name, was, is))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.start.rows)) {
		if is, ok := s.now.rows[name]; ok && is < s.start.rows[name] && s.gone[name] {
			notes = append(notes, fmt.Sprintf("%s has %d rows of %d", name, is, s.start.rows[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.now.broken)) {
		if s.start.broken[name] == "" {
			notes = append(notes, fmt.Sprintf("view %s cannot be read: %s", name, s.now.broken[name]))
		}
	}
	return notes, nil
}
