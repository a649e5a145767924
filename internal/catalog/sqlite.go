package catalog

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// SQLite keeps the statements that made its objects, as they were written. Their
// meaning is brought into one form here: names without the quotes that ALTER
// TABLE … RENAME adds, constraints of a column as constraints of the table, and
// without what is the default anyway. Nothing else is needed: what the pragmas
// say was read from the same text. Names are in lower case, because SQLite does
// not tell upper from lower.

// sqliteQuery leaves out what has no text (the indexes of constraints) and the
// tables that a virtual table makes for itself.
const sqliteQuery = `SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\_%' ESCAPE '\'` +
	` AND name NOT IN (SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'shadow') ORDER BY rowid`

// SQLiteObject is an object of a SQLite database.
type SQLiteObject struct {
	Kind string // table, index, view or trigger
	Name string
	Of   string // the table that it belongs to; a table's own name
	Text string // the statement, as SQLite keeps it
}

// SQLiteObjects lists the objects that have a statement, in the order in which they
// were made.
func SQLiteObjects(ctx context.Context, c *sql.Conn) (list []SQLiteObject, err error) {
	rows, err := c.QueryContext(ctx, sqliteQuery)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var o SQLiteObject
		if err := rows.Scan(&o.Kind, &o.Name, &o.Of, &o.Text); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, rows.Err()
}

func readSQLite(ctx context.Context, c *sql.Conn, b *builder) error {
	list, err := SQLiteObjects(ctx, c)
	if err != nil {
		return err
	}
	s := &sqliteSchema{names: map[string]bool{}, tables: map[string]*sqliteTable{}}
	for _, o := range list {
		s.objects = append(s.objects, sqliteObject{o.Kind, lower(o.Name), lower(o.Of), o.Text})
	}
	s.describe(b)
	return nil
}

type sqliteObject struct{ kind, name, table, statement string }

// sqliteSchema is a whole database: what a name in quotes means depends on what
// there is.
type sqliteSchema struct {
	objects []sqliteObject
	names   map[string]bool // of every object and column
	tables  map[string]*sqliteTable
}

func (s *sqliteSchema) describe(b *builder) {
	for _, o := range s.objects {
		s.names[o.name] = true
		if o.kind == "table" {
			if t, ok := parseSQLiteTable(sqliteTokens(o.statement)); ok {
				s.tables[o.name] = t
				for _, column := range t.columns {
					s.names[column.name] = true
				}
			}
		}
	}
	for _, o := range s.objects {
		t := s.tables[o.name]
		switch {
		case o.kind == "table" && t != nil:
			s.table(b, o.name, t)
		case o.kind == "table":
			b.add("table", o.name, "", unordered, s.text(sqliteTokens(o.statement)))
		case o.kind == "index":
			b.add("index", o.name, o.table, unordered, s.index(o))
		case o.kind == "view":
			b.add("view", o.name, "", unordered, s.text(behindName(sqliteTokens(o.statement))))
		default:
			b.add(o.kind, o.name, o.table, unordered, s.text(behindName(sqliteTokens(o.statement))))
		}
	}
}

func sqliteTokens(text string) []sqlscan.Token {
	return slices.Collect(sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.SQLite}))
}

// behindName cuts CREATE, what may follow it, and the object's name.
func behindName(tokens []sqlscan.Token) []sqlscan.Token {
	i := 1
	for i < len(tokens) && (tokens[i].Is("TEMP") || tokens[i].Is("TEMPORARY") || tokens[i].Is("UNIQUE") || tokens[i].Is("VIRTUAL")) {
		i++
	}
	i++ // TABLE, INDEX, VIEW, TRIGGER
	if i+2 < len(tokens) && tokens[i].Is("IF") && tokens[i+2].Is("EXISTS") {
		i += 3
	}
	if i+1 < len(tokens) && tokens[i+1].Text == "." {
		i += 2
	}
	return tokens[min(i+1, len(tokens)):]
}

// lower folds names as SQLite does, which knows the letters of ASCII alone: "Ä" and "ä"
// are two tables.
func lower(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, text)
}

// name is the name that a token stands for. SQLite takes 'a' and [a] for names too.
func name(t sqlscan.Token) string {
	if t.Kind == sqlscan.String {
		return lower(unquote(t.Text))
	}
	return lower(t.Name(sqlscan.SQLite))
}

func unquote(text string) string {
	quote := text[:1]
	return strings.ReplaceAll(text[1:len(text)-1], quote+quote, quote)
}

