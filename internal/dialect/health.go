package dialect

import (
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
)

// HealthQueries are an engine's part of a health probe: what it says of itself.
// None of them writes or reads a row of a user.
type HealthQueries interface {
	// Alive asks the least that makes the server answer, and whether it takes
	// writes as far as its own variables say.
	Alive(ctx context.Context, c *sql.Conn) (Mode, error)
	// BeginProbe are the statements that open the transaction of a write probe. No
	// wait for a lock in it is to be longer than limit.
	BeginProbe(limit time.Duration) []string
	// Size is how many bytes the database has.
	Size(ctx context.Context, c *sql.Conn) (int64, error)
	// Exists is a condition that a table or view is there, for an account that may
	// not read it.
	Exists(schema, table string) string
	// Estimate is how many rows a table has, as the server's statistics say; -1
	// where they say nothing.
	Estimate(ctx context.Context, c *sql.Conn, schema, table string) (int64, error)
	// Replication is how far this server is behind the one that it follows, or the
	// farthest of those that follow it is behind; ErrNotVisible where there is
	// nothing to see, or this account may not.
	Replication(ctx context.Context, c *sql.Conn) (lag time.Duration, err error)
	// CertificateExpiry is when the server's certificate ends; ErrNotVisible where
	// the connection has none, or the driver does not show it.
	CertificateExpiry(ctx context.Context, c *sql.Conn) (time.Time, error)
	// Plain reports whether the connection is known to have no TLS.
	Plain(ctx context.Context, c *sql.Conn) (bool, error)
	// LimitWaits makes statements on the connection wait for locks no longer than
	// limit, where the server would not notice that nobody waits for them any more.
	// The function that it returns takes that back; nil where nothing was done.
	LimitWaits(ctx context.Context, c *sql.Conn, limit time.Duration) (restore func(context.Context) error, err error)
}

// Mode is whether a server takes writes, by its own word. An administrator may
// write all the same where ReadOnly is only a setting.
type Mode struct {
	ReadOnly bool
	Standby  bool // it follows another server
}

// ErrNotVisible means that there is nothing to be seen of what was asked for.
var ErrNotVisible = errors.New("not visible to this connection")

// hidden turns the error of a question that this account may not ask, or that
// this server does not understand, into ErrNotVisible.
func hidden(err error) error {
	switch FaultOf(err) {
	case FaultPermission, FaultSyntax, FaultMissingTable, FaultOther:
		return ErrNotVisible
	}
	return err
}

// Alive reads query_only. Whether the file itself takes writes only a write tells.
func (s *sqlite) Alive(ctx context.Context, c *sql.Conn) (m Mode, err error) {
	err = queryRow(ctx, c, s, "SELECT query_only FROM pragma_query_only", &m.ReadOnly)
	return m, err
}

// BeginProbe takes the write lock. How long it waits is the connection's.
func (*sqlite) BeginProbe(time.Duration) []string { return []string{"BEGIN IMMEDIATE"} }

func (s *sqlite) Size(ctx context.Context, c *sql.Conn) (size int64, err error) {
	err = queryRow(ctx, c, s, "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", &size)
	return size, err
}

func (s *sqlite) Exists(_, table string) string {
	return "EXISTS (SELECT 1 FROM main.sqlite_master WHERE type IN ('table', 'view') AND name = " + s.Literal(table) + " COLLATE NOCASE)"
}

// Estimate reads what ANALYZE has left; without that, the highest row number is
// no less than the rows.
func (s *sqlite) Estimate(ctx context.Context, c *sql.Conn, _, table string) (int64, error) {
	rows := int64(-1)
	err := queryRow(ctx, c, s, "SELECT coalesce(max(CAST(stat AS INTEGER)), -1) FROM sqlite_stat1 WHERE tbl = "+s.Literal(table), &rows)
	if err != nil && FaultOf(err) != FaultMissingTable {
		return -1, err
	}
	if rows < 0 {
		err = queryRow(ctx, c, s, "SELECT coalesce(max(rowid), 0) FROM "+s.Qualify("", table), &rows)
		if FaultOf(err) == FaultSyntax { // WITHOUT ROWID
			return -1, nil
		}
	}
	return rows, err
}

func (*sqlite) Plain(context.Context, *sql.Conn) (bool, error) { return false, nil }

func (*sqlite) LimitWaits(context.Context, *sql.Conn, time.Duration) (func(context.Context) error, error) {
	return nil, nil
}

func (*sqlite) Replication(context.Context, *sql.Conn) (time.Duration, error) {
	return 0, ErrNotVisible
}

func (*sqlite) CertificateExpiry(context.Context, *sql.Conn) (time.Time, error) {
	return time.Time{}, ErrNotVisible
}

