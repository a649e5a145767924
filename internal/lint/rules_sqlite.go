package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

var onSQLite = []on{{dialect: sqlite}}

const (
	sqliteAlter = "https://www.sqlite.org/lang_altertable.html"
	sqliteTypes = "https://www.sqlite.org/datatype3.html#determination_of_column_affinity"
)

// sqliteRules are about SQLite. A table that SQLite cannot change is made anew, filled, dropped and renamed: several rules look at
// such a rebuild as a whole.
var sqliteRules = []*rule{
	{
		id: "LT101", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"INSERT"},
		title:   "rows with NULL are copied into a column that is NOT NULL",
		breaks:  "The copy of a rebuild fails at the first row that has no value. A test with three rows does not have it.",
		instead: "Say in the SELECT what is to stand there instead: coalesce(column, value).",
		see:     []string{sqliteAlter},
		stmt:    copiesNull,
	},
	{
		id: "LT102", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"DROP TABLE"}, forward: true,
		title: "a table is dropped while foreign keys are on",
		breaks: "With foreign keys on, DROP TABLE deletes the rows of the table first: rows that refer to them with ON DELETE CASCADE go too, without a word, and a rebuild empties the tables around it. " +
			"Without an action the statement fails.",
		instead: "Leave `-- tldwdb: foreign-keys=on` out: migrations run with foreign keys off, and are checked at their end.",
		see:     []string{"https://www.sqlite.org/foreignkeys.html#fk_schemacommands"},
		stmt: func(p *pass, s *stmt) {
			if !p.keepsForeignKeys() {
				return
			}
			for _, n := range s.Names {
				if children := p.referring(n); len(children) > 0 {
					p.report(found{message: "rows of " + strings.Join(children, ", ") + " that refer to " + n.Text + " are deleted with it, or keep it from going"})
				}
			}
		},
	},
	{
		id: "LT103", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"PRAGMA"},
		title:   "PRAGMA foreign_keys does nothing in a transaction",
		breaks:  "SQLite ignores PRAGMA foreign_keys inside a transaction, and says nothing. Migrations run with foreign keys off anyway, and are checked at their end; where the file asks for them to stay on, it is an error to believe that they are off.",
		instead: "Take it out. Who wants them on while the file runs writes `-- tldwdb: foreign-keys=on`.",
		stmt: func(p *pass, s *stmt) {
			if name, value := pragma(s); name == "foreign_keys" && value != "" && s.Transaction {
				f := found{message: "this has no effect inside a transaction"}
				if p.keepsForeignKeys() {
					f.message, f.severity = "this has no effect inside a transaction: foreign keys stay on, and their actions with them", tldwdblint.SeverityError
				}
				p.report(f)
			}
		},
	},
	{
		id: "LT104", on: onSQLite, severity: tldwdblint.SeverityError, kinds: alterTable,
		title: "a table is renamed away, and its references go with it",
		breaks: "RENAME rewrites what refers to the table: foreign keys, triggers and views then name the old copy, not the table that takes its place. " +
			"When the copy is dropped they refer to nothing, and every write to the tables around it fails.",
		instead: "The other way round: make the new table under a name of its own, fill it, drop the old one, rename the new one.",
		see:     []string{sqliteAlter + "#making_other_kinds_of_table_schema_changes"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if s.NewTable || p.legacyAlter() || !p.comesAgain(s.Table) {
					return
				}
				// What is itself made again behind this names the new table.
				children := slices.DeleteFunc(p.referring(s.Table), func(child string) bool {
					return p.comesAgain(tldwdblint.Name{Name: strings.Trim(child, "\"`[]"), Text: child})
				})
				if t := p.schema.table(s.Table); t != nil && len(children) == 0 && len(p.using(s.Table)) == 0 {
					return
				}
				p.report(found{action: a, message: "what refers to " + s.Table.Text + " will refer to " + a.NewName.Text + ", also when there is another " + s.Table.Text})
			}, tldwdblint.ActionRenameTable)
		},
	},
	{
		id: "LT105", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"DROP TABLE"},
		title: "a rebuild loses indexes and triggers, or stops at a view",
		breaks: "Indexes and triggers go with the table that they are on, and nothing brings them back. " +
			"A view, or a trigger of another table, that names the table makes the RENAME at the end fail: it is looked at while no such table is there.",
		instead: "Make the indexes and triggers again behind the RENAME. Drop views and triggers that name the table before it, and make them again at the end.",
		see:     []string{sqliteAlter + "#making_other_kinds_of_table_schema_changes"},
		stmt:    rebuildLoses,
	},
	{
		id: "LT106", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"DROP TABLE"},
		title: "a rebuild forgets which numbers were given",
		breaks: "AUTOINCREMENT promises that no number is given twice. The promise is a row in sqlite_sequence that goes with the table: the new one goes on behind the largest number that it was filled with, " +
			"and the numbers of rows that were deleted are given again. Whoever kept one finds somebody else's row.",
		instead: "Carry the row over before the old table is dropped; RENAME takes it along.",
		see:     []string{"https://www.sqlite.org/autoinc.html"},
		stmt:    rebuildForgets,
	},
	{
		id: "LT107", on: onSQLite, severity: tldwdblint.SeverityError, kinds: alterTable, forward: true,
		title: "a column that SQLite cannot add",
		breaks: "UNIQUE and PRIMARY KEY are refused at once. NOT NULL without a default, a default that has to be computed (CURRENT_TIMESTAMP, an expression) and a STORED column are refused as soon as there is one row: " +
			"an empty database in a test takes them, and the one in production does not. So is a REFERENCES with a default, where foreign keys are on.",
		instead: "A literal for the default; UNIQUE as an index of its own; VIRTUAL in the place of STORED. What has to be computed is filled by an UPDATE.",
		see:     []string{sqliteAlter + "#alter_table_add_column"},
		stmt:    cannotAdd,
	},
	{
		id: "LT108", on: onSQLite, severity: tldwdblint.SeverityError, kinds: alterTable, forward: true,
		title:   "a column is dropped that something needs",
		breaks:  "SQLite refuses to drop a column that is a key, is UNIQUE or indexed, or that a CHECK, a generated column, a foreign key of the table, a view or a trigger names.",
		instead: "Drop the index, the view or the trigger first, and make it again without the column. For a key or a constraint the table has to be rebuilt.",
		see:     []string{sqliteAlter + "#alter_table_drop_column"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if needs := p.needing(s.Table, a.Column.Name); len(needs) > 0 {
					p.report(found{action: a, message: "SQLite refuses this: " + a.Column.Text + " is in " + strings.Join(needs, ", ")})
				}
			}, tldwdblint.ActionDropColumn)
		},
	},
	{
		id: "LT109", on: onSQLite, severity: tldwdblint.SeverityError,
		title: "SQL that an older SQLite does not know",
		breaks: "The version that is linked decides, and a build against the system's library has an older one: RENAME COLUMN came with 3.25, generated columns with 3.31, DROP COLUMN and RETURNING with 3.35, STRICT with 3.37, " +
			"ALTER COLUMN … NOT NULL and ADD and DROP CONSTRAINT with 3.53. Found is what the version of --target does not know.",
		instead: "Rebuild the table, or raise the target: this module comes with 3.54.",
		see:     []string{"https://www.sqlite.org/changes.html"},
		stmt:    tooNew,
	},
	{
		id: "LT110", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"PRAGMA", "VACUUM"},
		title: "VACUUM, or a setting of the file, inside a transaction",
		breaks: "VACUUM fails inside a transaction, and so does PRAGMA synchronous. PRAGMA journal_mode, page_size, auto_vacuum and encoding are ignored there, without a word. " +
			"The journal's mode is set by the URL in any case.",
		instead: "VACUUM in a file of its own, which then runs without a transaction. Settings belong into the URL.",
		stmt: func(p *pass, s *stmt) {
			if !s.Transaction {
				return
			}
			name, value := pragma(s)
			switch {
			case s.Kind == "VACUUM":
				p.report(found{message: "VACUUM fails inside a transaction", remedy: "-- tldwdb: no-transaction\n" + s.Text + ";"})
			case value == "":
			case name == "journal_mode" || name == "page_size" || name == "auto_vacuum" || name == "encoding":
				p.report(found{message: "PRAGMA " + name + " does nothing inside a transaction"})
			case name == "synchronous":
				p.report(found{message: "PRAGMA synchronous fails inside a transaction"})
			}
		},
	},
	{
		id: "LT111", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"PRAGMA"},
		title:   "the schema's own table is written",
		breaks:  "With PRAGMA writable_schema a slip of the pen makes a file that no SQLite can read; the error comes at the next opening, when the transaction is long done.",
		instead: "Rebuild the table. The one way that is not a risk is the one that SQLite has a statement for.",
		see:     []string{"https://www.sqlite.org/pragma.html#pragma_writable_schema"},
		stmt: func(p *pass, s *stmt) {
			if name, value := pragma(s); name == "writable_schema" && value != "" && value != "off" && value != "0" && value != "false" && value != "reset" && value != "no" {
				p.report(found{message: "from here on a slip of the pen makes a file that cannot be opened"})
			}
		},
	},
	{
		id: "LT112", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"CREATE TABLE", "ALTER TABLE", "CREATE INDEX"},
		title: "a name in double quotes that is none is a text",
		breaks: "\"x\" is a column where there is one, and the text 'x' where there is none: a misspelt column in an index makes an index on a constant, which nobody uses, and which makes every later ALTER TABLE of the table fail. " +
			"Other builds of SQLite refuse the statement.",
		instead: "Texts in single quotes, names in double ones or in none.",
		see:     []string{"https://www.sqlite.org/quirks.html#double_quoted_string_literals_are_accepted"},
		stmt:    quotedText,
	},
	{
		id: "LT113", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: inTables,
		title: "a type that makes numbers of texts",
		breaks: "SQLite looks only for INT, CHAR, CLOB, TEXT, BLOB, REAL, FLOAT and DOUBLE in a type's name (of the last two for four letters); every other type is NUMERIC. " +
			"A STRING that looks like a number becomes one: '007' is 7, a UUID of 32 digits 1.2e31. POINT and INTERVAL have INT in them, and are integers.",
		instead: "TEXT for texts. A STRICT table refuses other names at once.",
		see:     []string{sqliteTypes},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if numericText(a.Column.Type) {
					p.report(found{action: a, message: fmt.Sprintf("%s is a number to SQLite: '007' in %s becomes 7", upper(a.Column.Type), a.Column.Text)})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "LT114", on: onSQLite, severity: tldwdblint.SeverityNotice, kinds: []string{"CREATE TABLE"},
		title: "a primary key that may be NULL",
		breaks: "But for INTEGER PRIMARY KEY, STRICT and WITHOUT ROWID, a column of a primary key takes NULL, any number of times. " +
			"INT or BIGINT PRIMARY KEY is not INTEGER PRIMARY KEY: no number is given to a row that comes without one, it gets NULL; nor is it with DESC behind it.",
		instead: "INTEGER PRIMARY KEY for a number that SQLite gives, NOT NULL for all others.",
		see:     []string{"https://www.sqlite.org/lang_createtable.html#the_primary_key"},
		stmt:    nullableKey,
	},
	{
		id: "LT116", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE TABLE"},
		title:   "CREATE TABLE … AS keeps no key and no constraint",
		breaks:  "It keeps the names of the columns and nothing else: no primary key, no NOT NULL, no default, no CHECK, no foreign key; VARCHAR(20) becomes TEXT.",
		instead: "Write the table out, and fill it with INSERT … SELECT.",
		stmt: func(p *pass, s *stmt) {
			if !s.Temporary && len(s.Actions) == 0 && topLevel(s, "AS") {
				p.report(found{message: s.Name.Text + " has no key, no constraint and no default of the table that it is made from"})
			}
		},
	},
	{
		id: "LT117", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"INSERT", "REPLACE", "UPDATE"},
		title: "REPLACE deletes the rows that are in the way",
		breaks: "The row that has the key already is deleted, and so is any that stands in the way of another UNIQUE: columns that are not named fall back to their defaults. " +
			"Rows that refer to it lose it, or go with it where foreign keys are on; DELETE triggers do not run.",
		instead: "INSERT … ON CONFLICT (…) DO UPDATE SET … changes the row where it stands.",
		see:     []string{"https://www.sqlite.org/lang_upsert.html"},
		stmt: func(p *pass, s *stmt) {
			or := len(s.toks) > 2 && s.toks[1].Is("OR") && s.toks[2].Is("REPLACE")
			if (or || s.Kind == "REPLACE") && !s.NewTable {
				p.report(found{message: "rows of " + s.Table.Text + " that are in the way are deleted, not changed"})
			}
		},
	},
	{
		id: "LT118", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"INSERT"},
		title:   "columns are copied by their place into a table that has them in another order",
		breaks:  "INSERT … SELECT * goes by places, not by names: SQLite's types stop nothing, and values stand in each other's columns.",
		instead: "Name the columns, on both sides.",
		stmt:    copiesByPlace,
	},
	{
		id: "LT119", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a rename that nothing follows",
		breaks:  "With PRAGMA legacy_alter_table, RENAME leaves views, triggers and (with foreign keys off) the REFERENCES of other tables as they are: they name a table that is no more, and fail when they are used.",
		instead: "Leave the pragma out; it is for the last step of a rebuild, where the name is to be the old one.",
		see:     []string{"https://www.sqlite.org/pragma.html#pragma_legacy_alter_table"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if p.legacyAlter() && !p.droppedBefore(a.NewName) {
					p.report(found{action: a, message: "what names " + s.Table.Text + " goes on naming it, and fails"})
				}
			}, tldwdblint.ActionRenameTable)
		},
	},
	{
		id: "LT120", on: onSQLite, severity: tldwdblint.SeverityError,
		title: "SQL that SQLite does not have",
		breaks: "ALTER TABLE changes neither a type nor a default, adds no key, no UNIQUE and no foreign key, does one thing at a time, and has no IF EXISTS for columns. " +
			"There is no TRUNCATE and no CREATE OR REPLACE.",
		instead: "For a column or a constraint: make the table anew, fill it, drop the old one, rename it. DELETE FROM is SQLite's TRUNCATE, and as fast.",
		see:     []string{sqliteAlter + "#making_other_kinds_of_table_schema_changes"},
		stmt:    notSQLite,
	},
	{
		id: "LT121", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"ATTACH"},
		title:   "another file is attached",
		breaks:  "With a write-ahead log, which is the default here, a transaction over two files is not one: after a crash one of them may have the changes and the other not. The migration lock holds for one file only, and a backup has only one.",
		instead: "Migrate the other file by a DB of its own. To copy rows between databases there is tldwdb's copy.",
		see:     []string{"https://www.sqlite.org/lang_attach.html"},
		stmt: func(p *pass, s *stmt) {
			p.report(found{message: "what is written to another file is in no transaction with the rest, nor under the migration lock"})
		},
	},
	{
		id: "LT122", on: onSQLite, severity: tldwdblint.SeverityError, kinds: []string{"DROP TABLE"},
		title:   "a table is dropped that another one refers to",
		breaks:  "Its foreign key then refers to nothing: every INSERT, UPDATE and DELETE in the other table fails with \"no such table\", when foreign keys are on again. DROP TABLE itself says nothing.",
		instead: "Rebuild the other table without the foreign key first, or drop it too.",
		stmt: func(p *pass, s *stmt) {
			if p.keepsForeignKeys() {
				return // LT102
			}
			for _, n := range s.Names {
				if p.comesAgain(n) {
					continue
				}
				children := slices.DeleteFunc(p.referring(n), func(child string) bool { return p.droppedIn(child) })
				if len(children) > 0 {
					p.report(found{message: "every write to " + strings.Join(children, ", ") + " fails from here on: it refers to " + n.Text})
				}
			}
		},
	},
	{
		id: "LT123", on: onSQLite, severity: tldwdblint.SeverityError, kinds: inTables,
		title:   "a foreign key refers to columns that are not unique",
		breaks:  "SQLite takes the table, and answers every write to it with \"foreign key mismatch\" when foreign keys are on; PRAGMA foreign_key_check, which ends a migration, fails with it.",
		instead: "Refer to the primary key, or give the columns a UNIQUE index.",
		see:     []string{"https://www.sqlite.org/foreignkeys.html#fk_indexes"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				parent, columns := a.Constraint.References, a.Constraint.RefColumns
				if a.Kind == tldwdblint.ActionAddColumn {
					parent, columns = a.Column.References, a.Column.RefColumns
				}
				if p.refersToNoKey(s, parent, columns) {
					p.report(found{action: a, message: fmt.Sprintf("every write to %s fails: %s (%s) is no key", s.Table.Text, parent.Text, strings.Join(columns, ", "))})
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "LT124", on: onSQLite, severity: tldwdblint.SeverityWarning, kinds: []string{"DROP TABLE", "ALTER TABLE"}, forward: true,
		title:   "rows or values are deleted",
		breaks:  "DROP TABLE and DROP COLUMN delete what is in them, and no way back has it. Programs of the release before fail at the name. The tables of a rebuild are not meant.",
		instead: "Drop in a release of its own, when no running program reads it any more, behind a backup, and say so in an assurance.",
		stmt: func(p *pass, s *stmt) {
			if s.Kind == "DROP TABLE" {
				reportDropped(p, s)
				return
			}
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if !p.addedHere(s.Table, a.Column.Name) {
					p.report(found{action: a, message: "the values of " + s.Table.Text + "." + a.Column.Text + " are gone, and running programs that name it fail"})
				}
			}, tldwdblint.ActionDropColumn)
		},
	},
}

