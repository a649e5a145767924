package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// How the servers carry out an ALTER TABLE is in mysqlddl.go; here is what to say about it.

var (
	onMySQLFamily = []on{{dialect: mysql}, {dialect: mariadb}}
	onMariaDB     = []on{{dialect: mariadb}}
)

// Kinds of statements that several rules look at.
var (
	inTables = []string{"CREATE TABLE", "ALTER TABLE"}
)

const (
	onlineDDL      = "https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html"
	onlineDDLMaria = "https://mariadb.com/kb/en/innodb-online-ddl-overview/"
)

// mysqlRules are about MySQL and MariaDB.
var mysqlRules = []*rule{
	{
		id: "MY101", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable, forward: true,
		title: "a column is added NOT NULL without a default",
		breaks: "The rows that are there get a value that nobody has chosen: 0, an empty string, the first of an ENUM; on MariaDB also the date 0000-00-00. " +
			"MySQL refuses dates and timestamps with error 1292, but only where there are rows: an empty database in a test takes it. " +
			"A JSON column gets an empty string on MariaDB, which is not JSON: from then on every UPDATE of such a row, and every ALTER TABLE that copies the table, fails with error 4025. " +
			"Programs that do not know the column yet fail with error 1364 at their next INSERT.",
		instead: "Say the default, or add the column so that it may be NULL and make it NOT NULL when every row has its value.",
		stmt:    addedWithoutDefault,
	},
	{
		id: "MY102", on: []on{{dialect: mysql, until: "9.0"}}, severity: tldwdblint.SeverityError, kinds: inTables,
		title:   "REFERENCES behind a column makes no foreign key",
		breaks:  "MySQL before 9.0 reads REFERENCES in a column's definition and forgets it, without a warning: there is no foreign key. MariaDB (since 10.5) and MySQL 9.0 make one.",
		instead: "Write FOREIGN KEY as a part of its own.",
		see:     []string{"https://dev.mysql.com/doc/refman/8.4/en/create-table-foreign-keys.html"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if !a.Column.References.IsZero() {
					p.report(found{
						action: a, message: "MySQL before 9.0 ignores this REFERENCES: there will be no foreign key on " + a.Column.Text,
						remedy: foreignKey(s, a),
					})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY103", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a column's type is changed by copying the table",
		breaks: "The table is copied row by row, and nobody can write to it meanwhile; replicas do the same once more afterwards, and lag. MariaDB lets writers go on since 11.2. " +
			"Where the column's old type is in none of the files it is taken for another one. " +
			"Not copied are: a longer VARCHAR within its byte of length (MY104), values at the end of an ENUM or SET, another default or comment.",
		instead: "Add a column of the new type, write both in the program, copy the values in batches, and swap the names. Or let a tool (gh-ost, pt-online-schema-change, spirit) copy the table. " +
			"Where the type does not really change, say `LOCK=NONE`: then the server refuses rather than stop the writers, and this rule is silent.",
		see:  []string{onlineDDL, onlineDDLMaria},
		stmt: func(p *pass, s *stmt) { p.typeChange(s, "MY103") },
	},
	{
		id: "MY104", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a VARCHAR grows over the limit of its length byte",
		breaks: "Up to 255 bytes a value's length takes one byte in the row, beyond that two: 63 characters of utf8mb4, 85 of utf8mb3, 255 of latin1. " +
			"Growth over that limit copies the table, and nobody can write to it meanwhile; growth on one side of it touches no row. MariaDB copies only where the old column could hold more than 127 bytes, and since 11.2 beside the writers.",
		instead: "Stay on this side of the limit, or do as for any other type: a new column, filled in batches.",
		see:     []string{onlineDDL, onlineDDLMaria},
		stmt:    func(p *pass, s *stmt) { p.typeChange(s, "MY104") },
	},
	{
		id: "MY105", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a foreign key is added by copying the table",
		breaks: "With foreign_key_checks on, the table is copied while every row is compared with the other table, and nobody can write to it meanwhile. " +
			"MariaDB lets writers go on since 11.2.",
		instead: "Look for rows without a parent first. Then add the key with foreign_key_checks off, which writes the catalogue alone; it holds for all that is written from then on.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || guarded(s) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				child, parent := strings.Join(a.Constraint.Columns, ", "), a.Constraint.References
				if a.Kind == tldwdblint.ActionAddColumn {
					child, parent = a.Column.Text, a.Column.References
				}
				if parent.IsZero() || p.born[key(parent)] && a.Kind == tldwdblint.ActionAddColumn || !p.way(s, a).blocks() {
					return
				}
				p.report(found{
					action: a, message: "nobody can write to " + s.Table.Text + " while it is copied and compared with " + parent.Text,
					remedy: p.uncheckedKey(s, a, child, parent.Text),
				})
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY106", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a CHECK is added by copying the table",
		breaks: "ADD CHECK copies the whole table, and nobody can write to it meanwhile; so does ALTER CHECK … ENFORCED on MySQL, so that a constraint that was added NOT ENFORCED has only put it off. " +
			"MySQL copies for a CHECK on a new column too, MariaDB does not (see MY116). MariaDB lets writers go on since 11.2.",
		instead: "Have the constraint in CREATE TABLE. For a table that is there already: check in the program, or add it at an hour when nobody writes.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || guarded(s) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				check := a.Constraint.Kind == tldwdblint.ConstraintCheck || a.Column.Check != "" || a.Kind == tldwdblint.ActionOther && says(a.Text, "ENFORCED")
				if check && a.Column.References.IsZero() && !a.Column.Stored && p.way(s, a).blocks() {
					p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " while it is copied for this CHECK"})
				}
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionAddColumn, tldwdblint.ActionOther)
		},
	},
	{
		id: "MY107", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a STORED column is added by copying the table",
		breaks:  "A generated column that is stored has to be computed for every row: the table is copied, and nobody can write to it meanwhile. MariaDB lets writers go on since 11.2.",
		instead: "Make it VIRTUAL: that writes the catalogue alone, and an index on it holds the values as well.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || guarded(s) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if a.Column.Stored && p.way(s, a).blocks() {
					p.report(found{
						action: a, message: "nobody can write to " + s.Table.Text + " while " + a.Column.Text + " is computed for every row",
						remedy: fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s AS (%s) VIRTUAL, ALGORITHM=INSTANT;", s.Table.Text, a.Column.Text, a.Column.Type, a.Column.Generated),
					})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY108", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "an AUTO_INCREMENT column is added to a table with rows",
		breaks:  "The table is rebuilt to number its rows, and nobody can write to it meanwhile, on MariaDB 11.2 and later too. The numbers follow the order in which the rows are read: a replica that is fed with statements may give others.",
		instead: "Make a new table with the column, copy the rows into it in an order that you choose, and swap the names.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if a.Column.Identity || a.Column.Type == "serial" {
					p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " while its rows are numbered"})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY109", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a column is added with an expression for its default",
		breaks: "MySQL copies the table while nobody can write, and refuses expressions that differ from call to call (RAND, UUID) with error 1674. " +
			"MariaDB asks RAND() once, and gives all rows the same number; UUID() it asks for each row, and copies the table for it.",
		instead: "Add the column without a default, then set the default, which writes the catalogue alone and is asked for new rows; fill the old rows in batches.",
		see:     []string{"https://dev.mysql.com/doc/refman/8.4/en/data-type-defaults.html"},
		stmt:    expressionDefault,
	},
	{
		id: "MY110", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: alterTable, forward: true,
		title: "a value is taken out of an ENUM or a SET",
		breaks: "Rows that have the value make the statement fail with error 1265; with an sql_mode that is not strict they lose it, and hold an empty string afterwards. " +
			"Renaming a value is taking one out and adding another. The table is copied in any case.",
		instead: "Add the new value at the end, move the rows to it in batches, and leave the old value where it is.",
		stmt:    func(p *pass, s *stmt) { p.typeChange(s, "MY110") },
	},
	{
		id: "MY111", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "the values of an ENUM or a SET change their places",
		breaks: "The table is copied, and nobody can write to it meanwhile. Every row gets another number: what sorts by the column, compares it with a number or reads it raw sees something else. " +
			"A new value in the middle does the same.",
		instead: "Put new values at the end, in the order that is there: that writes the catalogue alone. Who wants another order sorts by FIELD() or joins a table.",
		stmt:    func(p *pass, s *stmt) { p.typeChange(s, "MY111") },
	},
	{
		id: "MY112", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "an ENUM or a SET outgrows its bytes",
		breaks:  "An ENUM takes one byte in a row for up to 255 values, and two for more; a SET takes a byte for every 8 values. Over such a limit the table is copied, and nobody can write to it meanwhile.",
		instead: "Move to a table of values and a foreign key: a list of this length is data.",
		stmt:    func(p *pass, s *stmt) { p.typeChange(s, "MY112") },
	},
	{
		id: "MY114", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: alterTable,
		title: "MODIFY or CHANGE loses what it does not repeat",
		breaks: "MODIFY and CHANGE replace the whole definition. NOT NULL, DEFAULT, AUTO_INCREMENT, ON UPDATE, UNSIGNED, the character set and the comment are gone where they are not said again, without a warning: " +
			"an identity column stops counting, a column takes NULL again.",
		instead: "Repeat all that is to stay. A default alone is changed with ALTER COLUMN … SET DEFAULT, a name alone with RENAME COLUMN: these touch nothing else.",
		stmt:    losesAttributes,
	},
	{
		id: "MY115", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: alterTable, forward: true,
		title: "a change of type cuts values without an error",
		breaks: "With a strict sql_mode too, the server rounds or cuts with a note that nobody reads: DATETIME to DATE loses the time, fewer digits of a second or of a DECIMAL are rounded away, " +
			"DOUBLE or DECIMAL to an integer loses the fraction, VARCHAR to CHAR the blanks at the end. There is no way back.",
		instead: "Add a column of the new type beside the old one, fill it with the rounding that you want, and drop the old one when nobody misses it.",
		stmt:    cutsValues,
	},
	{
		id: "MY116", on: onMariaDB, severity: tldwdblint.SeverityWarning, kinds: alterTable, forward: true,
		title:   "a CHECK on a new column is not asked about the rows that are there",
		breaks:  "MariaDB adds the column at once and gives every row the default without asking the CHECK. If the default breaks it, every later UPDATE of such a row fails with error 4025. MySQL refuses such a column.",
		instead: "Let the column be NULL, which no CHECK objects to, or be sure that the default passes.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := &a.Column
				if c.Check != "" && (c.NotNull || c.Default != "" && !strings.EqualFold(c.Default, "NULL")) {
					p.report(found{action: a, message: "MariaDB does not ask this CHECK about the rows that are there: if their value of " + c.Text + " breaks it, no UPDATE of them succeeds any more"})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY130", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a character set or a collation is changed by copying the table",
		breaks: "The table is copied, and nobody can write to it meanwhile. CONVERT TO also makes TEXT into MEDIUMTEXT where the new set has longer characters, " +
			"and under another collation values of a unique key can become equal: the statement fails with error 1062 when it has run for a while. " +
			"A set with fewer characters refuses what it has not, or makes question marks of it where sql_mode is not strict.",
		instead: "Change one column at a time by way of a new one, or let a tool copy the table. ALTER TABLE … DEFAULT CHARACTER SET is about new columns only, and touches no row.",
		see:     []string{onlineDDL},
		stmt:    convertsText,
	},
	{
		id: "MY131", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE INDEX"},
		title: "a FULLTEXT, SPATIAL or functional index is built while nobody can write",
		breaks: "Other indexes are built beside the writers; these are not: INSERT, UPDATE and DELETE wait until it is done. The first FULLTEXT index of a table rebuilds the table as well, " +
			"and a table with two of them can only be rebuilt by copying it from then on. " +
			"On MySQL an index on an expression is one on a hidden column that is added with it.",
		instead: "Build it at an hour when nobody writes. In the place of an expression: add a VIRTUAL column first, in a statement of its own, and index that.",
		see:     []string{onlineDDL},
		stmt:    blockingIndex,
	},
	{
		id: "MY132", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: alterTable,
		title: "the primary key is changed",
		breaks: "The table is in the order of its primary key: another key rebuilds it and every index of it. Writers go on, but it takes the time and the disk of a whole copy, and replicas lag. " +
			"Where the old key is dropped without a new one in the same statement, the table is copied while nobody can write, and row-based replication reads it whole for every changed row.",
		instead: "Drop and add in one statement, at an hour with room; for a large table by way of a tool.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if a.Constraint.Kind != tldwdblint.ConstraintPrimaryKey {
					return
				}
				f := found{action: a, message: s.Table.Text + " is rebuilt in the order of another primary key"}
				if a.Kind == tldwdblint.ActionDropConstraint {
					if addsPrimaryKey(s) {
						return // said about the new key
					}
					f.message = s.Table.Text + " is copied, and has no primary key then"
					if p.way(s, a).blocks() {
						f.message = "nobody can write to " + s.Table.Text + " while it is copied, and then it has no primary key"
					}
					f.severity = tldwdblint.SeverityWarning
				}
				p.report(f)
			}, tldwdblint.ActionAddConstraint, tldwdblint.ActionDropConstraint)
		},
	},
	{
		id: "MY133", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE INDEX", "DROP INDEX"},
		title:   "the server is told to stop the writers",
		breaks:  "ALGORITHM=COPY, LOCK=SHARED and LOCK=EXCLUSIVE make the server do what it would have done in a milder way, or hide that there is none.",
		instead: "Leave the clause out, or say `LOCK=NONE`: then the server refuses what it cannot do beside the writers.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			for _, o := range []struct{ word, value string }{{"ALGORITHM", "COPY"}, {"LOCK", "SHARED"}, {"LOCK", "EXCLUSIVE"}} {
				if option(s, o.word) == o.value && (o.value != "COPY" || option(s, "LOCK") != "NONE") {
					p.report(found{message: o.word + "=" + o.value + " stops everybody who writes to " + s.Table.Text})
					return
				}
			}
		},
	},
	{
		id: "MY134", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, optIn: true, kinds: alterTable,
		title: "ALTER TABLE does not say that it may stop nobody",
		breaks: "The server takes the mildest way that it has, and the mildest may be a copy with all writers waiting; which one it is depends on the version and on columns that the statement does not name. " +
			"Off by default: it is a style, and a good one.",
		instead: "End the statement with ALGORITHM=INSTANT or LOCK=NONE: where that is not possible the server refuses at once, in the test.",
		stmt: func(p *pass, s *stmt) {
			if !s.NewTable && option(s, "ALGORITHM") == "" && option(s, "LOCK") == "" {
				p.report(found{message: "nothing keeps the server from copying " + s.Table.Text + " while writers wait", remedy: strings.TrimRight(s.Text, "; \n") + ", LOCK=NONE;"})
			}
		},
	},
	{
		id: "MY136", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: alterTable, forward: true,
		title:   "a column that may be NULL becomes NOT NULL",
		breaks:  "A row with NULL makes the statement fail, after it has rebuilt part of the table: error 1138, or 1265 on MariaDB. With an sql_mode that is not strict the NULLs become 0 or an empty string without a word. Programs that still write NULL fail from then on.",
		instead: "First write the value everywhere and fill the old rows, in a migration before; have this one begin with a look that nothing is left.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				old := p.schema.defined(s.Table, a.Column.Name)
				if old == nil || old.NotNull || !a.Column.NotNull || p.filled(s.Table, a.Column.Name) {
					return
				}
				p.report(found{
					action: a, message: "this fails if any row of " + s.Table.Text + " has no " + a.Column.Text,
					remedy: fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s IS NULL;\n%s;", s.Table.Text, a.Column.Text, emptyValue(a), a.Column.Text, strings.TrimRight(s.Text, "; \n")),
				})
			}, tldwdblint.ActionAlterType)
		},
	},
	{
		id: "MY138", on: []on{{dialect: mysql}, {dialect: mariadb, since: "10.6"}}, severity: tldwdblint.SeverityNotice, optIn: true, kinds: []string{"ALTER TABLE", "DROP INDEX"}, forward: true,
		title:   "an index is dropped that could be hidden first",
		breaks:  "If a query needed it after all, building it again takes as long as the table is large. Off by default.",
		instead: "ALTER INDEX … INVISIBLE on MySQL, ALTER INDEX … IGNORED on MariaDB since 10.6: the optimiser passes it over, and one statement brings it back at once. Drop it a release later.",
		stmt: func(p *pass, s *stmt) {
			word := "INVISIBLE"
			if p.dialect == mariadb {
				word = "IGNORED"
			}
			if s.Kind == "DROP INDEX" && !s.Name.IsZero() {
				p.report(found{message: "the index is gone at once", remedy: fmt.Sprintf("ALTER TABLE %s ALTER INDEX %s %s;", s.Table.Text, s.Name.Text, word)})
			}
			actions(s, func(a *tldwdblint.Action) {
				p.report(found{action: a, message: "the index is gone at once", remedy: fmt.Sprintf("ALTER TABLE %s ALTER INDEX %s %s;", s.Table.Text, a.Constraint.Name.Text, word)})
			}, tldwdblint.ActionDropIndex)
		},
	},
	{
		id: "MY139", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE TABLE", "DROP TABLE", "DROP DATABASE", "DROP SCHEMA", "TRUNCATE"}, forward: true,
		title: "rows are deleted with what holds them",
		breaks: "DROP TABLE, DROP COLUMN, TRUNCATE, DROP PARTITION and TRUNCATE PARTITION delete rows or values at once, and no way back has them. Workers of the release before fail at a table or a column that is gone. " +
			"CREATE OR REPLACE TABLE on MariaDB drops the table that is there; DISCARD TABLESPACE takes all rows; EXCHANGE PARTITION … WITHOUT VALIDATION lets rows in that no query finds.",
		instead: "Drop in a release of its own, when no running program reads it any more, behind a backup, and say so in an assurance. Rows of a partition can be kept: EXCHANGE PARTITION moves them into a table of their own.",
		stmt:    losesRows,
	},
	{
		id: "MY140", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "RENAME TABLE"}, forward: true,
		title:   "a table or a column gets another name",
		breaks:  "Workers of the release before are still running, and every statement of theirs that has the old name fails with error 1146 or 1054 from this instant on. Views and triggers keep the old name, and fail when they are used.",
		instead: "Of a column: add the new one, write both, copy, and drop the old one a release later. Of a table: leave a view with the old name behind, in the same file.",
		stmt:    renames,
	},
	{
		id: "MY141", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: []string{"SET"},
		title: "sql_mode is set so that the server cuts values instead of refusing them",
		breaks: "Without STRICT_TRANS_TABLES a value that does not fit is made to fit: too large a number becomes the largest, too long a text loses its end, NULL becomes 0, an unknown value of an ENUM an empty string. " +
			"ALTER TABLE does that to all rows. The mode is put back at the end of the file, the values are not.",
		instead: "Leave sql_mode alone, or add to it: SET sql_mode = CONCAT(@@sql_mode, ',ANSI_QUOTES').",
		stmt: func(p *pass, s *stmt) {
			if value, ok := assigned(s, "sql_mode"); ok && !strings.Contains(upper(value), "STRICT_") && !strings.Contains(upper(value), "TRADITIONAL") && !strings.Contains(value, "@") {
				p.report(found{message: "from here on the server cuts values that do not fit"})
			}
		},
	},
	{
		id: "MY142", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: alterTable,
		title:   "ALTER IGNORE TABLE deletes rows",
		breaks:  "MariaDB deletes every row that a new unique key would refuse, but for the first that it meets; which one that is nobody has said. MySQL has not known the word since 5.7 (error 1064).",
		instead: "Find the duplicates with GROUP BY and HAVING, decide which of them stays, delete the others, and add the key.",
		stmt: func(p *pass, s *stmt) {
			if len(s.toks) > 2 && slices.ContainsFunc(s.toks[1:3], func(t sqlscan.Token) bool { return t.Is("IGNORE") }) {
				p.report(found{message: "rows that the change does not fit are deleted without a word"})
			}
		},
	},
	{
		id: "MY143", on: onMariaDB, severity: tldwdblint.SeverityWarning, kinds: []string{"DROP TABLE"},
		title:   "several tables are dropped in one statement",
		breaks:  "MariaDB drops one after the other: if one is missing or is needed by a foreign key, those before it are gone and the statement has failed. After a crash in the middle nobody can tell a half of it from the whole. MySQL 8 drops all or none.",
		instead: "One statement for each table: the journal then knows how far the file came.",
		stmt: func(p *pass, s *stmt) {
			if len(s.Names) > 1 {
				var each []string
				for _, n := range s.Names {
					exists := ""
					if s.IfExists {
						exists = "IF EXISTS "
					}
					each = append(each, "DROP TABLE "+exists+n.Text+";")
				}
				p.report(found{message: "if this fails at one table, those before it are gone", remedy: strings.Join(each, "\n")})
			}
		},
	},
	{
		id: "MY144", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"REPLACE"},
		title:   "REPLACE deletes the row that is there",
		breaks:  "REPLACE is a DELETE and an INSERT: rows of other tables that refer to it with ON DELETE CASCADE go with it, columns that are not named fall back to their defaults, an AUTO_INCREMENT number changes, triggers of both kinds run.",
		instead: "INSERT … ON DUPLICATE KEY UPDATE changes the row where it stands.",
		stmt: func(p *pass, s *stmt) {
			if !s.NewTable {
				p.report(found{message: "a row of " + s.Table.Text + " that is there is deleted first, and what hangs on it goes too"})
			}
		},
	},
	{
		id: "MY145", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE TABLE"},
		title: "a table is made from a SELECT",
		breaks: "The new table has neither keys nor AUTO_INCREMENT nor foreign keys nor CHECKs of the old one. While it is filled the rows that it reads are locked against writers. " +
			"After a crash in the middle the table may be there with a part of the rows: it is atomic since MySQL 8.0.21, and not on MariaDB.",
		instead: "CREATE TABLE … LIKE keeps keys, then fill it with INSERT … SELECT in batches.",
		stmt: func(p *pass, s *stmt) {
			if !s.Temporary && topLevel(s, "SELECT") {
				p.report(found{message: s.Name.Text + " gets no key of the table that it is made from, and that one's rows are locked meanwhile"})
			}
		},
	},
	{
		id: "MY146", on: onMySQLFamily, severity: tldwdblint.SeverityWarning,
		kinds: []string{"CREATE VIEW", "CREATE TRIGGER", "CREATE PROCEDURE", "CREATE FUNCTION", "CREATE EVENT", "ALTER VIEW", "ALTER EVENT"},
		title: "a DEFINER is named",
		breaks: "Who may not act for other accounts gets error 1227. Where it succeeds, the object runs with the rights of an account that another database may not have: " +
			"MySQL creates it with a warning and fails with error 1449 when it is used.",
		instead: "Leave DEFINER out: it is the account that migrates. Or let the object run with its caller's rights: SQL SECURITY INVOKER.",
		stmt:    namesDefiner,
	},
	{
		id: "MY147", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"INSERT", "REPLACE", "UPDATE", "DELETE", "LOAD", "DROP TABLE", "TRUNCATE"},
		title:   "rows change while foreign keys are not checked",
		breaks:  "What is written with foreign_key_checks off is never checked afterwards, not even by ALTER TABLE: rows without a parent stay, until an UPDATE of them, or a restore, fails years later. DROP TABLE leaves the keys of other tables pointing nowhere.",
		instead: "Put the rows of parents before those of children, and leave the checks on. Where that cannot be, look for orphans before the file ends.",
		stmt: func(p *pass, s *stmt) {
			if !s.NewTable && p.uncheckedKeys() {
				p.report(found{message: "foreign_key_checks is off: nobody checks this, now or later"})
			}
		},
	},
	{
		id: "MY148", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: []string{"SET"},
		title:   "a setting reaches beyond the migration",
		breaks:  "SET GLOBAL and SET PERSIST change the server for every database on it, and need rights that a migration should not have; nothing puts them back. sql_log_bin = 0 keeps what follows from every replica and from every point-in-time recovery.",
		instead: "Set the session's value: it is put back when the file is done. What belongs to the server belongs into its configuration.",
		stmt: func(p *pass, s *stmt) {
			for i, t := range s.toks {
				word := strings.ToUpper(strings.TrimLeft(t.Text, "@"))
				switch {
				case i > 0 && (s.toks[i-1].Is("SET") || s.toks[i-1].Text == ",") && (word == "GLOBAL" || word == "PERSIST" || word == "PERSIST_ONLY"),
					strings.HasPrefix(t.Text, "@@") && (strings.HasPrefix(word, "GLOBAL") || strings.HasPrefix(word, "PERSIST")) && i < 2:
					p.report(found{message: "this changes the server for everybody, and is not put back"})
					return
				}
			}
			if setTo(s, "sql_log_bin", false) {
				p.report(found{message: "no replica and no recovery sees what follows"})
			}
		},
	},
	{
		id: "MY149", on: onMySQLFamily, severity: tldwdblint.SeverityError, kinds: []string{"LOCK"},
		title:   "LOCK TABLES shuts the migration itself out",
		breaks:  "With LOCK TABLES a session may touch the tables that it names and no others: the history table is not among them, and its next entry fails with error 1100. UNLOCK TABLES, and any DDL, end it anyway.",
		instead: "Leave it out. Only one process migrates, and DDL locks its table by itself.",
		stmt: func(p *pass, s *stmt) {
			if len(s.toks) > 1 && (s.toks[1].Is("TABLES") || s.toks[1].Is("TABLE")) {
				p.report(found{message: "the history table is not among the tables that may be touched from here on"})
			}
		},
	},
	{
		id: "MY150", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE TABLE"},
		title: "a table has no primary key",
		breaks: "Row-based replication reads the whole table for every changed row; Group Replication and sql_require_primary_key refuse the table, Galera takes it and loses track of its rows. " +
			"Tools that change tables online need a key as well.",
		instead: "Give it one: a natural one, or an AUTO_INCREMENT column.",
		stmt:    noPrimaryKey,
	},
	{
		id: "MY151", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE TABLE", "ALTER TABLE"},
		title:   "a storage engine without transactions",
		breaks:  "MyISAM, MEMORY, CSV, ARCHIVE and Aria roll nothing back: a migration that fails in the middle of its rows leaves half of them, foreign keys are read and ignored, and after a crash tables have to be repaired, or are empty. A change of engine copies the table while nobody can write.",
		instead: "Leave ENGINE out, or write InnoDB.",
		stmt: func(p *pass, s *stmt) {
			switch engine := option(s, "ENGINE"); engine {
			case "MYISAM", "MEMORY", "HEAP", "CSV", "ARCHIVE", "ARIA", "MERGE", "MRG_MYISAM", "BLACKHOLE":
				if !s.Temporary {
					p.report(found{message: s.Name.Text + " will have no transactions: " + strings.ToLower(engine) + " has none"})
				}
			}
		},
	},
	{
		id: "MY152", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: inTables,
		title:   "a character set that has not all characters",
		breaks:  "utf8 and utf8mb3 have no characters of four bytes, latin1 and ascii hardly any: an emoji or a rare name is refused with error 1366, or becomes a question mark. Changing it later copies the table. What utf8 means changes with the server: MySQL warns that it will be utf8mb4.",
		instead: "utf8mb4. For columns that hold only codes, such as hexadecimal digits, ascii is right: say so on the column.",
		stmt: func(p *pass, s *stmt) {
			if !slices.ContainsFunc(s.toks, func(t sqlscan.Token) bool { return t.Is("CHARSET") || t.Is("CHARACTER") || t.Is("COLLATE") }) {
				return
			}
			if s.Kind == "CREATE TABLE" {
				p.reportSet(charset(tableOptions(s.Text)), found{})
			}
			actions(s, func(a *tldwdblint.Action) {
				switch set := charset(a.Text); set {
				case "ascii", "binary":
				default:
					p.reportSet(set, found{action: a})
				}
			}, tldwdblint.ActionAddColumn, tldwdblint.ActionAlterType, tldwdblint.ActionOption)
		},
	},
	{
		id: "MY153", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: inTables,
		title:   "an AUTO_INCREMENT key of four bytes or fewer",
		breaks:  "INT ends at 2,147,483,647: then every INSERT fails with error 1062 or 1467, and the change to BIGINT copies the table while nobody can write. Numbers are spent by failed inserts too.",
		instead: "BIGINT costs four bytes a row.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if !a.Column.Identity {
					return
				}
				switch t := readType(a.Column.Type); t.base {
				case "tinyint", "smallint", "mediumint", "int":
					if !s.IfNotExists || s.Kind == "CREATE TABLE" {
						p.report(found{action: a, message: a.Column.Text + " ends at " + lastOf(t)})
					}
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY154", on: []on{{dialect: mysql}, {dialect: mariadb, until: "11.5"}}, severity: tldwdblint.SeverityNotice, kinds: inTables, optIn: true,
		title:   "TIMESTAMP ends in January 2038",
		breaks:  "A TIMESTAMP holds seconds in 32 bits: 2038-01-19 03:14:07 UTC is its last. It is also shown in the session's time zone. MariaDB 11.5 goes up to 2106. Off by default: a time of creation has no trouble before 2038.",
		instead: "DATETIME, with values in UTC.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if readType(a.Column.Type).base == "timestamp" {
					p.report(found{action: a, message: a.Column.Text + " cannot hold a time after 2038-01-19"})
				}
			}, tldwdblint.ActionAddColumn, tldwdblint.ActionAlterType)
		},
	},
	{
		id: "MY156", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: []string{"CREATE TABLE", "ALTER TABLE", "CREATE INDEX"}, forward: true,
		title:   "an index is the beginning of another one",
		breaks:  "An index on (a) does nothing that one on (a, b) does not do, and every write pays for both.",
		instead: "Leave the shorter one out. A unique one stays: it forbids something.",
		stmt:    redundantIndex,
	},
	{
		id: "MY157", on: []on{{dialect: mysql, since: "8.4"}}, severity: tldwdblint.SeverityError, kinds: inTables,
		title:   "a foreign key refers to a column that is not unique",
		breaks:  "MySQL 8.4 and later refuse it with error 6125, unless restrict_fk_on_non_standard_key is off; MariaDB and older servers take it, and nobody can say which row is the parent.",
		instead: "Refer to the primary key or to a unique key with exactly these columns.",
		stmt:    refersToNonUnique,
	},
	{
		id: "MY160", on: onMySQLFamily, severity: tldwdblint.SeverityError,
		title:   "the other product's SQL",
		breaks:  "MySQL and MariaDB have grown apart: what one of them runs is a syntax error for the other. Files in a folder mysql/ run on both.",
		instead: "Say it in words that both know. Who runs one product only lints for that one: `--dialect mariadb`.",
		stmt:    otherProduct,
	},
	{
		id: "MY161", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: alterTable,
		title:   "a column that could be added at once waits for an index",
		breaks:  "ADD COLUMN alone writes the catalogue. In one statement with an index on it, the whole table is rebuilt; writers go on, but it takes time, disk, and the replicas' patience.",
		instead: "Two statements: the column with ALGORITHM=INSTANT, then the index.",
		stmt:    columnWithIndex,
	},
	{
		id: "MY162", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: []string{"ALTER TABLE", "OPTIMIZE"},
		title: "the whole table is rebuilt",
		breaks: "ENGINE=InnoDB, FORCE, ROW_FORMAT, KEY_BLOCK_SIZE and OPTIMIZE TABLE write every row anew: twice the disk, and replicas lag for as long. " +
			"ENGINE with another engine, ORDER BY, PARTITION BY, REMOVE PARTITIONING, and MariaDB's SYSTEM VERSIONING copy the table while nobody can write (MariaDB since 11.2: beside the writers). " +
			"REORGANIZE, COALESCE and REBUILD PARTITION stop the writers as well.",
		instead: "Do it apart from releases, at an hour with room, or let a tool copy the table.",
		see:     []string{onlineDDL, "https://dev.mysql.com/doc/refman/8.4/en/innodb-online-ddl-operations.html#online-ddl-partitioning"},
		stmt:    rebuilds,
	},
	{
		id: "MY163", on: onMySQLFamily, severity: tldwdblint.SeverityNotice, kinds: alterTable,
		title: "FIRST or AFTER makes a rebuild of what is done at once",
		breaks: "A column at the end is added at once everywhere. In another place MySQL before 8.0.29 rebuilds the table; and MariaDB copies it, while nobody can write, " +
			"where the table has a VIRTUAL column.",
		instead: "Add it at the end: the order of columns matters to SELECT * alone.",
		see:     []string{onlineDDL},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || guarded(s) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if !placed(a) || a.Column.Stored || a.Column.Identity || !a.Column.References.IsZero() || a.Column.Check != "" || isExpression(a.Column.Default) {
					return
				}
				switch w := p.way(s, a); {
				case w == copied:
					p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " while it is copied, for it has a VIRTUAL column", severity: tldwdblint.SeverityWarning})
				case w != instant && !a.Column.Unique:
					p.report(found{action: a, message: s.Table.Text + " is rebuilt for the place of " + a.Column.Text})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "MY165", on: onMySQLFamily, severity: tldwdblint.SeverityWarning, kinds: []string{"UPDATE", "DELETE"},
		title: "every row is written in one statement",
		breaks: "An UPDATE or DELETE without WHERE locks every row until it is done, and readers that lock wait as well. What it undoes after a failure takes longer than the statement took. " +
			"Replicas get it as one transaction, and lag behind by all of it.",
		instead: "Batches by ranges of the primary key, each a statement of its own: a job beside the migrations, or a Go migration with NoTransaction and Idempotent.",
		stmt: func(p *pass, s *stmt) {
			if !s.Where && !s.NewTable && !s.Table.IsZero() && len(s.toks) > 2 && !topLevel(s, "JOIN") {
				p.report(found{message: "every row of " + s.Table.Text + " is locked until all of them are written"})
			}
		},
	},
	{
		id: "MY164", on: onMySQLFamily, severity: tldwdblint.SeverityNotice,
		title:   "a table is rebuilt more than once",
		breaks:  "Each of these statements reads and writes the whole table, and on replicas once more.",
		instead: "Put the parts into one ALTER TABLE: it rebuilds once.",
		file:    severalRebuilds,
	},
}

