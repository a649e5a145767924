package rebuild

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Conn is a connection to SQLite, such as a *sql.Conn.
type Conn interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// settling bounds what is put back after the caller's context has ended.
const settling = 10 * time.Second

// Run rebuilds the table. The connection has an open transaction, which has to be
// rolled back when Run fails, and foreign keys are off: both can only be done
// outside of it. Whether all children have their parents is the caller's to check.
//
// The old table is renamed first, and not the new one last, as SQLite's
// documentation has it: so the new statement runs as it is written, with references
// of the table to itself and checks that say the table's name. Renaming in the way
// of SQLite before 3.25 (legacy_alter_table) leaves alone what names the table:
// the keys of children, views, and triggers of other tables.
func Run(ctx context.Context, c Conn, t *Table) (err error) {
	r := &run{c: c, t: t}
	enforced, err := r.number(ctx, "PRAGMA foreign_keys")
	if err != nil {
		return err
	}
	if enforced != 0 {
		return errors.New("a table cannot be rebuilt while foreign keys are enforced: dropping the old one would take the rows of its children")
	}
	legacy, err := r.number(ctx, "PRAGMA legacy_alter_table")
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settling)
		defer cancel()
		err = errors.Join(err, r.legacy(ctx, legacy != 0))
	}()
	if err := r.look(ctx); err != nil {
		return err
	}
	before, err := r.unfit(ctx)
	if err != nil {
		return err
	}
	if err := r.replace(ctx); err != nil {
		return err
	}
	after, err := r.unfit(ctx)
	if err != nil {
		return err
	}
	for i, fault := range after {
		// What was at fault before may be so by something else: nobody can say.
		if fault != nil && before[i] == nil {
			return fmt.Errorf("something that names %s does not fit its new form: %w; drop it in front of the rebuild, and make it again behind it", t.Name, fault)
		}
	}
	return nil
}

// run is one rebuild.
type run struct {
	c        Conn
	t        *Table
	name     string // of the table, as the schema has it
	aside    string // of the old table while there are two
	old      []column
	hasRowid bool
	sequence sql.NullInt64 // where AUTOINCREMENT was
	indexes  []dependent
	triggers []dependent
}

// column is one of a table.
type column struct {
	name      string
	generated bool
}

// dependent is what vanishes with its table.
type dependent struct{ name, statement string }

func (r *run) exec(ctx context.Context, statement string, args ...any) error {
	_, err := r.c.ExecContext(ctx, statement, args...)
	return err
}

// rows reads texts, so many of them in each row.
func (r *run) rows(ctx context.Context, columns int, query string, args ...any) (list [][]string, err error) {
	rows, err := r.c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		values := make([]string, columns)
		into := make([]any, columns)
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		list = append(list, values)
	}
	return list, rows.Err()
}

// number reads one number; one that is not there is 0.
func (r *run) number(ctx context.Context, query string, args ...any) (n int64, err error) {
	rows, err := r.c.QueryContext(ctx, query, args...)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	if rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return 0, err
		}
	}
	return n, rows.Err()
}

func (r *run) legacy(ctx context.Context, on bool) error {
	if on {
		return r.exec(ctx, "PRAGMA legacy_alter_table = ON")
	}
	return r.exec(ctx, "PRAGMA legacy_alter_table = OFF")
}

// look reads what there is, and refuses what cannot be kept.
func (r *run) look(ctx context.Context) error {
	found, err := r.rows(ctx, 2, "SELECT name, type || ' ' || wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", r.t.Name)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return fmt.Errorf("there is no table %s to rebuild: without the directive the statement makes it", r.t.Name)
	}
	r.name = found[0][0]
	kind, withoutRowid, _ := strings.Cut(found[0][1], " ")
	if kind != "table" {
		return fmt.Errorf("%s is no ordinary table but a %s one, and cannot be rebuilt", r.name, kind)
	}
	r.hasRowid = withoutRowid == "0"
	temporary, err := r.rows(ctx, 1, "SELECT name FROM temp.sqlite_schema WHERE tbl_name = ? COLLATE NOCASE OR name = ? COLLATE NOCASE", r.name, r.name)
	if err != nil {
		return err
	}
	if len(temporary) > 0 {
		return fmt.Errorf("%s is temporary and hangs on %s, or hides it: a rebuild would lose it", temporary[0][0], r.name)
	}
	if r.old, err = r.columns(ctx); err != nil {
		return err
	}
	if r.indexes, err = r.dependents(ctx, "index"); err != nil {
		return err
	}
	if r.triggers, err = r.dependents(ctx, "trigger"); err != nil {
		return err
	}
	counted, err := r.number(ctx, "SELECT count(*) FROM main.sqlite_schema WHERE name = 'sqlite_sequence'")
	if err != nil {
		return err
	}
	if counted > 0 {
		sequence, err := r.rows(ctx, 1, "SELECT seq FROM main.sqlite_sequence WHERE name = ? AND typeof(seq) = 'integer'", r.name)
		if err != nil {
			return err
		}
		if len(sequence) > 0 {
			if err := r.sequence.Scan(sequence[0][0]); err != nil {
				return err
			}
		}
	}
	r.aside = "tldwdb_rebuild_" + r.name
	for {
		taken, err := r.number(ctx, "SELECT count(*) FROM main.sqlite_schema WHERE name = ? COLLATE NOCASE", r.aside)
		if err != nil || taken == 0 {
			return err
		}
		r.aside += "_"
	}
}

