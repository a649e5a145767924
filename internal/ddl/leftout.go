package ddl

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// What statements are about that the text of a database does not make again.
const (
	aboutRights   = "rights"
	aboutOwners   = "owners"
	aboutAccounts = "accounts"
	aboutServer   = "the server"
	aboutDatabase = "the database as such"
	aboutFile     = "the database's file"
)

// LeftOut says what a statement of a migration is about, where that is nothing that
// this package writes: it belongs to the installation, and not to the schema. It is
// empty for every other statement. A statement that makes statements is read for their
// words; what a routine does that it calls cannot be seen.
func LeftOut(st sqlscan.Statement, o sqlscan.Options) string {
	w := words{}
	for t := range sqlscan.Tokens(st.Text, o) {
		w.list = append(w.list, t)
	}
	switch o.Dialect {
	case sqlscan.Postgres:
		return w.postgres()
	case sqlscan.MySQL:
		return w.mysql()
	default:
		return w.sqlite()
	}
}

// Masked is the text of a statement to be shown: what LeftOut finds is where passwords
// are written, and no word before them is the same on all servers. So every text in
// quotes is masked; of the body of a DO, those inside of it.
func Masked(text string, o sqlscan.Options) string {
	var b strings.Builder
	end, first, does := 0, true, false
	for t := range sqlscan.Tokens(text, o) {
		if first {
			first, does = false, t.Is("DO")
		}
		if t.Kind != sqlscan.String {
			continue
		}
		shown := "'***'"
		if n := strings.IndexByte(t.Text[1:], '$') + 2; does && t.Text[0] == '$' && len(t.Text) >= 2*n {
			shown = t.Text[:n] + Masked(t.Text[n:len(t.Text)-n], o) + t.Text[len(t.Text)-n:]
		}
		b.WriteString(text[end:t.Offset] + shown)
		end = t.Offset + len(t.Text)
	}
	return b.String() + text[end:]
}

// words are the tokens of a statement.
type words struct{ list []sqlscan.Token }

// at reports whether one of the words stands at place i.
func (w words) at(i int, either ...string) bool {
	return i < len(w.list) && slices.ContainsFunc(either, w.list[i].Is)
}

// begins reports whether the statement begins with the words.
func (w words) begins(all ...string) bool {
	for i, word := range all {
		if !w.at(i, word) {
			return false
		}
	}
	return true
}

// has reports whether two words follow each other somewhere.
func (w words) has(first, second string) bool {
	for i := range w.list {
		if w.at(i, first) && w.at(i+1, second) {
			return true
		}
	}
	return false
}

// object is the place of the word that says what a CREATE, ALTER, DROP or RENAME is
// about; 0 for other statements.
func (w words) object() int {
	switch {
	case !w.at(0, "CREATE", "ALTER", "DROP", "RENAME"):
		return 0
	case w.at(1, "OR") && w.at(2, "REPLACE"):
		return 3
	}
	return 1
}

// Words by which a statement that runs others is known to be about rights.
var (
	granting   = lazyregexp.New(`(?is)\b(GRANT|REVOKE|ALTER\s+DEFAULT\s+PRIVILEGES)\b`)
	owning     = lazyregexp.New(`(?is)\bOWNER\s+TO\b|\bREASSIGN\s+OWNED\b`)
	accounting = lazyregexp.New(`(?is)\b(CREATE|ALTER|DROP)\s+(ROLE|USER|GROUP)\b`)
)

// inside reads a text that is run as a statement, or as several.
func (w words) inside() string {
	for _, t := range w.list {
		switch {
		case t.Kind != sqlscan.String:
		case granting.MatchString(t.Text):
			return aboutRights
		case owning.MatchString(t.Text):
			return aboutOwners
		case accounting.MatchString(t.Text):
			return aboutAccounts
		}
	}
	return ""
}