// addedWithoutDefault is MY101.
func addedWithoutDefault(p *pass, s *stmt) {
	if s.NewTable {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		c := &a.Column
		if !c.NotNull || c.Default != "" || c.Identity || c.Generated != "" || c.PrimaryKey {
			return
		}
		t := readType(c.Type)
		f := found{action: a, message: "the rows of " + s.Table.Text + " get a value of " + c.Text + " that nobody has chosen"}
		switch {
		case t.base == "json" && p.dialect == mariadb:
			f.message = "the rows of " + s.Table.Text + " get an empty string, which is no JSON: no UPDATE of them succeeds any more"
			f.severity = tldwdblint.SeverityError
		case p.dialect == mysql && slices.Contains([]string{"date", "datetime", "timestamp"}, t.base):
			f.message = "this fails as soon as " + s.Table.Text + " has a row: 0000-00-00 is no date"
			f.severity = tldwdblint.SeverityError
		}
		if t.base == "json" || t.base == "geometry" || t.base == "point" || t.base == "date" || t.base == "datetime" || t.base == "timestamp" {
			f.remedy = fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s NULL;\n-- fill it in batches, and then:\nALTER TABLE %s MODIFY %s %s NOT NULL;", s.Table.Text, c.Text, c.Type, s.Table.Text, c.Text, c.Type)
		} else {
			f.remedy = fmt.Sprintf("ALTER TABLE %s ADD COLUMN %s %s NOT NULL DEFAULT %s;", s.Table.Text, c.Text, c.Type, emptyValue(a))
		}
		p.report(f)
	}, tldwdblint.ActionAddColumn)
}