// pragma is the name and the value of a PRAGMA in small letters; the value is empty where it is only asked for.
func pragma(s *stmt) (name, value string) {
	if s.Kind != "PRAGMA" {
		return "", ""
	}
	i := 1
	if len(s.toks) > 3 && s.toks[2].Text == "." {
		i = 3
	}
	if i >= len(s.toks) {
		return "", ""
	}
	name = strings.ToLower(s.toks[i].Name(sqlscan.SQLite))
	if i+2 < len(s.toks) && (s.toks[i+1].Text == "=" || s.toks[i+1].Text == "(") {
		value = strings.ToLower(strings.Trim(s.toks[i+2].Text, `'"`))
	}
	return name, value
}

// keepsForeignKeys reports whether the file asks for foreign keys to stay on.
func (p *pass) keepsForeignKeys() bool {
	for line := range strings.Lines(p.text.SQL) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "--") {
			return false
		}
		if rest, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(line, "--")), "tldwdb:"); ok && strings.Contains(rest, "foreign-keys=on") {
			return true
		}
	}
	return false
}

// legacyAlter reports whether the file has set legacy_alter_table before the statement at hand.
func (p *pass) legacyAlter() bool {
	set := false
	for i := range p.statements {
		s := &p.statements[i]
		if s.order >= p.s.order {
			break
		}
		if name, value := pragma(s); name == "legacy_alter_table" && value != "" {
			set = value == "on" || value == "1" || value == "true" || value == "yes"
		}
	}
	return set
}

