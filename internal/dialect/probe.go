package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// The clusters that have a way with locks of their own.
const (
	ClusterGalera           = "galera"
	ClusterGroupReplication = "group-replication"
	ClusterCockroachDB      = "cockroachdb"
	ClusterYugabyteDB       = "yugabytedb"
	ClusterTiDB             = "tidb"
	ClusterVitess           = "vitess"
)

// The kinds of the migration lock, as [ChooseLock] names them.
const (
	LockFile    = "file"    // SQLite's, beside the database
	LockSession = "session" // advisory lock, GET_LOCK: [Dialect.Lock]
	LockLease   = "lease"   // a row: [Lease]
)

// ChooseLock says which kind of lock keeps others out of the database that f
// describes, and why in words for the log. shared is what [SharesSessions] found;
// it has to be asked only where f.Proxied. wanted is LockSession or LockLease to
// force one, or empty. SQLite has its file lock whatever is wanted.
func ChooseLock(d Dialect, f Facts, shared bool, wanted string) (kind, why string) {
	if d.Name() == NameSQLite {
		return LockFile, "the database is a file"
	}
	if wanted != "" {
		return wanted, "the configuration says so"
	}
	switch f.Cluster {
	case ClusterGalera:
		return LockLease, "the nodes of a Galera cluster do not share their locks"
	case ClusterGroupReplication:
		return LockLease, "the members of a replication group do not share their locks"
	case ClusterCockroachDB:
		return LockLease, "CockroachDB's advisory locks are granted to everybody"
	case ClusterVitess:
		return LockLease, "Vitess closes a connection that is idle, and its lock is lost"
	case ClusterYugabyteDB:
		if !since(f.Server, "-YB-", 2025, 1) {
			return LockLease, "YugabyteDB has advisory locks since version 2025.1"
		}
	case ClusterTiDB:
		if !since(f.Server, "-TiDB-v", 6, 1) {
			return LockLease, "TiDB has locks of this kind since version 6.1"
		}
	}
	if f.Proxied && shared {
		return LockLease, "a pooler between here and the server shares its connections"
	}
	if f.Cluster != "" {
		return LockSession, "the lock of one session counts in the whole cluster"
	}
	return LockSession, "every connection has a session of its own on one server"
}

// since reports whether the version that follows mark in text is at least
// major.minor.
func since(text, mark string, major, minor int) bool {
	_, version, _ := strings.Cut(text, mark)
	m := leadingVersion.FindStringSubmatch(version)
	if m == nil {
		return false
	}
	first, err1 := strconv.Atoi(m[1])
	second, err2 := strconv.Atoi(m[2])
	return err1 == nil && err2 == nil && (first > major || first == major && second >= minor)
}

var leadingVersion = regexp.MustCompile(`^(\d+)\.(\d+)`)

// postgresCluster reads the answer of version().
func postgresCluster(version string) string {
	switch {
	case strings.Contains(version, "CockroachDB"):
		return ClusterCockroachDB
	case strings.Contains(version, "-YB-"):
		return ClusterYugabyteDB
	}
	return ""
}

// mysqlClusterVariables are those that mysqlCluster looks at.
var mysqlClusterVariables = []string{"version", "version_comment", "wsrep_on", "wsrep_provider", "group_replication_group_name"}

// mysqlCluster reads variables of the server; a server has only those of the
// plugins that it has loaded.
func mysqlCluster(variables map[string]string) string {
	product := strings.ToLower(variables["version"] + " " + variables["version_comment"])
	provider := strings.ToLower(variables["wsrep_provider"])
	switch {
	case strings.Contains(product, "tidb"):
		return ClusterTiDB
	case strings.Contains(product, "vitess"):
		return ClusterVitess
	case variables["wsrep_on"] == "ON" && provider != "" && provider != "none":
		return ClusterGalera
	case variables["group_replication_group_name"] != "":
		return ClusterGroupReplication
	}
	return ""
}

// shareRounds is how often SharesSessions looks. One is enough for a pooler that
// nobody else uses; a busy one may give the same connection back by chance.
const shareRounds = 3

// SharesSessions reports whether two connections to a PostgreSQL server may be
// served by one session, now the one and now the other, as a pooler in
// transaction mode does it. A transaction pooler shows itself when second opens a
// transaction: either it gets the session that first had a moment ago, or first
// has to go on with another one. Neither connection may be in a transaction.
func SharesSessions(ctx context.Context, d Dialect, first, second *sql.Conn) (shared bool, err error) {
	if d.Name() != NamePostgres {
		return false, nil
	}
	session := func(q queryer) (pid int64, err error) {
		err = queryRow(ctx, q, "SELECT pg_catalog.pg_backend_pid()", d.QueryArgs(), &pid)
		return pid, err
	}
	for range shareRounds {
		before, err := session(first)
		if err != nil {
			return false, err
		}
		if shared, err = sharesDuring(ctx, first, second, before, session); err != nil || shared {
			return shared, err
		}
		after, err := session(first)
		if err != nil || after != before {
			return err == nil, err
		}
	}
	return false, nil
}

// sharesDuring looks while second is in a transaction. first is asked only when
// it does not share its session with that: with a pool of one it would wait for
// the end of the transaction.
func sharesDuring(ctx context.Context, first, second *sql.Conn, before int64, session func(queryer) (int64, error)) (shared bool, err error) {
	tx, err := second.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if rollbackErr := tx.Rollback(); err == nil {
			err = rollbackErr
		}
	}()
	other, err := session(tx)
	if err != nil || other == before {
		return err == nil, err
	}
	during, err := session(first)
	return err == nil && during != before, err
}

// showVariables reads some of the server's variables.
func showVariables(ctx context.Context, c *sql.Conn, names []string) (values map[string]string, err error) {
	rows, err := c.QueryContext(ctx, fmt.Sprintf("SHOW GLOBAL VARIABLES WHERE Variable_name IN ('%s')", strings.Join(names, "', '")))
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	values = map[string]string{}
	for rows.Next() {
		var name string
		var value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		values[strings.ToLower(name)] = value.String
	}
	return values, rows.Err()
}
