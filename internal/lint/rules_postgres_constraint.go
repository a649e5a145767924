package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/tldwdblint"
)

// alterTable are the statements that change tables.
var alterTable = []string{"ALTER TABLE"}

// postgresConstraintRules are PG2xx.
var postgresConstraintRules = []*rule{
	{
		id: "PG201", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a foreign key is checked while nobody can write to either table",
		breaks: "ADD FOREIGN KEY takes a SHARE ROW EXCLUSIVE lock on both tables, and holds it while every row is looked up in the other one. So does a column that is " +
			"added with REFERENCES and a DEFAULT.",
		instead: "Add it NOT VALID, which looks at no row, and validate it in the next migration: that takes locks which writers do not meet.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES"},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Constraint
				switch {
				case c.Kind == tldwdblint.ConstraintForeignKey && !c.NotValid:
					f := found{action: a, message: "nobody can write to " + s.Table.Text + " and " + c.References.Text + " while every row is looked up", fix: p.notValid(s, a)}
					if p.partitioned(s.Table) && !p.from(postgres, "18") { // which refuses NOT VALID there
						f.fix, f.remedy = nil, "-- for each partition, in a file of its own:\nALTER TABLE partition_1 "+a.Text+" NOT VALID;\n-- and in the next one:\nALTER TABLE partition_1 VALIDATE CONSTRAINT …;\n"+
							"-- then this, which takes theirs over:\n"+s.Text+";"
					}
					p.report(f)
				case a.Kind == tldwdblint.ActionAddColumn && !a.Column.References.IsZero() && a.Column.Default != "" && !strings.EqualFold(a.Column.Default, "null"):
					p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " and " + a.Column.References.Text + " while the default is looked up for every row",
						remedy: "-- add the column without REFERENCES, then:\nALTER TABLE " + s.Table.Text + " ADD FOREIGN KEY (" + a.Column.Text + ") REFERENCES " + a.Column.References.Text +
							" NOT VALID;\n-- in the next migration:\nALTER TABLE " + s.Table.Text + " VALIDATE CONSTRAINT " + s.Table.Name + "_" + a.Column.Name + "_fkey;"})
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG202", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a CHECK is verified while nobody can read or write",
		breaks:  "ADD CONSTRAINT … CHECK reads the whole table under an ACCESS EXCLUSIVE lock. So does a column that is added with a CHECK.",
		instead: "Add it NOT VALID, which reads nothing and holds for new rows at once, and validate it in the next migration: writers go on meanwhile.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				switch c := a.Constraint; {
				case c.Kind == tldwdblint.ConstraintCheck && !c.NotValid:
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while every row is checked", fix: p.notValid(s, a)})
				case a.Column.Check != "":
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while every row is checked",
						remedy: "-- add the column without CHECK, then:\n" + notValidText(s, ident(s.Table.Name+"_"+a.Column.Name+"_check"), "CHECK ("+a.Column.Check+")").text()})
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG203", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a constraint is validated under the lock that added it",
		breaks: "VALIDATE CONSTRAINT alone lets writers go on. In the transaction that added the constraint, or changed the table otherwise, the lock of that " +
			"change is held until the whole table has been read.",
		instead: "Put VALIDATE CONSTRAINT into the next migration.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || !s.Transaction {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				held := len(s.Actions) > 1
				for i := range s.order {
					before := &p.statements[i]
					held = held || key(before.Table) == key(s.Table) && locksTable(before)
				}
				if held {
					p.report(found{action: a, message: s.Table.Text + " stays locked by what this migration did to it before, until every row is read",
						fix: fix{{name: "validate_" + a.Constraint.Name.Name, up: alterHead(s) + "VALIDATE CONSTRAINT " + a.Constraint.Name.Text, down: nothing}}})
				}
			}, tldwdblint.ActionValidateConstraint)
		},
	},
	{
		id: "PG204", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "SET NOT NULL reads the table while nobody can read or write",
		breaks: "SET NOT NULL looks for nulls in the whole table under an ACCESS EXCLUSIVE lock, unless a valid constraint CHECK (column IS NOT NULL) says " +
			"already that there are none. A constraint that the same statement drops says nothing: it is dropped first. Where there is a null, it fails.",
		instead: "Add such a CHECK as NOT VALID, validate it in the next migration, then SET NOT NULL, and drop the CHECK in a statement behind it. From PostgreSQL 18 on NOT NULL itself can be added NOT VALID.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-altertable.html"},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				switch {
				case a.Kind == tldwdblint.ActionAddConstraint && (a.Constraint.Kind != tldwdblint.ConstraintNotNull || a.Constraint.NotValid):
				case a.Kind == tldwdblint.ActionAddConstraint:
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while it is searched for nulls", fix: p.notValid(s, a)})
				case p.neverNull(s.Table, a.Column.Name, s):
				case p.neverNull(s.Table, a.Column.Name, nil):
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while it is searched for nulls in " + a.Column.Text + ": the constraint that says there are none is dropped first",
						remedy: "-- one after the other, in the same file:\n" + alterHead(s) + a.Text + ";\n" + alterHead(s) + "DROP CONSTRAINT …;"})
				default:
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while it is searched for nulls in " + a.Column.Text, fix: p.notNull(s, a)})
				}
			}, tldwdblint.ActionSetNotNull, tldwdblint.ActionAddConstraint)
		},
	},
	{
		id: "PG205", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "the index of a UNIQUE constraint is built while nobody can read or write",
		breaks:  "ADD UNIQUE builds its index under an ACCESS EXCLUSIVE lock. So does a column that is added with UNIQUE.",
		instead: "Build a unique index with CONCURRENTLY, and make it the constraint's with USING INDEX: that takes the lock for a moment.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Constraint
				columns, name := idents(c.Columns), c.Name.Text
				switch {
				case c.Kind == tldwdblint.ConstraintUnique && c.UsingIndex == "":
				case a.Column.Unique:
					columns = a.Column.Text
				default:
					return
				}
				if name == "" {
					name = ident(s.Table.Name + "_" + strings.ReplaceAll(strings.ReplaceAll(columns, ", ", "_"), `"`, "") + "_key")
				}
				f := found{action: a, message: "nobody can read or write " + s.Table.Text + " while the index is built"}
				pieces := constraintByIndex(s, name, columns, "UNIQUE")
				switch {
				case p.partitioned(s.Table):
					if hasWords(s, "TABLE", "ONLY") {
						return
					}
					f.remedy = constraintByPartitions(s, name, columns, "UNIQUE")
				case a.Kind == tldwdblint.ActionAddColumn:
					f.remedy = "-- add the column without UNIQUE, then:\n" + pieces.text()
				default:
					f.fix = pieces
				}
				p.report(f)
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG206", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a primary key is built while nobody can read or write",
		breaks: "ADD PRIMARY KEY builds its index under an ACCESS EXCLUSIVE lock, and searches columns that may be null for nulls. With USING INDEX only the " +
			"search is left, and that is over at once where the columns are NOT NULL already.",
		instead: "Make the columns NOT NULL first (PG204), build a unique index with CONCURRENTLY, and make it the primary key with USING INDEX.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Constraint
				switch {
				case c.Kind == tldwdblint.ConstraintPrimaryKey && c.UsingIndex == "":
					name := c.Name.Text
					if name == "" {
						name = ident(s.Table.Name + "_pkey")
					}
					f := found{action: a, message: "nobody can read or write " + s.Table.Text + " while the index of the key is built"}
					if !p.partitioned(s.Table) {
						f.fix = constraintByIndex(s, name, idents(c.Columns), "PRIMARY KEY")
					} else if f.remedy = constraintByPartitions(s, name, idents(c.Columns), "PRIMARY KEY"); hasWords(s, "TABLE", "ONLY") {
						return
					}
					p.report(f)
				case c.Kind == tldwdblint.ConstraintPrimaryKey:
					if column := p.nullable(s.Table, c.UsingIndex); column != "" {
						p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while it is searched for nulls in " + column,
							remedy: "-- before:\n" + p.notNull(s, &tldwdblint.Action{Column: tldwdblint.Column{Name: column, Text: column}}).text()})
					}
				case a.Column.PrimaryKey:
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while every row gets its key",
						remedy: "-- add the column without PRIMARY KEY, fill it in batches, and then:\n" + constraintByIndex(s, s.Table.Name+"_pkey", a.Column.Text, "PRIMARY KEY").text()})
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG207", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "the index of an EXCLUDE constraint is built while nobody can read or write",
		breaks:  "ADD … EXCLUDE builds its index under an ACCESS EXCLUSIVE lock. It takes neither NOT VALID nor USING INDEX.",
		instead: "Declare it when the table is made. For one that is in use: a new table with the constraint and a copy of the rows, or an hour when nobody is there.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if a.Constraint.Kind == tldwdblint.ConstraintExclude {
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while the index is built, and there is no way to do it online"})
				}
			}, tldwdblint.ActionAddConstraint)
		},
	},
	{
		id: "PG208", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "DROP TABLE"},
		title: "dropping a foreign key locks the other table too",
		breaks: "DROP CONSTRAINT of a foreign key, and DROP TABLE of a table that has one, take an ACCESS EXCLUSIVE lock on the referenced table as well: " +
			"often the busiest one there is. The drop is quick; what waits behind it while it waits is not.",
		instead: "Give it a migration of its own, so that nothing else is locked meanwhile; Config.LockTimeout ends the waiting after two seconds and tries again. Drop the keys of a table one by one before the table.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			alone := len(p.statements) == 1
			if s.Kind == "DROP TABLE" {
				for _, n := range s.Names {
					if others := p.referenced(n); len(others) > 0 && !p.isNew(n) && (!alone || len(others) > 1) {
						p.report(found{message: "this locks " + strings.Join(others, ", ") + " against readers and writers as well"})
					}
				}
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if other := p.referencedBy(s.Table, a.Constraint.Name); other != "" && (!alone || len(s.Actions) > 1) {
					p.report(found{action: a, message: "this locks " + other + " against readers and writers as well",
						fix: fix{{name: "drop_" + a.Constraint.Name.Name, up: alterHead(s) + a.Text}}})
				}
			}, tldwdblint.ActionDropConstraint)
		},
	},
	{
		id: "PG209", on: onPostgres, severity: tldwdblint.SeverityWarning,
		title: "foreign keys to several tables are added in one transaction",
		breaks: "Each takes a SHARE ROW EXCLUSIVE lock on the table that it refers to, and all of them are held to the end. Programs that write to the same tables " +
			"in another order meet them in a deadlock.",
		instead: "One foreign key in each migration.",
		file: func(p *pass) {
			if !p.transact {
				return
			}
			var first string
			for i := range p.statements {
				s := &p.statements[i]
				if s.Kind != "ALTER TABLE" {
					continue
				}
				actions(s, func(a *tldwdblint.Action) {
					other := a.Constraint.References
					if a.Constraint.Kind != tldwdblint.ConstraintForeignKey || p.isNew(other) || s.NewTable {
						return
					}
					switch {
					case first == "":
						first = other.Text
					case key(other) != strings.ToLower(first) && other.Text != first:
						p.reportAt(s, found{action: a, message: "this transaction holds " + first + " as well: two programs in another order are a deadlock",
							fix: fix{{name: "foreign_key_" + other.Name, up: alterHead(s) + a.Text}}})
					}
				}, tldwdblint.ActionAddConstraint)
			}
		},
	},
	{
		id: "PG210", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE TABLE"},
		title:   "a foreign key's column has another type than what it refers to",
		breaks:  "Every check converts the value, and an integer that refers to a bigint is full before the other one is: the day comes when rows cannot be referred to.",
		instead: "Give the column the type of the one that it refers to.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				c := a.Constraint
				columns, references, ref := c.Columns, c.References, c.RefColumns
				if a.Kind == tldwdblint.ActionAddColumn {
					columns, references, ref = []string{a.Column.Name}, a.Column.References, a.Column.RefColumns
				}
				if references.IsZero() {
					return
				}
				if len(ref) == 0 {
					ref = p.primaryKey(references)
				}
				for i := range min(len(columns), len(ref)) {
					from, to := p.typeIn(s, columns[i]), ""
					if other := p.schema.column(references, ref[i]); other != nil {
						to = other.kind
					}
					if from != "" && to != "" && parseType(from).family() != parseType(to).family() {
						p.report(found{action: a, message: columns[i] + " is " + from + ", and " + references.Text + "." + ref[i] + " is " + to})
					}
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG211", on: onPostgres, severity: tldwdblint.SeverityNotice, kinds: []string{"ALTER TABLE", "CREATE TABLE"},
		title:   "a foreign key has no index on its own side",
		breaks:  "Every DELETE and every change of the key in the other table reads the whole of this one, to find the rows that refer to it.",
		instead: "Index the column, with CONCURRENTLY where the table is not new. A later migration may do it: only what is there after the last one counts.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				columns, other := a.Constraint.Columns, a.Constraint.References
				if a.Kind == tldwdblint.ActionAddColumn {
					columns, other = []string{a.Column.Name}, a.Column.References
				}
				if other.IsZero() || len(columns) == 0 || a.Column.PrimaryKey || a.Column.Unique || p.down {
					return
				}
				table := s.Table
				name, how := ident(table.Name+"_"+strings.Join(columns, "_")), "CREATE INDEX CONCURRENTLY %s ON %s (%s);"
				if p.partitioned(table) { // of which it is refused; PG109 goes on
					how = "CREATE INDEX %s ON ONLY %s (%s);\n-- then one for each partition, with CONCURRENTLY, and ATTACH PARTITION"
				}
				p.later(found{
					action: a, message: "every DELETE in " + other.Text + " reads all of " + table.Text,
					remedy: fmt.Sprintf(how, name, table.Text, idents(columns)),
				}, func(schema *schema) bool {
					t := schema.table(table)
					return t != nil && !t.partial && !schema.indexed(table, columns)
				})
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG212", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER DOMAIN", "CREATE DOMAIN"},
		title: "a domain's constraint reads every table that uses it",
		breaks: "ALTER DOMAIN … ADD CONSTRAINT or SET NOT NULL locks all tables with columns of the domain against writers while it reads them. So does VALIDATE CONSTRAINT, up to PostgreSQL 18 at least. " +
			"Adding a column of a domain that has a constraint writes the whole table anew.",
		instead: "Add the constraint NOT VALID, which reads nothing and holds for new values at once, and leave it so, or validate it when nobody writes. " +
			"For new things: a plain type, with a CHECK on the column, which can be validated beside the writers.",
		stmt: func(p *pass, s *stmt) {
			if s.Kind == "CREATE DOMAIN" {
				if hasWords(s, "CHECK") || hasWords(s, "NOT", "NULL") {
					p.report(found{severity: tldwdblint.SeverityNotice, message: "a constraint on a domain is hard to change later: it reads every table that uses it"})
				}
				return
			}
			f := found{message: "every table with a column of " + s.Name.Text + " is locked and read"}
			adds := hasWords(s, "ADD", "CONSTRAINT") || hasWords(s, "ADD", "CHECK")
			switch {
			case adds && !hasWords(s, "NOT", "VALID"):
				f.remedy = s.Text + " NOT VALID;"
			case hasWords(s, "SET", "NOT", "NULL"):
				f.remedy = "ALTER DOMAIN " + s.Name.Text + " ADD CONSTRAINT " + s.Name.Name + "_not_null CHECK (VALUE IS NOT NULL) NOT VALID;"
			case !hasWords(s, "VALIDATE", "CONSTRAINT"):
				return
			}
			p.report(f)
		},
	},
}

