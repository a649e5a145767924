package dialect

import (
	"database/sql"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/testdb"
)

// through opens a pool on the database behind a pooler.
func through(t *testing.T, db *testdb.Database, pooler string) *sql.DB {
	t.Helper()
	pooled := *db
	pooled.URL = db.Through(t, pooler)
	return pooled.AdminDB(t)
}

// Servers that are not here answer as they were seen or are documented to answer.
func TestChooseLock(t *testing.T) {
	t.Parallel()
	mysql := func(server string, variables map[string]string) Facts {
		if variables["version"] == "" {
			variables["version"] = server
		}
		return Facts{Server: "MySQL " + server, Cluster: mysqlCluster(variables)}
	}
	postgres := func(server, product string) Facts {
		return Facts{Server: "PostgreSQL " + server, Cluster: postgresCluster(product)}
	}
	pooled := Facts{Server: "PostgreSQL 16.4", Proxied: true}
	for _, c := range []struct {
		what    string
		dialect string
		facts   Facts
		shared  bool
		wanted  string
		want    string
	}{
		{"SQLite", NameSQLite, Facts{}, false, "", LockFile},
		{"SQLite, forced", NameSQLite, Facts{}, false, LockLease, LockFile},
		{"PostgreSQL", NamePostgres, postgres("16.4", "PostgreSQL 16.4 on x86_64-pc-linux-gnu"), false, "", LockSession},
		{"PostgreSQL, forced", NamePostgres, postgres("16.4", "PostgreSQL 16.4 on x86_64-pc-linux-gnu"), false, LockLease, LockLease},
		{"session pooler", NamePostgres, pooled, false, "", LockSession},
		{"transaction pooler", NamePostgres, pooled, true, "", LockLease},
		{"transaction pooler, forced", NamePostgres, pooled, true, LockSession, LockSession},
		{"CockroachDB", NamePostgres, postgres("13.0.0", "CockroachDB CCL v23.1.11 (x86_64-pc-linux-gnu, built 2023/09/27 01:53:43, go1.19.10)"), false, "", LockLease},
		{"YugabyteDB 2.20", NamePostgres, postgres("11.2-YB-2.20.1.0-b0", "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu"), false, "", LockLease},
		{"YugabyteDB 2024.2", NamePostgres, postgres("11.2-YB-2024.2.0.0-b0", "PostgreSQL 11.2-YB-2024.2.0.0-b0 on x86_64-pc-linux-gnu"), false, "", LockLease},
		{"YugabyteDB 2025.1", NamePostgres, postgres("15.12-YB-2025.1.0.0-b0", "PostgreSQL 15.12-YB-2025.1.0.0-b0 on x86_64-pc-linux-gnu"), false, "", LockSession},
		{"YugabyteDB 2025.1, pooled", NamePostgres, Facts{Server: "PostgreSQL 15.12-YB-2025.1.0.0-b0", Cluster: ClusterYugabyteDB, Proxied: true}, true, "", LockLease},
		{"YugabyteDB, unreadable", NamePostgres, postgres("15-YB-x", "PostgreSQL 15-YB-x on x86_64"), false, "", LockLease},
		{"MySQL", NameMySQL, mysql("8.4.3", map[string]string{"version_comment": "MySQL Community Server - GPL"}), false, "", LockSession},
		{"MariaDB with the library", NameMySQL, mysql("10.11.8-MariaDB", map[string]string{"wsrep_on": "OFF", "wsrep_provider": "none"}), false, "", LockSession},
		{"MariaDB, switched on without it", NameMySQL, mysql("10.3.39-MariaDB", map[string]string{"wsrep_on": "ON", "wsrep_provider": "none"}), false, "", LockSession},
		{"Galera", NameMySQL, mysql("10.11.8-MariaDB", map[string]string{"wsrep_on": "ON", "wsrep_provider": "/usr/lib/galera/libgalera_smm.so"}), false, "", LockLease},
		{"Percona XtraDB Cluster", NameMySQL, mysql("8.0.36-28.1", map[string]string{"version_comment": "Percona XtraDB Cluster (GPL)", "wsrep_on": "ON", "wsrep_provider": "/usr/lib64/galera4/libgalera_smm.so"}), false, "", LockLease},
		{"Group Replication", NameMySQL, mysql("8.4.3", map[string]string{"group_replication_group_name": "aadaaaaa-adda-adda-aaaa-aaaaaaddaaaa"}), false, "", LockLease},
		{"its plugin without a group", NameMySQL, mysql("8.4.3", map[string]string{"group_replication_group_name": ""}), false, "", LockSession},
		{"TiDB 7.5", NameMySQL, mysql("8.0.11-TiDB-v7.5.0", map[string]string{}), false, "", LockSession},
		{"TiDB 6.0", NameMySQL, mysql("5.7.25-TiDB-v6.0.0", map[string]string{}), false, "", LockLease},
		{"TiDB 10.0", NameMySQL, mysql("8.0.11-TiDB-v10.0.1", map[string]string{}), false, "", LockSession},
		{"Vitess", NameMySQL, mysql("8.0.30-Vitess", map[string]string{}), false, "", LockLease},
		{"Vitess by its comment", NameMySQL, mysql("8.0.30", map[string]string{"version_comment": "Version: 19.0.0 (Vitess, git revision 1)"}), false, "", LockLease},
	} {
		d, err := New(c.dialect, true)
		if err != nil {
			t.Fatal(err)
		}
		if kind, why := ChooseLock(d, c.facts, c.shared, c.wanted); kind != c.want || why == "" {
			t.Errorf("%s: %q, %q; want %q", c.what, kind, why, c.want)
		}
	}
}

