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

// mysql finds out how the server carries a change out by asking for the ways one after
// the other, the lightest first: it refuses those that it has not before it does anything.
// The first that it takes is the one that it would have chosen.
type mysql struct {
	d dialect.Dialect
	c *sql.Conn

	start map[string]string // tables that were there before the migration, and their kinds
	now   *mysqlState       // as the last statement left it
}

// mysqlState is what the catalogue has. Keys are names of tables.
type mysqlState struct {
	kinds   map[string]string
	columns map[string]map[string]string // name → what it is
	order   map[string][]string          // of the columns
	indexes map[string]map[string]string // name → columns
	parents map[string]map[string]string // constraint → referenced table
}

const (
	mysqlTables  = "SELECT table_name, CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END FROM information_schema.tables WHERE table_schema = DATABASE()"
	mysqlColumns = "SELECT table_name, column_name, CONCAT_WS(' ', is_nullable, column_type, extra) FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY table_name, ordinal_position"
	mysqlIndexes = "SELECT table_name, index_name, GROUP_CONCAT(COALESCE(column_name, '') ORDER BY seq_in_index) FROM information_schema.statistics WHERE table_schema = DATABASE() GROUP BY table_name, index_name"
	mysqlParents = "SELECT table_name, constraint_name, referenced_table_name FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE()"
)

