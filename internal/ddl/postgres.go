package ddl

import (
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// pgSession are the settings that pg_dump begins with. Which ones depends on its version,
// and servers that are older than it refuse some; none of them changes what is made,
// but the two that pgHead has.
var (
	pgSession = lazyregexp.New(`^(SET (statement_timeout|lock_timeout|idle_in_transaction_session_timeout|transaction_timeout|client_encoding|standard_conforming_strings|check_function_bodies|client_min_messages|row_security)\b|SELECT pg_catalog\.set_config\('search_path')`)
	pgSchema  = lazyregexp.New(`^CREATE SCHEMA `)
	// Who may not own an extension may not comment on it either; the comment is the
	// extension's own.
	pgExtensionComment = lazyregexp.New(`^COMMENT ON EXTENSION `)
)

const pgHead = "SET check_function_bodies = false;\nSELECT pg_catalog.set_config('search_path', '', false);\n\n"

const pgEnd = "RESET search_path;\nRESET check_function_bodies;\n"

// Postgres brings the plain text of pg_dump into the form in which it stays the same:
// without what differs between its versions, and without its comments. Schemas may be
// there before, as the migrations' own statements have it at most databases.
func Postgres(text string) (string, error) {
	list, err := sqlscan.Split(text, sqlscan.Options{Dialect: sqlscan.Postgres})
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(pgHead)
	for _, st := range list {
		switch {
		case pgSession.MatchString(st.Text), pgExtensionComment.MatchString(st.Text):
			continue
		case pgSchema.MatchString(st.Text):
			st.Text = strings.Replace(st.Text, "CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS ", 1)
		}
		b.WriteString(st.Text + ";\n\n")
	}
	b.WriteString(pgEnd)
	return b.String(), nil
}