func (p *postgres) Alive(ctx context.Context, c *sql.Conn) (m Mode, err error) {
	err = queryRow(ctx, c, p, "SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only') = 'on'", &m.Standby, &m.ReadOnly)
	if fault := FaultOf(err); fault == FaultSyntax { // one that speaks PostgreSQL, and knows no recovery
		err = queryRow(ctx, c, p, "SELECT pg_catalog.current_setting('transaction_read_only') = 'on'", &m.ReadOnly)
	}
	return m, err
}

func (*postgres) BeginProbe(limit time.Duration) []string {
	return []string{"BEGIN", fmt.Sprintf("SET LOCAL lock_timeout = %d", max(1, limit.Milliseconds()))}
}

func (p *postgres) Size(ctx context.Context, c *sql.Conn) (size int64, err error) {
	err = hidden(queryRow(ctx, c, p, "SELECT pg_catalog.pg_database_size(pg_catalog.current_database())", &size))
	return size, err
}

// Exists asks for a name that a statement of this session could use.
func (p *postgres) Exists(schema, table string) string {
	return "pg_catalog.to_regclass(" + p.Literal(p.Qualify(schema, table)) + ") IS NOT NULL"
}

// Estimate reads what VACUUM and ANALYZE have left, and the counters of the
// activity since where there was none yet. Partitions are counted one by one: a
// partitioned table has no statistics of its own until it is analyzed.
func (p *postgres) Estimate(ctx context.Context, c *sql.Conn, schema, table string) (int64, error) {
	rows := int64(-1)
	name := p.Literal(p.Qualify(schema, table))
	err := queryRow(ctx, c, p, "SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE pg_catalog.pg_stat_get_live_tuples(c.oid) END), -1)::bigint"+
		" FROM pg_catalog.pg_class c WHERE c.relkind <> 'p' AND (c.oid = pg_catalog.to_regclass("+name+") OR c.oid IN"+
		" (SELECT inhrelid FROM pg_catalog.pg_inherits WHERE inhparent = pg_catalog.to_regclass("+name+")))", &rows)
	return rows, err
}

// Replication of a standby is how old the newest transaction is that it has
// replayed, unless it has replayed all that it has received, and receives: one that
// has lost its primary has nothing left to replay and is behind all the same.
func (p *postgres) Replication(ctx context.Context, c *sql.Conn) (time.Duration, error) {
	var seconds sql.NullFloat64
	err := queryRow(ctx, c, p, "SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN"+
		" CASE WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn() AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver) THEN 0"+
		" ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())::float8 END"+
		" ELSE (SELECT max(extract(epoch FROM coalesce(replay_lag, interval '0')))::float8 FROM pg_catalog.pg_stat_replication WHERE state IS NOT NULL) END", &seconds)
	if err != nil {
		return 0, hidden(err)
	}
	if !seconds.Valid {
		return 0, ErrNotVisible
	}
	return time.Duration(seconds.Float64 * float64(time.Second)), nil
}

// Plain sees connections of our own driver alone.
func (p *postgres) Plain(_ context.Context, c *sql.Conn) (plain bool, err error) {
	err = c.Raw(func(raw any) error {
		if conn, ok := raw.(*stdlib.Conn); ok {
			_, encrypted := conn.Conn().PgConn().Conn().(*tls.Conn)
			plain = !encrypted
		}
		return nil
	})
	return plain, err
}

// LimitWaits does nothing: a statement ends with the probe's context.
func (*postgres) LimitWaits(context.Context, *sql.Conn, time.Duration) (func(context.Context) error, error) {
	return nil, nil
}

func (p *postgres) CertificateExpiry(_ context.Context, c *sql.Conn) (until time.Time, err error) {
	err = c.Raw(func(raw any) error {
		conn, ok := raw.(*stdlib.Conn)
		if !ok {
			return ErrNotVisible
		}
		encrypted, ok := conn.Conn().PgConn().Conn().(*tls.Conn)
		if !ok {
			return ErrNotVisible
		}
		if shown := encrypted.ConnectionState().PeerCertificates; len(shown) > 0 {
			until = shown[0].NotAfter
			return nil
		}
		return ErrNotVisible
	})
	return until, err
}

// Alive reads two variables that MySQL and MariaDB both have; with super_read_only
// the first of them is on too. SHOW VARIABLES would cost the server ten times as
// much.
func (d *mysqlDialect) Alive(ctx context.Context, c *sql.Conn) (m Mode, err error) {
	var readOnly, engine string
	err = queryRow(ctx, c, d, "SELECT @@GLOBAL.read_only, @@GLOBAL.innodb_read_only", &readOnly, &engine)
	for _, value := range []string{readOnly, engine} {
		switch strings.ToUpper(value) {
		case "OFF", "0", "":
		default: // MariaDB from 12 on has more than ON
			m.ReadOnly = true
		}
	}
	return m, err
}

// BeginProbe has no limit of its own: a wait for a row lasts as long as the probe.
func (*mysqlDialect) BeginProbe(time.Duration) []string { return []string{"START TRANSACTION"} }

