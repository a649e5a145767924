package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

var onPostgres = []on{{dialect: postgres}}

// postgresRules are about PostgreSQL.
var postgresRules = slices.Concat(postgresIndexRules, postgresConstraintRules, postgresColumnRules, postgresTableRules, postgresFileRules)

// postgresIndexRules are PG1xx.
var postgresIndexRules = []*rule{
	{
		id: "PG101", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE INDEX"},
		title: "an index is built while nobody can write",
		breaks: "CREATE INDEX takes a SHARE lock: every INSERT, UPDATE and DELETE on the table waits until the index is built, and behind the " +
			"first of them everything else that wants a stronger lock.",
		instead: "Build it with CONCURRENTLY, in a file of its own without a transaction. It reads the table twice and waits for older transactions, and stops nobody.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-createindex.html#SQL-CREATEINDEX-CONCURRENTLY"},
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently || s.NewTable || s.Table.IsZero() || p.partitioned(s.Table) {
				return
			}
			down := ""
			if !s.Name.IsZero() {
				down = "DROP INDEX CONCURRENTLY " + withSchema(s.Table, s.Name)
			}
			p.report(found{
				message: "nobody can write to " + s.Table.Text + " while this index is built",
				fix:     fix{{alone: true, name: "index_" + s.Table.Name, up: insertWord(s, "INDEX", "CONCURRENTLY"), down: down}},
			})
		},
	},
	{
		id: "PG102", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"DROP INDEX"},
		title: "an index is dropped while nobody can read or write",
		breaks: "DROP INDEX takes an ACCESS EXCLUSIVE lock on the table of the index. The drop itself is quick, but it waits for every query that is " +
			"running, and everything else waits behind it.",
		instead: "Drop it with CONCURRENTLY, in a file of its own without a transaction.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-dropindex.html"},
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently || s.Cascade || p.ofNewTable(s) {
				return
			}
			var pieces fix
			for _, n := range s.Names { // CONCURRENTLY takes one name
				exists := ""
				if s.IfExists {
					exists = "IF EXISTS "
				}
				pieces = append(pieces, piece{alone: true, name: "drop_" + n.Name, up: "DROP INDEX CONCURRENTLY " + exists + n.Text, down: p.indexText(n)})
			}
			p.report(found{message: "the table of " + listed(s.Names) + " is locked against readers and writers", fix: pieces})
		},
	},
	{
		id: "PG103", on: onPostgres, severity: tldwdblint.SeverityError,
		kinds: []string{"CREATE INDEX", "DROP INDEX", "REINDEX", "ALTER TABLE", "VACUUM", "CREATE DATABASE", "DROP DATABASE", "CREATE TABLESPACE", "DROP TABLESPACE", "ALTER SYSTEM"},
		title: "this cannot run inside a transaction",
		breaks: "CONCURRENTLY, VACUUM, CREATE DATABASE and the like begin and end transactions of their own. The server refuses them in one, and a migration " +
			"runs in one, together with its history row.",
		instead: "Give the statement a file of its own: one that holds nothing else runs without a transaction; where there must be several, write `-- tldwdb: no-transaction` at the top.",
		stmt: func(p *pass, s *stmt) {
			concurrently := s.Concurrently || slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool { return a.Concurrently })
			ownKind := s.Kind == "VACUUM" || strings.HasSuffix(s.Kind, "DATABASE") || strings.HasSuffix(s.Kind, "TABLESPACE") || s.Kind == "ALTER SYSTEM"
			if s.Transaction && (concurrently || ownKind) {
				p.report(found{
					message: "the server refuses this inside a transaction, and this file runs in one",
					fix:     fix{{alone: true, name: "alone", up: s.Text}},
				})
			}
		},
	},
	{
		id: "PG104", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE INDEX"},
		title: "IF NOT EXISTS takes an invalid index for a good one",
		breaks: "When CREATE INDEX CONCURRENTLY fails, an index stays behind that is written to and never used. With IF NOT EXISTS the next attempt says " +
			"\"already exists, skipping\", and the migration counts as applied.",
		instead: "Leave IF NOT EXISTS out: after a crash the runner looks at the index, and builds an invalid one again. Where the index may have been made by hand, drop it first.",
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently && s.IfNotExists {
				p.report(found{
					message: "after a build that failed this skips the invalid index " + s.Name.Text + " and counts as done",
					remedy:  withoutWords(s, "IF", "NOT", "EXISTS") + ";",
				})
			}
		},
	},
	{
		id: "PG105", on: []on{{dialect: postgres, since: "14.1", until: "14.4"}}, severity: tldwdblint.SeverityError, kinds: []string{"CREATE INDEX", "REINDEX"},
		title:   "these servers build damaged indexes with CONCURRENTLY",
		breaks:  "PostgreSQL 14.0 to 14.3 may leave rows out of an index that is built or rebuilt with CONCURRENTLY. Queries by that index then miss them.",
		instead: "Upgrade to 14.4 or later first, or build the index without CONCURRENTLY when nobody writes.",
		see:     []string{"https://www.postgresql.org/docs/release/14.4/"},
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently {
				p.report(found{message: "PostgreSQL before 14.4 may leave rows out of this index"})
			}
		},
	},
	{
		id: "PG106", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"REINDEX"},
		title:   "an index is rebuilt while nobody can write",
		breaks:  "REINDEX takes a SHARE lock on the table, and an ACCESS EXCLUSIVE lock on each index while that is rebuilt: writers wait, and so do queries that would use the index.",
		instead: "REINDEX CONCURRENTLY, in a file of its own.",
		stmt: func(p *pass, s *stmt) {
			if s.Concurrently || p.isNew(s.Name) || len(s.toks) < 2 {
				return
			}
			for _, t := range s.toks {
				if t.Is("SYSTEM") {
					return // has no other way
				}
			}
			word := "INDEX"
			for _, t := range s.toks[1:] {
				if t.Is("INDEX") || t.Is("TABLE") || t.Is("SCHEMA") || t.Is("DATABASE") {
					word = upper(t.Text)
					break
				}
			}
			p.report(found{
				message: "nobody can write while " + s.Name.Text + " is rebuilt",
				fix:     fix{{alone: true, name: "reindex", up: insertWord(s, word, "CONCURRENTLY"), down: nothing}},
			})
		},
	},
	{
		id: "PG107", on: onPostgres, severity: tldwdblint.SeverityWarning,
		title:   "an index is dropped before its replacement is there",
		breaks:  "Between the two statements, and for as long as the new index takes, queries read the whole table.",
		instead: "Build the new index under another name first, and drop the old one behind it.",
		file: func(p *pass) {
			for i := range p.statements {
				old := &p.statements[i]
				if old.Kind != "DROP INDEX" || p.ofNewTable(old) {
					continue
				}
				for _, n := range old.Names {
					was := p.dropped[strings.ToLower(n.Name)]
					for k := i + 1; k < len(p.statements); k++ {
						s := &p.statements[k]
						if s.Kind != "CREATE INDEX" {
							continue
						}
						replaces := was != nil && was.table == key(s.Table) && len(was.columns) > 0 && len(s.Columns) > 0 && was.columns[0] == s.Columns[0]
						if replaces || strings.EqualFold(s.Name.Name, n.Name) {
							p.reportAt(old, found{message: "queries have no index from here until " + s.Name.Text + " is built"})
							break
						}
					}
				}
			}
		},
	},
	{
		id: "PG108", on: onPostgres, severity: tldwdblint.SeverityNotice, kinds: []string{"CREATE INDEX"},
		title:   "an index has more than three columns",
		breaks:  "An index that is not unique seldom earns its fourth column: it is larger, slows down every write, and serves only queries that name the columns before it.",
		instead: "Index the columns that select, and leave the rest to INCLUDE or to the table.",
		stmt: func(p *pass, s *stmt) {
			if !s.Unique && len(s.Columns) > 3 {
				p.report(found{message: fmt.Sprintf("%d columns in one index: those behind the third are seldom worth their writes", len(s.Columns))})
			}
		},
	},
	{
		id: "PG109", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"CREATE INDEX"},
		title: "an index is built on all partitions at once",
		breaks: "CREATE INDEX on a partitioned table locks all of its partitions against writers, until the last one has its index. CONCURRENTLY is " +
			"refused there.",
		instead: "Make the index ON ONLY the parent, build one on each partition with CONCURRENTLY, and attach them: the parent's index becomes valid with the last one.",
		see:     []string{"https://www.postgresql.org/docs/current/ddl-partitioning.html#DDL-PARTITIONING-DECLARATIVE-MAINTENANCE"},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || !p.partitioned(s.Table) || hasWords(s, "ON", "ONLY") {
				return
			}
			name := s.Name.Text
			p.report(found{
				message: "all partitions of " + s.Table.Text + " are locked while their indexes are built",
				remedy: insertWord(s, "ON", "ONLY") + ";\n-- then for each partition, in files of their own:\nCREATE INDEX CONCURRENTLY " + name + "_p1 ON partition_1 …;\nALTER INDEX " +
					name + " ATTACH PARTITION " + name + "_p1;",
			})
		},
	},
}