// behind calls f for the statements behind the one at hand until it returns true, and reports whether it did.
func (p *pass) behind(f func(s *stmt) bool) bool {
	for i := range p.statements {
		if s := &p.statements[i]; s.order > p.s.order && f(s) {
			return true
		}
	}
	return false
}

// before is behind for the statements before.
func (p *pass) before(f func(s *stmt) bool) bool {
	for i := range p.statements {
		if s := &p.statements[i]; s.order < p.s.order && f(s) {
			return true
		}
	}
	return false
}

// renamesTo reports whether a statement gives a table this name.
func renamesTo(s *stmt, name tldwdblint.Name) bool {
	return (s.Kind == "ALTER TABLE" || s.Kind == "RENAME TABLE") && slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool {
		return a.Kind == tldwdblint.ActionRenameTable && key(a.NewName) == key(name)
	})
}

// rebuilt is the statement that gives a new table the name of the one that is dropped, nil if there is none.
func (p *pass) rebuilt(name tldwdblint.Name) *stmt {
	var found *stmt
	p.behind(func(s *stmt) bool {
		if renamesTo(s, name) {
			found = s
		}
		return found != nil
	})
	return found
}

// comesAgain reports whether the rest of the file makes a table of this name.
func (p *pass) comesAgain(name tldwdblint.Name) bool {
	return p.rebuilt(name) != nil || p.behind(func(s *stmt) bool { return s.Kind == "CREATE TABLE" && key(s.Name) == key(name) })
}

