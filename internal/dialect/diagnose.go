package dialect

import (
	"context"
	"database/sql"
	"slices"
	"time"
)

// Condition is what an operator wants to know of a server beside [Facts].
type Condition struct {
	Clock   time.Duration // the server's clock less ours, give or take the round trip
	Missing []string      // rights that migrations usually need, and this account has not
	Size    int64         // of the database, in bytes; -1 where it cannot be told
}

func queryRow(ctx context.Context, c *sql.Conn, d Dialect, query string, dest ...any) error {
	return QueryRow(ctx, c, query, d.QueryArgs(), dest...)
}

// clockOff compares a point in time of the server, in seconds, with the middle of
// the question's way.
func clockOff(sent time.Time, server float64) time.Duration {
	middle := sent.Add(time.Since(sent) / 2)
	return time.Unix(0, int64(server*float64(time.Second))).Sub(middle)
}

// Condition asks SQLite. Its clock is this machine's, and its rights are those of
// the file, which [Facts] has.
func (s *sqlite) Condition(ctx context.Context, c *sql.Conn, _ Facts) (Condition, error) {
	var out Condition
	err := queryRow(ctx, c, s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", &out.Size)
	return out, err
}

// Condition asks PostgreSQL.
func (p *postgres) Condition(ctx context.Context, c *sql.Conn, f Facts) (Condition, error) {
	out := Condition{Size: -1}
	var now float64
	var create bool
	sent := time.Now()
	err := queryRow(ctx, c, p, "SELECT extract(epoch FROM clock_timestamp())::float8, "+
		"pg_catalog.has_schema_privilege(current_user, "+p.Literal(f.Schema)+", 'CREATE')", &now, &create)
	if err != nil {
		return out, err
	}
	out.Clock = clockOff(sent, now)
	if !create {
		out.Missing = []string{"CREATE ON SCHEMA " + f.Schema}
	}
	_ = queryRow(ctx, c, p, "SELECT pg_catalog.pg_database_size(current_database())", &out.Size) // not every server that speaks PostgreSQL has it
	return out, nil
}

// mysqlRights are what CREATE TABLE, ALTER TABLE and the history ask for.
var mysqlRights = []string{"SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP", "INDEX", "REFERENCES"}

// Condition asks MySQL or MariaDB. Rights that come by a role are not in the
// tables that it asks, so that an account with roles lacks nothing here.
func (d *mysqlDialect) Condition(ctx context.Context, c *sql.Conn, _ Facts) (Condition, error) {
	out := Condition{Size: -1}
	var now float64
	sent := time.Now()
	if err := queryRow(ctx, c, d, "SELECT unix_timestamp(sysdate(6)) + 0e0", &now); err != nil {
		return out, err
	}
	out.Clock = clockOff(sent, now)
	if err := queryRow(ctx, c, d, "SELECT coalesce(sum(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = database()", &out.Size); err != nil {
		return out, err
	}
	const grantee = "concat('''', substring_index(current_user(), '@', 1), '''@''', substring_index(current_user(), '@', -1), '''')"
	have, err := queryTexts(ctx, c, "SELECT privilege_type FROM information_schema.user_privileges WHERE grantee = "+grantee+
		" UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = "+grantee+" AND database() LIKE table_schema", nil)
	if err != nil || d.hasRoles(ctx, c) {
		return out, err
	}
	for _, right := range mysqlRights {
		if !slices.Contains(have, right) {
			out.Missing = append(out.Missing, right)
		}
	}
	return out, nil
}

// hasRoles reports whether a role is active, or whether that cannot be told.
func (d *mysqlDialect) hasRoles(ctx context.Context, c *sql.Conn) bool {
	var role sql.NullString
	err := queryRow(ctx, c, d, "SELECT current_role()", &role)
	return err != nil || role.Valid && role.String != "" && role.String != "NONE"
}
