package lint

import (
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file says how MySQL and MariaDB carry out a part of ALTER TABLE: at once, beside the writers, or while they
// wait. The manuals differ from the servers in several places, so all of it is measured: TestHowMySQLAlters asks each server for
// the mildest ALGORITHM and LOCK that it accepts, and compares.

// way is how a part of ALTER TABLE is carried out. The worst part decides for the statement.
type way int

const (
	instant way = iota // the catalogue alone is written
	inPlace            // an index is built, or the whole table, and writers go on
	shared             // the same, and writers wait
	copied             // the table is copied row by row, and writers wait
	online             // the table is copied, and writers go on: MariaDB since 11.2
)

// blocks reports whether writers wait for as long as there are rows.
func (w way) blocks() bool { return w == shared || w == copied }

// mysqlType is a column's type in its parts.
type mysqlType struct {
	base     string   // varchar, int, enum …; synonyms are replaced
	args     []string // (10, 2), or the values of an enum with their quotes
	unsigned bool
}

// typeNames are what the servers call types that have several names.
var typeNames = map[string]string{
	"integer": "int", "int4": "int", "int8": "bigint", "int2": "smallint", "int1": "tinyint", "int3": "mediumint", "middleint": "mediumint", "bool": "tinyint", "boolean": "tinyint",
	"dec": "decimal", "numeric": "decimal", "fixed": "decimal", "real": "double", "character": "char", "nchar": "char", "nvarchar": "varchar",
	"varcharacter": "varchar", "long": "mediumtext", "float4": "float", "float8": "double",
}

// readType reads what Column.Type has.
func readType(text string) mysqlType {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_' })
	t := mysqlType{base: text}
	if end >= 0 {
		t.base = text[:end]
	}
	rest := text[len(t.base):]
	if strings.HasPrefix(text, "character varying") || strings.HasPrefix(text, "char varying") {
		t.base, rest = "varchar", text[strings.Index(text, "varying")+len("varying"):]
	}
	if strings.HasPrefix(text, "long varchar") {
		t.base, rest = "mediumtext", ""
	}
	if name, ok := typeNames[t.base]; ok {
		t.base = name
	}
	depth := 0
	for token := range sqlscan.Tokens(rest, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		switch {
		case token.Text == "(":
			depth++
		case token.Text == ")":
			depth--
		case depth > 0 && token.Text != ",":
			t.args = append(t.args, token.Text)
		case token.Is("unsigned"), token.Is("zerofill"):
			t.unsigned = true
		}
	}
	switch t.base {
	case "tinyint", "smallint", "mediumint", "int", "bigint", "year", "float", "double":
		t.args = nil // the width of what is shown, or of what nobody should use
	case "decimal":
		t.args = append(t.args, []string{"10", "0"}[min(len(t.args), 2):]...) // what is left out
	case "datetime", "timestamp", "time":
		if len(t.args) == 0 {
			t.args = []string{"0"}
		}
	}
	return t
}

// arg is a number in the parentheses of a type, 0 where there is none.
func (t mysqlType) arg(i int) int {
	if i >= len(t.args) {
		return 0
	}
	n, err := strconv.Atoi(t.args[i])
	if err != nil {
		return 0
	}
	return n
}

func (t mysqlType) equal(o mysqlType) bool {
	return t.base == o.base && t.unsigned == o.unsigned && strings.Join(t.args, ",") == strings.Join(o.args, ",")
}

// isList reports whether the type is a list of values.
func (t mysqlType) isList() bool { return t.base == "enum" || t.base == "set" }

// width is how many bytes a value of a list takes in a row.
func (t mysqlType) width() int {
	n := len(t.args)
	switch {
	case t.base == "enum" && n < 256:
		return 1
	case t.base == "enum":
		return 2
	case n <= 24:
		return (n + 7) / 8
	case n <= 32:
		return 4
	}
	return 8
}

// appended reports whether a list has the values of the old one in their order, and then perhaps more.
func (t mysqlType) appended(old mysqlType) bool {
	if len(t.args) < len(old.args) {
		return false
	}
	for i, v := range old.args {
		if !strings.EqualFold(v, t.args[i]) {
			return false
		}
	}
	return true
}

// missing are the values of the old list that the new one has not.
func (t mysqlType) missing(old mysqlType) (list []string) {
	for _, v := range old.args {
		found := false
		for _, w := range t.args {
			found = found || strings.EqualFold(v, w)
		}
		if !found {
			list = append(list, v)
		}
	}
	return list
}

// isText reports whether the type has a character set.
func (t mysqlType) isText() bool {
	switch t.base {
	case "char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set":
		return true
	}
	return false
}

// charBytes is how many bytes a character of a set may take.
func charBytes(set string) int {
	switch set {
	case "utf8mb3", "utf8":
		return 3
	case "latin1", "ascii", "binary":
		return 1
	case "ucs2":
		return 2
	}
	return 4 // utf8mb4, utf16, and what is not known
}

// wordAfter is the word behind some words of a definition, with or without =, in small letters; empty if they are not in it.
func wordAfter(text string, behind ...string) string {
	at := 0
	depth := 0
	for t := range sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		switch t.Text {
		case "(":
			depth++
		case ")":
			depth--
		}
		switch {
		case depth > 0:
		case at == len(behind) && t.Text == "=":
		case at == len(behind):
			return strings.ToLower(t.Name(sqlscan.MySQL))
		case t.Is(behind[at]):
			at++
		default:
			at = 0
		}
	}
	return ""
}