func (d *mysqlDialect) Size(ctx context.Context, c *sql.Conn) (size int64, err error) {
	err = queryRow(ctx, c, d, "SELECT CAST(coalesce(sum(data_length + index_length), 0) AS signed) FROM information_schema.tables WHERE table_schema = database()", &size)
	return size, err
}

// Exists sees tables on which this account has any right at all; SHOW VIEW is
// the least of them.
func (d *mysqlDialect) Exists(schema, table string) string {
	return "EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = " + d.place(schema) + " AND table_name = " + d.Literal(table) + ")"
}

// place is the database that a table is in, as an expression.
func (d *mysqlDialect) place(schema string) string {
	if schema == "" {
		return "database()"
	}
	return d.Literal(schema)
}

// Estimate asks MySQL past its cache, which is a day old by default. MariaDB has
// no such cache.
func (d *mysqlDialect) Estimate(ctx context.Context, c *sql.Conn, schema, table string) (int64, error) {
	if _, err := c.ExecContext(ctx, "SET SESSION information_schema_stats_expiry = 0"); err != nil && mysqlNumber(err) != 1193 { // unknown system variable
		return -1, err
	}
	defer func() { // the connection may be the application's
		_, _ = c.ExecContext(ctx, "SET SESSION information_schema_stats_expiry = DEFAULT") // an old MySQL and MariaDB have none
	}()
	rows := int64(-1)
	err := queryRow(ctx, c, d, "SELECT CAST(coalesce(max(table_rows), -1) AS signed) FROM information_schema.tables WHERE table_schema = "+d.place(schema)+" AND table_name = "+d.Literal(table), &rows)
	return rows, err
}

// Replication reads what a replica says of itself. The columns' names and the
// statement's differ by product and version.
func (*mysqlDialect) Replication(ctx context.Context, c *sql.Conn) (time.Duration, error) {
	for _, statement := range []string{"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"} {
		rows, err := c.QueryContext(ctx, statement)
		if FaultOf(err) == FaultSyntax {
			continue
		}
		if err != nil {
			return 0, hidden(err)
		}
		return mysqlLag(rows)
	}
	return 0, ErrNotVisible
}

// mysqlLag is the largest of the channels'. One that is not running is behind
// without a number, which must not look like none.
func mysqlLag(rows *sql.Rows) (lag time.Duration, err error) {
	defer func() { err = errors.Join(err, rows.Err(), rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return 0, err
	}
	seen := false
	for rows.Next() {
		values, into := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return 0, err
		}
		for i, column := range columns {
			switch column {
			case "Seconds_Behind_Source", "Seconds_Behind_Master":
				seen = true
				if !values[i].Valid {
					return 0, errReplicaStopped
				}
				if d, err := time.ParseDuration(values[i].String + "s"); err == nil {
					lag = max(lag, d)
				}
			}
		}
	}
	if !seen {
		return 0, ErrNotVisible
	}
	return lag, nil
}

// errReplicaStopped means that a replica does not apply what its source does.
var errReplicaStopped = errors.New("the replica is not running")

func (d *mysqlDialect) Plain(ctx context.Context, c *sql.Conn) (bool, error) {
	var name, cipher string
	err := queryRow(ctx, c, d, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", &name, &cipher)
	return err == nil && cipher == "", hidden(err)
}

// LimitWaits sets both limits: that for rows, and that for what a change of a
// table's definition holds.
func (d *mysqlDialect) LimitWaits(ctx context.Context, c *sql.Conn, limit time.Duration) (func(context.Context) error, error) {
	var rows, tables int64
	if err := queryRow(ctx, c, d, "SELECT @@SESSION.innodb_lock_wait_timeout, @@SESSION.lock_wait_timeout", &rows, &tables); err != nil {
		return nil, err
	}
	set := func(ctx context.Context, rows, tables int64) error {
		_, err := c.ExecContext(ctx, fmt.Sprintf("SET SESSION innodb_lock_wait_timeout = %d, SESSION lock_wait_timeout = %d", rows, tables))
		return err
	}
	seconds := max(1, int64(limit.Seconds()))
	return func(ctx context.Context) error { return set(ctx, rows, tables) }, set(ctx, seconds, seconds)
}

func (d *mysqlDialect) CertificateExpiry(ctx context.Context, c *sql.Conn) (time.Time, error) {
	var name, value string
	err := queryRow(ctx, c, d, "SHOW SESSION STATUS LIKE 'Ssl_server_not_after'", &name, &value)
	if errors.Is(err, ErrNoRow) || err == nil && value == "" {
		return time.Time{}, ErrNotVisible
	}
	if err != nil {
		return time.Time{}, hidden(err)
	}
	until, err := time.Parse("Jan _2 15:04:05 2006 MST", value)
	if err != nil {
		return time.Time{}, ErrNotVisible
	}
	return until, nil
}
