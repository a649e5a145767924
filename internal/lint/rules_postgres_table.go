package lint

import (
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// postgresTableRules are PG4xx.
var postgresTableRules = []*rule{
	{
		id: "PG401", on: onPostgres, severity: tldwdblint.SeverityWarning, forward: true,
		kinds:   []string{"DROP TABLE", "DROP FOREIGN TABLE", "DROP SCHEMA", "DROP DATABASE", "DROP OWNED BY", "DROP MATERIALIZED VIEW", "DROP VIEW"},
		title:   "something is dropped that running programs may use",
		breaks:  "The rows are gone, programs that still name the table or view fail, and with CASCADE so does what stood on it without being named. The lock is ACCESS EXCLUSIVE, also on tables that foreign keys lead to.",
		instead: "First a release that does not use it any more; then, in a later one, the drop, with an assurance that says so. A table can be renamed out of the way before, for as long as somebody might want it back. A view that is dropped and made again in one file is no danger.",
		stmt: func(p *pass, s *stmt) {
			var lost []tldwdblint.Name
			for _, n := range s.Names {
				if !p.isNew(n) && !p.madeAgain(s, n) {
					lost = append(lost, n)
				}
			}
			if len(s.Names) > 0 && len(lost) == 0 {
				return
			}
			message := "programs that still use " + listed(lost) + " fail, and what is in it is gone"
			if strings.HasSuffix(s.Kind, "VIEW") {
				message = "programs that still use " + listed(lost) + " fail"
			}
			if s.Cascade {
				message += ", with all that stands on it"
			}
			p.report(found{message: message, remedy: "-- once no running version uses it:\n-- tldwdb: assured PG401 not used since release …\n" + strings.TrimSuffix(s.Text, ";") + ";"})
		},
	},
	{
		id: "PG402", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"TRUNCATE"}, forward: true,
		title:   "all rows of a table are taken out",
		breaks:  "TRUNCATE takes an ACCESS EXCLUSIVE lock and leaves nothing. With CASCADE it empties every table that refers to this one, whatever its foreign keys say.",
		instead: "Name the tables that are meant, or DELETE in batches with a WHERE.",
		stmt: func(p *pass, s *stmt) {
			switch {
			case s.Cascade:
				p.report(found{message: "every table with a foreign key to " + listed(s.Names) + " is emptied as well"})
			case slices.ContainsFunc(s.Names, func(n tldwdblint.Name) bool { return !p.isNew(n) }):
				p.report(found{message: "all rows of " + listed(s.Names) + " are gone, and programs that use it wait"})
			}
		},
	},
	{
		id: "PG403", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"UPDATE", "DELETE", "SELECT", "INSERT", "MERGE", "VALUES", "TABLE"},
		title: "every row is written in one transaction",
		breaks: "An UPDATE or DELETE without WHERE, alone or in a WITH, locks every row until the migration is committed, writes each of them anew, and leaves as much behind for vacuum to clear away; " +
			"replicas fall behind meanwhile.",
		instead: "Batches of some thousand rows, each in a transaction of its own: a job beside the migrations, or a Go migration with NoTransaction and Idempotent.",
		stmt: func(p *pass, s *stmt) {
			for _, w := range p.writes(s) {
				if !writesAll(w) || w.Table.IsZero() || p.isNew(w.Table) {
					continue
				}
				column := "id"
				if pk := p.primaryKey(w.Table); len(pk) == 1 {
					column = pk[0]
				}
				f := found{message: "every row of " + w.Table.Text + " stays locked until the migration is over"}
				if w == s && !w.Where {
					f.remedy = "-- in batches, each in a transaction of its own:\n" + strings.TrimSuffix(s.Text, ";") + " WHERE " + column + " BETWEEN … AND …;"
				}
				p.report(f)
			}
		},
	},
	{
		id: "PG404", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"VACUUM", "CLUSTER", "REPACK"},
		title:   "a table is written anew while nobody can read it",
		breaks:  "VACUUM FULL and CLUSTER hold an ACCESS EXCLUSIVE lock while they write the table and all of its indexes anew.",
		instead: "Plain VACUUM gives the room to new rows. To give it back to the disk: the extension pg_repack; from PostgreSQL 19 on REPACK CONCURRENTLY.",
		stmt: func(p *pass, s *stmt) {
			full := s.Kind != "VACUUM"
			for _, t := range s.toks {
				full = full || t.Is("FULL")
				if t.Is("CONCURRENTLY") {
					return
				}
			}
			if full && !s.NewTable {
				table := s.Table.Text
				if table == "" {
					table = "any table"
				}
				p.report(found{message: "nobody can read or write " + table + " while it is written anew"})
			}
		},
	},
	{
		id: "PG405", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a table is moved while nobody can read it",
		breaks:  "SET LOGGED, SET UNLOGGED, SET TABLESPACE and SET ACCESS METHOD copy the table under an ACCESS EXCLUSIVE lock. An unlogged table is empty after a crash, and on every replica.",
		instead: "Declare it when the table is made. For one that is in use: a new table and a copy of its rows, or the extension pg_repack.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				words := strings.Fields(upper(a.Text))
				if len(words) > 1 && words[0] == "SET" && slices.Contains([]string{"LOGGED", "UNLOGGED", "TABLESPACE", "ACCESS"}, words[1]) {
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + " while it is copied"})
				}
			}, tldwdblint.ActionOption)
		},
	},
	{
		id: "PG406", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a partition is attached, and every row of it read",
		breaks:  "ATTACH PARTITION reads the new partition under an ACCESS EXCLUSIVE lock, to see that its rows belong there, and the default partition as well where there is one.",
		instead: "Give the table a CHECK with the partition's bounds first, NOT VALID and validated: then nothing is read. Drop the CHECK afterwards.",
		see:     []string{"https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE"},
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				t := p.schema.table(a.NewName)
				checked := t != nil && hasValidCheck(t)
				if !p.isNew(a.NewName) && !checked {
					p.report(found{action: a, message: "nobody can read or write " + a.NewName.Text + " while its rows are looked at",
						remedy: "ALTER TABLE " + a.NewName.Text + " ADD CONSTRAINT " + a.NewName.Name + "_bounds CHECK (…) NOT VALID;\n-- in the next migration:\nALTER TABLE " + a.NewName.Text +
							" VALIDATE CONSTRAINT " + a.NewName.Name + "_bounds;\n-- in the next migration:\n" + strings.TrimSuffix(s.Text, ";") + ";"})
				}
			}, tldwdblint.ActionAttachPartition)
		},
	},
	{
		id: "PG407", on: []on{{dialect: postgres, since: "14"}}, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a partition is detached while nobody can use any of them",
		breaks:  "DETACH PARTITION takes an ACCESS EXCLUSIVE lock on the partitioned table: all partitions wait.",
		instead: "DETACH PARTITION … CONCURRENTLY, in a file of its own.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if !a.Concurrently && !s.NewTable && !hasWords(s, "FINALIZE") {
					p.report(found{action: a, message: "nobody can read or write " + s.Table.Text + ", all of its partitions, for as long as this waits",
						fix: fix{{alone: true, name: "detach_" + a.NewName.Name, up: strings.TrimSuffix(s.Text, ";") + " CONCURRENTLY"}}})
				}
			}, tldwdblint.ActionDetachPartition)
		},
	},
	{
		id: "PG408", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"REFRESH MATERIALIZED VIEW"},
		title:   "a materialized view cannot be read while it is refreshed",
		breaks:  "REFRESH MATERIALIZED VIEW holds an ACCESS EXCLUSIVE lock for as long as its query takes.",
		instead: "REFRESH MATERIALIZED VIEW CONCURRENTLY, which needs a unique index on the view.",
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently || p.madeAbove(s, "CREATE MATERIALIZED VIEW") {
				return
			}
			p.report(found{message: "nobody can read " + s.Name.Text + " while its query runs", fix: fix{{name: "refresh_" + s.Name.Name, up: insertWord(s, "VIEW", "CONCURRENTLY"), down: nothing}}})
		},
	},
	{
		id: "PG409", on: onPostgres, severity: tldwdblint.SeverityNotice, kinds: []string{"CREATE TRIGGER", "DROP TRIGGER", "ALTER TABLE"},
		title:   "a trigger is changed behind everybody who writes",
		breaks:  "CREATE TRIGGER and ENABLE or DISABLE TRIGGER wait for every transaction that writes to the table, DROP TRIGGER for readers too, and those that come meanwhile wait behind it. The work itself is a moment.",
		instead: "A migration of its own: Config.LockTimeout ends the waiting after two seconds and tries again.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || len(p.statements) == 1 || s.Table.IsZero() {
				return
			}
			if s.Kind != "ALTER TABLE" {
				for i := range p.statements { // the function beside it is part of it
					if other := &p.statements[i]; other.order != s.order && other.Kind != "CREATE FUNCTION" && other.Kind != "DROP FUNCTION" && key(other.Table) != key(s.Table) {
						p.report(found{message: "what else this migration holds stays locked while this waits for " + s.Table.Text})
						return
					}
				}
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if words := strings.Fields(upper(a.Text)); len(words) > 1 && (words[0] == "ENABLE" || words[0] == "DISABLE") && slices.Contains(words, "TRIGGER") {
					p.report(found{action: a, message: "what else this migration holds stays locked while this waits for " + s.Table.Text})
				}
			}, tldwdblint.ActionOption)
		},
	},
	{
		id: "PG410", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "row security is switched on without a policy",
		breaks:  "With row level security and no policy nobody but the owner sees a row: queries do not fail, they find nothing.",
		instead: "Make the policies first, or in the same file.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if words := strings.Fields(upper(a.Text)); !slices.Equal(words, []string{"ENABLE", "ROW", "LEVEL", "SECURITY"}) {
					return
				}
				policy := p.schema.policies[key(s.Table)]
				for i := range p.statements {
					other := &p.statements[i]
					policy = policy || other.Kind == "CREATE POLICY" && key(other.Table) == key(s.Table)
				}
				if !policy {
					p.report(found{action: a, message: "from here on nobody but its owner sees a row of " + s.Table.Text,
						remedy: "CREATE POLICY " + s.Table.Name + "_read ON " + s.Table.Text + " FOR SELECT USING (…);\n" + strings.TrimSuffix(s.Text, ";") + ";"})
				}
			}, tldwdblint.ActionOption)
		},
	},
	{
		id: "PG411", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"LOCK"},
		title:   "a table is locked by hand",
		breaks:  "LOCK TABLE keeps its lock to the end of the migration, whatever else that does: with ACCESS EXCLUSIVE, which it is when nothing is said, nobody can read or write meanwhile; from SHARE on nobody can write.",
		instead: "Leave it out: each statement takes the lock that it needs, for as long as it needs it, and no other worker migrates meanwhile. Where rows must not change between two statements, a mode below SHARE does often, or SELECT … FOR UPDATE of those rows.",
		see:     []string{"https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-TABLES"},
		stmt: func(p *pass, s *stmt) {
			if who := lockStops(s); who != "" && slices.ContainsFunc(s.Names, func(n tldwdblint.Name) bool { return !p.isNew(n) }) {
				p.report(found{message: "nobody can " + who + " " + listed(s.Names) + " until the migration is over"})
			}
		},
	},
	{
		id: "PG412", on: onPostgres, severity: tldwdblint.SeverityError, kinds: []string{"ALTER TABLE", "SET"},
		title: "foreign keys are switched off",
		breaks: "DISABLE TRIGGER ALL switches off the triggers that foreign keys are made of, for everybody who writes to the table, and session_replication_role = replica all of them for the session. " +
			"Rows that refer to nothing come in, and nothing ever looks at them again: ENABLE does not check. Only a superuser may do it.",
		instead: "Write the rows in an order that the keys accept, or make the keys DEFERRABLE and defer them. DISABLE TRIGGER USER leaves foreign keys alone. Where the keys themselves are in the way: drop them, and add them again as NOT VALID, which are validated in the next migration.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-altertable.html"},
		stmt: func(p *pass, s *stmt) {
			if s.Kind == "SET" {
				if hasWords(s, "session_replication_role") && slices.ContainsFunc(s.toks, func(t sqlscan.Token) bool { return strings.EqualFold(strings.Trim(t.Text, "'"), "replica") }) {
					p.report(found{message: "from here on no foreign key is checked, and nothing checks them later"})
				}
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if slices.Equal(strings.Fields(upper(a.Text)), []string{"DISABLE", "TRIGGER", "ALL"}) && !s.NewTable {
					p.report(found{action: a, message: "from here on no foreign key of " + s.Table.Text + " is checked, and nothing checks them later", remedy: alterHead(s) + "DISABLE TRIGGER USER;"})
				}
			}, tldwdblint.ActionOption)
		},
	},
	{
		id: "PG413", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE TABLE"},
		title:   "every row of the default partition is read for a new one",
		breaks:  "A new partition takes an ACCESS EXCLUSIVE lock on the default partition, and reads it for rows that belong to the new one. It fails where there is one.",
		instead: "Give the default partition a CHECK first that leaves out what the new one takes, NOT VALID and validated: then nothing is read. Drop the CHECK afterwards.",
		see:     []string{"https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE"},
		stmt: func(p *pass, s *stmt) {
			judge := func(parent, name tldwdblint.Name, a *tldwdblint.Action) {
				t := p.schema.table(parent)
				if t == nil || t.rest.IsZero() || key(t.rest) == key(name) || p.isNew(t.rest) {
					return
				}
				if rest := p.schema.table(t.rest); rest != nil && hasValidCheck(rest) {
					return
				}
				rest, bounds := t.rest.Text, t.rest.Name+"_bounds"
				p.report(found{action: a, message: "nobody can read or write " + rest + " while it is searched for rows of " + name.Text,
					remedy: "ALTER TABLE " + rest + " ADD CONSTRAINT " + bounds + " CHECK (…) NOT VALID;\n-- in the next migration:\nALTER TABLE " + rest + " VALIDATE CONSTRAINT " + bounds +
						";\n-- in the next migration:\n" + strings.TrimSuffix(s.Text, ";") + ";"})
			}
			if s.Kind == "CREATE TABLE" {
				if parent := partitionOf(s); !parent.IsZero() {
					judge(parent, s.Name, nil)
				}
				return
			}
			actions(s, func(a *tldwdblint.Action) { judge(s.Table, a.NewName, a) }, tldwdblint.ActionAttachPartition)
		},
	},
}

