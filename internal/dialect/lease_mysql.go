package dialect

import (
	"fmt"
	"strings"
	"time"
)

func (*mysqlDialect) leaseDDL(table string) string {
	return "CREATE TABLE IF NOT EXISTS " + table + ` (
	id smallint NOT NULL PRIMARY KEY,
	token bigint NOT NULL,
	owner varchar(255) NOT NULL,
	session bigint NOT NULL,
	server varchar(255) NOT NULL,
	peer varchar(255) NOT NULL,
	taken_at datetime(6) NOT NULL,
	expires_at datetime(6) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`
}

func (*mysqlDialect) leaseEnd(term time.Duration) string {
	return fmt.Sprintf("UTC_TIMESTAMP(6) + INTERVAL %d MICROSECOND", term.Microseconds())
}

// leaseShare is the old form, the only one of MariaDB. Without it the reading is
// a locking one in most statements, but not at READ COMMITTED. TiDB has no shared
// locks.
func (*mysqlDialect) leaseShare(f Facts) string {
	if f.Cluster == ClusterTiDB {
		return "FOR UPDATE"
	}
	return "LOCK IN SHARE MODE"
}

// leaseServer is one node of a cluster.
const leaseServer = "CONCAT(@@hostname, ':', @@port)"

// leaseSession names user, address and port beside the connection's number: the
// numbers begin again with the server.
func (d *mysqlDialect) leaseSession(f Facts) (number, server, peer string) {
	if f.Cluster == ClusterVitess || f.Cluster == ClusterTiDB {
		return "0", "''", "''"
	}
	return "CONNECTION_ID()", leaseServer,
		"COALESCE((SELECT CONCAT(p.USER, '@', p.HOST) FROM " + d.processlist() + " p WHERE p.ID = CONNECTION_ID()), '')"
}

// leaseAlive sees the sessions of other users only with the right to see
// processes. A server that has started since has other sessions: by a Unix socket
// they are all called localhost. Its age counts whole seconds.
func (d *mysqlDialect) leaseAlive(h leaseHolder, working bool) string {
	command := ""
	if working {
		command = " AND p.COMMAND <> 'Sleep'"
	}
	status := "performance_schema.global_status"
	if d.mariaDB.Load() {
		status = "information_schema.GLOBAL_STATUS"
	}
	started := fmt.Sprintf("(SELECT VARIABLE_VALUE FROM %s WHERE VARIABLE_NAME = 'UPTIME') * 1000 + 2000 > %.0f", status, h.age)
	return fmt.Sprintf("%s = %s AND %s AND EXISTS (SELECT 1 FROM %s p WHERE p.ID = %d AND p.ID <> CONNECTION_ID() AND CONCAT(p.USER, '@', p.HOST) = %s%s)",
		leaseServer, d.Literal(h.server), started, d.processlist(), h.session, d.Literal(h.peer), command)
}

// leaseHurry has nothing that ends with a transaction: the session's own limit is
// shortened, and set back.
func (*mysqlDialect) leaseHurry(f Facts, term time.Duration) (hurry, calm string) {
	if f.IdleLimit == 0 {
		return "", ""
	}
	return "SET SESSION " + waitTimeout(term), "SET SESSION " + waitTimeout(f.IdleLimit)
}

// leaseSilent has nothing to do: whose session it is, the lease's row says.
func (*mysqlDialect) leaseSilent(Facts, string, time.Duration) string { return "" }

// leaseKnown: one's own sessions can be seen and ended without a privilege.
func (d *mysqlDialect) leaseKnown(h leaseHolder) string {
	user, _, _ := strings.Cut(h.peer, "@")
	return leaseServer + " = " + d.Literal(h.server) + " AND SUBSTRING_INDEX(USER(), '@', 1) = " + d.Literal(user)
}

func (*mysqlDialect) leaseKill(session int64) string {
	return fmt.Sprintf("KILL CONNECTION %d", session)
}

// leaseNotKilled knows 1094 (no such connection) and 1095 (it is another user's).
func (*mysqlDialect) leaseNotKilled(err error) bool {
	return mysqlNumber(err) == 1094 || mysqlNumber(err) == 1095
}

// processlist is the table of the server's sessions. MySQL's other list fails
// with error 3854 while anybody runs a statement with an emoji in it; MariaDB has
// only that one.
func (d *mysqlDialect) processlist() string {
	if d.mariaDB.Load() {
		return "information_schema.PROCESSLIST"
	}
	return "performance_schema.processlist"
}

// Lease is the migration lock where a session's own does not keep others out.
func (d *mysqlDialect) Lease(f Facts, table, owner string, term time.Duration) (*Lease, error) {
	return newLease(d, f, table, owner, term), nil
}