// token writes one token. "a" is the name a where there is such a thing, and may
// be a string where there is not.
func (s *sqliteSchema) token(t sqlscan.Token) string {
	switch t.Kind {
	case sqlscan.Word:
		return lower(t.Text)
	case sqlscan.QuotedIdent:
		n := t.Name(sqlscan.SQLite)
		if folded := lower(n); s.names[folded] {
			return folded
		}
		return `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	return t.Text
}

// breaks are the words before which a long text gets a new line.
var breaks = []string{"from", "where", "union", "begin", "end", "group", "order"}

// text writes tokens in one way, whatever the blanks between them were.
func (s *sqliteSchema) text(tokens []sqlscan.Token) string {
	var b strings.Builder
	depth := 0
	last := "("
	for _, t := range tokens {
		word := s.token(t)
		switch {
		case depth == 0 && b.Len() > 0 && (last == ";" || t.Kind == sqlscan.Word && slices.Contains(breaks, word)):
			b.WriteByte('\n')
		case last == "(" || last == "." || strings.Contains("),.;", word):
		default:
			b.WriteByte(' ')
		}
		b.WriteString(word)
		switch word {
		case "(":
			depth++
		case ")":
			depth--
		}
		last = word
	}
	return b.String()
}

func (s *sqliteSchema) index(o sqliteObject) string {
	tokens := behindName(sqliteTokens(o.statement))
	tokens = slices.DeleteFunc(tokens, func(t sqlscan.Token) bool { return t.Is("ASC") })
	unique := ""
	if all := sqliteTokens(o.statement); len(all) > 1 && all[1].Is("UNIQUE") {
		unique = "unique "
	}
	return unique + s.text(tokens)
}

// sqliteTable is a table whose statement was understood.
type sqliteTable struct {
	columns     []sqliteColumn
	primary     []string // names of the key's columns
	primaryText []sqlscan.Token
	primaryTail string // AUTOINCREMENT, ON CONFLICT
	descending  bool   // INTEGER PRIMARY KEY DESC of a column, which is no alias of the rowid
	uniques     []sqliteUnique
	checks      [][]sqlscan.Token
	foreign     []sqliteForeign
	options     []string // WITHOUT ROWID, STRICT
}

type sqliteColumn struct {
	name      string
	kind      string // the declared type
	notNull   string // "" or what happens when it is broken
	standard  []sqlscan.Token
	collate   string
	generated []sqlscan.Token
	stored    bool
}

type sqliteUnique struct {
	columns []sqlscan.Token
	tail    string
}

type sqliteForeign struct {
	columns []string
	table   string
	parent  []string // empty: the primary key
	actions []string
}

// table writes a table that was understood.
func (s *sqliteSchema) table(b *builder, tableName string, t *sqliteTable) {
	withoutRowid, strict := slices.Contains(t.options, "without rowid"), slices.Contains(t.options, "strict")
	for i, c := range t.columns {
		text := []string{c.name}
		if c.kind != "" {
			text = append(text, c.kind)
		}
		rowid := len(t.primary) == 1 && t.primary[0] == c.name && c.kind == "integer" && !t.descending
		implied := slices.Contains(t.primary, c.name) && (withoutRowid || strict || rowid)
		if c.notNull != "" && !implied {
			text = append(text, c.notNull)
		}
		if c.standard != nil {
			text = append(text, "default "+s.standard(c.standard))
		}
		if c.collate != "" {
			text = append(text, "collate "+c.collate)
		}
		if c.generated != nil {
			kind := "virtual"
			if c.stored {
				kind = "stored"
			}
			text = append(text, "generated as "+s.text(c.generated)+" "+kind)
		}
		b.addLine("table", tableName, "", line{order: i, text: strings.Join(text, " "), name: c.name})
	}
	var constraints []string
	if t.primary != nil {
		text := "primary key " + s.text(t.primaryText) + t.primaryTail
		if t.descending {
			text = "column " + text
		}
		constraints = append(constraints, text)
	}
	for _, u := range t.uniques {
		constraints = append(constraints, "unique "+s.text(u.columns)+u.tail)
	}
	for _, c := range t.checks {
		constraints = append(constraints, "check "+s.text(c))
	}
	for _, f := range t.foreign {
		parent := f.parent
		if p := s.tables[f.table]; len(parent) == 0 && p != nil {
			parent = p.primary
		}
		text := "foreign key (" + strings.Join(f.columns, ", ") + ") references " + f.table + " (" + strings.Join(parent, ", ") + ")"
		slices.Sort(f.actions)
		constraints = append(constraints, strings.Join(append([]string{text}, f.actions...), " "))
	}
	constraints = append(constraints, t.options...)
	slices.Sort(constraints)
	for _, text := range slices.Compact(constraints) {
		b.add("table", tableName, "", unordered, text)
	}
}

// standard writes a default value. Here "a" is a string, whatever else has that
// name, and brackets around all of it mean nothing.
func (s *sqliteSchema) standard(tokens []sqlscan.Token) string {
	if len(tokens) == 3 && tokens[0].Text == "(" {
		tokens = tokens[1:2]
	}
	if len(tokens) == 1 && tokens[0].Kind == sqlscan.QuotedIdent {
		return "'" + strings.ReplaceAll(tokens[0].Name(sqlscan.SQLite), "'", "''") + "'"
	}
	return s.text(tokens)
}

// sqliteParser reads the tokens of CREATE TABLE. It gives up at what it does not
// know: such a table is described by its text.
type sqliteParser struct {
	tokens []sqlscan.Token
	failed bool
	table  *sqliteTable
}

func parseSQLiteTable(tokens []sqlscan.Token) (*sqliteTable, bool) {
	if len(tokens) < 2 || tokens[1].Is("VIRTUAL") {
		return nil, false
	}
	p := &sqliteParser{tokens: behindName(tokens), table: &sqliteTable{}}
	if !p.take("(") {
		return nil, false
	}
	for !p.failed {
		p.element()
		if !p.take(",") {
			break
		}
	}
	if !p.take(")") {
		return nil, false
	}
	for len(p.tokens) > 0 && !p.failed {
		switch {
		case p.takeAll("WITHOUT", "ROWID"):
			p.table.options = append(p.table.options, "without rowid")
		case p.take("STRICT"):
			p.table.options = append(p.table.options, "strict")
		case p.take(","):
		default:
			p.failed = true
		}
	}
	return p.table, !p.failed
}

// is reports whether the next token is a keyword or a mark.
func (p *sqliteParser) is(text string) bool {
	return len(p.tokens) > 0 && (p.tokens[0].Is(text) || p.tokens[0].Kind == sqlscan.Op && p.tokens[0].Text == text)
}

func (p *sqliteParser) take(text string) bool {
	if !p.is(text) {
		return false
	}
	p.tokens = p.tokens[1:]
	return true
}

// takeAll takes words that stand behind each other, or none of them.
func (p *sqliteParser) takeAll(words ...string) bool {
	was := p.tokens
	for _, w := range words {
		if !p.take(w) {
			p.tokens = was
			return false
		}
	}
	return true
}

// next takes one token, whatever it is.
func (p *sqliteParser) next() sqlscan.Token {
	if len(p.tokens) == 0 {
		p.failed = true
		return sqlscan.Token{}
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t
}

func (p *sqliteParser) name() string {
	t := p.next()
	if p.failed || t.Kind != sqlscan.Word && t.Kind != sqlscan.QuotedIdent && t.Kind != sqlscan.String {
		p.failed = true
		return ""
	}
	return name(t)
}

// brackets takes what stands between two brackets, and these.
func (p *sqliteParser) brackets() []sqlscan.Token {
	if !p.is("(") {
		p.failed = true
		return nil
	}
	depth := 0
	for i, t := range p.tokens {
		switch {
		case t.Kind != sqlscan.Op:
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		}
		if depth == 0 {
			taken := p.tokens[:i+1]
			p.tokens = p.tokens[i+1:]
			return taken
		}
	}
	p.failed = true
	return nil
}

// names are the first words of a list in brackets.
func names(brackets []sqlscan.Token) (list []string) {
	for i, t := range brackets {
		if i > 0 && (brackets[i-1].Text == "(" || brackets[i-1].Text == ",") {
			list = append(list, name(t))
		}
	}
	return list
}

// keys makes the columns of a key comparable: ASC is the default.
func keys(brackets []sqlscan.Token) []sqlscan.Token {
	list := slices.DeleteFunc(slices.Clone(brackets), func(t sqlscan.Token) bool { return t.Is("ASC") })
	return plainNames(list)
}

// plainNames takes the quotes off: in these places every "a" is a name.
func plainNames(list []sqlscan.Token) []sqlscan.Token {
	for i, t := range list {
		if t.Kind == sqlscan.QuotedIdent || t.Kind == sqlscan.String {
			list[i] = sqlscan.Token{Kind: sqlscan.Word, Text: name(t)}
		}
	}
	return list
}

// element reads a column or one or more constraints: the comma between two
// constraints may be left out.
func (p *sqliteParser) element() {
	constraint := func() bool {
		return p.is("CONSTRAINT") || p.is("PRIMARY") || p.is("UNIQUE") || p.is("CHECK") || p.is("FOREIGN")
	}
	if !constraint() {
		p.column()
		return
	}
	for constraint() && !p.failed {
		if p.take("CONSTRAINT") {
			p.name()
		}
		switch {
		case p.takeAll("PRIMARY", "KEY"):
			columns := p.brackets()
			if n := len(columns); n > 2 && columns[n-2].Is("AUTOINCREMENT") {
				columns = append(slices.Clone(columns[:n-2]), columns[n-1])
				p.table.primaryTail = " autoincrement"
			}
			p.table.primary, p.table.primaryText = names(columns), keys(columns)
			p.table.primaryTail += p.conflict()
		case p.take("UNIQUE"):
			columns := keys(p.brackets())
			p.table.uniques = append(p.table.uniques, sqliteUnique{columns, p.conflict()})
		case p.take("CHECK"):
			p.table.checks = append(p.table.checks, p.brackets())
			p.conflict()
		case p.takeAll("FOREIGN", "KEY"):
			columns := names(p.brackets())
			if !p.take("REFERENCES") {
				p.failed = true
				return
			}
			p.foreign(columns)
		default:
			p.failed = true
		}
	}
}

// conflict reads ON CONFLICT. ABORT is the default.
func (p *sqliteParser) conflict() string {
	if !p.takeAll("ON", "CONFLICT") {
		return ""
	}
	if what := p.name(); what != "abort" {
		return " on conflict " + what
	}
	return ""
}

// foreign reads what stands behind REFERENCES. Which rows match is always the
// same, and a key that is not INITIALLY DEFERRED is checked at once.
func (p *sqliteParser) foreign(columns []string) {
	f := sqliteForeign{columns: columns, table: p.name()}
	if p.is("(") {
		f.parent = names(p.brackets())
	}
	for !p.failed {
		switch {
		case p.take("ON"):
			event := p.name()
			action := p.name()
			if action == "set" || action == "no" {
				action += " " + p.name()
			}
			if action != "no action" {
				f.actions = append(f.actions, "on "+event+" "+action)
			}
		case p.take("MATCH"):
			p.name()
		case p.takeAll("NOT", "DEFERRABLE"):
			p.initially()
		case p.take("DEFERRABLE"):
			if p.initially() {
				f.actions = append(f.actions, "deferred")
			}
		default:
			p.table.foreign = append(p.table.foreign, f)
			return
		}
	}
}

func (p *sqliteParser) initially() (deferred bool) {
	return p.take("INITIALLY") && p.name() == "deferred"
}

// columnWords end the type of a column.
var columnWords = []string{"CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED", "AS"}

func (p *sqliteParser) column() {
	c := sqliteColumn{name: p.name()}
	var kind []string
	for len(p.tokens) > 0 && p.tokens[0].Kind != sqlscan.Op && !slices.ContainsFunc(columnWords, p.is) {
		kind = append(kind, p.name())
	}
	c.kind = strings.Join(kind, " ")
	if c.kind != "" && p.is("(") {
		for _, t := range p.brackets() {
			c.kind += lower(t.Text)
		}
	}
	for !p.failed && !p.is(",") && !p.is(")") {
		p.columnConstraint(&c)
	}
	p.table.columns = append(p.table.columns, c)
}

func (p *sqliteParser) columnConstraint(c *sqliteColumn) {
	own := []sqlscan.Token{{Kind: sqlscan.Op, Text: "("}, {Kind: sqlscan.Word, Text: c.name}, {Kind: sqlscan.Op, Text: ")"}}
	switch {
	case p.take("CONSTRAINT"):
		p.name()
	case p.takeAll("PRIMARY", "KEY"):
		p.table.primary, p.table.primaryText = []string{c.name}, own
		if p.take("DESC") {
			p.table.descending = true
		}
		p.take("ASC")
		p.table.primaryTail = p.conflict()
		if p.take("AUTOINCREMENT") {
			p.table.primaryTail = " autoincrement" + p.table.primaryTail
		}
	case p.takeAll("NOT", "NULL"):
		c.notNull = "not null" + p.conflict()
	case p.take("NULL"):
		p.conflict()
	case p.take("UNIQUE"):
		p.table.uniques = append(p.table.uniques, sqliteUnique{own, p.conflict()})
	case p.take("CHECK"):
		p.table.checks = append(p.table.checks, p.brackets())
		p.conflict()
	case p.take("DEFAULT"):
		p.standard(c)
	case p.take("COLLATE"):
		if c.collate = p.name(); c.collate == "binary" {
			c.collate = ""
		}
	case p.take("REFERENCES"):
		p.foreign([]string{c.name})
	case p.takeAll("GENERATED", "ALWAYS", "AS"), p.take("AS"):
		c.generated = p.brackets()
		c.stored = p.take("STORED")
		p.take("VIRTUAL")
	default:
		p.failed = true
	}
}

func (p *sqliteParser) standard(c *sqliteColumn) {
	switch {
	case p.is("("):
		c.standard = p.brackets()
	case p.is("+"), p.is("-"):
		c.standard = []sqlscan.Token{p.next(), p.next()}
	default:
		c.standard = []sqlscan.Token{p.next()}
	}
	if len(c.standard) == 1 && c.standard[0].Is("NULL") {
		c.standard = nil
	}
}
