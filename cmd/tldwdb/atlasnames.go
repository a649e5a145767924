package main

import (
	"slices"
	"strings"

	"ariga.io/atlas/sql/postgres"
	"ariga.io/atlas/sql/schema"
)

// quoteMark stands for a double quote in the names of a realm: Atlas writes names between
// such quotes as they are. It is no character: Unicode leaves it to programs for such use.
const quoteMark = "\ufdd0"

// markQuotes puts quoteMark into the names of a realm, but for those of enums, which Atlas
// quotes as Go does. Expressions are the server's own text, and have their quotes doubled.
func markQuotes(realm *schema.Realm) {
	mark := func(names ...*string) {
		for _, name := range names {
			*name = strings.ReplaceAll(*name, `"`, quoteMark)
		}
	}
	for _, s := range realm.Schemas {
		mark(&s.Name)
		for _, t := range s.Tables {
			mark(&t.Name)
			for _, c := range t.Columns {
				mark(&c.Name)
			}
			indexes := t.Indexes
			if t.PrimaryKey != nil {
				indexes = append(slices.Clone(indexes), t.PrimaryKey)
			}
			for _, i := range indexes {
				mark(&i.Name)
				for _, attr := range i.Attrs {
					if of, ok := attr.(*postgres.Constraint); ok {
						mark(&of.N)
					}
				}
			}
			for _, key := range t.ForeignKeys {
				mark(&key.Symbol)
			}
			for _, attr := range t.Attrs {
				if check, ok := attr.(*schema.Check); ok {
					mark(&check.Name)
				}
			}
		}
	}
}

// quotesDoubled are the statements with the quotes of names as SQL has them.
func quotesDoubled(text string) string { return strings.ReplaceAll(text, quoteMark, `""`) }

// serverName is a name as the server has it.
func serverName(marked string) string { return strings.ReplaceAll(marked, quoteMark, `"`) }