// columns are those of the table that has the name now.
func (r *run) columns(ctx context.Context) ([]column, error) {
	found, err := r.rows(ctx, 2, "SELECT name, hidden FROM pragma_table_xinfo(?, 'main') ORDER BY cid", r.name)
	if err != nil {
		return nil, err
	}
	list := make([]column, len(found))
	for i, f := range found {
		list[i] = column{name: f[0], generated: f[1] != "0"}
	}
	return list, nil
}

// dependents are in the order in which they were made: triggers of one event fire by it.
func (r *run) dependents(ctx context.Context, kind string) ([]dependent, error) {
	found, err := r.rows(ctx, 2, "SELECT name, sql FROM main.sqlite_schema WHERE type = ? AND tbl_name = ? COLLATE NOCASE AND sql IS NOT NULL ORDER BY rowid", kind, r.name)
	if err != nil {
		return nil, err
	}
	list := make([]dependent, len(found))
	for i, f := range found {
		list[i] = dependent{name: f[0], statement: f[1]}
	}
	return list, nil
}

// unfit returns what SQLite finds wrong with views and triggers, for each way of
// asking: nil where it finds nothing. All views, and what triggers read, it looks at
// when a table is renamed in the new way, which is taken back; what they write it
// looks at when it compiles a statement that fires them.
func (r *run) unfit(ctx context.Context) (faults []error, err error) {
	if err := r.legacy(ctx, false); err != nil {
		return nil, err
	}
	if err := r.exec(ctx, "SAVEPOINT tldwdb_rebuild"); err != nil {
		return nil, err
	}
	faults = append(faults, r.exec(ctx, "ALTER TABLE main."+quote(r.name)+" RENAME TO "+quote(r.aside)))
	for _, statement := range []string{"ROLLBACK TO tldwdb_rebuild", "RELEASE tldwdb_rebuild"} {
		if err := r.exec(ctx, statement); err != nil {
			return nil, errors.Join(err, ctx.Err())
		}
	}
	fired, err := r.rows(ctx, 1, "SELECT min(tbl_name) FROM main.sqlite_schema WHERE type = 'trigger' AND instr(lower(sql), lower(?)) > 0 GROUP BY lower(tbl_name) ORDER BY lower(tbl_name)", r.name)
	if err != nil {
		return nil, err
	}
	for _, f := range fired {
		table := "main." + quote(f[0])
		settable, err := r.rows(ctx, 1, "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE hidden = 0 ORDER BY cid", f[0])
		if err != nil {
			settable = nil // of a view that is broken
		}
		update := "EXPLAIN UPDATE " + table + " SET "
		for i, column := range settable {
			if i > 0 {
				update += ", "
			}
			update += quote(column[0]) + " = " + quote(column[0])
		}
		for _, statement := range []string{"EXPLAIN INSERT INTO " + table + " DEFAULT VALUES", update, "EXPLAIN DELETE FROM " + table} {
			fault := r.exec(ctx, statement)
			if fault != nil {
				fault = fmt.Errorf("a trigger of %s: %w", f[0], fault)
			}
			faults = append(faults, fault)
		}
	}
	return faults, ctx.Err()
}

// replace makes the new table, copies the rows, drops the old table, and makes again
// what has gone with it.
func (r *run) replace(ctx context.Context) error {
	aside, name := "main."+quote(r.aside), "main."+quote(r.name)
	if err := r.legacy(ctx, true); err != nil {
		return err
	}
	if err := r.exec(ctx, "ALTER TABLE "+name+" RENAME TO "+quote(r.aside)); err != nil {
		return err
	}
	if err := r.exec(ctx, r.t.Create); err != nil {
		return err
	}
	insert, err := r.copy(ctx)
	if err != nil {
		return err
	}
	if err := r.exec(ctx, insert); err != nil {
		return fmt.Errorf("copying the rows: %w", err)
	}
	counts, err := r.rows(ctx, 2, "SELECT (SELECT count(*) FROM "+aside+"), (SELECT count(*) FROM "+name+")")
	if err != nil {
		return err
	}
	if before, after := counts[0][0], counts[0][1]; before != after {
		return fmt.Errorf("%s had %s rows, and has %s now", r.name, before, after)
	}
	if err := r.exec(ctx, "DROP TABLE "+aside); err != nil {
		return err
	}
	if err := r.goOn(ctx); err != nil {
		return err
	}
	for _, d := range slices.Concat(r.indexes, r.triggers) {
		if err := r.exec(ctx, d.statement); err != nil {
			return fmt.Errorf("%s cannot be made again: %w; drop it in front of the rebuild", d.name, err)
		}
	}
	return nil
}

