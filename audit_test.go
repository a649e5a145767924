package tldwdb_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// auditOf makes an audit with a URL.
func auditOf(t *testing.T, tdb *testdb.Database, url string, as tldwdb.Duty) *tldwdb.AuditReport {
	t.Helper()
	report, err := open(t, tdb, library, func(c *tldwdb.Config) { c.URL = url }).Audit(t.Context(), tldwdb.AuditOptions{As: as})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// detailOf is what the audit found of a kind about a subject, or empty.
func detailOf(r *tldwdb.AuditReport, id, subject string) string {
	for _, f := range r.Findings {
		if f.ID == id && strings.HasPrefix(f.Subject, subject) {
			return f.Detail
		}
	}
	return ""
}

// flaw is a right or a setting that an audit must find.
type flaw struct {
	id         string
	as         tldwdb.Duty
	statements []string // {role} is the account, {db} the database
	subject    string   // with {role}; empty: the account
	detail     string   // a part of it
	undo       []string // for what is not the database's or the account's
}

// TestAuditFindsRights: every right beyond the duty is found, and was not found
// before it was there.
func TestAuditFindsRights(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AsAdmin(t)
		if _, err := open(t, tdb, library).Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		pool := admin.AdminDB(t)
		execute(t, pool, "CREATE TABLE wide (a integer, b integer)")
		flaws := mysqlFlaws
		if tdb.Engine == testdb.Postgres {
			flaws = postgresFlaws
			execute(t, pool, "REVOKE ALL ON DATABASE "+tdb.Name()+" FROM PUBLIC; REVOKE ALL ON SCHEMA public FROM PUBLIC")
		}
		for _, c := range flaws {
			role := makeRole(t, tdb, pool, "x")
			if tdb.Engine == testdb.Postgres {
				execute(t, pool, "GRANT CONNECT ON DATABASE "+tdb.Name()+" TO "+role+"; GRANT USAGE ON SCHEMA public TO "+role)
			} else {
				execute(t, pool, "GRANT EXECUTE ON "+tdb.Name()+".* TO "+role)
			}
			fill := strings.NewReplacer("{role}", role, "{db}", tdb.Name())
			subject := strings.ReplaceAll(fill.Replace(c.subject), "'", "")
			if c.subject == "" {
				subject = strings.ReplaceAll(role, "'", "")
			}
			url := urlAs(t, tdb, role, "x")
			if before := auditOf(t, tdb, url, c.as); detailOf(before, c.id, subject) != "" {
				t.Errorf("%s as %s: found before it was there: %s", c.id, c.as, detailOf(before, c.id, subject))
			}
			for _, statement := range c.statements {
				execute(t, pool, fill.Replace(statement))
			}
			got := detailOf(auditOf(t, tdb, url, c.as), c.id, subject)
			if got == "" || !strings.Contains(got, fill.Replace(c.detail)) {
				t.Errorf("%s as %s after %q: %q", c.id, c.as, c.statements, got)
			}
			for _, statement := range c.undo {
				execute(t, pool, fill.Replace(statement))
			}
		}
	})
}

