package lint

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file knows what only one of MySQL and MariaDB can read. Each entry is a statement that one server runs and the other
// answers with an error, tried on MariaDB 10.5 to 11.8 and MySQL 9.7.

// otherProduct is MY160.
func otherProduct(p *pass, s *stmt) {
	if p.dialect == mysql {
		mariadbOnly(p, s)
		return
	}
	mysqlOnly(p, s)
}

// sole reports what the server at hand does not know.
func (p *pass) sole(a *tldwdblint.Action, what, remedy string) {
	p.report(found{action: a, message: products[p.dialect] + " does not know " + what, remedy: remedy})
}

// mariadbOnly finds what MySQL refuses.
func mariadbOnly(p *pass, s *stmt) {
	at := func(i int, word string) bool { return i < len(s.toks) && s.toks[i].Is(word) }
	switch s.Kind {
	case "CREATE INDEX":
		if s.IfNotExists {
			p.sole(nil, "IF NOT EXISTS for an index", "")
		}
	case "DROP INDEX":
		if s.IfExists {
			p.sole(nil, "IF EXISTS for an index", "")
		}
	case "CREATE SEQUENCE", "ALTER SEQUENCE", "DROP SEQUENCE":
		p.sole(nil, "sequences", "")
	}
	switch {
	case at(0, "SET") && at(1, "STATEMENT"):
		p.sole(nil, "SET STATEMENT … FOR", "")
	case at(0, "CREATE") && at(1, "OR") && at(2, "REPLACE") && s.Kind != "CREATE VIEW" && !strings.HasPrefix(s.Kind, "CREATE SPATIAL"):
		p.sole(nil, "CREATE OR REPLACE but for views", "DROP "+strings.TrimPrefix(s.Kind, "CREATE ")+" IF EXISTS "+s.Name.Text+";")
	case at(0, "ALTER") && (at(1, "ONLINE") || at(1, "IGNORE")):
		p.sole(nil, "ALTER "+upper(s.toks[1].Text)+" TABLE", "")
	case s.Kind == "ALTER TABLE" && (at(3, "WAIT") || at(3, "NOWAIT")):
		p.sole(nil, "WAIT in ALTER TABLE; lock_wait_timeout is its word for it", "")
	}
	if option(s, "ALGORITHM") == "NOCOPY" {
		p.sole(nil, "ALGORITHM=NOCOPY", "")
	}
	switch s.Kind {
	case "INSERT", "DELETE", "REPLACE":
		if topLevel(s, "RETURNING") {
			p.sole(nil, "RETURNING", "")
		}
	case "CREATE TABLE", "ALTER TABLE":
		for i, t := range s.toks {
			switch {
			case t.Is("VERSIONING") && i > 0 && s.toks[i-1].Is("SYSTEM"):
				p.sole(nil, "system-versioned tables", "")
			case t.Is("PERIOD") && at(i+1, "FOR"):
				p.sole(nil, "periods", "")
			case t.Is("PERSISTENT") && i > 0 && s.toks[i-1].Text == ")":
				p.sole(nil, "PERSISTENT; it is STORED there", "")
			}
		}
		for i := range s.Actions {
			mariadbOnlyAction(p, s, &s.Actions[i])
		}
	}
}

func mariadbOnlyAction(p *pass, s *stmt, a *tldwdblint.Action) {
	if a.IfNotExists {
		p.sole(a, "IF NOT EXISTS inside ALTER TABLE", "")
	}
	if a.IfExists {
		p.sole(a, "IF EXISTS inside ALTER TABLE", "")
	}
	if a.Kind == tldwdblint.ActionAddIndex && says(a.Text, "IF", "NOT", "EXISTS") {
		p.sole(a, "IF NOT EXISTS inside ALTER TABLE", "")
	}
	if a.Kind == tldwdblint.ActionOption && says(a.Text, "IGNORED") {
		p.sole(a, "IGNORED indexes", "ALTER TABLE "+s.Table.Text+" "+strings.NewReplacer("NOT IGNORED", "VISIBLE", "not ignored", "VISIBLE", "IGNORED", "INVISIBLE", "ignored", "INVISIBLE").Replace(a.Text)+";")
	}
	c := &a.Column
	if c.Type == "" {
		return
	}
	base, _, _ := strings.Cut(c.Type, "(")
	switch base {
	case "uuid":
		p.sole(a, "the type UUID", c.Text+" binary(16)")
	case "inet4", "inet6":
		p.sole(a, "the type "+upper(base), c.Text+" varbinary(16)")
	case "tinytext", "text", "mediumtext", "longtext", "tinyblob", "blob", "mediumblob", "longblob", "json":
		if c.Default != "" && !isExpression(c.Default) && !strings.EqualFold(c.Default, "NULL") {
			p.sole(a, "a literal for the default of "+upper(base)+" (error 1101)", c.Text+" "+c.Type+" DEFAULT ("+c.Default+")")
		}
	}
}