// copy is the statement that fills the new table.
func (r *run) copy(ctx context.Context) (string, error) {
	columns, err := r.columns(ctx)
	if err != nil {
		return "", err
	}
	if err := r.agreed(columns); err != nil {
		return "", err
	}
	var into, from []string
	for _, c := range columns {
		source := r.t.from(c.name)
		if at := find(r.old, c.name); source == "" && at >= 0 {
			source = quote(r.old[at].name)
		}
		if !c.generated && source != "" {
			into, from = append(into, quote(c.name)), append(from, source)
		}
	}
	// Full-text indexes and programs may keep rowids, which a copy would number anew.
	key, hasRowid, err := r.rowidOf(ctx, columns)
	if err != nil {
		return "", err
	}
	if old := rowidName(r.old); hasRowid && r.hasRowid && old != "" && key != "" && !slices.Contains(into, key) {
		into, from = append(into, key), append(from, old)
	}
	if len(into) == 0 {
		return "", fmt.Errorf("no column of the new %s gets a value from the old one", r.name)
	}
	// Not OR REPLACE nor OR IGNORE, whatever a constraint says: rows would go.
	return "INSERT OR ABORT INTO main." + quote(r.name) + " (" + strings.Join(into, ", ") + ") SELECT " + strings.Join(from, ", ") + " FROM main." + quote(r.aside), nil
}

// rowidOf is the name by which the rowid of the new table can be written: its INTEGER
// PRIMARY KEY, or one of SQLite's names for it that no column has.
func (r *run) rowidOf(ctx context.Context, columns []column) (key string, hasRowid bool, err error) {
	table, err := r.number(ctx, "SELECT count(*) FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE AND wr = 0", r.name)
	if err != nil || table == 0 {
		return "", false, err
	}
	// An INTEGER PRIMARY KEY is the only key without an index of its own.
	alias, err := r.rows(ctx, 1, "SELECT name FROM pragma_table_xinfo(?, 'main') WHERE pk = 1 AND NOT EXISTS (SELECT 1 FROM pragma_index_list(?, 'main') WHERE origin = 'pk')", r.name, r.name)
	if err != nil {
		return "", false, err
	}
	if len(alias) == 1 {
		return quote(alias[0][0]), true, nil
	}
	return rowidName(columns), true, nil
}

// rowidName is a name for the rowid that no column has, or empty.
func rowidName(columns []column) string {
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if find(columns, name) < 0 {
			return name
		}
	}
	return ""
}

// agreed refuses a form by which values would go that nobody has named, and names
// that are not there.
func (r *run) agreed(columns []column) error {
	for _, c := range r.t.Columns {
		if at := find(columns, c.Name); at < 0 || columns[at].generated {
			return fmt.Errorf("the new %s has no column %s that could be given a value", r.name, c.Name)
		}
	}
	for _, name := range r.t.Drop {
		if find(r.old, name) < 0 {
			return fmt.Errorf("%s has no column %s to drop", r.name, name)
		}
	}
	for _, c := range r.old {
		at := find(columns, c.name)
		if at < 0 {
			if err := r.unnamed(c.name); err != nil {
				return err
			}
		}
		kept := at >= 0 && !columns[at].generated && r.t.from(c.name) == ""
		used := slices.ContainsFunc(r.t.Columns, func(m Column) bool { return names(tokens(m.From), c.name) })
		dropped := slices.ContainsFunc(r.t.Drop, func(name string) bool { return strings.EqualFold(name, c.name) })
		if !c.generated && !kept && !used && !dropped {
			return fmt.Errorf("the values of %s are in no column of the new %s: say '-- tldwdb: column NEW = %s' below the rebuild, or '-- tldwdb: drop %s'", c.name, r.name, quote(c.name), quote(c.name))
		}
	}
	return nil
}

// unnamed refuses an index on a column that goes. SQLite would not: it may take the
// name in quotes for a text, and index that.
func (r *run) unnamed(column string) error {
	for _, d := range r.indexes {
		list := tokens(d.statement)
		for len(list) > 0 && list[0].Text != "(" { // the names of index and table
			list = list[1:]
		}
		if names(list, column) {
			return fmt.Errorf("the index %s names the column %s, which the new %s has not: drop it in front of the rebuild", d.name, column, r.name)
		}
	}
	return nil
}

// goOn lets AUTOINCREMENT go on from where it was: numbers of rows that were deleted
// are not given again.
func (r *run) goOn(ctx context.Context) error {
	counts := slices.ContainsFunc(tokens(r.t.Create), func(t sqlscan.Token) bool { return t.Is("AUTOINCREMENT") })
	if !counts || !r.sequence.Valid {
		return nil
	}
	// The new table's name, which may be in other letters.
	name, err := r.rows(ctx, 1, "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE", r.name)
	if err != nil {
		return err
	}
	reached, err := r.number(ctx, "SELECT seq FROM main.sqlite_sequence WHERE name = ?", name[0][0])
	if err != nil {
		return err
	}
	if err := r.exec(ctx, "DELETE FROM main.sqlite_sequence WHERE name = ?", name[0][0]); err != nil {
		return err
	}
	return r.exec(ctx, "INSERT INTO main.sqlite_sequence (name, seq) VALUES (?, ?)", name[0][0], max(reached, r.sequence.Int64))
}