func (w words) postgres() string {
	of := w.object()
	switch {
	case w.at(0, "GRANT", "REVOKE"), w.begins("ALTER", "DEFAULT", "PRIVILEGES"):
		return aboutRights
	case w.begins("REASSIGN", "OWNED"), w.begins("DROP", "OWNED"), w.at(0, "ALTER") && w.has("OWNER", "TO"), w.at(0, "CREATE") && w.at(1, "SCHEMA") && slices.ContainsFunc(w.list, func(t sqlscan.Token) bool { return t.Is("AUTHORIZATION") }),
		w.begins("SET", "ROLE"), w.begins("SET", "LOCAL", "ROLE"), w.begins("SET", "SESSION", "ROLE"), w.begins("SET", "SESSION", "AUTHORIZATION"), w.begins("SET", "LOCAL", "SESSION"):
		return aboutOwners
	case of > 0 && w.at(of, "ROLE", "USER", "GROUP") && !w.at(of+1, "MAPPING"):
		return aboutAccounts
	case of > 0 && w.at(of, "DATABASE"), w.about("DATABASE"):
		return aboutDatabase
	case of > 0 && w.at(of, "SYSTEM", "TABLESPACE", "SUBSCRIPTION"), w.about("ROLE"), w.about("TABLESPACE"), w.about("SUBSCRIPTION"):
		return aboutServer
	case w.at(0, "DO"):
		return w.inside()
	}
	return ""
}

// about reports whether PostgreSQL's statement is a comment or a label on such a thing.
func (w words) about(kind string) bool {
	return (w.begins("COMMENT", "ON") || w.at(0, "SECURITY")) && w.has("ON", kind)
}

func (w words) mysql() string {
	of := w.object()
	switch {
	case w.at(0, "GRANT", "REVOKE"):
		return aboutRights
	case of > 0 && w.at(of, "ROLE", "USER"), w.begins("SET", "PASSWORD"), w.begins("SET", "DEFAULT", "ROLE"):
		return aboutAccounts
	case of > 0 && w.at(of, "DATABASE", "SCHEMA"):
		return aboutDatabase
	case of > 0 && (w.at(of, "SERVER", "TABLESPACE", "LOGFILE", "INSTANCE", "RESOURCE") || w.at(of, "UNDO") || slices.ContainsFunc(w.list, func(t sqlscan.Token) bool { return t.Is("SONAME") })),
		w.at(0, "INSTALL", "UNINSTALL", "CHANGE"), w.begins("RESET", "PERSIST"), w.at(0, "SET") && w.setsServer():
		return aboutServer
	case of > 0 && w.definer():
		return aboutOwners
	case w.at(0, "PREPARE"), w.begins("EXECUTE", "IMMEDIATE"):
		return w.inside()
	}
	return ""
}

// setsServer reports whether a SET is about more than the session.
func (w words) setsServer() bool {
	for i := range w.list {
		if w.at(i, "GLOBAL", "PERSIST", "PERSIST_ONLY") && (i == 1 || strings.HasSuffix(w.list[i-1].Text, "@") || w.list[i-1].Text == ",") {
			return true
		}
	}
	return false
}

// definer reports whether an object is made in somebody's name.
func (w words) definer() bool {
	for i := range w.list {
		if w.at(i, "DEFINER") && i+2 < len(w.list) && w.list[i+1].Text == "=" {
			return !w.at(i+2, "CURRENT_USER", "CURRENT_ROLE")
		}
	}
	return false
}

func (w words) sqlite() string {
	if w.at(0, "ATTACH") {
		return aboutFile
	}
	if !w.at(0, "PRAGMA") {
		return ""
	}
	i := 1
	if i+1 < len(w.list) && w.list[i+1].Text == "." {
		i += 2
	}
	if w.at(i, "journal_mode", "auto_vacuum", "page_size", "encoding") && i+1 < len(w.list) && w.list[i+1].Text != ";" {
		return aboutFile
	}
	return ""
}