// madeAgain reports whether what a statement drops is made again further down.
func (p *pass) madeAgain(s *stmt, n tldwdblint.Name) bool {
	made := "CREATE" + strings.TrimPrefix(s.Kind, "DROP")
	return strings.HasSuffix(made, "VIEW") && slices.ContainsFunc(p.statements[s.order+1:], func(after stmt) bool { return after.Kind == made && key(after.Name) == key(n) })
}

// madeAbove reports whether an object was made further up in the text.
func (p *pass) madeAbove(s *stmt, kind string) bool {
	return slices.ContainsFunc(p.statements[:s.order], func(before stmt) bool { return before.Kind == kind && key(before.Name) == key(s.Name) })
}

// lockStops is what nobody can do to a table under LOCK TABLE; empty for the modes that let rows be written.
func lockStops(s *stmt) string {
	for _, mode := range [][]string{{"IN", "ACCESS", "SHARE"}, {"IN", "ROW", "SHARE"}, {"IN", "ROW", "EXCLUSIVE"}, {"IN", "SHARE", "UPDATE"}} {
		if hasWords(s, mode...) {
			return ""
		}
	}
	if hasWords(s, "IN", "SHARE") || hasWords(s, "IN", "EXCLUSIVE") {
		return "write to"
	}
	return "read or write"
}