// partitioned reports whether a table is known to have partitions.
func (p *pass) partitioned(n tldwdblint.Name) bool {
	t := p.schema.table(n)
	return t != nil && t.partitioned
}

// ofNewTable reports whether all indexes that a statement drops are those of tables of this text.
func (p *pass) ofNewTable(s *stmt) bool {
	for _, n := range s.Names {
		x := p.schema.indexes[strings.ToLower(n.Name)]
		if x == nil {
			x = p.dropped[strings.ToLower(n.Name)]
		}
		if x == nil || !p.born[x.table] {
			return false
		}
	}
	return len(s.Names) > 0
}

// indexText is the statement that makes an index again; empty where it is not known.
func (p *pass) indexText(n tldwdblint.Name) string {
	if x := p.schema.indexes[strings.ToLower(n.Name)]; x != nil {
		s := stmt{toks: slices.Collect(sqlscan.Tokens(x.text, p.options))}
		classify(&s, x.text, p.options.Dialect)
		s.Text = x.text
		if s.Concurrently {
			return x.text
		}
		return insertWord(&s, "INDEX", "CONCURRENTLY")
	}
	return ""
}

// withSchema is a name in the schema of a table: CREATE INDEX takes none, DROP INDEX needs it.
func withSchema(table, name tldwdblint.Name) string {
	if table.Schema == "" || name.Schema != "" {
		return name.Text
	}
	return table.Text[:strings.LastIndexByte(table.Text, '.')+1] + name.Text
}

