package dialect

import (
	"context"
	"database/sql"
	"slices"
	"strings"
)

// BackupRights is implemented by an engine that hides what an account has no right
// to, so that a dump leaves it out and says nothing.
type BackupRights interface {
	// MissingForBackup lists the rights that the account of the connection lacks to
	// see everything in the database, each as it stands in a GRANT.
	MissingForBackup(ctx context.Context, c *sql.Conn, database string) ([]string, error)
}

// MissingForBackup asks for the rights of the session, for those of roles that are
// not active do not help a dump.
func (d *mysqlDialect) MissingForBackup(ctx context.Context, c *sql.Conn, database string) ([]string, error) {
	a := &audit{c: c, d: d}
	of := ""
	if !d.mariaDB.Load() {
		var role string
		if err := QueryRow(ctx, c, "SELECT CURRENT_ROLE()", nil, &role); err != nil {
			return nil, err
		}
		if role != "NONE" {
			of = " FOR CURRENT_USER() USING " + role
		}
	}
	grants, err := d.showGrants(ctx, a, of)
	if err != nil {
		return nil, err
	}
	return missingForBackup(grants, database, d.mariaDB.Load()), nil
}

func missingForBackup(grants []mysqlGrant, database string, mariaDB bool) (missing []string) {
	// holds looks for a right on the whole database, or on the server: one on a table
	// shows that table alone.
	holds := func(rights ...string) bool {
		return slices.ContainsFunc(grants, func(g mysqlGrant) bool {
			if g.role != "" || g.object != "" || len(g.has(rights...)) == 0 {
				return false
			}
			matches, _ := likeDatabase(g.database, database)
			return g.database == "" || matches
		})
	}
	everywhere := func(right string) bool {
		return slices.ContainsFunc(grants, func(g mysqlGrant) bool {
			return g.role == "" && g.database == "" && g.object == "" && slices.Contains(append(g.rights, g.has(right)...), right)
		})
	}
	on := " ON " + backtick(strings.NewReplacer(`_`, `\_`, `%`, `\%`).Replace(database)) + ".*"
	for _, right := range []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"} {
		if !holds(right) {
			missing = append(missing, right+on)
		}
	}
	// Of a routine an account sees that it is there if it may do anything with it;
	// then the program complains that it cannot see its text.
	book := slices.ContainsFunc(grants, func(g mysqlGrant) bool {
		return g.database == "mysql" && (g.object == "proc" || g.object == "") && len(g.has("SELECT")) > 0
	})
	switch {
	case holds("EXECUTE", "CREATE ROUTINE", "ALTER ROUTINE", "SHOW CREATE ROUTINE"), everywhere("SELECT"), everywhere("SHOW_ROUTINE"):
	case mariaDB && !book:
		missing = append(missing, "SELECT ON mysql.proc")
	case !mariaDB:
		missing = append(missing, "SHOW_ROUTINE ON *.*")
	}
	return missing
}