// writes are the statement itself, if it writes rows, and those in its WITH.
func (p *pass) writes(s *stmt) []*stmt {
	var list []*stmt
	if s.Kind == "UPDATE" || s.Kind == "DELETE" {
		list = append(list, s)
	}
	if !s.toks[0].Is("WITH") {
		return list
	}
	for i := range s.toks {
		if t := s.toks[i]; (t.Is("UPDATE") || t.Is("DELETE")) && s.toks[i-1].Text == "(" {
			end := reader{toks: s.toks, p: i - 1}
			end.group()
			w := &stmt{toks: s.toks[i : end.p-1]}
			classify(w, s.Text, p.options.Dialect)
			list = append(list, w)
		}
	}
	return list
}

// writesAll reports whether an UPDATE or a DELETE has no condition, or one that says nothing.
func writesAll(s *stmt) bool {
	if !s.Where {
		return true
	}
	i := findWords(s, []string{"WHERE"})
	if i < 0 {
		return false
	}
	var words []string
	for _, t := range s.toks[i+1:] {
		if t.Is("RETURNING") || t.Text == ";" {
			break
		}
		words = append(words, upper(t.Text))
	}
	return slices.Equal(words, []string{"TRUE"}) || len(words) == 3 && words[1] == "=" && words[0] == words[2]
}