// emptyValue is a literal that a column can hold, to be replaced by what is meant.
func emptyValue(a *tldwdblint.Action) string {
	if a.Column.Default != "" {
		return a.Column.Default
	}
	switch t := readType(a.Column.Type); {
	case t.isList() && len(t.args) > 0:
		return t.args[0]
	case t.isText(), strings.HasSuffix(t.base, "binary"), strings.HasSuffix(t.base, "blob"):
		return "''"
	case t.base == "json":
		return "'{}'"
	case t.base == "date":
		return "'1970-01-01'"
	case t.base == "datetime", t.base == "timestamp":
		return "'1970-01-02 00:00:00'"
	}
	return "0"
}

// foreignKey is a column's REFERENCES as a part of its own.
func foreignKey(s *stmt, a *tldwdblint.Action) string {
	at := strings.Index(strings.ToUpper(a.Text), "REFERENCES")
	if at < 0 {
		return ""
	}
	part := fmt.Sprintf("FOREIGN KEY (%s) %s", a.Column.Text, a.Text[at:])
	if s.Kind == "ALTER TABLE" {
		return "ALTER TABLE " + s.Table.Text + " ADD " + part + ";"
	}
	return part
}

// uncheckedKey is a foreign key added with the checks off.
func (p *pass) uncheckedKey(s *stmt, a *tldwdblint.Action, child, parent string) string {
	columns := a.Constraint.RefColumns
	refers := "id"
	if len(columns) > 0 {
		refers = columns[0]
	}
	first, _, _ := strings.Cut(child, ",")
	key := a.Text
	if a.Kind == tldwdblint.ActionAddColumn {
		key = strings.TrimSuffix(strings.TrimPrefix(foreignKey(s, a), "ALTER TABLE "+s.Table.Text+" "), ";")
	}
	return fmt.Sprintf("-- this has to be empty:\n-- SELECT c.%[1]s FROM %[2]s c LEFT JOIN %[3]s p ON p.%[4]s = c.%[1]s WHERE c.%[1]s IS NOT NULL AND p.%[4]s IS NULL;\n"+
		"SET foreign_key_checks = 0;\nALTER TABLE %[2]s %[5]s, LOCK=NONE;\nSET foreign_key_checks = 1;", first, s.Table.Text, parent, refers, key)
}