func TestServersWithoutCluster(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		if a.f.Cluster != "" || a.f.Proxied {
			t.Errorf("the facts are %+v", a.f)
		}
		if shared, err := SharesSessions(t.Context(), a.d, a.conn, b.conn); shared || err != nil {
			t.Errorf("SharesSessions is %v, %v", shared, err)
		}
	})
}

func TestPoolerIsSeen(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, pooler string, want bool) {
		db := testdb.New(t, testdb.Postgres)
		pool := through(t, db, pooler)
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		if !a.f.Proxied {
			t.Errorf("the pooler was not seen: %+v", a.f)
		}
		if shared, err := SharesSessions(t.Context(), a.d, a.conn, b.conn); shared != want || err != nil {
			t.Errorf("SharesSessions is %v, %v; want %v", shared, err, want)
		}
	}
	for name, want := range map[string]bool{"PGBOUNCER": true, "PGBOUNCER_SESSION": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, pooler := range testdb.Extra(t, name) {
				check(t, pooler, want)
			}
		})
	}
}

// Settings behind a pooler end with the transaction: the connection is somebody
// else's afterwards.
func TestPooledSessionLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, pooler := range testdb.Extra(t, "PGBOUNCER") {
		db := testdb.New(t, testdb.Postgres)
		c := contend(t, through(t, db, pooler), db.Engine, "a")
		settings := func() (list string) {
			t.Helper()
			if err := QueryRow(t.Context(), c.conn, "SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM pg_settings WHERE source = 'session' AND name <> 'application_name' AND name <> 'client_encoding'",
				c.d.QueryArgs(), &list); err != nil {
				t.Fatal(err)
			}
			return list
		}
		s := Session{LockTimeout: time.Second, StatementTimeout: time.Minute, Idle: time.Hour, Pooled: true, Facts: c.f}
		before := settings()
		if err := c.d.Prepare(t.Context(), c.conn, s); err != nil {
			t.Fatal(err)
		}
		script := slices.Concat(c.d.Begin(s), []string{"CREATE TABLE seen AS SELECT name, setting FROM pg_settings WHERE source = 'session'", "COMMIT"}, c.d.Restore(s), c.d.Timeouts(s))
		exec(t, c.conn, strings.Join(script, "; "))
		if after := settings(); after != before {
			t.Errorf("left on the server's connection: %q, before %q", after, before)
		}
		var inside string
		if err := QueryRow(t.Context(), c.conn, "SELECT coalesce(string_agg(name || '=' || setting, ' ' ORDER BY name), '') FROM seen WHERE name LIKE '%timeout' OR name LIKE '%interval'", c.d.QueryArgs(), &inside); err != nil {
			t.Fatal(err)
		}
		if want := "client_connection_check_interval=250 idle_in_transaction_session_timeout=3600000 lock_timeout=1000 statement_timeout=60000"; inside != want {
			t.Errorf("inside the transaction %q, want %q", inside, want)
		}
	}
}

// A holder that was stopped in the middle of a transaction keeps the fence no
// longer than Idle. MySQL has no such limit.
func TestIdleTransactionEnds(t *testing.T) {
	t.Parallel()
	forEachServer(t, func(t *testing.T, db *testdb.Database, pool *sql.DB) {
		if db.Engine == testdb.MySQL {
			t.Skip("MySQL has no limit for an idle transaction")
		}
		exec(t, pool, "CREATE TABLE h (n int)")
		a, b := contend(t, pool, db.Engine, "a"), contend(t, pool, db.Engine, "b")
		a.try(t, true)
		exec(t, pool, "UPDATE "+leaseTable+" SET session = 0 WHERE id = 2") // nobody may end the session
		lapse(t, pool, a)
		s := Session{LockTimeout: time.Minute, Idle: time.Second, Facts: a.f}
		if err := a.d.Prepare(t.Context(), a.conn, s); err != nil {
			t.Fatal(err)
		}
		exec(t, a.conn, strings.Join(append(a.d.Begin(s), "INSERT INTO h VALUES ("+a.Fence("7")+")"), "; "))
		b.try(t, false)
		got, err := until(t.Context(), time.Minute, func() (bool, error) { return b.Try(t.Context(), b.conn, 0) })
		held(t, "Try in the end", true, got, err)
	})
}
