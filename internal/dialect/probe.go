package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/lazyregexp"
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

var leadingVersion = lazyregexp.New(`^(\d+)\.(\d+)`)

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

// shareQuestions is how often SharesSessions asks. Two are enough for a pooler that
// nobody else uses. One with two connections to the server and a crowd of clients
// may hand them out in turn, so that the answers look right by chance.
const shareQuestions = 16

// SharesSessions reports whether two connections to a PostgreSQL server are served
// by one session, now the one and now the other, as a pooler in transaction mode
// does it: both get the same session, or one of them has to go on with another.
// Neither connection may be in a transaction.
//
// It opens none either, which would show more: a fleet that starts at one instant
// would so keep all the connections of the pooler, each of its processes waiting
// for one more.
func SharesSessions(ctx context.Context, d Dialect, first, second *sql.Conn) (bool, error) {
	if d.Name() != NamePostgres {
		return false, nil
	}
	clients := [2]*sql.Conn{first, second}
	var sessions [2]int64
	for n := range shareQuestions {
		i := n
		if n >= len(clients) {
			i = rand.IntN(len(clients)) // no order that could keep step with the pooler's
		}
		var pid int64
		if err := QueryRow(ctx, clients[i], "SELECT pg_catalog.pg_backend_pid()", d.QueryArgs(), &pid); err != nil {
			return false, err
		}
		if pid == sessions[1-i] || sessions[i] != 0 && pid != sessions[i] {
			return true, nil
		}
		sessions[i] = pid
	}
	return false, nil
}

// PoolerGaveUp reports whether an error means that a pooler had no session to give
// for as long as it lets its clients wait. Nothing of what it was asked has reached
// the server.
func PoolerGaveUp(err error) bool {
	return pgCode(err) == "08P01" && strings.Contains(err.Error(), "query_wait_timeout")
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