// expressionDefault is MY109.
func expressionDefault(p *pass, s *stmt) {
	if s.NewTable {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		c := &a.Column
		if !isExpression(c.Default) && !isRandom(c.Default) {
			return
		}
		f := found{action: a, remedy: fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN %[2]s %[3]s;\nALTER TABLE %[1]s ALTER COLUMN %[2]s SET DEFAULT %[4]s;", s.Table.Text, c.Text, c.Type, c.Default)}
		switch {
		case p.dialect == mysql && isRandom(c.Default):
			f.message, f.severity = "MySQL refuses this with error 1674: the default differs from call to call", tldwdblint.SeverityError
		case p.dialect == mariadb && isRandom(c.Default) && !isOwnValue(c.Default):
			f.message, f.severity = "every row that is there gets the same value: MariaDB asks for it once", tldwdblint.SeverityError
		case p.way(s, a).blocks() && !guarded(s):
			f.message = "nobody can write to " + s.Table.Text + " while it is copied to compute this default"
		default:
			return
		}
		p.report(f)
	}, tldwdblint.ActionAddColumn)
}

// typeRule is the rule that a change of type belongs to.
func (p *pass) typeRule(s *stmt, a *tldwdblint.Action) string {
	old := p.schema.defined(s.Table, a.Column.Name)
	if old == nil {
		return "MY103"
	}
	was, is := readType(old.Type), readType(a.Column.Type)
	t := p.schema.table(s.Table)
	switch {
	case was.isList() && was.base == is.base && len(is.missing(was)) > 0:
		return "MY110"
	case was.isList() && was.base == is.base && !is.appended(was):
		return "MY111"
	case was.isList() && was.base == is.base && is.width() > was.width():
		return "MY112"
	case was.isText() && is.isText() && (charsetOf(t, old.text) != charsetOf(t, a.Text) || !strings.EqualFold(old.Collate, a.Column.Collate)):
		return "MY130"
	case was.base == "varchar" && is.base == "varchar" && is.arg(0) > was.arg(0):
		return "MY104"
	}
	return "MY103"
}