// partitionOf is the table that a new one is a partition of; zero for none.
func partitionOf(s *stmt) tldwdblint.Name {
	if len(s.Actions) > 0 { // it has columns of its own
		return tldwdblint.Name{}
	}
	if i := findWords(s, []string{"PARTITION", "OF"}); i >= 0 {
		r := reader{d: sqlscan.Postgres, src: s.Text, toks: s.toks, p: i + 2}
		return r.name()
	}
	return tldwdblint.Name{}
}

func hasValidCheck(t *table) bool {
	for _, c := range t.constraints {
		if c.Kind == tldwdblint.ConstraintCheck && c.valid {
			return true
		}
	}
	return false
}

// postgresFileRules are PG5xx.
var postgresFileRules = []*rule{
	{
		id: "PG501", on: onPostgres, severity: tldwdblint.SeverityWarning,
		title: "a strong lock is held while rows are written",
		breaks: "A lock is held to the end of its transaction. ALTER TABLE takes an ACCESS EXCLUSIVE lock for a moment; with an UPDATE, a DELETE or an INSERT … SELECT behind it in the same file " +
			"the moment lasts as long as that does.",
		instead: "Put the rows into the next migration, or before the change.",
		file: func(p *pass) {
			if !p.transact {
				return
			}
			var held *stmt
			for i := range p.statements {
				s := &p.statements[i]
				long := s.Kind == "UPDATE" || s.Kind == "DELETE" || s.Kind == "MERGE" || s.Kind == "INSERT" && insertsQuery(s)
				if held != nil && long && !p.isNew(s.Table) {
					p.reportAt(s, found{message: held.Table.Text + " stays locked by line " + strconv.Itoa(held.Line) + " until this is done",
						fix: fix{{name: "rows_of_" + s.Table.Name, up: strings.TrimSuffix(s.Text, ";")}}})
				}
				if held == nil && locksTable(s) && !s.Concurrently && !s.Table.IsZero() && !p.isNew(s.Table) {
					held = s
				}
			}
		},
	},
	{
		id: "PG502", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"SET"},
		title: "a migration may wait for a lock without end",
		breaks: "A statement that waits for a strong lock has everybody else wait behind it. Migrations run with a lock_timeout of two seconds and are tried again; a file that sets it to 0, or to minutes, " +
			"takes the site down behind one forgotten transaction.",
		instead: "Take it out, or set a few seconds: `-- tldwdb: lock-timeout=5s` at the top of the file.",
		stmt: func(p *pass, s *stmt) {
			i := 1
			for i < len(s.toks) && (s.toks[i].Is("LOCAL") || s.toks[i].Is("SESSION")) {
				i++
			}
			if i+2 >= len(s.toks) || !s.toks[i].Is("lock_timeout") {
				return
			}
			value := strings.Trim(s.toks[i+2].Text, "'")
			if value == "0" || strings.EqualFold(value, "default") || strings.HasSuffix(value, "min") || strings.HasSuffix(value, "h") || strings.HasSuffix(value, "d") {
				p.report(found{message: "with lock_timeout " + value + " everybody waits behind this migration for as long as it waits", remedy: "SET LOCAL lock_timeout = '5s';"})
			}
		},
	},
	{
		id: "PG503", on: onPostgres, severity: tldwdblint.SeverityError, kinds: []string{"BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE", "PREPARE"},
		title:   "a migration ends the transaction that it runs in",
		breaks:  "COMMIT or ROLLBACK inside a file would end the transaction that holds the migration and its history row together, and BEGIN that is never ended applies nothing. Up refuses such a file. One BEGIN and COMMIT around the whole file mean what happens anyway, and are left out.",
		instead: "Take them out. What has to be committed apart goes into a migration of its own.",
		stmt: func(p *pass, s *stmt) {
			opens := s.Kind == "BEGIN" || s.Kind == "START"
			closes := s.Kind == "COMMIT" || s.Kind == "END"
			first, last := 0, len(p.statements)-1
			for first < last && (p.statements[first].Kind == "SET" || p.statements[first].Kind == "RESET") {
				first++
			}
			for last > first && (p.statements[last].Kind == "SET" || p.statements[last].Kind == "RESET") {
				last--
			}
			around := p.transact && last > first && (p.statements[first].Kind == "BEGIN" || p.statements[first].Kind == "START") && (p.statements[last].Kind == "COMMIT" || p.statements[last].Kind == "END")
			if around && (s.order == first && opens || s.order == last && closes) || s.Kind == "PREPARE" && !hasWords(s, "PREPARE", "TRANSACTION") {
				return
			}
			p.report(found{message: s.Kind + " is not for a migration to say: it runs in a transaction with its history row"})
		},
	},
	{
		id: "PG504", on: onPostgres, severity: tldwdblint.SeverityNotice,
		title:   "one table is changed by several statements",
		breaks:  "Each ALTER TABLE that reads or writes the table does so again; one statement with several actions does it once.",
		instead: "One ALTER TABLE with commas.",
		file: func(p *pass) {
			var scans []*stmt
			for i := range p.statements {
				s := &p.statements[i]
				if s.Kind != "ALTER TABLE" || p.isNew(s.Table) || !s.scans {
					continue
				}
				for _, before := range scans {
					if key(before.Table) == key(s.Table) {
						p.reportAt(s, found{message: s.Table.Text + " is read once more than line " + strconv.Itoa(before.Line) + " does: one statement does both at once",
							remedy: strings.TrimSuffix(before.Text, ";") + ", " + actionsText(s) + ";"})
						break
					}
				}
				scans = append(scans, s)
			}
		},
	},
	{
		id: "PG505", on: onPostgres, severity: tldwdblint.SeverityError,
		title:   "a name is longer than the server keeps",
		breaks:  "PostgreSQL cuts names at 63 bytes, and says so in a notice that nobody reads. Two names that are the same up to there are one; a later DROP by the full name works, one by a tool that asks the catalogue does not.",
		instead: "A shorter name.",
		stmt: func(p *pass, s *stmt) {
			for _, t := range s.toks {
				if (t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent) && len(t.Text) > 63 && len(t.Name(sqlscan.Postgres)) > 63 {
					name := t.Name(sqlscan.Postgres)
					p.report(found{message: "the server keeps only " + name[:63] + " of this name", action: &tldwdblint.Action{Offset: s.Offset + t.Offset, Length: len(t.Text)}})
				}
			}
		},
	},
	{
		id: "PG508", on: onPostgres, severity: tldwdblint.SeverityError, kinds: []string{"CREATE ROLE", "CREATE USER", "ALTER ROLE", "ALTER USER", "CREATE USER MAPPING", "ALTER USER MAPPING", "CREATE SUBSCRIPTION"},
		title:   "a password is in a migration",
		breaks:  "It is in the repository, in every image, in the server's log and in the history table, for everybody who may read one of them, and the same in every environment.",
		instead: "Make accounts apart from migrations, with passwords from the place where secrets are kept.",
		stmt: func(p *pass, s *stmt) {
			for i, t := range s.toks {
				if t.Is("PASSWORD") && i+1 < len(s.toks) && s.toks[i+1].Kind == sqlscan.String {
					p.report(found{message: "the password is in the repository, and in the server's log", action: &tldwdblint.Action{Offset: s.Offset + t.Offset, Length: len(t.Text)}})
				}
			}
			if hasWords(s, "SUPERUSER") {
				p.report(found{message: "a superuser is made by a migration", severity: tldwdblint.SeverityWarning})
			}
		},
	},
	{
		id: "PG509", on: onPostgres, severity: tldwdblint.SeverityNotice, optIn: true, kinds: []string{"CREATE TABLE", "CREATE INDEX", "CREATE VIEW", "CREATE MATERIALIZED VIEW", "ALTER TABLE", "DROP TABLE"},
		title:   "a name has no schema",
		breaks:  "Where an object is made, and which one is changed, depends on search_path: on the account, the database, and what ran before in the session.",
		instead: "Write the schema in front of the name.",
		stmt: func(p *pass, s *stmt) {
			names := append([]tldwdblint.Name{}, s.Names...)
			if s.Kind == "CREATE INDEX" {
				names = append(names, s.Table)
			} else if len(names) == 0 {
				names = append(names, s.Name)
			}
			for _, n := range names {
				if n.Schema == "" && !n.IsZero() && !s.Temporary {
					p.report(found{message: "where " + n.Text + " is depends on search_path", remedy: "public." + n.Text})
				}
			}
		},
	},
	{
		id: "PG510", on: onPostgres, severity: tldwdblint.SeverityError, kinds: []string{"CREATE TABLE", "UPDATE", "ALTER TABLE"},
		title:   "a column is named twice",
		breaks:  "The server refuses a table with two columns of one name, and an UPDATE that sets a column twice.",
		instead: "Take one of them out.",
		stmt: func(p *pass, s *stmt) {
			for i := range s.Actions {
				for k := range i {
					if a := &s.Actions[i]; a.Kind == tldwdblint.ActionAddColumn && s.Actions[k].Kind == a.Kind && a.Column.Name != "" && s.Actions[k].Column.Name == a.Column.Name {
						p.report(found{action: a, message: a.Column.Text + " is there twice"})
					}
				}
			}
			if s.Kind != "UPDATE" {
				return
			}
			seen := map[string]bool{}
			depth, set := 0, false
			for i, t := range s.toks {
				switch {
				case t.Text == "(":
					depth++
				case t.Text == ")":
					depth--
				case depth > 0:
				case t.Is("SET"):
					set = true
				case t.Is("FROM") || t.Is("WHERE") || t.Is("RETURNING"):
					return
				case set && i+1 < len(s.toks) && s.toks[i+1].Text == "=" && (s.toks[i-1].Is("SET") || s.toks[i-1].Text == ","):
					name := t.Name(sqlscan.Postgres)
					if seen[name] {
						p.report(found{message: t.Text + " is set twice", action: &tldwdblint.Action{Offset: s.Offset + t.Offset, Length: len(t.Text)}})
					}
					seen[name] = true
				}
			}
		},
	},
	{
		id: "PG511", on: onPostgres, severity: tldwdblint.SeverityNotice, kinds: []string{"DO"},
		title:   "what a block of code does is not judged",
		breaks:  "A statement inside DO takes its locks like any other, and no rule sees it.",
		instead: "Write the statement as it is, where its conditions allow that; otherwise look at it with another pair of eyes, and `tldwdb trace` to see its locks.",
		stmt: func(p *pass, s *stmt) {
			body := strings.ToUpper(s.Text)
			for _, word := range []string{"ALTER ", "DROP ", "CREATE ", "TRUNCATE ", "UPDATE ", "DELETE ", "EXECUTE "} {
				if strings.Contains(body, word) {
					p.report(found{message: "nobody has judged what this does: there is " + strings.TrimSpace(word) + " in it"})
					return
				}
			}
		},
	},
}