// alterHead is how an ALTER TABLE begins, with the blank behind it.
func alterHead(s *stmt) string { return "ALTER TABLE " + s.Table.Text + " " }

// notValid adds a constraint without looking at the rows, and looks at them afterwards.
func (p *pass) notValid(s *stmt, a *tldwdblint.Action) fix {
	c := a.Constraint
	name := c.Name.Text
	definition := a.Text
	if i := strings.Index(upper(definition), "ADD"); i >= 0 {
		definition = strings.TrimSpace(definition[i+len("ADD"):])
	}
	if name == "" {
		switch c.Kind {
		case tldwdblint.ConstraintForeignKey:
			name = ident(s.Table.Name + "_" + strings.Join(c.Columns, "_") + "_fkey")
		case tldwdblint.ConstraintNotNull:
			name = ident(s.Table.Name + "_" + strings.Join(c.Columns, "_") + "_not_null")
		default:
			name = ident(p.checkName(s.Table, c.Check))
		}
		return notValidText(s, name, definition)
	}
	return fix{
		{name: "add_" + c.Name.Name, up: alterHead(s) + a.Text + " NOT VALID", down: alterHead(s) + "DROP CONSTRAINT " + name},
		{name: "validate_" + c.Name.Name, up: alterHead(s) + "VALIDATE CONSTRAINT " + name, down: nothing},
	}
}