// typeChange reports changes of type that belong to the rule.
func (p *pass) typeChange(s *stmt, id string) {
	if s.NewTable {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		if p.typeRule(s, a) != id {
			return
		}
		table, column := s.Table.Text, a.Column.Text
		old := p.schema.defined(s.Table, a.Column.Name)
		f := found{action: a}
		switch {
		case id == "MY110":
			f.message = fmt.Sprintf("rows of %s that have %s in %s fail, or lose it", table, strings.Join(readType(a.Column.Type).missing(readType(old.Type)), ", "), column)
		case guarded(s) || !p.way(s, a).blocks():
			return
		case id == "MY103" && (old == nil):
			f.message = fmt.Sprintf("nobody can write to %s while it is copied, unless %s is %s already", table, column, a.Column.Type)
		case id == "MY111":
			f.message = fmt.Sprintf("every row of %s gets another number in %s, and nobody can write to it meanwhile", table, column)
			f.remedy = appendedList(s, a, old)
		case id == "MY104":
			limit := 255 / charBytes(charsetOf(p.schema.table(s.Table), old.text))
			f.message = fmt.Sprintf("nobody can write to %s while it is copied: up to %d characters %s could grow at once", table, limit, column)
		case id == "MY112":
			f.message = fmt.Sprintf("nobody can write to %s while it is copied: this many values take another byte in each row", table)
		default:
			f.message = fmt.Sprintf("nobody can write to %s while it is copied to make %s of %s in %s", table, a.Column.Type, old.Type, column)
		}
		if f.remedy == "" && (id == "MY103" || id == "MY104") {
			f.remedy = otherColumn(s, a)
		}
		p.report(f)
	}, tldwdblint.ActionAlterType)
}