func listed(names []tldwdblint.Name) string {
	texts := make([]string, len(names))
	for i, n := range names {
		texts[i] = n.Text
	}
	return strings.Join(texts, ", ")
}

// insertWord is a statement with a word behind the first keyword of that name.
func insertWord(s *stmt, behind, word string) string {
	for _, t := range s.toks {
		if t.Is(behind) {
			at := t.Offset + len(t.Text)
			return s.Text[:at] + " " + word + s.Text[at:]
		}
	}
	return s.Text
}

// hasWords reports whether keywords follow each other in a statement.
func hasWords(s *stmt, words ...string) bool { return findWords(s, words) >= 0 }

func findWords(s *stmt, words []string) int {
	for i := range s.toks {
		for k, w := range words {
			if i+k >= len(s.toks) || len(s.toks[i+k].Text) != len(w) || !s.toks[i+k].Is(w) {
				break // most words are another one, and most of those of another length
			}
			if k == len(words)-1 {
				return i
			}
		}
	}
	return -1
}

// withoutWords is a statement without keywords that follow each other.
func withoutWords(s *stmt, words ...string) string {
	i := findWords(s, words)
	if i < 0 || i+len(words) >= len(s.toks) {
		return s.Text
	}
	return s.Text[:s.toks[i].Offset] + s.Text[s.toks[i+len(words)].Offset:]
}