// charset is the character set that a definition of a column or of a table names; empty if it names none.
func charset(text string) string {
	for _, words := range [][]string{{"CHARACTER", "SET"}, {"CHARSET"}} {
		if set := wordAfter(text, words...); set != "" {
			return set
		}
	}
	if collation := wordAfter(text, "COLLATE"); collation != "" {
		set, _, _ := strings.Cut(collation, "_")
		return set
	}
	return ""
}

// charsetOf is the character set of a known column. The table's is the default; where the table says nothing it is
// utf8mb4, which is the newer servers' own, and the one with the longest characters.
func charsetOf(t *table, text string) string {
	set := charset(text)
	if set == "" && t != nil {
		set = charset(tableOptions(t.text))
	}
	switch set {
	case "":
		return "utf8mb4"
	case "utf8":
		return "utf8mb3"
	}
	return set
}

// tableOptions is what stands behind the last parenthesis of CREATE TABLE that closes the columns.
func tableOptions(text string) string {
	depth, end := 0, -1
	for t := range sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		switch t.Text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 && end < 0 {
				end = t.Offset + 1
			}
		}
	}
	if end < 0 {
		return ""
	}
	return text[end:]
}

// option is what a statement says behind a word outside parentheses, such as ALGORITHM; in large letters.
func option(s *stmt, word string) string {
	depth := 0
	for i, t := range s.toks {
		switch {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case depth == 0 && t.Is(word) && i+1 < len(s.toks):
			next := s.toks[i+1]
			if next.Text == "=" && i+2 < len(s.toks) {
				next = s.toks[i+2]
			}
			return upper(next.Text)
		}
	}
	return ""
}

// guarded reports whether a statement asks the server to refuse it rather than to let writers wait.
func guarded(s *stmt) bool {
	return option(s, "ALGORITHM") == "INSTANT" || option(s, "LOCK") == "NONE" || len(s.toks) > 1 && s.toks[1].Is("ONLINE")
}

// copying is a copy of the table as the oldest server that has to be served makes it.
func (p *pass) copying() way {
	if p.from(mariadb, "11.2") {
		return online
	}
	return copied
}