// otherColumn is the change of a column by way of a second one.
func otherColumn(s *stmt, a *tldwdblint.Action) string {
	return fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN %[3]s %[5]s NULL, ALGORITHM=INSTANT;\n"+
		"-- the program writes both from here on; the old rows in batches:\nUPDATE %[1]s SET %[3]s = %[2]s WHERE %[3]s IS NULL AND %[2]s IS NOT NULL LIMIT 10000;\n"+
		"-- and when none is left:\nALTER TABLE %[1]s RENAME COLUMN %[2]s TO %[4]s, RENAME COLUMN %[3]s TO %[2]s;",
		s.Table.Text, a.Column.Text, suffixed(a.Column.Text, "_new"), suffixed(a.Column.Text, "_old"), a.Column.Type)
}

// suffixed is a name with something behind it, inside its quotes.
func suffixed(name, suffix string) string {
	for _, quote := range []string{"`", `"`} {
		if inside, ok := strings.CutSuffix(name, quote); ok {
			return inside + suffix + quote
		}
	}
	return name + suffix
}

// appendedList is the change of a list with its new values at the end.
func appendedList(s *stmt, a *tldwdblint.Action, old *definition) string {
	was, is := readType(old.Type), readType(a.Column.Type)
	list := slices.Concat(was.args, was.missing(is))
	at := strings.Index(strings.ToLower(a.Text), is.base)
	end := strings.IndexByte(a.Text, ')')
	if at < 0 || end < at {
		return ""
	}
	return fmt.Sprintf("ALTER TABLE %s %s%s(%s)%s;", s.Table.Text, a.Text[:at], is.base, strings.Join(list, ", "), a.Text[end+1:])
}

// losesAttributes is MY114.
func losesAttributes(p *pass, s *stmt) {
	actions(s, func(a *tldwdblint.Action) {
		old := p.schema.defined(s.Table, a.Column.Name)
		if old == nil || upper(a.Text[:min(5, len(a.Text))]) == "ALTER" {
			return
		}
		c := &a.Column
		was, is := readType(old.Type), readType(c.Type)
		var lost []string
		lose := func(gone bool, what string) {
			if gone {
				lost = append(lost, what)
			}
		}
		nullable := slices.ContainsFunc(strings.Fields(strings.ToUpper(a.Text)), func(w string) bool { return w == "NULL" || w == "NULL," })
		lose(old.NotNull && !old.PrimaryKey && !c.NotNull && !c.PrimaryKey && !nullable, "NOT NULL")
		lose(old.Identity && !c.Identity, "AUTO_INCREMENT")
		lose(old.Default != "" && !strings.EqualFold(old.Default, "NULL") && c.Default == "" && !c.Identity, "DEFAULT "+old.Default)
		lose(says(old.text, "ON", "UPDATE") && !says(a.Text, "ON", "UPDATE") && strings.Contains(strings.ToLower(is.base), "time"), "ON UPDATE")
		lose(was.unsigned && !is.unsigned && was.base == is.base, "UNSIGNED")
		lose(was.isText() && is.isText() && charset(old.text) != "" && charset(a.Text) == "", "CHARACTER SET "+charset(old.text))
		lose(says(old.text, "COMMENT") && !says(a.Text, "COMMENT"), "COMMENT")
		lose(says(old.text, "INVISIBLE") && !says(a.Text, "INVISIBLE"), "INVISIBLE")
		lose(old.Check != "" && c.Check == "" && p.dialect == mariadb, "CHECK ("+old.Check+")")
		if len(lost) == 0 {
			return
		}
		f := found{action: a, message: fmt.Sprintf("%s loses what is not repeated: %s", c.Text, strings.Join(lost, ", "))}
		if len(lost) == 1 && lost[0] == "COMMENT" {
			f.severity = tldwdblint.SeverityWarning
		}
		p.report(f)
	}, tldwdblint.ActionAlterType)
}

// hasWords reports whether keywords follow each other in a definition.
func says(text string, words ...string) bool {
	at := 0
	for t := range sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.MySQL}) {
		if t.Is(words[at]) {
			if at++; at == len(words) {
				return true
			}
		} else {
			at = 0
		}
	}
	return false
}

// cutsValues is MY115.
func cutsValues(p *pass, s *stmt) {
	if s.NewTable {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		old := p.schema.defined(s.Table, a.Column.Name)
		if old == nil {
			return
		}
		was, is := readType(old.Type), readType(a.Column.Type)
		lost := ""
		switch {
		case (was.base == "datetime" || was.base == "timestamp") && is.base == "date":
			lost = "the time of day"
		case (was.base == "datetime" || was.base == "timestamp") && is.base == "time":
			lost = "the date"
		case was.base == is.base && (was.base == "datetime" || was.base == "timestamp" || was.base == "time") && is.arg(0) < was.arg(0),
			(was.base == "datetime" && is.base == "timestamp" || was.base == "timestamp" && is.base == "datetime") && is.arg(0) < was.arg(0):
			lost = "fractions of a second"
		case was.base == "decimal" && is.base == "decimal" && is.arg(1) < was.arg(1), was.base == "decimal" && was.arg(1) > 0 && isInteger(is), (was.base == "float" || was.base == "double") && isInteger(is):
			lost = "digits behind the point"
		case (was.base == "decimal" || was.base == "double" || was.base == "bigint") && is.base == "float", was.base == "decimal" && is.base == "double":
			lost = "digits, for it holds no exact numbers"
		case was.base == "varchar" && is.base == "char":
			lost = "blanks at the end"
		default:
			return
		}
		p.report(found{action: a, message: a.Column.Text + " loses " + lost + ", and the server says nothing"})
	}, tldwdblint.ActionAlterType)
}

func isInteger(t mysqlType) bool {
	switch t.base {
	case "tinyint", "smallint", "mediumint", "int", "bigint":
		return true
	}
	return false
}

// convertsText is MY130.
func convertsText(p *pass, s *stmt) {
	p.typeChange(s, "MY130")
	if s.NewTable || guarded(s) {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		if strings.HasPrefix(strings.ToUpper(a.Text), "CONVERT") && p.way(s, a).blocks() {
			p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " while every text in it is converted"})
		}
	}, tldwdblint.ActionOption)
}