// insertsQuery reports whether an INSERT takes its rows from a query.
func insertsQuery(s *stmt) bool {
	for _, t := range s.toks[min(s.rest, len(s.toks)):] {
		switch {
		case t.Is("VALUES") || t.Is("DEFAULT"):
			return false
		case t.Is("SELECT"):
			return true
		}
	}
	return false
}

// scansTable reports whether an ALTER TABLE reads or writes every row.
func (p *pass) scansTable(s *stmt) bool {
	return slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool {
		switch a.Kind {
		case tldwdblint.ActionAddConstraint:
			return !a.Constraint.NotValid && a.Constraint.UsingIndex == ""
		case tldwdblint.ActionSetNotNull:
			return !p.neverNull(s.Table, a.Column.Name, s)
		case tldwdblint.ActionAddColumn:
			return p.volatile(a.Column.Default) != "" || a.Column.Identity || isSerial(a.Column.Type) || a.Column.Stored || a.Column.Check != "" || a.Column.Unique || a.Column.PrimaryKey
		case tldwdblint.ActionAlterType:
			old := ""
			if c := p.schema.column(s.Table, a.Column.Name); c != nil {
				old = c.kind
			}
			return changes(old, a.Column.Type) == changeRewrites || p.builtAnew(s, a.Column) != ""
		}
		return false
	})
}

// actionsText is the actions of a statement as they are written.
func actionsText(s *stmt) string {
	list := make([]string, len(s.Actions))
	for i, a := range s.Actions {
		list[i] = a.Text
	}
	return strings.Join(list, ", ")
}