var postgresFlaws = []flaw{
	{id: "superuser", as: tldwdb.DutyMigrator, statements: []string{"ALTER ROLE {role} SUPERUSER"}, detail: "superuser", undo: []string{"ALTER ROLE {role} NOSUPERUSER"}},
	{id: "server-rights", as: tldwdb.DutyMigrator, statements: []string{"ALTER ROLE {role} CREATEDB CREATEROLE"}, detail: "CREATEDB, CREATEROLE"},
	{id: "server-rights", as: tldwdb.DutyApplication, statements: []string{"ALTER ROLE {role} BYPASSRLS REPLICATION"}, detail: "BYPASSRLS, REPLICATION"},
	{id: "powerful-role", as: tldwdb.DutyApplication, statements: []string{"GRANT pg_execute_server_program TO {role}"}, detail: "pg_execute_server_program"},
	{id: "powerful-role", as: tldwdb.DutyBackup, statements: []string{"GRANT pg_monitor TO {role}"}, detail: "pg_monitor"},
	{id: "owner", as: tldwdb.DutyApplication, statements: []string{"CREATE TABLE his (id integer)", "ALTER TABLE his OWNER TO {role}"}, detail: "public.his", undo: []string{"DROP TABLE his"}},
	{id: "schema-change", as: tldwdb.DutyApplication, statements: []string{"GRANT CREATE ON SCHEMA public TO {role}"}, detail: "CREATE on schema public"},
	{id: "schema-change", as: tldwdb.DutyBackup, statements: []string{"GRANT CREATE ON DATABASE {db} TO {role}"}, detail: "CREATE on database {db}"},
	{id: "table-rights", as: tldwdb.DutyApplication, statements: []string{"GRANT TRIGGER ON wide TO {role}"}, detail: "TRIGGER on public.wide"},
	{id: "history-writable", as: tldwdb.DutyApplication, statements: []string{"GRANT UPDATE (checksum) ON tldwdb_history TO {role}"}, detail: "UPDATE on public.tldwdb_history"},
	{id: "history-writable", as: tldwdb.DutyMonitor, statements: []string{"GRANT DELETE ON tldwdb_history TO {role}"}, detail: "DELETE on public.tldwdb_history"},
	{id: "writes", as: tldwdb.DutyBackup, statements: []string{"GRANT INSERT ON wide TO {role}"}, detail: "INSERT on public.wide"},
	{id: "reads-rows", as: tldwdb.DutyMonitor, statements: []string{"GRANT SELECT (b) ON wide TO {role}"}, detail: "SELECT on public.wide"},
	{id: "grant-option", as: tldwdb.DutyApplication, statements: []string{"GRANT SELECT ON wide TO {role} WITH GRANT OPTION"}, detail: "SELECT on public.wide"},
	{id: "grant-option", as: tldwdb.DutyMigrator, statements: []string{"GRANT pg_monitor TO {role} WITH ADMIN OPTION"}, detail: "membership in pg_monitor"},
	{id: "public-create", as: tldwdb.DutyApplication, statements: []string{"GRANT CREATE ON SCHEMA public TO PUBLIC"}, subject: "PUBLIC", detail: "public", undo: []string{"REVOKE CREATE ON SCHEMA public FROM PUBLIC"}},
	{id: "public-connect", as: tldwdb.DutyApplication, statements: []string{"GRANT CONNECT, TEMPORARY ON DATABASE {db} TO PUBLIC"}, subject: "PUBLIC", detail: "CONNECT, TEMPORARY", undo: []string{"REVOKE ALL ON DATABASE {db} FROM PUBLIC"}},
	{id: "public-tables", as: tldwdb.DutyApplication, statements: []string{"GRANT SELECT (a), UPDATE (b) ON wide TO PUBLIC"}, subject: "PUBLIC", detail: "SELECT on public.wide.a, UPDATE on public.wide.b", undo: []string{"REVOKE ALL ON wide FROM PUBLIC"}},
	{id: "definer-function", as: tldwdb.DutyApplication, statements: []string{"CREATE FUNCTION risky() RETURNS integer LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'", "CREATE FUNCTION sound() RETURNS integer LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS 'SELECT 1'",
		"ALTER FUNCTION risky() OWNER TO {role}", "ALTER FUNCTION sound() OWNER TO {role}"}, detail: "risky() runs", undo: []string{"DROP FUNCTION risky()", "DROP FUNCTION sound()"}},
}

var mysqlFlaws = []flaw{
	{id: "superuser", as: tldwdb.DutyMigrator, statements: []string{"GRANT ALL PRIVILEGES ON *.* TO {role}"}, detail: "everything"},
	{id: "server-rights", as: tldwdb.DutyMigrator, statements: []string{"GRANT FILE, PROCESS ON *.* TO {role}"}, detail: "PROCESS on *.*, FILE on *.*"},
	{id: "server-rights", as: tldwdb.DutyMonitor, statements: []string{"GRANT PROCESS, CREATE USER ON *.* TO {role}"}, detail: "it has CREATE USER on *.*"},
	{id: "other-databases", as: tldwdb.DutyApplication, statements: []string{"GRANT SELECT ON `tldw%`.* TO {role}"}, detail: "SELECT on tldw%.*"},
	{id: "other-databases", as: tldwdb.DutyBackup, statements: []string{"GRANT SELECT ON *.* TO {role}"}, detail: "SELECT on *.*"},
	{id: "other-databases", as: tldwdb.DutyMigrator, statements: []string{"GRANT UPDATE ON mysql.user TO {role}"}, detail: "UPDATE on mysql.user"},
	{id: "schema-change", as: tldwdb.DutyApplication, statements: []string{"GRANT CREATE ON {db}.* TO {role}"}, detail: "CREATE on {db}.*"},
	{id: "schema-change", as: tldwdb.DutyApplication, statements: []string{"GRANT INDEX ON {db}.wide TO {role}"}, detail: "INDEX on {db}.wide"},
	{id: "history-writable", as: tldwdb.DutyApplication, statements: []string{"GRANT INSERT ON {db}.* TO {role}"}, detail: "INSERT on {db}.*"},
	{id: "history-writable", as: tldwdb.DutyMonitor, statements: []string{"GRANT UPDATE (checksum) ON {db}.tldwdb_history TO {role}"}, detail: "UPDATE on {db}.tldwdb_history"},
	{id: "writes", as: tldwdb.DutyBackup, statements: []string{"GRANT DELETE ON {db}.wide TO {role}"}, detail: "DELETE on {db}.wide"},
	{id: "reads-rows", as: tldwdb.DutyMonitor, statements: []string{"GRANT SELECT (a) ON {db}.wide TO {role}"}, detail: "SELECT on {db}.wide"},
	{id: "grant-option", as: tldwdb.DutyMigrator, statements: []string{"GRANT SELECT ON {db}.* TO {role} WITH GRANT OPTION"}, detail: "{db}.*"},
}