// mysqlOnly finds what MariaDB refuses.
func mysqlOnly(p *pass, s *stmt) {
	at := func(i int, word string) bool { return i < len(s.toks) && s.toks[i].Is(word) }
	for i, t := range s.toks {
		if t.Kind != sqlscan.Word && t.Kind != sqlscan.Op {
			continue
		}
		switch {
		case t.Kind == sqlscan.Op && (t.Text == "->" || t.Text == "->>"):
			p.sole(nil, t.Text, "JSON_UNQUOTE(JSON_EXTRACT(…, '$.…'))")
			return
		case t.Is("ENFORCED") && i > 1 && s.toks[i-1].Is("NOT"):
			p.sole(nil, "NOT ENFORCED", "")
			return
		case t.Is("LATERAL"):
			p.sole(nil, "LATERAL", "")
			return
		case t.Is("SRID") && i > 1 && (s.Kind == "CREATE TABLE" || s.Kind == "ALTER TABLE"):
			p.sole(nil, "SRID for a column; REF_SYSTEM_ID is its word for it", "")
			return
		case t.Is("SET") && (at(i+1, "PERSIST") || at(i+1, "PERSIST_ONLY")):
			p.sole(nil, "SET PERSIST", "")
			return
		case t.Is("AS") && s.Kind == "INSERT" && i > 0 && s.toks[i-1].Text == ")" && onDuplicate(s, i):
			p.sole(nil, "an alias for the row of INSERT", "INSERT … ON DUPLICATE KEY UPDATE a = VALUES(a);")
			return
		case t.Kind == sqlscan.Word && strings.HasPrefix(strings.ToLower(t.Text), "utf8mb4_0900_") && !p.from(mariadb, "11.4.5"):
			p.sole(nil, "MySQL's collation "+t.Text+" (before 11.4.5)", "utf8mb4_unicode_520_ci")
			return
		}
	}
	switch s.Kind {
	case "CREATE INDEX":
		if slices.Contains(s.Columns, "") {
			p.sole(nil, "an index on an expression", "")
		}
		if n := len(s.toks); n > 0 && (s.toks[n-1].Is("INVISIBLE") || s.toks[n-1].Is("VISIBLE")) {
			p.sole(nil, "INVISIBLE indexes", strings.TrimSuffix(s.Text, s.toks[n-1].Text)+"IGNORED;")
		}
	case "CREATE TABLE", "ALTER TABLE":
		for i := range s.Actions {
			a := &s.Actions[i]
			switch {
			case (a.Kind == tldwdblint.ActionAddIndex || a.Kind == tldwdblint.ActionAddConstraint && a.Constraint.Kind == tldwdblint.ConstraintUnique) && slices.Contains(a.Constraint.Columns, ""):
				p.sole(a, "an index on an expression", "")
			case a.Kind == tldwdblint.ActionAddIndex && says(a.Text, "INVISIBLE"), a.Kind == tldwdblint.ActionOption && says(a.Text, "ALTER", "INDEX") && (says(a.Text, "INVISIBLE") || says(a.Text, "VISIBLE")):
				p.sole(a, "INVISIBLE indexes; IGNORED is its word for it, since 10.6", "")
			case a.Kind == tldwdblint.ActionDropConstraint && says(a.Text, "DROP", "CHECK"):
				p.sole(a, "DROP CHECK", "ALTER TABLE "+s.Table.Text+" DROP CONSTRAINT "+a.Constraint.Name.Text+";")
			case a.Kind == tldwdblint.ActionOther && says(a.Text, "ALTER", "CHECK"), a.Kind == tldwdblint.ActionOption && says(a.Text, "ALTER", "CHECK"):
				p.sole(a, "ALTER CHECK", "")
			}
		}
	}
}

// onDuplicate reports whether ON DUPLICATE KEY comes behind a token.
func onDuplicate(s *stmt, from int) bool {
	for i := from; i+1 < len(s.toks); i++ {
		if s.toks[i].Is("ON") && s.toks[i+1].Is("DUPLICATE") {
			return true
		}
	}
	return false
}