// typeWay says how a column gets another definition. It is copied where the old one is not known.
func (p *pass) typeWay(s *stmt, a *tldwdblint.Action) way {
	t := p.schema.table(s.Table)
	old := p.schema.defined(s.Table, a.Column.Name)
	if old == nil {
		return p.copying()
	}
	was, is := readType(old.Type), readType(a.Column.Type)
	indexed := t.indexed(a.Column.Name)
	result := instant
	raise := func(w way) { result = max(result, w) }
	switch {
	case a.Column.Generated != old.Generated, a.Column.Stored != old.Stored:
		return p.copying()
	case was.equal(is):
	case was.base == "varchar" && is.base == "varchar" && is.arg(0) > was.arg(0):
		raise(p.growth(was.arg(0)*charBytes(charsetOf(t, old.text)), is.arg(0)*charBytes(charsetOf(t, a.Text))))
	case was.isList() && is.base == was.base && is.appended(was) && is.width() == was.width():
	default:
		return p.copying()
	}
	if was.isText() {
		before, after := charsetOf(t, old.text), charsetOf(t, a.Text)
		sameCollation := before == after && strings.EqualFold(old.Collate, a.Column.Collate)
		switch {
		case sameCollation:
		case before == after || before == "utf8mb3" && after == "utf8mb4" && !was.isList():
			w := instant
			switch {
			case !indexed && p.dialect == mysql:
				w = inPlace
			case indexed && (p.dialect == mysql || !p.from(mariadb, "10.11")):
				w = p.copying()
			case indexed && before == after:
				w = inPlace
			}
			raise(w)
			raise(p.growth(was.arg(0)*charBytes(before), is.arg(0)*charBytes(after)))
		default:
			return p.copying()
		}
	}
	if a.Column.NotNull != old.NotNull && (!old.PrimaryKey || a.Column.PrimaryKey) {
		raise(inPlace) // the table is rebuilt beside the writers
	}
	if a.Column.Identity != old.Identity && p.dialect == mysql {
		return p.copying()
	}
	return result
}

// growth says how a varchar becomes longer, in bytes. Up to 255 a value's length takes one byte in the row, beyond that two.
// MariaDB's rows have had room for the second one since 10.4.3 where no value can be longer than 127 bytes.
func (p *pass) growth(from, to int) way {
	switch {
	case from > 255 || to <= 255, p.dialect == mariadb && from <= 127:
		if p.dialect == mysql && from != to {
			return inPlace // which touches the catalogue alone, but INSTANT is refused
		}
		return instant
	}
	return p.copying()
}

// indexed reports whether a column is in any key that is known.
func (t *table) indexed(column string) bool {
	if t == nil {
		return true
	}
	for _, x := range t.indexes {
		if hasFold(x.columns, column) {
			return true
		}
	}
	for i := range t.constraints {
		if k := &t.constraints[i]; k.Kind != tldwdblint.ConstraintCheck && hasFold(k.Columns, column) {
			return true
		}
	}
	c := t.column(column)
	return c != nil && (c.primaryKey || c.unique)
}

