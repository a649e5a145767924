package schemadiff

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// Losses says what goes with the statements of a migration: the rows of tables, and the
// values of columns. A column that its table gets back is a computed one, and has no
// values of its own. The statements are read as the planners write them.
func Losses(statements []string, rules sqlscan.Options) (list []string) {
	var columns []string
	added := map[string]bool{}
	for _, statement := range statements {
		words := slices.Collect(sqlscan.Tokens(statement, rules))
		if table, _ := namedBehind("DROP", words, rules.Dialect); table != "" {
			list = append(list, "the rows of "+table+" go")
		}
		table, rest := namedBehind("ALTER", words, rules.Dialect)
		for ; table != "" && len(rest) > 2; rest = rest[1:] {
			column := table + "." + rest[2].Name(rules.Dialect)
			switch {
			case !rest[1].Is("COLUMN"):
			case rest[0].Is("DROP"):
				columns = append(columns, column)
			case rest[0].Is("ADD"):
				added[column] = true
			}
		}
		columns = append(columns, rebuiltWithout(statement, rules)...)
	}
	for _, column := range columns {
		if !added[column] {
			list = append(list, "the values of "+column+" go")
		}
	}
	return list
}

// namedBehind is the table of a DROP TABLE or ALTER TABLE, with its schema where it
// stands there, and what is behind the name. The table is empty for another statement.
func namedBehind(verb string, words []sqlscan.Token, d sqlscan.Dialect) (table string, rest []sqlscan.Token) {
	if len(words) < 3 || !words[0].Is(verb) || !words[1].Is("TABLE") {
		return "", nil
	}
	table, rest = words[2].Name(d), words[3:]
	for len(rest) > 1 && rest[0].Text == "." {
		table, rest = table+"."+rest[1].Name(d), rest[2:]
	}
	return table, rest
}

// rebuiltWithout are the columns that a rebuild on SQLite leaves out, by the comments
// above its CREATE TABLE.
func rebuiltWithout(statement string, rules sqlscan.Options) (columns []string) {
	table := ""
	for line := range strings.Lines(statement) {
		directive, is := strings.CutPrefix(line, "-- tldwdb: ")
		if !is {
			break
		}
		words := slices.Collect(sqlscan.Tokens(directive, rules))
		switch {
		case len(words) < 2:
		case words[0].Is("rebuild"):
			table = words[1].Name(rules.Dialect)
		case words[0].Is("drop"):
			columns = append(columns, table+"."+words[1].Name(rules.Dialect))
		}
	}
	return columns
}