func (m *mysql) read(ctx context.Context) (*mysqlState, error) {
	s := &mysqlState{kinds: map[string]string{}, columns: map[string]map[string]string{}, order: map[string][]string{}, indexes: map[string]map[string]string{}, parents: map[string]map[string]string{}}
	var table, name, what string
	put := func(into map[string]map[string]string) func() {
		return func() {
			if into[table] == nil {
				into[table] = map[string]string{}
			}
			into[table][name] = what
		}
	}
	err := each(ctx, m.c, mysqlTables, nil, []any{&table, &what}, func() { s.kinds[table] = what })
	if err != nil {
		return nil, err
	}
	column := put(s.columns)
	for query, row := range map[string]func(){
		mysqlColumns: func() { s.order[table] = append(s.order[table], name); column() },
		mysqlIndexes: put(s.indexes), mysqlParents: put(s.parents),
	} {
		if err := each(ctx, m.c, query, nil, []any{&table, &name, &what}, row); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (m *mysql) begin(ctx context.Context) (err error) {
	if m.now, err = m.read(ctx); err == nil {
		m.start = maps.Clone(m.now.kinds)
	}
	return err
}

func (*mysql) end(context.Context) ([]string, error) { return nil, nil }

func (m *mysql) observe(ctx context.Context, st sqlscan.Statement, class dialect.Class, _ bool, run runner) (Observation, error) {
	switch class {
	case dialect.ClassSession, dialect.ClassTemporary:
		_, err := run(ctx, st)
		return Observation{}, err
	case dialect.ClassAlone:
		if engine, ok := m.d.(dialect.AutocommitSwitch); ok {
			inner := run
			run = func(ctx context.Context, st sqlscan.Statement) (rows int64, err error) {
				for _, on := range []bool{true, false} {
					if _, switchErr := m.c.ExecContext(ctx, engine.Autocommit(on)); switchErr != nil {
						return 0, switchErr
					}
					if on {
						rows, err = inner(ctx, st)
					}
				}
				return rows, err
			}
		}
	}
	before := m.now
	way, rows, err := m.try(ctx, st, run)
	if err != nil {
		return Observation{}, err
	}
	if m.now, err = m.read(ctx); err != nil {
		return Observation{}, fmt.Errorf("reading the catalogue: %w", err)
	}
	return m.compare(st, class, before, way, rows), nil
}

// way is how a change is carried out. Both are empty for a statement that has none.
type way struct{ algorithm, lock string }

func (w way) known() bool { return w.algorithm != "" }

// ways are tried in this order. Of one algorithm the server takes the lock that keeps
// others from the least. MySQL does not know NOCOPY.
var ways = []way{{"INSTANT", ""}, {"NOCOPY", "NONE"}, {"NOCOPY", "SHARED"}, {"NOCOPY", "EXCLUSIVE"}, {"INPLACE", "NONE"}, {"INPLACE", "SHARED"}, {"INPLACE", "EXCLUSIVE"},
	{"COPY", "NONE"}, {"COPY", "SHARED"}, {"COPY", "EXCLUSIVE"}}

// try runs the statement in the first way that the server takes, and at last as it is
// written, whose error is the true one.
func (m *mysql) try(ctx context.Context, st sqlscan.Statement, run runner) (way, int64, error) {
	with, stated := variants(st.Text, m.d.ScanOptions())
	if with != nil {
		for _, w := range ways {
			text, ok := with(w)
			if !ok {
				continue
			}
			variant := st
			variant.Text = text
			if rows, err := run(ctx, variant); err == nil {
				return w, rows, nil
			}
			if ctx.Err() != nil {
				break
			}
		}
	}
	rows, err := run(ctx, st)
	return stated, rows, err
}

// variants returns a function that adds to a statement what it does not say of a way,
// unless it says another one. It is nil for a statement that has no ways. What the
// statement says is stated.
func variants(text string, opts sqlscan.Options) (with func(way) (string, bool), stated way) {
	tokens := slices.Collect(sqlscan.Tokens(text, opts))
	is := func(i int, word string) bool { return i < len(tokens) && tokens[i].Is(word) }
	i := 1
	skip := func(words ...string) {
		for slices.ContainsFunc(words, func(w string) bool { return is(i, w) }) {
			i++
		}
	}
	name := func() int { // behind the name at i
		for i++; i+1 < len(tokens) && tokens[i].Text == "."; i += 2 {
			continue
		}
		return i
	}
	depth := 0
	for k, t := range tokens {
		switch t.Text {
		case "(":
			depth++
		case ")":
			depth--
		}
		if k < 3 || depth > 0 || t.Kind != sqlscan.Word {
			continue
		}
		value := k + 1
		if value < len(tokens) && tokens[value].Text == "=" {
			value++
		}
		if value >= len(tokens) {
			break
		}
		said := strings.ToUpper(tokens[value].Text)
		// A column may be called like that; what is no way is its type.
		switch {
		case is(k, "ALGORITHM") && slices.ContainsFunc(ways, func(w way) bool { return w.algorithm == said }):
			stated.algorithm = said
		case is(k, "LOCK") && slices.ContainsFunc(ways, func(w way) bool { return w.lock == said && said != "" }):
			stated.lock = said
		}
	}
	add := func(before, between, after, rest string) func(way) (string, bool) {
		return func(w way) (string, bool) {
			if stated.algorithm != "" && stated.algorithm != w.algorithm || stated.lock != "" && stated.lock != w.lock {
				return "", false
			}
			var list []string
			if stated.algorithm == "" {
				list = append(list, "ALGORITHM="+w.algorithm)
			}
			if stated.lock == "" && w.lock != "" {
				list = append(list, "LOCK="+w.lock)
			}
			if len(list) == 0 {
				return text, true
			}
			return before + strings.Join(list, between) + after + rest, true
		}
	}
	switch {
	case is(0, "ALTER"):
		skip("ONLINE", "OFFLINE", "IGNORE")
		if !is(i, "TABLE") {
			return nil, way{}
		}
		skip("TABLE", "IF", "EXISTS")
		end := name()
		if is(end, "WAIT") {
			end += 2
		} else if is(end, "NOWAIT") {
			end++
		}
		if end >= len(tokens) {
			return nil, way{}
		}
		at := tokens[end].Offset
		return add(text[:at], ", ", ", ", text[at:]), stated
	case is(0, "CREATE"), is(0, "DROP"):
		skip("OR", "REPLACE", "ONLINE", "OFFLINE", "UNIQUE", "FULLTEXT", "SPATIAL")
		if !is(i, "INDEX") {
			return nil, way{}
		}
		if opts.MariaDB && is(0, "DROP") { // which takes none here, and takes them for the same change as ALTER TABLE
			from := i + 1
			on := slices.IndexFunc(tokens, func(t sqlscan.Token) bool { return t.Is("ON") })
			if on < from || on+1 >= len(tokens) {
				return nil, way{}
			}
			table := text[tokens[on+1].Offset:]
			return add("ALTER TABLE "+table+" ", ", ", ", ", "DROP INDEX "+text[tokens[from].Offset:tokens[on].Offset]), way{}
		}
		return add(text+" ", " ", "", ""), stated
	}
	return nil, way{}
}

// compare says what happened, behind a statement that took some way and wrote rows.
func (m *mysql) compare(st sqlscan.Statement, class dialect.Class, before *mysqlState, took way, rows int64) Observation {
	var o Observation
	tables := map[string]*Table{}
	table := func(name string) *Table {
		if tables[name] == nil {
			kind := before.kinds[name]
			if kind == "" {
				kind = m.now.kinds[name]
			}
			tables[name] = &Table{Name: name, Kind: kind, New: m.start[name] == ""}
		}
		return tables[name]
	}
	instant := func(name string) {
		if t := table(name); t.Lock == "" {
			t.Lock, t.Blocks = "EXCLUSIVE", BlocksAll
		}
	}
	target, others := m.named(st, before)
	if class != dialect.ClassSchema && class != dialect.ClassAlone && st.Verb != "OPTIMIZE" {
		if rows > 0 && target != "" {
			table(target).Rows = rows
		}
		if class == dialect.ClassOpaque {
			for name := range before.kinds {
				if built := m.built(name, before); len(built) > 0 || !maps.Equal(m.now.columns[name], before.columns[name]) {
					table(name).Built, table(name).Scanned = built, len(built) > 0
					o.Notes = append(o.Notes, "how "+name+" is changed is not known: its statements are not seen one by one")
				}
			}
			slices.Sort(o.Notes)
		}
		return o.with(tables)
	}
	for name := range before.kinds {
		if m.now.kinds[name] == "" {
			instant(name)
			table(name).Dropped = st.Verb == "DROP"
		}
	}
	for name := range m.now.kinds {
		if before.kinds[name] == "" {
			table(name)
		}
	}
	alters := st.Verb == "ALTER" && Names(st.Text, m.d.ScanOptions())["table"]
	switch {
	case target == "":
	case took.known() || alters || st.Verb == "OPTIMIZE":
		t := table(target)
		m.carried(t, st, before, took)
		if !took.known() && st.Verb != "OPTIMIZE" {
			o.Notes = append(o.Notes, "the server takes no ALGORITHM here, and does not say what it does: it is taken for a COPY")
		}
	case st.Verb == "TRUNCATE" || st.Verb == "RENAME" || st.Verb == "CREATE" && m.now.kinds[target] != "view" && onTrigger(st):
		instant(target)
		for _, name := range others {
			if st.Verb == "RENAME" {
				instant(name)
			}
		}
	}
	// A foreign key is in both its tables.
	for child, constraints := range m.now.parents {
		for name, parent := range constraints {
			if before.parents[child][name] == "" {
				instant(parent)
			}
		}
	}
	for child, constraints := range before.parents {
		for name, parent := range constraints {
			if m.now.parents[child][name] == "" && m.now.kinds[parent] != "" {
				instant(parent)
			}
		}
	}
	return o.with(tables)
}

func (o Observation) with(tables map[string]*Table) Observation {
	for _, t := range tables {
		o.Tables = append(o.Tables, *t)
	}
	return o
}

func onTrigger(st sqlscan.Statement) bool {
	return Names(st.Text, sqlscan.Options{Dialect: sqlscan.MySQL})["trigger"]
}

// named are the tables that a statement names, the first one apart.
func (m *mysql) named(st sqlscan.Statement, before *mysqlState) (first string, others []string) {
	for t := range sqlscan.Tokens(st.Text, m.d.ScanOptions()) {
		if t.Kind != sqlscan.Word && t.Kind != sqlscan.QuotedIdent {
			continue
		}
		name := t.Name(sqlscan.MySQL)
		if before.kinds[name] == "" { // where the case of names does not count, the catalogue may have another
			for known := range before.kinds {
				if strings.EqualFold(known, name) {
					name = known
				}
			}
		}
		switch {
		case before.kinds[name] == "" || name == first:
		case first == "":
			first = name
		default:
			others = append(others, name)
		}
	}
	return first, others
}

// carried describes a change of a table that was carried out in some way.
func (m *mysql) carried(t *Table, st sqlscan.Statement, before *mysqlState, took way) {
	t.Algorithm, t.Lock = took.algorithm, took.lock
	name := t.Name
	if st.Verb == "OPTIMIZE" {
		t.Algorithm, t.Lock, t.Rewritten = "INPLACE", "NONE", true
	}
	t.Built = m.built(name, before)
	switch t.Algorithm {
	case "INSTANT":
		t.Built = nil
	case "NOCOPY":
	case "INPLACE":
		t.Rewritten = t.Rewritten || m.rebuilt(name, st, before)
	default:
		t.Rewritten = true
	}
	t.Scanned = len(t.Built) > 0 && !t.Rewritten
	switch {
	case t.Algorithm == "" && t.Lock == "":
		t.Lock, t.Blocks = "SHARED", BlocksWrites
	case t.Lock == "": // for an instant
		t.Lock, t.Blocks = "EXCLUSIVE", BlocksAll
	case t.Lock == "SHARED":
		t.Blocks = BlocksWrites
	case t.Lock == "EXCLUSIVE":
		t.Blocks = BlocksAll
	}
}

// built are the indexes that a table has now and had not, under any name.
func (m *mysql) built(name string, before *mysqlState) (list []string) {
	for index, columns := range m.now.indexes[name] {
		if before.indexes[name][index] != columns && !slices.Contains(slices.Collect(maps.Values(before.indexes[name])), columns) {
			list = append(list, index)
		}
	}
	slices.Sort(list)
	return list
}

// rebuilt reports whether a change INPLACE has written the table anew. MariaDB has said
// so by refusing NOCOPY; MySQL shows it to accounts with the right PROCESS only, and
// says in its manual what it depends on.
func (m *mysql) rebuilt(name string, st sqlscan.Statement, before *mysqlState) bool {
	if m.d.ScanOptions().MariaDB {
		return true
	}
	w := Names(st.Text, m.d.ScanOptions())
	if w["force"] || w["engine"] || w["row_format"] || w["key_block_size"] || w["fulltext"] {
		return true
	}
	if w["partition"] && (w["reorganize"] || w["coalesce"] || w["rebuild"] || w["by"]) || w["partitioning"] {
		return true
	}
	is, was := m.now, before
	if is.indexes[name]["PRIMARY"] != was.indexes[name]["PRIMARY"] || !slices.Equal(is.order[name], was.order[name]) && len(is.order[name]) != len(was.order[name]) {
		return true
	}
	for column, what := range was.columns[name] {
		null, _, _ := strings.Cut(what, " ")
		nullNow, _, _ := strings.Cut(is.columns[name][column], " ")
		if nullNow != "" && null != nullNow || slices.Index(is.order[name], column) != slices.Index(was.order[name], column) {
			return true
		}
	}
	return false
}