// blockingIndex is MY131.
func blockingIndex(p *pass, s *stmt) {
	if s.NewTable || guarded(s) {
		return
	}
	say := func(a *tldwdblint.Action, kind string, columns []string) {
		switch {
		case kind != "":
			p.report(found{action: a, message: fmt.Sprintf("nobody can write to %s while this %s index is built", s.Table.Text, kind)})
		case slices.Contains(columns, ""):
			p.report(found{action: a, message: fmt.Sprintf("nobody can write to %s while this index on an expression is built", s.Table.Text)})
		}
	}
	if s.Kind == "CREATE INDEX" {
		kind := ""
		for _, t := range s.toks[:min(3, len(s.toks))] {
			if t.Is("FULLTEXT") || t.Is("SPATIAL") {
				kind = upper(t.Text)
			}
		}
		say(nil, kind, s.Columns)
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		say(a, a.Constraint.IndexType, a.Constraint.Columns)
	}, tldwdblint.ActionAddIndex)
}

// filled reports whether the file has put values into a column before the statement at hand.
func (p *pass) filled(table tldwdblint.Name, column string) bool {
	for i := range p.statements {
		s := &p.statements[i]
		if p.s != nil && s.order >= p.s.order {
			break
		}
		if s.Kind == "UPDATE" && key(s.Table) == key(table) && slices.ContainsFunc(s.toks, func(t sqlscan.Token) bool { return strings.EqualFold(t.Name(p.options.Dialect), column) }) {
			return true
		}
	}
	return false
}

// losesRows is MY139.
func losesRows(p *pass, s *stmt) {
	switch s.Kind {
	case "DROP TABLE":
		reportDropped(p, s)
		return
	case "DROP DATABASE", "DROP SCHEMA":
		p.report(found{message: "all tables of the database go, the history of the migrations among them", severity: tldwdblint.SeverityError})
		return
	case "TRUNCATE":
		if !s.NewTable {
			p.report(found{message: "all rows of " + s.Table.Text + " are deleted"})
		}
		return
	case "CREATE TABLE":
		if len(s.toks) > 2 && s.toks[1].Is("OR") && s.toks[2].Is("REPLACE") && !s.Temporary && !s.NewTable {
			p.report(found{message: "a table " + s.Name.Text + " that is there is dropped, with its rows", severity: tldwdblint.SeverityError})
		}
		return
	}
	if s.NewTable {
		return
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		words := strings.Fields(strings.ToUpper(a.Text))
		if len(words) < 2 {
			continue
		}
		switch head := words[0] + " " + words[1]; {
		case a.Kind == tldwdblint.ActionDropColumn:
			if !p.addedHere(s.Table, a.Column.Name) {
				p.report(found{action: a, message: "the values of " + s.Table.Text + "." + a.Column.Text + " are gone, and running programs that name it fail"})
			}
		case head == "DROP PARTITION", head == "TRUNCATE PARTITION":
			p.report(found{action: a, message: "the rows of the partition are deleted"})
		case head == "DISCARD TABLESPACE":
			p.report(found{action: a, message: "the rows of " + s.Table.Text + " are deleted", severity: tldwdblint.SeverityError})
		case head == "EXCHANGE PARTITION" && says(a.Text, "WITHOUT", "VALIDATION"):
			p.report(found{action: a, message: "rows come in that belong into another partition, and are not found any more", severity: tldwdblint.SeverityError})
		}
	}
}

// reportDropped reports tables that are dropped, but for those of a rebuild, and those of the file itself.
func reportDropped(p *pass, s *stmt) {
	if s.Temporary {
		return
	}
	for _, n := range s.Names {
		if !p.born[key(n)] && !p.comesAgain(n) && !p.leftOver(n) {
			p.report(found{message: n.Text + " is gone with its rows, and running programs that name it fail"})
		}
	}
}

// leftOver reports whether a table is the old one of a rebuild: the file has renamed it away and made another one in its place.
func (p *pass) leftOver(name tldwdblint.Name) bool {
	return p.before(func(s *stmt) bool {
		if s.Kind != "ALTER TABLE" && s.Kind != "RENAME TABLE" {
			return false
		}
		for i := range s.Actions {
			old := s.Table
			if s.Kind == "RENAME TABLE" && i < len(s.Names) {
				old = s.Names[i]
			}
			if a := &s.Actions[i]; a.Kind == tldwdblint.ActionRenameTable && key(a.NewName) == key(name) && p.born[key(old)] {
				return true
			}
		}
		return false
	})
}

// renames is MY140.
func renames(p *pass, s *stmt) {
	if s.Kind == "RENAME TABLE" {
		for i := range min(len(s.Names), len(s.Actions)) {
			if p.swapped(s, i) || p.born[key(s.Names[i])] {
				continue
			}
			p.report(found{
				action: &s.Actions[i], message: "programs of the release before fail at " + s.Names[i].Text + " from here on",
				remedy: s.Text + ";\nCREATE VIEW " + s.Names[i].Text + " AS SELECT * FROM " + s.Actions[i].NewName.Text + ";",
			})
		}
		return
	}
	if s.NewTable {
		return
	}
	actions(s, func(a *tldwdblint.Action) {
		switch {
		case a.Kind == tldwdblint.ActionRenameTable:
			if !p.nameStays(s.Table) {
				p.report(found{
					action: a, message: "programs of the release before fail at " + s.Table.Text + " from here on",
					remedy: strings.TrimRight(s.Text, "; \n") + ";\nCREATE VIEW " + s.Table.Text + " AS SELECT * FROM " + a.NewName.Text + ";",
				})
			}
		case !strings.EqualFold(a.NewName.Name, a.Column.Name) && !a.NewName.IsZero() && !p.addedHere(s.Table, a.Column.Name):
			p.report(found{action: a, message: "programs of the release before fail at " + s.Table.Text + "." + a.Column.Text + " from here on"})
		}
	}, tldwdblint.ActionRenameColumn, tldwdblint.ActionRenameTable, tldwdblint.ActionAlterType)
}

// swapped reports whether something else takes the old name: another table in the same statement, or what comes behind it.
func (p *pass) swapped(s *stmt, i int) bool {
	for j := range s.Actions {
		if j != i && key(s.Actions[j].NewName) == key(s.Names[i]) {
			return true
		}
	}
	return p.nameStays(s.Names[i])
}

// nameStays reports whether the file makes a view or a table of this name behind the statement at hand.
func (p *pass) nameStays(name tldwdblint.Name) bool {
	return p.comesAgain(name) || p.behind(func(s *stmt) bool { return s.Kind == "CREATE VIEW" && key(s.Name) == key(name) })
}

// addedHere reports whether the file has added the column itself: nobody knows its name yet.
func (p *pass) addedHere(table tldwdblint.Name, column string) bool {
	return p.before(func(s *stmt) bool {
		return s.Kind == "ALTER TABLE" && key(s.Table) == key(table) && slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool {
			return a.Kind == tldwdblint.ActionAddColumn && strings.EqualFold(a.Column.Name, column)
		})
	})
}

// assigned is the text that a SET gives to a variable of the session.
func assigned(s *stmt, variable string) (string, bool) {
	for i, t := range s.toks {
		name := strings.TrimLeft(strings.ToLower(t.Text), "@")
		name = strings.TrimPrefix(strings.TrimPrefix(name, "session."), "local.")
		if name != variable || i+2 >= len(s.toks) || s.toks[i+1].Text != "=" && s.toks[i+1].Text != ":=" {
			continue
		}
		from := s.toks[i+2].Offset
		end := len(s.Text)
		depth := 0
		for _, u := range s.toks[i+2:] {
			switch u.Text {
			case "(":
				depth++
			case ")":
				depth--
			case ",":
				if depth == 0 {
					end = min(end, u.Offset)
				}
			}
		}
		return s.Text[from:end], true
	}
	return "", false
}

// topLevel reports whether a keyword stands in a statement outside parentheses.
func topLevel(s *stmt, word string) bool {
	depth := 0
	for _, t := range s.toks {
		switch {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case depth == 0 && t.Is(word):
			return true
		}
	}
	return false
}

// namesDefiner is MY146.
func namesDefiner(p *pass, s *stmt) {
	for i, t := range s.toks[:min(12, len(s.toks))] {
		if !t.Is("DEFINER") || i+2 >= len(s.toks) || s.toks[i+1].Text != "=" {
			continue
		}
		if s.toks[i+2].Is("CURRENT_USER") || s.toks[i+2].Is("CURRENT_ROLE") {
			return
		}
		p.report(found{message: "the account that migrates may not be allowed to act for this DEFINER, and another database may not have it"})
		return
	}
}

