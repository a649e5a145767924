package dialect

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// RowRefusal is what a server says about a row that it does not take.
type RowRefusal struct {
	Row    int64  // which one of the statement, from 1; 0 where it does not say
	Column string // empty where it does not say
	Reason string // without the value
}

var (
	copyLine   = lazyregexp.New(`^COPY .*, line (\d+)(?:, column ([^:]+))?`)
	mysqlWhere = lazyregexp.New(`(?:column|field) [` + "`" + `'"]?([^` + "`" + `'"]+)[` + "`" + `'"]? at row (\d+)`)
	mysqlNames = lazyregexp.New(`(?i)constraint [` + "`" + `'"]([^` + "`" + `'"]+)`)
	mysqlKey   = lazyregexp.New(`for key '([^']+)'`)
)

// RefusedRow reads what is wrong with a row out of an error. ok is false for errors
// that are not about a row's values.
func RefusedRow(err error) (r RowRefusal, ok bool) {
	if e, is := errors.AsType[*pgconn.PgError](err); is {
		return postgresRefusal(e)
	}
	if e, is := errors.AsType[*mysql.MySQLError](err); is {
		return mysqlRefusal(e)
	}
	if text := err.Error(); strings.Contains(text, "constraint failed") || strings.Contains(text, "datatype mismatch") || strings.Contains(text, "cannot store") {
		return RowRefusal{Reason: "the target refuses it: " + text}, true // SQLite does not repeat values
	}
	return r, false
}

func postgresRefusal(e *pgconn.PgError) (r RowRefusal, ok bool) {
	// Classes 22 and 23 are those of data and constraints.
	if !strings.HasPrefix(e.Code, "22") && !strings.HasPrefix(e.Code, "23") {
		return r, false
	}
	r.Column = e.ColumnName
	if m := copyLine.FindStringSubmatch(e.Where); m != nil {
		r.Row, _ = strconv.ParseInt(m[1], 10, 64) // digits
		if r.Column == "" {
			r.Column = m[2]
		}
	}
	switch {
	case e.ConstraintName != "":
		r.Reason = "it breaks the target's constraint " + e.ConstraintName
	case e.Code == "22P02":
		r.Reason = "the type of the target's column does not have it"
	default:
		r.Reason = "the target refuses it (SQLSTATE " + e.Code + ")"
	}
	return r, true
}

func mysqlRefusal(e *mysql.MySQLError) (r RowRefusal, ok bool) {
	name := func(of *lazyregexp.Regexp) string {
		if m := of.FindStringSubmatch(e.Message); m != nil {
			return m[1]
		}
		return ""
	}
	switch e.Number {
	case 1264, 1265, 1292, 1366, 1406: // out of range, truncated, incorrect, too long
		r.Reason = fmt.Sprintf("the type of the target's column does not have it (error %d)", e.Number)
	case 1048, 1364:
		r.Reason = fmt.Sprintf("the target's column takes no NULL (error %d)", e.Number)
	case 1062, 1586:
		r.Reason = "the target has a row with the same key " + name(mysqlKey)
	case 3819, 4025:
		r.Reason = "it breaks the target's constraint " + name(mysqlNames)
	default:
		return r, false
	}
	if m := mysqlWhere.FindStringSubmatch(e.Message); m != nil {
		r.Column = m[1]
		r.Row, _ = strconv.ParseInt(m[2], 10, 64) // digits
	}
	return r, true
}