// checkName is the name that the server gives to a CHECK without one: with the column in it where there is only one.
func (p *pass) checkName(n tldwdblint.Name, expression string) string {
	var named []string
	if t := p.schema.table(n); t != nil {
		for _, c := range t.columns {
			if mentions(expression, c.name) {
				named = append(named, c.name)
			}
		}
	}
	if len(named) == 1 && named[0] != "" {
		return n.Name + "_" + named[0] + "_check"
	}
	return n.Name + "_check"
}

func idents(names []string) string {
	list := make([]string, len(names))
	for i, n := range names {
		list[i] = ident(n)
	}
	return strings.Join(list, ", ")
}

// ident writes a name, in quotes where it needs them.
func ident(name string) string {
	for i, c := range name {
		if c != '_' && (c < 'a' || c > 'z') && (i == 0 || c < '0' || c > '9') {
			return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
		}
	}
	return name
}

func notValidText(s *stmt, name, definition string) fix {
	return fix{
		{name: "add_" + name, up: alterHead(s) + "ADD CONSTRAINT " + name + " " + definition + " NOT VALID", down: alterHead(s) + "DROP CONSTRAINT " + name},
		{name: "validate_" + name, up: alterHead(s) + "VALIDATE CONSTRAINT " + name, down: nothing},
	}
}