// TestAuditSeesThroughRoles: rights that come by a role count, also by one that is
// not active.
func TestAuditSeesThroughRoles(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		pool := tdb.AsAdmin(t).AdminDB(t)
		role := makeRole(t, tdb, pool, "x")
		outer, inner := tdb.Name()+"_outer", tdb.Name()+"_inner"
		execute(t, pool, "CREATE ROLE "+outer+", "+inner)
		t.Cleanup(func() { dropAccounts(t, tdb, "DROP ROLE "+outer+", "+inner) })
		execute(t, pool, "GRANT EXECUTE ON "+tdb.Name()+".* TO "+role+"; GRANT FILE ON *.* TO "+inner+"; GRANT "+inner+" TO "+outer+"; GRANT "+outer+" TO "+role+"")
		db := open(t, tdb, library, func(c *tldwdb.Config) { c.URL, c.PoolSize = urlAs(t, tdb, role, "x"), 1 })
		for range 2 {
			report, err := db.Audit(t.Context(), tldwdb.AuditOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(detailOf(report, "server-rights", ""), "FILE on *.*") {
				t.Errorf("%+v", report)
			}
		}
		if got := rowsOf(t, db.Pool().DB, "SELECT CURRENT_ROLE()"); got != "NULL" && got != "NONE" {
			t.Errorf("the session is left as %s", got)
		}
	})
}

// dropAccounts runs statements after the test's context has ended.
func dropAccounts(t *testing.T, tdb *testdb.Database, statements ...string) {
	admin := tdb.AsAdmin(t)
	pool, err := testdb.Open(admin.Engine, admin.URL)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = pool.Close() }()
	for _, statement := range statements {
		if _, err := pool.Exec(statement); err != nil { //nolint:noctx // the test's context has ended
			t.Errorf("%s: %v", statement, err)
		}
	}
}

// TestAuditFindsAccounts: an administrator sees how others sign in; anybody else is
// told that it was not looked at.
func TestAuditFindsAccounts(t *testing.T) {
	t.Parallel()
	forEachMySQL(t, func(t *testing.T, tdb *testdb.Database) {
		admin := tdb.AsAdmin(t)
		pool := admin.AdminDB(t)
		name := strings.TrimPrefix(tdb.Name(), "tldw_test_")
		accounts := []string{"'e_" + name + "'@'192.0.2.1'", "'a_" + name + "'@'%'", "'l_" + name + "'@'192.0.2.1'", "''@'192.0.2." + name[:1] + "'"}
		t.Cleanup(func() { dropAccounts(t, tdb, "DROP USER "+strings.Join(accounts, ", ")) })
		// Without a password, but from an address that nobody has.
		execute(t, pool, "CREATE USER "+accounts[0]+"; CREATE USER "+accounts[1]+" IDENTIFIED BY 'Long-enough.9' REQUIRE SSL; CREATE USER "+accounts[2]+" ACCOUNT LOCK; CREATE USER "+accounts[3]+" IDENTIFIED BY 'Long-enough.9'")
		if tdb.Engine == testdb.MariaDB {
			execute(t, pool, "ALTER USER "+accounts[3]+" IDENTIFIED VIA mysql_old_password USING '0123456789abcdef'")
		}
		report := auditOf(t, tdb, admin.URL, tldwdb.DutyMigrator)
		plain := func(i int) string { return strings.ReplaceAll(accounts[i], "'", "") }
		for _, c := range []struct {
			id    string
			index int
			want  bool
		}{
			{"no-password", 0, true}, {"no-password", 1, false}, {"no-password", 2, false},
			{"any-host", 1, true}, {"any-host", 0, false},
			{"plain-login", 0, true}, {"plain-login", 1, false}, {"plain-login", 2, false},
			{"anonymous-account", 3, true}, {"anonymous-account", 0, false},
			{"weak-verifier", 3, tdb.Engine == testdb.MariaDB}, {"weak-verifier", 1, false}, // MySQL 9 has none left
		} {
			if got := detailOf(report, c.id, plain(c.index)) != ""; got != c.want {
				t.Errorf("%s of %s: %t", c.id, plain(c.index), got)
			}
		}
		for _, f := range report.Findings {
			if strings.Contains(f.Detail+f.Remedy, "Long-enough") || strings.Contains(f.Detail, "*") && !strings.Contains(f.Detail, "*.*") {
				t.Errorf("%+v", f)
			}
		}
		report = auditOf(t, tdb, tdb.URL, tldwdb.DutyMigrator)
		for _, id := range []string{"no-password", "anonymous-account", "any-host", "plain-login", "weak-verifier"} {
			if !slices.ContainsFunc(report.NotChecked, func(g tldwdb.AuditGap) bool { return g.ID == id }) {
				t.Errorf("%s: nobody looked, and nothing says so: %+v", id, report)
			}
		}
	})
}

