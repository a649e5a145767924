// Package rebuild gives a SQLite table another form: what ALTER TABLE cannot do
// there, by a new table and a copy of the rows. All that hangs on the table is as
// it was afterwards: indexes, triggers, views, the keys of its children, rowids
// and the number that AUTOINCREMENT goes on from.
package rebuild

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Table is a table and the form that it is to get.
type Table struct {
	Name    string   // as the directive has it
	Create  string   // the CREATE TABLE of the new form, under the table's own name
	Columns []Column // values that are not those of the column of the same name
	Drop    []string // columns whose values go
}

// Column says where the values of a column of the new form come from.
type Column struct {
	Name string
	From string // an expression over the columns of the old form
}

// The words of the directives.
const (
	wordRebuild = "rebuild"
	wordColumn  = "column"
	wordDrop    = "drop"
)

// IsDirective reports whether word begins one of the directives of this package:
// "rebuild TABLE", and below that any number of "column NAME = EXPRESSION" and
// "drop NAME".
func IsDirective(word string) bool {
	return word == wordRebuild || word == wordColumn || word == wordDrop
}

var errForm = errors.New("a rebuild is written as '-- tldwdb: rebuild TABLE', below it '-- tldwdb: column NAME = EXPRESSION' and '-- tldwdb: drop NAME' where they are needed, and then the CREATE TABLE of that table")

// Check returns what is wrong with the text of one directive.
func Check(text string) error {
	_, _, _, err := parse(text)
	return err
}

// parse reads one directive.
func parse(text string) (word, name, from string, err error) {
	word, rest, _ := strings.Cut(text, " ")
	list := tokens(rest)
	if len(list) == 0 || !isName(list[0]) {
		return "", "", "", errForm
	}
	name = nameOf(list[0])
	if word != wordColumn {
		if len(list) > 1 {
			return "", "", "", fmt.Errorf("the directive %s takes one name; put quotes around one with blanks in it", word)
		}
		return word, name, "", nil
	}
	if len(list) < 3 || list[1].Text != "=" || slices.ContainsFunc(list, func(t sqlscan.Token) bool { return t.Kind == sqlscan.Invalid || t.Text == ";" }) {
		return "", "", "", errForm
	}
	return word, name, strings.TrimSpace(rest[list[2].Offset:]), nil
}

// Read makes a Table of the directives that stand in front of a statement, in their
// order, and of the statement.
func Read(directives []string, statement string) (*Table, error) {
	t := &Table{Create: statement}
	for i, text := range directives {
		word, name, from, err := parse(text)
		switch {
		case err != nil:
			return nil, err
		case (word == wordRebuild) != (i == 0):
			return nil, errForm
		case word == wordRebuild:
			t.Name = name
		case word == wordColumn:
			t.Columns = append(t.Columns, Column{Name: name, From: from})
		case word == wordDrop:
			t.Drop = append(t.Drop, name)
		}
	}
	made, err := created(statement)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(made, t.Name) {
		return nil, fmt.Errorf("the directive rebuilds %s, and the statement below it makes %s: the new form is written under the table's own name", t.Name, made)
	}
	return t, nil
}

// Directives are the lines that stand in front of the table's statement.
func (t *Table) Directives() []string {
	list := []string{wordRebuild + " " + quote(t.Name)}
	for _, c := range t.Columns {
		list = append(list, wordColumn+" "+quote(c.Name)+" = "+c.From)
	}
	for _, name := range t.Drop {
		list = append(list, wordDrop+" "+quote(name))
	}
	return list
}

// created is the name of the table that a statement makes in the main database,
// column by column.
func created(statement string) (string, error) {
	list := tokens(statement)
	is := func(i int, word string) bool { return i < len(list) && list[i].Is(word) }
	if !is(0, "CREATE") || !is(1, "TABLE") {
		return "", errForm
	}
	i := 2
	if is(i, "IF") {
		return "", errors.New("IF NOT EXISTS makes no sense in a rebuild: the table is there")
	}
	if i+2 < len(list) && list[i+1].Text == "." {
		if !strings.EqualFold(list[i].Name(sqlscan.SQLite), "main") {
			return "", errors.New("only a table of the main database can be rebuilt")
		}
		i += 2
	}
	if i >= len(list) || !isName(list[i]) {
		return "", errForm
	}
	if i+1 >= len(list) || list[i+1].Text != "(" {
		return "", errors.New("a rebuild wants CREATE TABLE with its columns: CREATE TABLE … AS SELECT has no constraints")
	}
	return nameOf(list[i]), nil
}

// isName reports whether a token can stand for a name. SQLite takes 'a' too.
func isName(t sqlscan.Token) bool {
	return t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent || t.Kind == sqlscan.String && t.Text[0] == '\''
}

func nameOf(t sqlscan.Token) string {
	if t.Kind == sqlscan.String {
		return strings.ReplaceAll(t.Text[1:len(t.Text)-1], "''", "'")
	}
	return t.Name(sqlscan.SQLite)
}

func tokens(text string) []sqlscan.Token {
	return slices.Collect(sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.SQLite}))
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// names reports whether a part of a statement names a column, and not a function or
// a collation of the same name.
func names(list []sqlscan.Token, column string) bool {
	for i, t := range list {
		if t.Kind != sqlscan.Word && t.Kind != sqlscan.QuotedIdent || !strings.EqualFold(t.Name(sqlscan.SQLite), column) {
			continue
		}
		function := t.Kind == sqlscan.Word && i+1 < len(list) && list[i+1].Text == "("
		collation := i > 0 && list[i-1].Is("COLLATE")
		if !function && !collation {
			return true
		}
	}
	return false
}

// find is the place of a name in a list, or -1. SQLite does not tell upper from lower.
func find(list []column, name string) int {
	return slices.IndexFunc(list, func(c column) bool { return strings.EqualFold(c.name, name) })
}

// from is the expression for a column that a directive names, or empty.
func (t *Table) from(name string) string {
	i := slices.IndexFunc(t.Columns, func(c Column) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return ""
	}
	return t.Columns[i].From
}