// constraintByIndex builds the index of a constraint first.
func constraintByIndex(s *stmt, name, columns, kind string) fix {
	return fix{
		{name: "index_" + strings.Trim(name, `"`), alone: true, up: "CREATE UNIQUE INDEX CONCURRENTLY " + name + " ON " + s.Table.Text + " (" + columns + ")",
			down: "DROP INDEX CONCURRENTLY IF EXISTS " + withSchema(s.Table, tldwdblint.Name{Text: name})},
		{name: "add_" + strings.Trim(name, `"`), up: alterHead(s) + "ADD CONSTRAINT " + name + " " + kind + " USING INDEX " + name, down: alterHead(s) + "DROP CONSTRAINT " + name},
	}
}

// constraintByPartitions is constraintByIndex for a partitioned table, which takes no index
// for a constraint, and none that is built with CONCURRENTLY.
func constraintByPartitions(s *stmt, name, columns, kind string) string {
	one := suffixed(name, "_p1")
	return "ALTER TABLE ONLY " + s.Table.Text + " ADD CONSTRAINT " + name + " " + kind + " (" + columns + ");\n-- then for each partition, in files of their own:\n" +
		"CREATE UNIQUE INDEX CONCURRENTLY " + one + " ON partition_1 (" + columns + ");\nALTER TABLE partition_1 ADD CONSTRAINT " + one + " " + kind + " USING INDEX " + one + ";\n" +
		"ALTER INDEX " + withSchema(s.Table, tldwdblint.Name{Text: name}) + " ATTACH PARTITION " + one + ";"
}

