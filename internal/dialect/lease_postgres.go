package dialect

import (
	"fmt"
	"strconv"
	"time"
)

func (*postgres) leaseDDL(table string) string {
	return `CREATE TABLE IF NOT EXISTS ` + table + ` (
	id smallint PRIMARY KEY,
	token bigint NOT NULL,
	owner text NOT NULL,
	session bigint NOT NULL,
	server text NOT NULL,
	peer text NOT NULL,
	taken_at timestamptz NOT NULL,
	expires_at timestamptz NOT NULL
)`
}

func (*postgres) leaseEnd(term time.Duration) string {
	return fmt.Sprintf("clock_timestamp() + interval '%d milliseconds'", term.Milliseconds())
}

func (*postgres) leaseShare(Facts) string { return "FOR SHARE" }

// leaseSession has nothing to say behind a pooler: the server's process is
// everybody's there.
func (p *postgres) leaseSession(f Facts) (number, server, peer string) {
	if f.Proxied || f.Cluster == ClusterCockroachDB {
		return "0", "''", "''"
	}
	return "pg_backend_pid()",
		"coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'local')",
		"coalesce((SELECT " + p.TimeText("a.backend_start") + " FROM pg_catalog.pg_stat_activity a WHERE a.pid = pg_backend_pid()), '')"
}

// leaseAlive looks at sessions of our own role only: of others neither the start
// can be seen nor the end be asked for. No process of another server started at
// the same microsecond. Inside a transaction the list of sessions stays as it was
// when it was first read, unless the server is told to forget it; CASE puts that
// first.
func (p *postgres) leaseAlive(h leaseHolder, working bool) string {
	state := ""
	if working {
		state = " AND a.state = 'active'"
	}
	return fmt.Sprintf("CASE WHEN pg_catalog.pg_stat_clear_snapshot() IS NULL THEN false ELSE EXISTS (SELECT 1 FROM pg_catalog.pg_stat_activity a WHERE a.pid = %d AND a.pid <> pg_backend_pid() AND a.usename = current_user AND %s = %s%s) END",
		h.session, p.TimeText("a.backend_start"), p.Literal(h.peer), state)
}

// leaseHurry ends with the transaction.
func (*postgres) leaseHurry(_ Facts, term time.Duration) (hurry, calm string) {
	return fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", term.Milliseconds()), ""
}

// leaseSilent knows who keeps the fence by the lock of the lease's table that goes
// with the row's: the heartbeat has another one, and whoever is taking the lease has
// not been silent for so long. The row says nothing about locks of rows.
func (p *postgres) leaseSilent(f Facts, table string, term time.Duration) string {
	if f.Cluster == ClusterCockroachDB { // it has neither these locks nor this function
		return ""
	}
	return fmt.Sprintf("SELECT count(pg_catalog.pg_terminate_backend(a.pid)) FROM pg_catalog.pg_stat_activity a WHERE a.pid <> pg_backend_pid() AND a.usename = current_user"+
		" AND a.wait_event_type = 'Client' AND a.state_change < clock_timestamp() - interval '%d milliseconds'"+
		" AND a.pid IN (SELECT k.pid FROM pg_catalog.pg_locks k WHERE k.locktype = 'relation' AND k.relation = to_regclass(%s) AND k.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = current_database()) AND k.mode = 'RowShareLock' AND k.granted)"+
		" AND EXISTS (SELECT FROM %s WHERE id = %d AND expires_at < clock_timestamp())",
		term.Milliseconds(), p.Literal(table), table, leaseBeat)
}

// leaseKnown: what a transaction holds, the fence does, and the statements that
// want none are told apart by the names of what they make.
func (*postgres) leaseKnown(h leaseHolder) string { return strconv.FormatBool(h.session != 0) }

func (*postgres) leaseKill(session int64) string {
	return fmt.Sprintf("SELECT pg_catalog.pg_terminate_backend(%d)", session)
}

func (*postgres) leaseNotKilled(error) bool { return false }

// Lease is the migration lock where a session's own does not keep others out.
func (p *postgres) Lease(f Facts, table, owner string, term time.Duration) (*Lease, error) {
	return newLease(p, f, table, owner, term), nil
}