// noPrimaryKey is MY150.
func noPrimaryKey(p *pass, s *stmt) {
	if s.Temporary || len(s.Actions) == 0 || topLevel(s, "SELECT") {
		return // LIKE and AS have their own
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		if a.Column.PrimaryKey || a.Column.Type == "serial" || a.Constraint.Kind == tldwdblint.ConstraintPrimaryKey {
			return
		}
	}
	for i := range p.statements { // mysqldump adds it afterwards
		later := &p.statements[i]
		if later.order > s.order && later.Kind == "ALTER TABLE" && key(later.Table) == key(s.Table) && addsPrimaryKey(later) {
			return
		}
	}
	p.report(found{message: s.Name.Text + " has no primary key"})
}

// reportSet is MY152.
func (p *pass) reportSet(set string, f found) {
	switch set {
	case "", "utf8mb4", "binary", "utf16", "utf16le", "utf32", "default":
		return
	}
	f.message = set + " has not all characters"
	p.report(f)
}

// lastOf is the largest number of a type.
func lastOf(t mysqlType) string {
	signed := map[string]string{"tinyint": "127", "smallint": "32,767", "mediumint": "8,388,607", "int": "2,147,483,647"}
	unsigned := map[string]string{"tinyint": "255", "smallint": "65,535", "mediumint": "16,777,215", "int": "4,294,967,295"}
	if t.unsigned {
		return unsigned[t.base]
	}
	return signed[t.base]
}

// redundantIndex is MY156.
func redundantIndex(p *pass, s *stmt) {
	type made struct {
		action  *tldwdblint.Action
		name    string
		columns []string
		unique  bool
	}
	var list []made
	known := 0
	if t := p.schema.table(s.Table); t != nil && s.Kind != "CREATE TABLE" {
		for _, k := range t.constraints {
			if k.IndexType == "" && (k.Kind == "" || k.Kind == tldwdblint.ConstraintUnique || k.Kind == tldwdblint.ConstraintPrimaryKey) {
				list = append(list, made{nil, k.Name.Text, k.Columns, k.Kind != ""})
			}
		}
		for _, x := range t.indexes {
			list = append(list, made{nil, x.name.Text, x.columns, x.unique})
		}
		known = len(list)
	}
	if s.Kind == "CREATE INDEX" {
		list = append(list, made{nil, s.Name.Text, s.Columns, s.Unique})
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		k := &a.Constraint
		if (a.Kind == tldwdblint.ActionAddIndex || a.Kind == tldwdblint.ActionAddConstraint && (k.Kind == tldwdblint.ConstraintUnique || k.Kind == tldwdblint.ConstraintPrimaryKey)) && k.IndexType == "" {
			list = append(list, made{a, k.Name.Text, k.Columns, k.Kind != ""})
		}
	}
	for i, x := range list {
		if i < known || x.unique || len(x.columns) == 0 || slices.Contains(x.columns, "") || strings.ContainsAny(prefixLengths(s, x.action), "0123456789") {
			continue
		}
		for j, y := range list {
			if i == j || len(y.columns) < len(x.columns) || len(y.columns) == len(x.columns) && !y.unique && j > i {
				continue
			}
			if slices.EqualFunc(x.columns, y.columns[:len(x.columns)], strings.EqualFold) {
				name := y.name
				if name == "" {
					name = "another key"
				}
				p.report(found{action: x.action, message: name + " begins with the same columns, and does what this one does"})
				break
			}
		}
	}
}

// prefixLengths is what stands in the parentheses of an index, where a number is the length of a prefix.
func prefixLengths(s *stmt, a *tldwdblint.Action) string {
	text := s.Text
	if a != nil {
		text = a.Text
	}
	if i := strings.IndexByte(text, '('); i >= 0 && strings.Count(text[i:], "(") > 1 {
		return text[i:]
	}
	return ""
}

// refersToNonUnique is MY157.
func refersToNonUnique(p *pass, s *stmt) {
	actions(s, func(a *tldwdblint.Action) {
		if p.refersToNoKey(s, a.Constraint.References, a.Constraint.RefColumns) {
			p.report(found{action: a, message: fmt.Sprintf("%s (%s) is no key: MySQL 8.4 and later refuse to refer to it", a.Constraint.References.Text, strings.Join(a.Constraint.RefColumns, ", "))})
		}
	}, tldwdblint.ActionAddConstraint)
}

// columnWithIndex is MY161.
func columnWithIndex(p *pass, s *stmt) {
	if s.NewTable || option(s, "ALGORITHM") != "" {
		return
	}
	var columns []string
	actions(s, func(a *tldwdblint.Action) {
		if p.addWay(s, a) == instant || a.Column.Unique && !a.Column.Identity && a.Column.References.IsZero() {
			columns = append(columns, a.Column.Name)
		}
		if a.Column.Unique && !a.Column.Identity {
			p.report(found{
				action: a, message: s.Table.Text + " is rebuilt: the column alone would be added at once",
				remedy: fmt.Sprintf("ALTER TABLE %[1]s ADD COLUMN %[2]s %[3]s, ALGORITHM=INSTANT;\nALTER TABLE %[1]s ADD UNIQUE INDEX (%[2]s), LOCK=NONE;", s.Table.Text, a.Column.Text, a.Column.Type),
			})
		}
	}, tldwdblint.ActionAddColumn)
	actions(s, func(a *tldwdblint.Action) {
		if a.Constraint.Kind != "" && a.Constraint.Kind != tldwdblint.ConstraintUnique {
			return
		}
		if slices.ContainsFunc(a.Constraint.Columns, func(c string) bool { return hasFold(columns, c) }) {
			p.report(found{action: a, message: s.Table.Text + " is rebuilt: the column alone would be added at once, and the index built beside the writers"})
		}
	}, tldwdblint.ActionAddIndex, tldwdblint.ActionAddConstraint)
}

// rebuilds is MY162.
func rebuilds(p *pass, s *stmt) {
	if s.NewTable {
		return
	}
	if s.Kind == "OPTIMIZE" {
		p.report(found{message: "the whole table is written anew"})
		return
	}
	for i := range s.Actions {
		a := &s.Actions[i]
		words := strings.Fields(strings.ToUpper(a.Text))
		if len(words) == 0 || a.Kind != tldwdblint.ActionOption && a.Kind != tldwdblint.ActionOther && a.Kind != tldwdblint.ActionAddColumn {
			continue
		}
		if words[0] == "CONVERT" || words[0] == "ALTER" || a.Kind == tldwdblint.ActionAddColumn && !strings.Contains(strings.ToUpper(a.Text), "SYSTEM VERSIONING") {
			continue
		}
		switch w := p.optionWay(s, a); {
		case w.blocks() && !guarded(s):
			p.report(found{action: a, message: "nobody can write to " + s.Table.Text + " while it is written anew", severity: tldwdblint.SeverityWarning})
		case w != instant && words[0] != "DROP" && !guarded(s) || w == online:
			p.report(found{action: a, message: "every row of " + s.Table.Text + " is written anew"})
		}
	}
}

// severalRebuilds is MY164.
func severalRebuilds(p *pass) {
	first := map[string]bool{}
	for i := range p.statements {
		s := &p.statements[i]
		if s.Kind != "ALTER TABLE" || s.NewTable {
			continue
		}
		rebuild := false
		for j := range s.Actions {
			a := &s.Actions[j]
			if a.Kind == tldwdblint.ActionAddColumn && a.Column.Stored || a.Kind == tldwdblint.ActionAddConstraint && (a.Constraint.Kind == tldwdblint.ConstraintCheck || a.Constraint.Kind == tldwdblint.ConstraintPrimaryKey) ||
				a.Kind == tldwdblint.ActionOption && p.optionWay(s, a) != instant {
				rebuild = true
			}
		}
		if !rebuild {
			continue
		}
		if first[key(s.Table)] {
			p.reportAt(s, found{message: s.Table.Text + " was rebuilt by an earlier statement of this file"})
		}
		first[key(s.Table)] = true
	}
}