// notNull makes a column NOT NULL by way of a constraint that is validated.
func (p *pass) notNull(s *stmt, a *tldwdblint.Action) fix {
	column := a.Column.Text
	name := ident(s.Table.Name + "_" + a.Column.Name + "_not_null")
	back := alterHead(s) + "ALTER COLUMN " + column + " DROP NOT NULL"
	if p.from(postgres, "18") {
		return fix{
			{name: "add_" + name, up: alterHead(s) + "ADD CONSTRAINT " + name + " NOT NULL " + column + " NOT VALID", down: back},
			{name: "validate_" + name, up: alterHead(s) + "VALIDATE CONSTRAINT " + name, down: nothing},
		}
	}
	add := alterHead(s) + "ADD CONSTRAINT " + name + " CHECK (" + column + " IS NOT NULL) NOT VALID"
	return fix{
		{name: "add_" + name, up: add, down: alterHead(s) + "DROP CONSTRAINT " + name},
		{name: "validate_" + name, up: alterHead(s) + "VALIDATE CONSTRAINT " + name, down: nothing},
		{name: "set_" + name, up: alterHead(s) + "ALTER COLUMN " + column + " SET NOT NULL;\n" + alterHead(s) + "DROP CONSTRAINT " + name, down: back + ";\n" + add},
	}
}

// neverNull reports whether the server knows already that there are no nulls in a column. What a statement drops beside asking, it
// does not know any more; nil is no such statement.
func (p *pass) neverNull(n tldwdblint.Name, column string, drops *stmt) bool {
	t := p.schema.table(n)
	if t == nil {
		return false
	}
	if c := t.column(column); c != nil && c.notNull {
		return true
	}
	for _, c := range t.constraints {
		if drops != nil && dropsConstraint(drops, c.Name.Name) {
			continue
		}
		words := strings.Fields(strings.ToLower(strings.NewReplacer(`"`, "", "(", " ", ")", " ").Replace(c.Check)))
		if c.valid && len(words) == 4 && words[0] == strings.ToLower(column) && slices.Equal(words[1:], []string{"is", "not", "null"}) {
			return true
		}
		if (c.valid && c.Kind == tldwdblint.ConstraintNotNull || c.Kind == tldwdblint.ConstraintPrimaryKey) && slices.ContainsFunc(c.Columns, func(name string) bool { return strings.EqualFold(name, column) }) {
			return true
		}
	}
	return false
}