// TestAuditFindsServerSettings changes them, on servers of its own.
func TestAuditFindsServerSettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		engine     testdb.Engine
		statements []string
		found      map[string]string // ID and subject
	}{
		{testdb.Postgres, []string{
			"SET password_encryption = 'md5'; CREATE ROLE old_habits LOGIN PASSWORD 'x'", "ALTER DATABASE {db} SET password_encryption = 'md5'",
			`COPY (SELECT unnest(ARRAY['host all all 127.0.0.1/32 scram-sha-256', 'host all all 192.0.2.0/24 trust', 'host all all 127.0.0.1/32 trust'])) TO '{hba}'`,
		}, map[string]string{"weak-verifier": "old_habits", "trust-login": "pg_hba.conf", "plain-login": "pg_hba.conf"}},
		{testdb.MariaDB, []string{"SET GLOBAL local_infile = ON"}, map[string]string{"local-infile": "local_infile", "secure-file-priv": "secure_file_priv"}},
		{testdb.MySQL, []string{"SET GLOBAL local_infile = ON"}, map[string]string{"local-infile": "local_infile"}},
	} {
		t.Run(string(c.engine), func(t *testing.T) {
			t.Parallel()
			if !slices.Contains(testdb.Wanted(), c.engine) {
				t.Skip("TLDWDB_TEST_ENGINES leaves it out")
			}
			server, err := testdb.Start(t.Context(), c.engine)
			if err != nil {
				t.Skipf("no server of our own: %v", err)
			}
			t.Cleanup(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
			tdb := server.New(t)
			admin := tdb.Seen(t, server.AdminURL)
			pool := admin.AdminDB(t)
			fill := strings.NewReplacer("{db}", tdb.Name())
			if c.engine == testdb.Postgres {
				fill = strings.NewReplacer("{db}", tdb.Name(), "{hba}", rowsOf(t, pool, "SHOW hba_file"))
				if report := auditOf(t, tdb, admin.URL, tldwdb.DutyMigrator); detailOf(report, "trust-login", "")+detailOf(report, "weak-verifier", "")+detailOf(report, "plain-login", "") != "" {
					t.Errorf("found before it was there: %+v", report)
				}
			}
			for _, statement := range c.statements {
				execute(t, pool, fill.Replace(statement))
			}
			report := auditOf(t, tdb, admin.URL, tldwdb.DutyMigrator)
			for id, subject := range c.found {
				if detailOf(report, id, subject) == "" {
					t.Errorf("%s of %s was not found: %+v", id, subject, report)
				}
			}
			if c.engine == testdb.Postgres {
				if detailOf(report, "weak-verifier", "password_encryption") == "" {
					t.Errorf("the setting was not found: %+v", report)
				}
				if got := detailOf(report, "plain-login", "pg_hba.conf"); !strings.Contains(got, "192.0.2.0") || strings.Contains(got, "127.0.0.1") {
					t.Errorf("plain-login: %s", got)
				}
				low := auditOf(t, tdb, tdb.URL, tldwdb.DutyMigrator)
				for _, id := range []string{"trust-login", "plain-login", "weak-verifier", "plain-session"} {
					if !slices.ContainsFunc(low.NotChecked, func(g tldwdb.AuditGap) bool { return g.ID == id }) {
						t.Errorf("%s: nobody looked, and nothing says so: %+v", id, low)
					}
				}
			}
		})
	}
}

