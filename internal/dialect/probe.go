package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
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

const (
	// shareRounds is how often SharesSessions asks. Once is enough for a pooler that
	// nobody else uses; a busy one may give the same connection back by chance.
	shareRounds = 3
	// shareWait is how long a session of one's own may take to answer. A slow server
	// may take longer: it is then taken for a pooler, and the lock is a lease.
	shareWait = 2 * time.Second
)

// SharesSessions reports whether two connections to a PostgreSQL server may be
// served by one session, now the one and now the other, as a pooler in
// transaction mode does it: both get the same session, or one of them has to go on
// with another. Neither connection may be in a transaction. second may be broken
// afterwards.
//
// It does not wait for the pooler while it keeps a session busy: a fleet that
// starts at one instant would have them all, and everybody would wait for the next.
func SharesSessions(ctx context.Context, d Dialect, first, second *sql.Conn) (shared bool, err error) {
	if d.Name() != NamePostgres {
		return false, nil
	}
	session := func(ctx context.Context, q queryer) (pid int64, err error) {
		err = queryRow(ctx, q, "SELECT pg_catalog.pg_backend_pid()", d.QueryArgs(), &pid)
		return pid, err
	}
	var firsts, seconds int64
	for round := range shareRounds {
		one, err := session(ctx, first)
		if err != nil {
			return false, err
		}
		other, err := session(ctx, second)
		if err != nil {
			return false, err
		}
		if one == other || round > 0 && (one != firsts || other != seconds) {
			return true, nil
		}
		firsts, seconds = one, other
	}
	// A pooler may try to give a client the session that it had before. It cannot
	// while somebody else is in a transaction there, and second had that of first
	// in no round; so it is first that has to be crowded out of its own.
	return sharesDuring(ctx, first, second, seconds, session)
}

// sharesDuring asks by second while first is in a transaction, which may be where
// second was served until now.
func sharesDuring(ctx context.Context, first, second *sql.Conn, before int64, session func(context.Context, queryer) (int64, error)) (shared bool, err error) {
	tx, err := first.BeginTx(ctx, nil)
	if err != nil {
		return false, err
	}
	defer func() {
		if rollbackErr := tx.Rollback(); err == nil {
			err = rollbackErr
		}
	}()
	if _, err := session(ctx, tx); err != nil {
		return false, err
	}
	limited, cancel := context.WithTimeout(ctx, shareWait)
	defer cancel()
	during, err := session(limited, second)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		return true, nil
	}
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