// nullable is a column of an index that is known to take nulls.
func (p *pass) nullable(n tldwdblint.Name, indexName string) string {
	x, t := p.schema.indexes[strings.ToLower(indexName)], p.schema.table(n)
	if x == nil || t == nil {
		return ""
	}
	for _, name := range x.columns {
		if c := t.column(name); c != nil && c.kind != "" && !p.neverNull(n, name, nil) {
			return name
		}
	}
	return ""
}

// locksTable reports whether a statement leaves a lock on its table that stops writers, until its transaction ends.
func locksTable(s *stmt) bool {
	switch s.Kind {
	case "ALTER TABLE":
		return slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool { return a.Kind != tldwdblint.ActionValidateConstraint })
	case "CREATE INDEX", "DROP INDEX", "CREATE TRIGGER", "DROP TRIGGER", "TRUNCATE", "CLUSTER", "DROP TABLE":
		return true
	case "LOCK":
		return lockStops(s) != ""
	}
	return false
}

// referenced are the tables that a table's foreign keys refer to, as far as they are known.
func (p *pass) referenced(n tldwdblint.Name) (list []string) {
	t := p.schema.table(n)
	if t == nil {
		return nil
	}
	add := func(other tldwdblint.Name) {
		if !other.IsZero() && key(other) != key(n) && !p.isNew(other) && !slices.Contains(list, other.Text) {
			list = append(list, other.Text)
		}
	}
	for _, c := range t.constraints {
		add(c.References)
	}
	for _, c := range t.columns {
		add(c.references)
	}
	slices.Sort(list)
	return list
}

// referencedBy is the table that a foreign key refers to, or words for it; empty where it is none.
func (p *pass) referencedBy(n, name tldwdblint.Name) string {
	lower := strings.ToLower(name.Name)
	if t := p.schema.table(n); t != nil {
		if c := t.constraint(lower); c != nil {
			return c.References.Text
		}
		for _, c := range t.columns {
			if lower == strings.ToLower(t.name.Name+"_"+c.name+"_fkey") {
				return c.references.Text
			}
		}
	}
	if strings.HasSuffix(lower, "_fkey") || strings.HasSuffix(lower, "_fk") || strings.HasPrefix(lower, "fk_") {
		return "the table that it refers to"
	}
	return ""
}

// primaryKey are the columns of a table's key, as far as they are known.
func (p *pass) primaryKey(n tldwdblint.Name) []string {
	t := p.schema.table(n)
	if t == nil {
		return nil
	}
	for _, c := range t.constraints {
		if c.Kind == tldwdblint.ConstraintPrimaryKey {
			return c.Columns
		}
	}
	for _, c := range t.columns {
		if c.primaryKey {
			return []string{c.name}
		}
	}
	return nil
}

// typeIn is the type of a column of a statement's table: as the statement says, or as it was before.
func (p *pass) typeIn(s *stmt, name string) string {
	for i := range s.Actions {
		if a := &s.Actions[i]; a.Kind == tldwdblint.ActionAddColumn && strings.EqualFold(a.Column.Name, name) {
			return a.Column.Type
		}
	}
	if c := p.schema.column(s.Table, name); c != nil {
		return c.kind
	}
	return ""
}

// indexed reports whether an index, or a key, begins with these columns.
func (s *schema) indexed(n tldwdblint.Name, columns []string) bool {
	covers := func(list []string) bool {
		if len(list) < len(columns) {
			return false
		}
		for _, name := range columns { // in any order
			if !slices.ContainsFunc(list[:len(columns)], func(other string) bool { return strings.EqualFold(name, other) }) {
				return false
			}
		}
		return true
	}
	t := s.table(n)
	for _, c := range t.constraints {
		if (c.Kind == tldwdblint.ConstraintUnique || c.Kind == tldwdblint.ConstraintPrimaryKey) && covers(c.Columns) {
			return true
		}
	}
	for _, c := range t.columns {
		if (c.unique || c.primaryKey) && covers([]string{c.name}) {
			return true
		}
	}
	table := key(n)
	for _, x := range s.indexes {
		if x.table == table && covers(x.columns) {
			return true
		}
	}
	return false
}