// TestAuditOfAFile looks at modes, which is all that SQLite has for rights.
func TestAuditOfAFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps rights in another way")
	}
	tdb := testdb.New(t, testdb.SQLite)
	db := open(t, tdb, library)
	if _, err := db.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	file, folder := tdb.Path(), filepath.Dir(tdb.Path())
	for _, c := range []struct {
		id, path string
		mode     os.FileMode
	}{
		{"", file, 0o640}, {"file-readable", file, 0o644}, {"file-writable", file, 0o666}, {"file-readable", file + "-wal", 0o604}, {"", folder, 0o755}, {"folder-writable", folder, 0o777},
	} {
		for _, clean := range []string{file, file + "-wal", file + "-shm"} {
			chmod(t, clean, 0o600)
		}
		chmod(t, folder, 0o700)
		chmod(t, c.path, c.mode)
		report, err := db.Audit(t.Context(), tldwdb.AuditOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if report.As != tldwdb.DutyApplication {
			t.Errorf("as %s", report.As)
		}
		var found []string
		for _, f := range report.Findings {
			if f.ID != "trusted-schema" {
				found = append(found, f.ID+" "+f.Subject)
			}
		}
		var want []string
		if c.id != "" {
			want = []string{c.id + " " + c.path}
		}
		if !slices.Equal(found, want) {
			t.Errorf("%s with mode %o: found %q, want %q", c.path, c.mode, found, want)
		}
		if detailOf(report, "trusted-schema", "trusted_schema") == "" {
			t.Errorf("SQLite trusts the schema unless told otherwise, and it was not found: %+v", report)
		}
	}
	chmod(t, folder, 0o700)
	memory := open(t, tdb, library, func(c *tldwdb.Config) { c.URL = "sqlite://" })
	if report, err := memory.Audit(t.Context(), tldwdb.AuditOptions{}); err != nil || len(report.NotChecked) > 0 || len(report.Findings) > 1 {
		t.Errorf("in memory: %+v, %v", report, err)
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// TestAuditAs refuses what is no duty, and asks the account of MigrateURL about the
// migrator's.
func TestAuditAs(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, tdb *testdb.Database) {
		pool := tdb.AsAdmin(t).AdminDB(t)
		role := makeRole(t, tdb, pool, "x")
		if isMySQL(tdb) {
			execute(t, pool, "GRANT EXECUTE ON "+tdb.Name()+".* TO "+role)
		}
		db := open(t, tdb, library, func(c *tldwdb.Config) { c.URL, c.MigrateURL = urlAs(t, tdb, role, "x"), tdb.URL })
		for as, want := range map[tldwdb.Duty]string{tldwdb.DutyMigrator: "tldw", tldwdb.DutyApplication: strings.Trim(strings.Split(role, "@")[0], "'"), "": strings.Trim(strings.Split(role, "@")[0], "'")} {
			report, err := db.Audit(t.Context(), tldwdb.AuditOptions{As: as})
			if err != nil {
				t.Fatal(err)
			}
			if got, _, _ := strings.Cut(report.Account, "@"); got != want {
				t.Errorf("as %q it is %s, want %s", as, got, want)
			}
		}
		if report, err := db.Audit(t.Context(), tldwdb.AuditOptions{As: "boss"}); err == nil || !strings.Contains(err.Error(), "migrator, application, monitor and backup") {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestSecurityHasEveryFinding: what an audit says can be looked up.
func TestSecurityHasEveryFinding(t *testing.T) {
	t.Parallel()
	weights := tldwdb.AuditWeights()
	var documented []string
	for _, row := range docTable(t, "docs/security.md", "## Findings") {
		for _, id := range codeIn(row[0]) {
			documented = append(documented, id)
			if got := row[1] + " " + row[2]; got != weights[id] {
				t.Errorf("%s is %s, and the document says %s", id, weights[id], got)
			}
			if row[3] == "" || row[4] == "" {
				t.Errorf("%s has no explanation or no remedy", id)
			}
		}
	}
	sameSet(t, "docs/security.md", documented, slices.Sorted(maps.Keys(weights)))
	// And every ID that an engine may answer with has a weight.
	file, err := parser.ParseFile(token.NewFileSet(), "internal/dialect/audit.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	ids := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if ok && strings.HasPrefix(spec.Names[0].Name, "Audit") {
			ids++
			if id := literals(spec.Values[0])[0]; weights[id] == "" {
				t.Errorf("%s has no weight", id)
			}
		}
		return true
	})
	if ids != len(weights) {
		t.Errorf("%d IDs and %d weights", ids, len(weights))
	}
}
