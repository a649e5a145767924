package tldwdb_test

import (
	"crypto/rand"
	"database/sql"
	"net/url"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// makeRole makes an account of the server for one test, with the rights that
// the caller grants it. On PostgreSQL the test account is a member of it. The test
// is skipped where the test account may not make any: that of a server which
// testdb starts may.
func makeRole(t *testing.T, tdb *testdb.Database, admin *sql.DB, password string) string {
	t.Helper()
	role := "tldw_role_" + strings.ToLower(rand.Text()[:10])
	// DROP OWNED is for members only.
	create, drop := "CREATE ROLE "+role+" LOGIN PASSWORD '"+password+"'; GRANT "+role+" TO CURRENT_USER", "DROP OWNED BY "+role+"; DROP ROLE "+role
	if isMySQL(tdb) {
		role = "'" + role + "'@'127.0.0.1'"
		create, drop = "CREATE USER "+role+" IDENTIFIED BY '"+password+"'", "DROP USER "+role
	}
	if _, err := admin.ExecContext(t.Context(), create); err != nil {
		t.Skipf("the test account of %s may not create roles: %v", tdb.Engine, err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(drop); err != nil { //nolint:noctx // the test's context has ended
			t.Errorf("dropping %s: %v", role, err)
		}
	})
	return role
}

// urlAs is the database's URL with another account.
func urlAs(t *testing.T, tdb *testdb.Database, role, password string) string {
	t.Helper()
	u, err := url.Parse(tdb.URL)
	if err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(role, "@")
	u.User = url.UserPassword(strings.Trim(name, "'"), password)
	return u.String()
}
