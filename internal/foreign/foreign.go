// Package foreign reads the history tables of other migration tools. It finds
// them by name and by columns, for several tools use one name, and says what is
// applied, in the tool's own words for its versions. It writes nothing, and
// never guesses: a state that the tool itself calls unfinished is a [Fault].
package foreign

import (
	"context"
	"database/sql"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// History is what another tool's table says.
type History struct {
	Applied []Version // in the tool's order, the oldest first
	Fault   *Fault    // why it is not to be relied on; nil when it is
}

// Version is one migration that is applied.
type Version struct {
	Version  string // as the tool writes it; with the app before it for Django
	Name     string // its description; empty where the tool keeps none
	Checksum string // the tool's own, binary ones in hexadecimal; empty where it keeps none
	UpTo     bool   // it stands for everything before it as well
	Label    bool   // digits in it are no version number
	Full     string // what Liquibase calls it in full; empty elsewhere
}

// Fault is a state in which the tool itself would not go on.
type Fault struct {
	Reason string
	Remedy string // what to do in that tool
}

// leadingNumber is how file names begin, and nothing but how they begin: 1.1
// lies between 1 and 2.
var leadingNumber = lazyregexp.New(`^(\d+)(?:[_-].*|\.sql)?$`)

// Number is the version number that the file of ours would begin with.
func (v Version) Number() (int64, bool) {
	if v.Label {
		return 0, false
	}
	text := v.Version
	for strings.HasSuffix(text, ".0") { // to Flyway 1.0 is 1
		text = strings.TrimSuffix(text, ".0")
	}
	m := leadingNumber.FindStringSubmatch(text)
	if m == nil {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, err == nil
}

// Tools lists the names of the tools that are known.
func Tools() []string {
	names := make([]string, len(tools))
	for i, t := range tools {
		names[i] = t.name
	}
	return names
}

// Candidate is a table that looks like a tool's history.
type Candidate struct {
	Tool  string
	Table string // with its schema, where the name alone may not lead there

	tool   *tool
	place  table
	locked *table // the tool's lock table, when there is one
}

// table is one that was found, with its names as the server writes them.
type table struct {
	schema, name string
	columns      []string
}

func (t *table) String() string {
	if t.schema == "" {
		return t.name
	}
	return t.schema + "." + t.name
}

// column finds a column whatever its case: Liquibase writes them in capitals
// where the server keeps them.
func (t *table) column(name string) (string, bool) {
	i := slices.IndexFunc(t.columns, func(c string) bool { return strings.EqualFold(c, name) })
	if i < 0 {
		return "", false
	}
	return t.columns[i], true
}

func (t *table) has(columns []string) bool {
	return !slices.ContainsFunc(columns, func(c string) bool {
		_, ok := t.column(c)
		return !ok
	})
}

// Find lists what may be a history. tool limits it to one tool, name to one
// table, which may be qualified; empty means any. own is left out.
func Find(ctx context.Context, d dialect.Dialect, q dialect.Queryer, tool, name, own string) ([]Candidate, error) {
	name = strings.NewReplacer(`"`, "", "`", "").Replace(name)
	var names []string
	for i := range tools {
		names = append(names, tools[i].tables...)
		names = append(names, tools[i].beside, tools[i].lock)
		if tools[i].ownSchema && d.Name() == dialect.NamePostgres {
			names = append(names, tools[i].tables[0]+"."+tools[i].tables[0])
		}
	}
	if name != "" {
		names = append(names, name)
	}
	slices.Sort(names)
	tables, err := tablesNamed(ctx, d, q, slices.DeleteFunc(slices.Compact(names), func(n string) bool { return n == "" }))
	if err != nil {
		return nil, fmt.Errorf("looking for the history of another tool: %w", err)
	}
	var found []Candidate
	for i := range tools {
		if tool != "" && tool != tools[i].name {
			continue
		}
		for k := range tables {
			if strings.EqualFold(tables[k].name, own) {
				continue
			}
			if c, ok := tools[i].match(&tables[k], tables, name, tool != ""); ok {
				found = append(found, c)
			}
		}
	}
	return likeliest(found, name), nil
}

// likeliest leaves out what is explained better by another candidate.
func likeliest(found []Candidate, name string) []Candidate {
	prefer := func(better func(c Candidate) bool) {
		if some := slices.DeleteFunc(slices.Clone(found), func(c Candidate) bool { return !better(c) }); len(some) > 0 {
			found = some
		}
	}
	if name != "" {
		prefer(func(c Candidate) bool { return c.place.name == name || c.Table == name }) // in this very case
		prefer(func(c Candidate) bool { return c.tool.owns(c.place.name) })
	}
	prefer(func(c Candidate) bool { // a table with all the columns of Flyway has those of sqlx too
		return !slices.ContainsFunc(found, func(o Candidate) bool {
			return o.Table == c.Table && len(o.tool.columns) > len(c.tool.columns) && (&table{columns: o.tool.columns}).has(c.tool.columns)
		})
	})
	return found
}

func tablesNamed(ctx context.Context, d dialect.Dialect, q dialect.Queryer, names []string) ([]table, error) {
	rows, err := readText(ctx, d, q, d.TablesNamed(names), 3)
	if err != nil {
		return nil, err
	}
	var tables []table
	for _, r := range rows {
		if n := len(tables); n == 0 || tables[n-1].schema != r[0] || tables[n-1].name != r[1] {
			tables = append(tables, table{schema: r[0], name: r[1]})
		}
		last := &tables[len(tables)-1]
		last.columns = append(last.columns, r[2])
	}
	return tables, nil
}

// owns reports whether the tool gives its table this name by itself.
func (t *tool) owns(name string) bool {
	return slices.ContainsFunc(t.tables, func(n string) bool { return strings.EqualFold(n, name) })
}

// match reports whether a table is the tool's. asked says that the caller has
// named the tool, so that what only tells it from another one does not count.
func (t *tool) match(at *table, all []table, name string, asked bool) (Candidate, bool) {
	if !at.has(t.columns) || t.alone && len(at.columns) != len(t.columns) {
		return Candidate{}, false
	}
	if name != "" {
		if !strings.EqualFold(at.name, name) && !strings.EqualFold(at.String(), name) {
			return Candidate{}, false
		}
	} else if !t.owns(at.name) {
		return Candidate{}, false
	}
	beside := func(name string) *table {
		i := slices.IndexFunc(all, func(o table) bool { return strings.EqualFold(o.name, name) && o.schema == at.schema })
		if i < 0 {
			return nil
		}
		return &all[i]
	}
	if !asked {
		if t.beside != "" && beside(t.beside) == nil || t.without != "" && beside(t.without) != nil {
			return Candidate{}, false
		}
	}
	c := Candidate{Tool: t.name, Table: at.String(), tool: t, place: *at}
	if t.lock != "" {
		if l := beside(t.lock); l != nil && l.has(t.lockColumns) {
			c.locked = l
		}
	}
	return c, true
}

// Read reads the table.
func (c *Candidate) Read(ctx context.Context, d dialect.Dialect, q dialect.Queryer) (*History, error) {
	h := &History{}
	if c.locked != nil {
		rows, err := c.locked.read(ctx, d, q, c.tool.lockColumns)
		if err != nil {
			return nil, fmt.Errorf("reading the lock table of %s: %w", c.Tool, err)
		}
		h.Fault = c.tool.readLock(rows)
	}
	rows, err := c.place.read(ctx, d, q, c.tool.columns)
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s in %s: %w", c.Tool, c.Table, err)
	}
	applied, fault := c.tool.read(rows)
	if h.Applied = applied; fault != nil {
		h.Fault = fault
	}
	return h, nil
}

// read reads the columns of each row, ordered by the first of them.
func (t *table) read(ctx context.Context, d dialect.Dialect, q dialect.Queryer, columns []string) ([][]string, error) {
	quoted := make([]string, len(columns))
	for i, name := range columns {
		actual, _ := t.column(name)
		quoted[i] = d.Identifier(actual)
	}
	return readText(ctx, d, q, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s", strings.Join(quoted, ", "), d.Qualify(t.schema, t.name), quoted[0]), len(columns))
}

// readText reads rows as text, NULL as an empty one.
func readText(ctx context.Context, d dialect.Dialect, q dialect.Queryer, query string, columns int) (list [][]string, err error) {
	rows, err := q.QueryContext(ctx, query, d.QueryArgs()...)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		values, targets := make([]any, columns), make([]any, columns)
		for i := range values {
			targets[i] = &values[i]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		words := make([]string, columns)
		for i, v := range values {
			words[i] = asText(v)
		}
		list = append(list, words)
	}
	return list, rows.Err()
}

// asText writes a value the same for every driver: the types that tools give
// their columns differ between engines, and between their own versions.
func asText(value any) string {
	switch v := value.(type) {
	case nil:
		return ""
	case bool:
		if v {
			return "1"
		}
		return "0"
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case []byte:
		if len(v) == 1 && v[0] <= 1 { // BIT(1)
			return strconv.Itoa(int(v[0]))
		}
		if !utf8.Valid(v) || slices.ContainsFunc(v, func(b byte) bool { return unicode.IsControl(rune(b)) && b < utf8.RuneSelf }) {
			return hex.EncodeToString(v)
		}
		return string(v)
	}
	var text sql.NullString
	if text.Scan(value) != nil {
		return fmt.Sprint(value)
	}
	return text.String
}

// isTrue reads a flag as asText writes it, and as SQLite keeps what was written
// as a word.
func isTrue(text string) bool {
	yes, err := strconv.ParseBool(text)
	return err == nil && yes
}

// Tables are the names of the tables that tools keep their history and their lock in.
func Tables() (names []string) {
	for _, t := range tools {
		names = append(names, t.tables...)
		if t.lock != "" {
			names = append(names, t.lock)
		}
	}
	return names
}