// droppedBefore reports whether the file has dropped a table of this name.
func (p *pass) droppedBefore(name tldwdblint.Name) bool {
	return p.before(func(s *stmt) bool {
		return s.Kind == "DROP TABLE" && slices.ContainsFunc(s.Names, func(n tldwdblint.Name) bool { return key(n) == key(name) })
	})
}

// droppedIn reports whether the file drops a table anywhere, by its name as it is written.
func (p *pass) droppedIn(name string) bool {
	for i := range p.statements {
		s := &p.statements[i]
		if s.Kind == "DROP TABLE" && slices.ContainsFunc(s.Names, func(n tldwdblint.Name) bool { return n.Text == name || key(n) == strings.ToLower(name) }) {
			return true
		}
	}
	return false
}

// referring are the known tables with a foreign key to a table, but for itself.
func (p *pass) referring(name tldwdblint.Name) (list []string) {
	parent := key(name)
	for _, child := range p.schema.children[parent] {
		t := p.schema.tables[child]
		if t == nil || child == parent {
			continue // it is gone
		}
		refers := slices.ContainsFunc(t.constraints, func(c constraint) bool {
			return c.Kind == tldwdblint.ConstraintForeignKey && key(c.References) == parent
		}) || slices.ContainsFunc(t.columns, func(c column) bool { return !c.references.IsZero() && key(c.references) == parent })
		if refers {
			list = append(list, t.name.Text)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// using are the known views, and the triggers of other tables, that name a table.
func (p *pass) using(name tldwdblint.Name) (list []string) {
	word := strings.ToLower(name.Name)
	for k, words := range p.schema.views {
		if slices.Contains(words, word) {
			list = append(list, "view "+k)
		}
	}
	for k, t := range p.schema.triggers {
		if t.table != key(name) && slices.Contains(t.words, word) {
			list = append(list, "trigger "+k)
		}
	}
	slices.Sort(list)
	return list
}

// rebuildLoses is LT105.
func rebuildLoses(p *pass, s *stmt) {
	for _, n := range s.Names {
		rename := p.rebuilt(n)
		if rename == nil || p.born[key(n)] {
			p.leavesBehind(n)
			continue
		}
		made := func(kind, name string) bool {
			return p.behind(func(l *stmt) bool { return l.Kind == kind && strings.EqualFold(l.Name.Name, name) })
		}
		var lost, texts []string
		for _, x := range p.schema.table(n).made() {
			if !made("CREATE INDEX", x.name.Name) {
				lost, texts = append(lost, "index "+x.name.Text), append(texts, x.text+";")
			}
		}
		for k, t := range p.schema.triggers {
			if t.table == key(n) && !made("CREATE TRIGGER", t.name.Name) {
				lost, texts = append(lost, "trigger "+k), append(texts, t.text+";")
			}
		}
		slices.Sort(lost)
		slices.Sort(texts)
		if len(lost) > 0 {
			p.report(found{message: "gone after this rebuild: " + strings.Join(lost, ", "), remedy: "-- behind the RENAME:\n" + strings.Join(texts, "\n")})
		}
		if p.legacyAlter() {
			continue
		}
		stops := slices.DeleteFunc(p.using(n), func(object string) bool {
			kind, name, _ := strings.Cut(object, " ")
			return slices.ContainsFunc(p.statements, func(d stmt) bool {
				return d.order < rename.order && d.Kind == "DROP "+upper(kind) && slices.ContainsFunc(d.Names, func(m tldwdblint.Name) bool { return key(m) == name })
			})
		})
		if len(stops) > 0 {
			p.report(found{message: fmt.Sprintf("the RENAME to %s will fail: %s names it while it is not there", n.Text, strings.Join(stops, ", "))})
		}
	}
}

// leavesBehind is LT105 for the rebuild in the other order: the table was renamed away, its
// indexes and triggers with it, and now it is dropped. What refers to it is LT104.
func (p *pass) leavesBehind(name tldwdblint.Name) {
	t := p.schema.table(name)
	if t == nil || p.born[key(name)] {
		return
	}
	var was tldwdblint.Name
	away := func(s *stmt) bool {
		if renamesTo(s, name) {
			was = s.Table
		}
		return !was.IsZero()
	}
	if !p.before(away) || !p.born[key(was)] && !p.comesAgain(was) {
		return
	}
	again := func(kind string, same func(*stmt) bool) bool {
		return slices.ContainsFunc(p.statements, func(o stmt) bool { return o.Kind == kind && key(o.Table) == key(was) && same(&o) })
	}
	var lost, texts []string
	for _, x := range t.made() {
		if !again("CREATE INDEX", func(o *stmt) bool {
			return strings.EqualFold(o.Name.Name, x.name.Name) || slices.Equal(o.Columns, x.columns)
		}) {
			lost, texts = append(lost, "index "+x.name.Text), append(texts, x.text+";")
		}
	}
	for k, tr := range p.schema.triggers {
		if tr.table == key(name) && !again("CREATE TRIGGER", func(o *stmt) bool { return strings.EqualFold(o.Name.Name, tr.name.Name) }) {
			lost, texts = append(lost, "trigger "+k), append(texts, tr.text+";")
		}
	}
	slices.Sort(lost)
	slices.Sort(texts)
	if len(lost) > 0 {
		p.report(found{message: "gone with it, and not on the new " + was.Text + ": " + strings.Join(lost, ", "), remedy: "-- behind it:\n" + strings.Join(texts, "\n")})
	}
}

// rebuildForgets is LT106.
func rebuildForgets(p *pass, s *stmt) {
	for _, n := range s.Names {
		rename, t := p.rebuilt(n), p.schema.table(n)
		if rename == nil || t == nil || p.born[key(n)] {
			continue
		}
		counts := func(t *table) bool {
			return slices.ContainsFunc(t.columns, func(c column) bool { return c.said != nil && c.said.AutoIncrement })
		}
		if !counts(t) {
			continue
		}
		replacement := p.schema.table(rename.Table)
		if replacement != nil && !counts(replacement) {
			p.report(found{message: "the new " + n.Text + " has no AUTOINCREMENT: numbers of deleted rows are given again"})
			continue
		}
		carried := slices.ContainsFunc(p.statements, func(d stmt) bool {
			return (d.Kind == "INSERT" || d.Kind == "UPDATE") && strings.EqualFold(d.Table.Name, "sqlite_sequence")
		})
		if !carried {
			old, fresh := quoteText(n.Name), quoteText(rename.Table.Name)
			p.report(found{
				message: "the new " + n.Text + " gives the numbers of deleted rows again",
				remedy: fmt.Sprintf("DELETE FROM sqlite_sequence WHERE name = %[1]s;\nINSERT INTO sqlite_sequence (name, seq) SELECT %[1]s, seq FROM sqlite_sequence WHERE name = %[2]s;\n%[3]s;",
					fresh, old, strings.TrimRight(s.Text, "; \n")),
			})
		}
	}
}

// quoteText is a text as a literal.
func quoteText(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// cannotAdd is LT107.
func cannotAdd(p *pass, s *stmt) {
	actions(s, func(a *tldwdblint.Action) {
		c := &a.Column
		f := found{action: a}
		table := s.Table.Text
		switch {
		case c.PrimaryKey:
			f.message = "SQLite adds no PRIMARY KEY to a table that is there"
		case c.Unique:
			f.message = "SQLite adds no UNIQUE column"
			f.remedy = fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN %[2]s %[3]s;\nCREATE UNIQUE INDEX %[4]s ON %[1]s (%[2]s);", table, c.Text, c.Type, strings.ToLower(s.Table.Name+"_"+c.Name))
		case s.NewTable:
			return
		case c.Stored:
			f.message = "this fails as soon as " + table + " has a row: a STORED column cannot be added"
			f.remedy = fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s AS (%s) VIRTUAL;", table, c.Text, c.Type, c.Generated)
		case c.Generated != "":
			return
		case computed(c.Default):
			f.message = "this fails as soon as " + table + " has a row: the default has to be a literal"
			f.remedy = fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN %[2]s %[3]s;\nUPDATE %[1]s SET %[2]s = %[4]s;", table, c.Text, c.Type, strings.Trim(c.Default, "()"))
		case c.NotNull && (c.Default == "" || isNull(c.Default)):
			f.message = "this fails as soon as " + table + " has a row: NOT NULL needs a default"
		case !c.References.IsZero() && c.Default != "" && !isNull(c.Default) && p.keepsForeignKeys():
			f.message = "this fails where foreign keys are on: a REFERENCES cannot have a default other than NULL"
		default:
			return
		}
		p.report(f)
	}, tldwdblint.ActionAddColumn)
}

func isNull(value string) bool { return strings.EqualFold(strings.Trim(value, "() "), "NULL") }

// computed reports whether a default is no literal to SQLite, which looks through parentheses, signs and CAST.
func computed(value string) bool {
	literals := 0
	for t := range sqlscan.Tokens(value, sqlscan.Options{Dialect: sqlscan.SQLite}) {
		switch {
		case t.Is("CURRENT_TIMESTAMP"), t.Is("CURRENT_DATE"), t.Is("CURRENT_TIME"):
			return true
		case t.Is("CAST"):
			return false
		case t.Is("NULL"), t.Is("TRUE"), t.Is("FALSE"), t.Kind == sqlscan.String, t.Kind == sqlscan.Number:
			literals++
		case t.Kind == sqlscan.Word && isExpression(value): // a function
			return true
		case t.Kind == sqlscan.Op && !strings.Contains("()-+", t.Text):
			return true
		}
	}
	return literals > 1
}

// needing are the things that keep a column from being dropped, as far as they are known.
func (p *pass) needing(table tldwdblint.Name, column string) (list []string) {
	t := p.schema.table(table)
	if t == nil {
		return nil
	}
	names := func(text string) bool {
		for tok := range sqlscan.Tokens(text, p.options) {
			if (tok.Kind == sqlscan.Word || tok.Kind == sqlscan.QuotedIdent) && strings.EqualFold(tok.Name(sqlscan.SQLite), column) {
				return true
			}
		}
		return false
	}
	if c := t.column(column); c != nil {
		if c.primaryKey {
			list = append(list, "the primary key")
		}
		if c.unique {
			list = append(list, "a UNIQUE")
		}
	}
	for _, k := range t.constraints {
		if hasFold(k.Columns, column) || names(k.Check) {
			list = append(list, "a "+string(k.Kind))
		}
	}
	for i := range t.columns {
		if c := t.columns[i].said; c != nil && !strings.EqualFold(c.Name, column) && names(c.Generated) {
			list = append(list, "the column "+c.Text)
		}
	}
	for _, x := range t.indexes {
		if hasFold(x.columns, column) || strings.ContainsAny(x.text, "(") && names(x.text[strings.IndexByte(x.text, '('):]) {
			list = append(list, "index "+x.name.Text)
		}
	}
	word := strings.ToLower(column)
	for name, words := range p.schema.views {
		if slices.Contains(words, word) && slices.Contains(words, strings.ToLower(table.Name)) {
			list = append(list, "view "+name)
		}
	}
	for name, tr := range p.schema.triggers {
		if slices.Contains(tr.words, word) && (tr.table == key(table) || slices.Contains(tr.words, strings.ToLower(table.Name))) {
			list = append(list, "trigger "+name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// tooNew is LT109.
func tooNew(p *pass, s *stmt) {
	need := func(a *tldwdblint.Action, since, what string) {
		if p.target < mustVersion(since) {
			p.report(found{action: a, message: what + " needs SQLite " + since})
		}
	}
	switch s.Kind {
	case "ALTER TABLE":
		for i := range s.Actions {
			a := &s.Actions[i]
			switch {
			case a.Kind == tldwdblint.ActionSetNotNull, a.Kind == tldwdblint.ActionDropNotNull:
				need(a, "3.53", "ALTER COLUMN")
			case a.Kind == tldwdblint.ActionAddConstraint && a.Constraint.Kind == tldwdblint.ConstraintCheck:
				need(a, "3.53", "ADD CHECK")
			case a.Kind == tldwdblint.ActionDropConstraint:
				need(a, "3.53", "DROP CONSTRAINT")
			case a.Kind == tldwdblint.ActionDropColumn:
				need(a, "3.35", "DROP COLUMN")
			case a.Kind == tldwdblint.ActionRenameColumn:
				need(a, "3.25", "RENAME COLUMN")
			case a.Column.Generated != "":
				need(a, "3.31", "a generated column")
			}
		}
	case "CREATE TABLE":
		if p.target < mustVersion("3.37") && slices.Contains(strings.FieldsFunc(upper(tableOptions(s.Text)), func(r rune) bool { return r == ' ' || r == ',' || r == '\n' || r == ';' }), "STRICT") {
			need(nil, "3.37", "STRICT")
		}
		actions(s, func(a *tldwdblint.Action) {
			if a.Column.Generated != "" {
				need(a, "3.31", "a generated column")
			}
		}, tldwdblint.ActionAddColumn)
	case "INSERT", "UPDATE", "DELETE", "REPLACE":
		if p.target < mustVersion("3.35") && topLevel(s, "RETURNING") {
			need(nil, "3.35", "RETURNING")
		}
	}
}

// quotedText is LT112.
func quotedText(p *pass, s *stmt) {
	if !strings.Contains(s.Text, `"`) {
		return
	}
	columns := map[string]bool{"rowid": true, "oid": true, "_rowid_": true}
	actions(s, func(a *tldwdblint.Action) { columns[strings.ToLower(a.Column.Name)] = true }, tldwdblint.ActionAddColumn)
	known := s.Kind == "CREATE TABLE"
	if t := p.schema.table(s.Table); t != nil && t.text != "" && !known {
		known = true
		for i := range t.columns {
			columns[strings.ToLower(t.columns[i].name)] = true
		}
	}
	look := func(a *tldwdblint.Action, text string) {
		if !known {
			return
		}
		for t := range sqlscan.Tokens(text, p.options) {
			if t.Kind == sqlscan.QuotedIdent && strings.HasPrefix(t.Text, `"`) && !columns[strings.ToLower(t.Name(sqlscan.SQLite))] {
				p.report(found{action: a, message: fmt.Sprintf("there is no column %s: it is the text %s", t.Text, quoteText(t.Name(sqlscan.SQLite)))})
				return
			}
		}
	}
	if s.Kind == "CREATE INDEX" {
		if at := strings.IndexByte(s.Text, '('); at >= 0 {
			look(nil, withoutCollations(s.Text[at:]))
		}
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		if strings.HasPrefix(a.Column.Default, `"`) {
			p.report(found{
				action: a, severity: tldwdblint.SeverityNotice,
				message: a.Column.Default + " is the text " + quoteText(strings.Trim(a.Column.Default, `"`)) + ", in the quotes of a name",
			})
		}
		look(a, a.Column.Check)
		look(a, a.Column.Generated)
		look(a, a.Constraint.Check)
	}, tldwdblint.ActionAddColumn, tldwdblint.ActionAddConstraint)
}

// withoutCollations takes the names behind COLLATE out of a text: they are no columns.
func withoutCollations(text string) string {
	fields := strings.Fields(text)
	for i := 1; i < len(fields); i++ {
		if strings.EqualFold(fields[i-1], "COLLATE") {
			fields[i] = strings.TrimLeft(fields[i], "\"`[abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789]")
		}
	}
	return strings.Join(fields, " ")
}

// numericText reports whether a type that is meant for texts is numeric to SQLite.
func numericText(text string) bool {
	base, _, _ := strings.Cut(text, "(")
	switch base {
	case "string", "str", "uuid", "guid", "enum", "email", "phone", "zip", "inet", "cidr", "url", "uri", "hash", "point", "interval", "floating point":
		return true
	}
	return false
}

// nullableKey is LT114.
func nullableKey(p *pass, s *stmt) {
	if s.Temporary || topLevel(s, "STRICT") || topLevel(s, "ROWID") {
		return
	}
	judge := func(a *tldwdblint.Action, alone bool) {
		c := &a.Column
		alias := alone && c.Type == "integer" && !says(a.Text, "DESC")
		if c.NotNull || alias {
			return
		}
		f := found{action: a, message: c.Text + " may be NULL, in any number of rows"}
		if alone && (strings.Contains(c.Type, "int") || c.Type == "serial") {
			f.message = c.Text + " is NULL where no number is given: only INTEGER PRIMARY KEY counts"
			f.severity = tldwdblint.SeverityWarning
		}
		p.report(f)
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		switch {
		case a.Kind == tldwdblint.ActionAddColumn && a.Column.PrimaryKey:
			judge(a, true)
		case a.Constraint.Kind == tldwdblint.ConstraintPrimaryKey:
			actions(s, func(column *tldwdblint.Action) {
				if hasFold(a.Constraint.Columns, column.Column.Name) {
					judge(column, len(a.Constraint.Columns) == 1)
				}
			}, tldwdblint.ActionAddColumn)
		}
	}
}

// order has the columns' names as SELECT * gives them, in small letters.
func (t *table) order() []string {
	list := make([]string, len(t.columns))
	for i := range t.columns {
		list[i] = strings.ToLower(t.columns[i].name)
	}
	return list
}

// made are the indexes of a table that statements of their own have made.
func (t *table) made() []*index {
	if t == nil {
		return nil
	}
	return t.indexes
}

// copiedRows is what INSERT … SELECT copies from one table into another: for each column of the new table what stands in
// the SELECT.
type copiedRows struct {
	from, to *table
	columns  []string // of the new table
	items    []string // names in small letters; empty for an expression
	star     bool
	named    bool // the columns of the new table are named
}

// copies reads INSERT INTO a (b, c) SELECT d, e FROM f; false if it is anything else.
func (p *pass) copies(s *stmt) (copiedRows, bool) {
	var c copiedRows
	c.to = p.schema.table(s.Table)
	i := s.rest
	tok := func(i int) sqlscan.Token {
		if i < len(s.toks) {
			return s.toks[i]
		}
		return sqlscan.Token{}
	}
	if tok(i).Text == "(" {
		c.named = true
		for i++; i < len(s.toks) && tok(i).Text != ")"; i++ {
			if tok(i).Text != "," {
				c.columns = append(c.columns, strings.ToLower(tok(i).Name(sqlscan.SQLite)))
			}
		}
		i++
	}
	if !tok(i).Is("SELECT") || c.to == nil {
		return c, false
	}
	depth, begin := 0, i+1
	item := func(end int) {
		name := ""
		if end == begin+1 && (tok(begin).Kind == sqlscan.Word || tok(begin).Kind == sqlscan.QuotedIdent) {
			name = strings.ToLower(tok(begin).Name(sqlscan.SQLite))
		}
		c.star = c.star || end == begin+1 && tok(begin).Text == "*"
		c.items = append(c.items, name)
		begin = end + 1
	}
	for i++; i < len(s.toks); i++ {
		switch t := tok(i); {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case depth > 0:
		case t.Text == ",":
			item(i)
		case t.Is("FROM"):
			item(i)
			c.from = p.schema.tables[strings.ToLower(tok(i+1).Name(sqlscan.SQLite))]
			if c.from == nil || c.from.text == "" || tok(i+2).Text == "," || tok(i+2).Is("JOIN") {
				return c, false
			}
			if !c.named {
				c.columns = c.to.order()
			}
			if c.star {
				if len(c.items) != 1 {
					return c, false
				}
				c.items = c.from.order()
			}
			if tok(i + 2).Is("WHERE") { // it may be about the NULLs
				return c, len(c.items) == len(c.columns) && !slices.ContainsFunc(s.toks[i:], func(t sqlscan.Token) bool { return t.Is("NULL") })
			}
			return c, len(c.items) == len(c.columns)
		}
	}
	return c, false
}

// copiesNull is LT101.
func copiesNull(p *pass, s *stmt) {
	c, ok := p.copies(s)
	if !ok || c.star && !slices.Equal(c.items, c.columns) { // the latter is LT118
		return
	}
	for i, name := range c.columns {
		to, from := c.to.column(name), c.from.column(c.items[i])
		if to == nil || from == nil || from.said == nil || !to.notNull || from.notNull || to.primaryKey {
			continue
		}
		p.report(found{message: fmt.Sprintf("this fails at the first row without %s: the new column is NOT NULL, the old one is not", from.name), remedy: fmt.Sprintf("coalesce(%s, …)", from.name)})
	}
}

// copiesByPlace is LT118.
func copiesByPlace(p *pass, s *stmt) {
	c, ok := p.copies(s)
	if !ok || !c.star {
		return
	}
	if slices.Equal(c.items, c.columns) || !slices.Equal(slices.Sorted(slices.Values(c.items)), slices.Sorted(slices.Values(c.columns))) {
		return
	}
	for i := range c.items {
		if c.items[i] != c.columns[i] {
			list := strings.Join(c.columns, ", ")
			p.report(found{
				message: fmt.Sprintf("%s gets the values of %s: the order of the columns differs", c.columns[i], c.items[i]),
				remedy:  fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s;", s.Table.Text, list, list, c.from.name.Text),
			})
			return
		}
	}
}

// notSQLite is LT120.
func notSQLite(p *pass, s *stmt) {
	switch {
	case s.Kind == "TRUNCATE":
		p.report(found{message: "SQLite has no TRUNCATE", remedy: "DELETE FROM " + s.Table.Text + ";"})
		return
	case strings.HasPrefix(s.Kind, "CREATE ") && len(s.toks) > 2 && s.toks[1].Is("OR") && s.toks[2].Is("REPLACE"):
		kind := strings.TrimPrefix(s.Kind, "CREATE ")
		p.report(found{message: "SQLite has no CREATE OR REPLACE", remedy: "DROP " + kind + " IF EXISTS " + s.Name.Text + ";"})
		return
	case s.Kind != "ALTER TABLE":
		return
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		what := ""
		switch a.Kind {
		case tldwdblint.ActionAlterType:
			what = "change of a column's type"
		case tldwdblint.ActionSetDefault, tldwdblint.ActionDropDefault:
			what = "change of a default"
		case tldwdblint.ActionAddIndex:
			what = "ADD INDEX"
		case tldwdblint.ActionAddConstraint:
			if a.Constraint.Kind != tldwdblint.ConstraintCheck && a.Constraint.Kind != tldwdblint.ConstraintNotNull {
				what = "ADD " + string(a.Constraint.Kind)
			}
		}
		if a.IfExists || a.IfNotExists {
			what = "IF EXISTS in ALTER TABLE"
		}
		if what != "" {
			p.report(found{action: a, message: "SQLite has no " + what, remedy: rebuildOf(s)})
		}
	}
	if len(s.Actions) > 1 && !s.Actions[1].IfExists {
		p.report(found{action: &s.Actions[1], message: "SQLite does one thing in an ALTER TABLE: write a statement for each"})
	}
}

// rebuildOf is the frame of a rebuild.
func rebuildOf(s *stmt) string {
	return fmt.Sprintf("CREATE TABLE %[2]s (…); -- as %[1]s is to be\nINSERT INTO %[2]s (…) SELECT … FROM %[1]s;\nDROP TABLE %[1]s;\nALTER TABLE %[2]s RENAME TO %[1]s;\n-- and its indexes and triggers again",
		s.Table.Text, "new_"+strings.Trim(s.Table.Name, `"`))
}

// refersToNoKey reports whether a foreign key refers to columns of a known table that are no key of it.
func (p *pass) refersToNoKey(s *stmt, parent tldwdblint.Name, columns []string) bool {
	t := p.schema.table(parent)
	if t == nil || len(columns) == 0 || t.text == "" || key(parent) == key(s.Table) {
		return false
	}
	if c := t.column(columns[0]); len(columns) == 1 && c != nil && (c.primaryKey || c.unique) {
		return false
	}
	same := func(list []string) bool { return slices.EqualFunc(list, columns, strings.EqualFold) }
	for _, k := range t.constraints {
		if (k.Kind == tldwdblint.ConstraintPrimaryKey || k.Kind == tldwdblint.ConstraintUnique) && same(k.Columns) {
			return false
		}
	}
	for _, x := range t.indexes {
		if x.unique && !x.partial && same(x.columns) {
			return false
		}
	}
	return true
}