// hasFold reports whether a list has a name in any spelling.
func hasFold(list []string, name string) bool {
	for _, n := range list {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// addWay says how a column is added.
func (p *pass) addWay(s *stmt, a *tldwdblint.Action) way {
	c := &a.Column
	switch {
	case c.Stored:
		return p.copying()
	case c.Identity:
		return shared
	case !c.References.IsZero():
		if p.dialect == mysql && !p.from(mysql, "9.0") {
			return instant // the words are read, and forgotten
		}
		return p.copying()
	case c.Check != "" && p.dialect == mysql:
		return p.copying()
	case p.dialect == mysql && isExpression(c.Default):
		return p.copying()
	case p.dialect == mariadb && isOwnValue(c.Default):
		return p.copying()
	case c.Unique, c.PrimaryKey:
		return inPlace
	}
	if c.Generated != "" || !placed(a) {
		return instant
	}
	if p.dialect == mariadb && p.schema.table(s.Table).hasVirtual() {
		return p.copying()
	}
	if p.dialect == mysql && !p.from(mysql, "8.0.29") {
		return inPlace
	}
	return instant
}

// placed reports whether a column is to be somewhere else than at the end.
func placed(a *tldwdblint.Action) bool {
	fields := strings.Fields(strings.ToUpper(a.Text))
	n := len(fields)
	return n > 1 && (fields[n-1] == "FIRST" || fields[n-2] == "AFTER")
}

// hasVirtual reports whether a table has a column that is computed when it is read.
func (t *table) hasVirtual() bool {
	if t == nil {
		return false
	}
	for i := range t.columns {
		if c := t.columns[i].said; c != nil && c.Generated != "" && !c.Stored {
			return true
		}
	}
	return false
}

// isExpression reports whether a default is one in parentheses.
func isExpression(text string) bool { return strings.HasPrefix(text, "(") }

// isOwnValue reports whether a default gives every row a value of its own.
func isOwnValue(text string) bool {
	lower := strings.ToLower(text)
	return strings.Contains(lower, "uuid") || strings.Contains(lower, "sys_guid") || strings.Contains(lower, "next value for") || strings.Contains(lower, "nextval")
}

// isRandom reports whether a default differs from one call to the next.
func isRandom(text string) bool {
	return strings.Contains(strings.ToLower(text), "rand(") || strings.Contains(strings.ToLower(text), "random_bytes(") || isOwnValue(text)
}

// way says how an action of ALTER TABLE is carried out, as far as no option decides it.
func (p *pass) way(s *stmt, a *tldwdblint.Action) way {
	switch a.Kind {
	case tldwdblint.ActionAddColumn:
		return p.addWay(s, a)
	case tldwdblint.ActionAlterType:
		return p.typeWay(s, a)
	case tldwdblint.ActionDropColumn:
		switch {
		case p.schema.table(s.Table).indexed(a.Column.Name) && p.schema.column(s.Table, a.Column.Name) != nil:
			return inPlace
		case p.dialect == mysql && !p.from(mysql, "8.0.29"):
			return inPlace
		}
		return instant
	case tldwdblint.ActionAddConstraint:
		return p.constraintWay(s, a)
	case tldwdblint.ActionDropConstraint:
		if a.Constraint.Kind == tldwdblint.ConstraintPrimaryKey && !addsPrimaryKey(s) {
			return p.copying()
		}
		return inPlace
	case tldwdblint.ActionAddIndex:
		return p.indexWay(s, a.Constraint.IndexType, a.Constraint.Columns)
	case tldwdblint.ActionSetDefault, tldwdblint.ActionDropDefault, tldwdblint.ActionRenameColumn, tldwdblint.ActionRenameTable, tldwdblint.ActionRenameIndex:
		if p.dialect == mysql && a.Kind == tldwdblint.ActionRenameIndex {
			return inPlace
		}
		return instant
	case tldwdblint.ActionOption, tldwdblint.ActionOther:
		return p.optionWay(s, a)
	}
	return inPlace
}

func (p *pass) constraintWay(s *stmt, a *tldwdblint.Action) way {
	switch a.Constraint.Kind {
	case tldwdblint.ConstraintForeignKey:
		if p.uncheckedKeys() {
			return inPlace
		}
		return p.copying()
	case tldwdblint.ConstraintCheck:
		if a.Constraint.NotValid {
			return instant
		}
		return p.copying()
	case tldwdblint.ConstraintPrimaryKey, tldwdblint.ConstraintUnique:
		return p.indexWay(s, "", a.Constraint.Columns)
	}
	return inPlace
}

// indexWay says how an index is built.
func (p *pass) indexWay(s *stmt, kind string, columns []string) way {
	if kind != "" {
		return shared
	}
	for _, c := range columns {
		if c == "" { // an expression: a hidden column that is computed
			return shared
		}
	}
	return inPlace
}

// addsPrimaryKey reports whether an ALTER TABLE puts another primary key in the place of one.
func addsPrimaryKey(s *stmt) bool {
	for i := range s.Actions {
		if s.Actions[i].Constraint.Kind == tldwdblint.ConstraintPrimaryKey && s.Actions[i].Kind == tldwdblint.ActionAddConstraint || s.Actions[i].Column.PrimaryKey {
			return true
		}
	}
	return false
}

// optionWay says how the rest of ALTER TABLE's words are carried out.
func (p *pass) optionWay(s *stmt, a *tldwdblint.Action) way {
	text := strings.Join(strings.Fields(strings.ToUpper(a.Text)), " ")
	begins := func(words ...string) bool {
		for _, w := range words {
			if strings.HasPrefix(text, w) {
				return true
			}
		}
		return false
	}
	switch {
	case begins("CONVERT TO"):
		if p.converts(s, a) {
			return p.copying()
		}
		return inPlace
	case begins("ORDER BY", "ADD SYSTEM VERSIONING", "DROP SYSTEM VERSIONING", "PARTITION BY", "REMOVE PARTITIONING"):
		return p.copying()
	case begins("REORGANIZE PARTITION", "COALESCE PARTITION", "REBUILD PARTITION"):
		return shared
	case begins("ADD PARTITION PARTITIONS"):
		return shared
	case strings.HasPrefix(text, "ALTER CHECK") || strings.HasPrefix(text, "ALTER CONSTRAINT"):
		if strings.HasSuffix(text, " ENFORCED") && !strings.HasSuffix(text, "NOT ENFORCED") {
			return p.copying()
		}
		return instant
	}
	if engine := wordAfter(a.Text, "ENGINE"); engine != "" && begins("ENGINE") {
		if engine != "innodb" {
			return p.copying()
		}
		return inPlace
	}
	if begins("FORCE", "ROW_FORMAT", "KEY_BLOCK_SIZE") {
		return inPlace
	}
	return instant
}

// converts reports whether CONVERT TO CHARACTER SET changes a column that is known, or may change one that is not.
func (p *pass) converts(s *stmt, a *tldwdblint.Action) bool {
	t := p.schema.table(s.Table)
	if t == nil || len(t.columns) == 0 {
		return true
	}
	to := charset(a.Text)
	collation := wordAfter(a.Text, "COLLATE")
	for i := range t.columns {
		c := t.columns[i].said
		if c == nil || !readType(c.Type).isText() {
			continue
		}
		own := c.Collate
		if own == "" {
			own = wordAfter(tableOptions(t.text), "COLLATE")
		}
		if charsetOf(t, c.text) != to || collation != "" && !strings.EqualFold(own, collation) {
			return true
		}
	}
	return false
}

// uncheckedKeys reports whether the file has switched foreign_key_checks off before the statement at hand.
func (p *pass) uncheckedKeys() bool {
	off := false
	for i := range p.statements {
		s := &p.statements[i]
		if p.s != nil && s.order >= p.s.order {
			break
		}
		if s.Kind == "SET" {
			off = setTo(s, "foreign_key_checks", off)
		}
	}
	return off
}

// setTo reports whether a variable that can be on or off is off behind a SET.
func setTo(s *stmt, variable string, off bool) bool {
	for i, t := range s.toks {
		name := strings.TrimLeft(strings.ToLower(t.Text), "@")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "session."), "local.")
		if name != variable || i+1 >= len(s.toks) {
			continue
		}
		at := i + 1
		if s.toks[at].Text == ":=" || s.toks[at].Text == "=" {
			at++
		}
		if at < len(s.toks) {
			v := strings.ToUpper(strings.Trim(s.toks[at].Text, `'"`))
			off = v == "0" || v == "OFF" || v == "FALSE"
		}
	}
	return off
}
