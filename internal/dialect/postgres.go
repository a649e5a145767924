package dialect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// postgres is PostgreSQL, 12 and later.
type postgres struct {
	native bool        // the pool's driver is pgx
	blind  atomic.Bool // Prepare has seen that the server cannot watch its clients
}

func (*postgres) Name() string                  { return NamePostgres }
func (*postgres) ScanOptions() sqlscan.Options  { return sqlscan.Options{Dialect: sqlscan.Postgres} }
func (*postgres) Concat(parts ...string) string { return "(" + strings.Join(parts, " || ") + ")" }
func (*postgres) TransactionalDDL() bool        { return true }
func (*postgres) RowsAsTable() bool             { return true }
func (*postgres) Now() string                   { return "clock_timestamp()" }
func (*postgres) IsNoTable(err error) bool      { return pgCode(err) == "42P01" || pgCode(err) == "3F000" }

// Literal uses the E” form: it reads the same whatever a file has done to
// standard_conforming_strings.
func (*postgres) Literal(s string) string { return "E'" + pgEscapes.Replace(s) + "'" }

// pgEscapes is made once: making it takes longer than most values do.
var pgEscapes = strings.NewReplacer(`\`, `\\`, `'`, `''`)

func (*postgres) Identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

func (*postgres) Qualify(schema, table string) string {
	if schema == "" {
		return pgx.Identifier{table}.Sanitize()
	}
	return pgx.Identifier{schema, table}.Sanitize()
}

func (*postgres) ElapsedMS(column string) string {
	return "(extract(epoch from clock_timestamp() - " + column + ") * 1000)::float8"
}

func (*postgres) TimeText(column string) string {
	return `to_char(` + column + ` AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
}

func (*postgres) HistoryDDL(table string) []string {
	return []string{`CREATE TABLE IF NOT EXISTS ` + table + ` (
	set_name text NOT NULL,
	version bigint NOT NULL,
	repeatable text NOT NULL,
	name text NOT NULL,
	checksum text NOT NULL,
	state text NOT NULL,
	direction text NOT NULL,
	done integer NOT NULL,
	steps integer NOT NULL,
	intent text,
	started_at timestamptz NOT NULL,
	finished_at timestamptz,
	duration_ms double precision,
	actor text NOT NULL,
	run_id text NOT NULL,
	tool_version text NOT NULL,
	error text,
	down_sql text,
	PRIMARY KEY (set_name, version, repeatable)
)`}
}

// IsDuplicate covers two sessions that create one table at the same instant:
// IF NOT EXISTS does not help there, the loser sees a unique violation in the
// catalogue.
func (*postgres) IsDuplicate(err error) bool {
	switch pgCode(err) {
	case "23505", "42P07", "42710":
		return true
	}
	return false
}

func (*postgres) IsThere(err error) bool {
	switch pgCode(err) {
	case "42P07", "42710", "42701", "42723", "42P06": // table or index, other object, column, function, schema
		return true
	}
	return false
}

// QueryArgs asks pgx for the simple protocol: its default prepares a statement
// first, which is a round trip more, and fails behind old poolers.
func (p *postgres) QueryArgs() []any {
	if p.native {
		return []any{pgx.QueryExecModeSimpleProtocol}
	}
	return nil
}

func (p *postgres) Inspect(ctx context.Context, c *sql.Conn, table string) (Facts, error) {
	var (
		f        Facts
		schema   sql.NullString
		product  string
		version  string
		readOnly string
		recovery bool
	)
	// The schema is the one in which the table is found, else the one where it
	// would be made. to_regclass takes text only since 9.6.
	query := `SELECT current_database(), coalesce((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(` +
		p.Literal(pgx.Identifier{table}.Sanitize()) + `)), current_schema())::text, current_setting('server_version_num'), current_setting('server_version'), pg_backend_pid(), pg_is_in_recovery(), current_setting('transaction_read_only'), version()`
	if err := QueryRow(ctx, c, query, p.QueryArgs(), &f.Database, &schema, &version, &f.Server, &f.Session, &recovery, &readOnly, &product); err != nil {
		return Facts{}, err
	}
	number, err := strconv.Atoi(version)
	if err != nil {
		return Facts{}, fmt.Errorf("the server's version %q is not a number", version)
	}
	f.Version = number
	f.Server = "PostgreSQL " + f.Server
	f.Cluster = postgresCluster(product)
	if f.Cluster == ClusterCockroachDB { // its server_version is the one that it imitates
		f.Server, _, _ = strings.Cut(product, " (")
	}
	if f.Proxied, err = proxied(c, f.Session); err != nil {
		return Facts{}, err
	}
	f.ReadOnly = recovery || readOnly == "on"
	f.Schema = schema.String
	if !schema.Valid {
		return Facts{}, errors.New("no schema to create tables in: the search_path of this role names none that exists (CREATE SCHEMA, or ALTER ROLE … SET search_path)")
	}
	return f, nil
}

// proxied reports whether something stands between here and the server. One that
// speaks the protocol gives its clients a number of its own to cancel with, which
// is not the server process's. Without pgx nobody can say.
func proxied(c *sql.Conn, session int64) (yes bool, err error) {
	err = withPgConn(c, func(pc *pgconn.PgConn) error {
		yes = int64(pc.PID()) != session
		return nil
	})
	if errors.Is(err, errNotPgx) {
		return true, nil
	}
	return yes, err
}

// keepalives do for a host that vanished what watching does for a process, in
// 25 s, but only where no answer to it is on its way: for that the system would try
// again for a quarter of an hour, were it not for tcp_user_timeout.
var keepalives = []keepalive{{"tcp_keepalives_idle", 10}, {"tcp_keepalives_interval", 5}, {"tcp_keepalives_count", 3}, {"tcp_user_timeout", 25000}}

type keepalive struct {
	setting string
	value   int
}

// session are the settings of a migration connection; none where it is shared
// with others.
func (p *postgres) session(s Session) []string {
	if s.Pooled {
		return nil
	}
	if s.Facts.Cluster == ClusterCockroachDB { // it looks after its clients by itself, and knows none of these
		return pgTimeouts("SET", s)
	}
	var list []string
	for _, k := range keepalives {
		list = append(list, fmt.Sprintf("SET %s = %d", k.setting, k.value))
	}
	return slices.Concat(list, p.watch("SET", s), pgTimeouts("SET", s))
}

// watch makes the server look every 250 ms whether a client that is waiting is
// still there: a killed process then frees the lock in under a second instead of
// at the end of its statement (8.1 s → 0.05 s measured).
func (p *postgres) watch(set string, s Session) []string {
	if s.Facts.Version < 140000 || p.blind.Load() || s.Facts.Cluster == ClusterCockroachDB {
		return nil
	}
	return []string{set + " client_connection_check_interval = 250"}
}

func pgTimeouts(set string, s Session) []string {
	list := []string{fmt.Sprintf("%s statement_timeout = %d", set, s.StatementTimeout.Milliseconds())}
	if s.LockTimeout >= 0 {
		list = append(list, fmt.Sprintf("%s lock_timeout = %d", set, s.LockTimeout.Milliseconds()))
	}
	return list
}

// local are the settings of one transaction.
func (p *postgres) local(s Session) []string {
	var list []string
	if s.Pooled || !s.Kept {
		list = pgTimeouts("SET LOCAL", s)
	}
	if s.Pooled {
		list = append(list, p.watch("SET LOCAL", s)...)
	}
	if s.Idle != 0 {
		list = append(list, fmt.Sprintf("SET LOCAL idle_in_transaction_session_timeout = %d", max(0, s.Idle).Milliseconds()))
	}
	return list
}

// Timeouts behind a pooler set something only inside a transaction.
func (p *postgres) Timeouts(s Session) []string {
	if s.Pooled {
		return pgTimeouts("SET LOCAL", s)
	}
	return pgTimeouts("SET", s)
}

// Prepare finds out whether the server's system can tell it of a client that has
// gone: without that (Windows, and macOS before PostgreSQL 15) the setting is an
// error, 22023 or 0A000, and is left out from then on. Behind a pooler that is all
// it does: the packet is one transaction, and what is local to it ends with it.
func (p *postgres) Prepare(ctx context.Context, c *sql.Conn, s Session) error {
	settings := p.session
	if s.Pooled {
		settings = p.local
	}
	_, err := c.ExecContext(ctx, strings.Join(settings(s), "; "))
	if code := pgCode(err); code == "22023" || code == "0A000" {
		p.blind.Store(true)
		_, err = c.ExecContext(ctx, strings.Join(settings(s), "; "))
	}
	return err
}

func (p *postgres) Begin(s Session) []string { return append([]string{"BEGIN"}, p.local(s)...) }

// DropTemporary has nothing to do: Restore discards all temporary objects.
func (*postgres) DropTemporary(sqlscan.Statement) string { return "" }

// IsNullViolation knows 23502.
func (*postgres) IsNullViolation(err error) bool { return pgCode(err) == "23502" }

// Reclaim comes after a file's SET ROLE or SET SESSION AUTHORIZATION.
func (*postgres) Reclaim() []string { return []string{"RESET SESSION AUTHORIZATION", "RESET ROLE"} }

// Restore undoes what a file can set. RESET ALL leaves role and authorization
// alone, and DISCARD ALL would give the advisory lock away.
func (p *postgres) Restore(s Session) []string {
	list := append(p.Reclaim(), "RESET ALL", "DISCARD TEMP", "UNLISTEN *", "CLOSE ALL")
	return append(list, p.session(s)...)
}

// ExecScript sends runs of statements as one simple-protocol packet, so that a
// migration costs one round trip whatever its length. COPY with its data ends a
// packet, because the data follow in messages of their own.
func (p *postgres) ExecScript(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, _ time.Duration) (int, error) {
	done := 0
	err := withPgConn(c, func(pc *pgconn.PgConn) error {
		for done < len(list) {
			if st := list[done]; st.CopyIn {
				if err := copyIn(ctx, pc, st); err != nil {
					return err
				}
				done++
				continue
			}
			n, err := execPacket(ctx, pc, list[done:])
			if n < 0 {
				done = -1
				return err
			}
			done += n
			if err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errNotPgx) {
		for i, st := range list {
			if st.CopyIn {
				return i, err
			}
		}
		return execEach(ctx, c, list, 0) // statement_timeout is the limit
	}
	return done, err
}

// errNotPgx means that a borrowed pool uses another driver.
var errNotPgx = errors.New("COPY FROM STDIN needs the pgx driver under this pool")

// execPacket sends the statements up to the next COPY, and counts the results.
// The count is -1 where an error that is not the server's, such as the end of
// the context, cut a packet of several: the server keeps results back until it
// has a buffer full of them, and may be far ahead of what was received.
func execPacket(ctx context.Context, pc *pgconn.PgConn, list []sqlscan.Statement) (int, error) {
	var (
		packet strings.Builder
		starts []int // in characters
		length int
	)
	for _, st := range list {
		if st.CopyIn {
			break
		}
		starts = append(starts, length)
		packet.WriteString(st.Text)
		packet.WriteString(";\n")
		length += runes(st.Text) + 2
	}
	results := pc.Exec(ctx, packet.String())
	done := 0
	for results.NextResult() {
		if _, err := results.ResultReader().Close(); err != nil {
			break // Close below reports it
		}
		done++
	}
	err := results.Close()
	if err == nil {
		return len(starts), nil
	}
	done = min(done, len(starts)-1)
	var pgErr *pgconn.PgError
	switch {
	case !errors.As(err, &pgErr) && len(starts) > 1:
		return -1, err
	case pgErr == nil || pgErr.Position == 0:
		return done, err
	}
	// The position counts from the start of the packet. A syntax error anywhere
	// is found before the first statement runs: then it tells which one it is.
	position := int(pgErr.Position) - 1
	at := done
	for i, start := range starts {
		if start <= position {
			at = i
		}
	}
	shifted := *pgErr
	shifted.Position = int32(position - starts[at] + 1)
	return at, &shifted
}

// ExecTold sends the statements as a pipeline instead of one packet: each is asked
// for by itself, with the wish to be told at once, and none waits for the answer
// to the one before. The results of a packet stay in the server's buffer until that
// is full or the packet at its end.
func (p *postgres) ExecTold(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, told func(k int)) (int, error) {
	done := 0
	err := withPgConn(c, func(pc *pgconn.PgConn) error {
		for done < len(list) {
			begin := done
			n := slices.IndexFunc(list[begin:], func(st sqlscan.Statement) bool { return st.Verb == "COPY" })
			if n < 0 {
				n = len(list) - begin
			}
			count, err := execPipeline(ctx, pc, list[begin:begin+n], func(k int) { told(begin + k) })
			done += count
			if err != nil || done == len(list) {
				return err
			}
			told(done)
			if st := list[done]; st.CopyIn { // COPY's data are no part of a pipeline
				err = copyIn(ctx, pc, st)
			} else {
				_, err = execPacket(ctx, pc, list[done:done+1])
			}
			if err != nil {
				return err
			}
			done++
		}
		return nil
	})
	for errors.Is(err, errNotPgx) && done < len(list) {
		if list[done].CopyIn {
			return done, err
		}
		told(done)
		if _, each := execEach(ctx, c, list[done:done+1], 0); each != nil {
			return done, each
		}
		if done++; done == len(list) {
			return done, nil
		}
	}
	return done, err
}

// ahead is how much text of statements is on its way to the server at most. Were it
// more than the network holds, nothing could be told before the rest is sent.
const ahead = 32 << 10

// execPipeline sends statements that have no COPY among them, and counts the results.
func execPipeline(ctx context.Context, pc *pgconn.PgConn, list []sqlscan.Statement, told func(k int)) (done int, err error) {
	if len(list) == 0 {
		return 0, nil
	}
	p := pc.StartPipeline(ctx)
	sent, underway, push := 0, 0, p.Flush
	for err == nil && done < len(list) {
		before := sent
		for ; sent < len(list) && (sent == done || underway < ahead); sent++ {
			p.SendQueryParams(list[sent].Text, nil, nil, nil, nil)
			p.SendFlushRequest()
			underway += len(list[sent].Text)
		}
		if sent == len(list) {
			push = p.Sync // behind the last one, without waiting for it
		}
		if sent > before {
			if err = push(); err != nil {
				break
			}
		}
		told(done)
		var results any
		if results, err = p.GetResults(); err != nil {
			break
		}
		reader, ok := results.(*pgconn.ResultReader)
		if !ok { // nothing is done before the server says so
			err = fmt.Errorf("the server's answer is %T, and no result", results)
			break
		}
		if _, err = reader.Close(); err == nil {
			underway -= len(list[done].Text)
			done++
		}
	}
	if sent < len(list) { // it failed before
		if syncErr := p.Sync(); err == nil {
			err = syncErr
		}
	}
	if closeErr := p.Close(); err == nil {
		err = closeErr
	}
	return done, err
}

func copyIn(ctx context.Context, pc *pgconn.PgConn, st sqlscan.Statement) error {
	_, err := pc.CopyFrom(ctx, strings.NewReader(st.Data), st.Text)
	return err
}

// unwrap looks through wrappers such as a tracing driver's for the connection
// beneath.
func unwrap(conn any) any {
	for range 8 { // wrappers of wrappers, but no circle
		switch w := conn.(type) {
		case interface{ Raw() driver.Conn }:
			conn = w.Raw()
		case interface{ Unwrap() driver.Conn }:
			conn = w.Unwrap()
		default:
			return conn
		}
	}
	return conn
}

// withPgConn reaches through database/sql to the protocol connection.
func withPgConn(c *sql.Conn, f func(*pgconn.PgConn) error) error {
	return c.Raw(func(driverConn any) error {
		native, ok := unwrap(driverConn).(*stdlib.Conn)
		if !ok {
			return errNotPgx
		}
		return f(native.Conn().PgConn())
	})
}

func (p *postgres) Class(st sqlscan.Statement) Class {
	h := headOf(st.Text, p.ScanOptions())
	switch st.Verb {
	case "BEGIN", "START", "COMMIT", "END", "ROLLBACK", "ABORT", "SAVEPOINT", "RELEASE":
		return ClassTransaction
	case "PREPARE":
		if h.is(1, "TRANSACTION") {
			return ClassTransaction
		}
		return ClassSession
	case "SET", "RESET", "LISTEN", "UNLISTEN", "DEALLOCATE", "LOAD", "DISCARD":
		return ClassSession
	case "VACUUM", "CHECKPOINT", "REPACK":
		return ClassRepeatable
	case "REINDEX":
		if reindexesConcurrently(st, h) {
			return ClassAlone
		}
		return ClassRepeatable
	case "CLUSTER":
		return ClassRepeatable
	case "CALL":
		return ClassOpaque
	case "DECLARE": // a cursor ends with the session
		return ClassTemporary
	case "SELECT", "WITH":
		if setsLiterally(h) {
			return ClassSession
		}
		for i := range h.tokens { // SELECT … INTO TEMP t
			if h.word(i) == "INTO" && temporary(h, i+1) {
				return ClassTemporary
			}
		}
		return ClassData
	case "CREATE", "DROP":
		switch i := h.skip(1, "UNIQUE"); {
		case st.Verb == "CREATE" && temporary(h, h.skip(1, "OR REPLACE")):
			return ClassTemporary
		case h.is(i, "INDEX", "CONCURRENTLY"), h.is(1, "DATABASE"), h.is(1, "TABLESPACE"), h.is(1, "SUBSCRIPTION"):
			return ClassAlone
		}
		return ClassSchema
	case "ALTER":
		switch {
		case h.is(1, "SYSTEM"), h.is(1, "DATABASE") && h.says("SET", "TABLESPACE"):
			return ClassRepeatable
		case h.is(1, "SUBSCRIPTION"):
			return ClassOpaque
		case h.is(1, "TABLE") && h.contains("DETACH") && (h.contains("CONCURRENTLY") || h.contains("FINALIZE")):
			return ClassAlone
		}
		return ClassSchema
	case "DO":
		if endsTransactions.MatchString(st.Text) {
			return ClassOpaque // the block may end transactions of its own
		}
		return ClassData
	}
	return ClassData
}

// endsTransactions finds the words with which a block ends a transaction, or calls
// a procedure that may.
var endsTransactions = regexp.MustCompile(`(?i)\b(COMMIT|ROLLBACK|CALL)\b`)

// temporary reports whether the statement goes on with TEMP at token i. GLOBAL
// and LOCAL mean nothing to the server.
func temporary(h head, i int) bool {
	i = h.skip(i, "GLOBAL", "LOCAL")
	return h.is(i, "TEMP") || h.is(i, "TEMPORARY")
}

// concurrentIndex is the index of CREATE or DROP INDEX CONCURRENTLY, and the table
// on which one is made. The index is empty when the statement names none: which one
// it is cannot be said.
func (p *postgres) concurrentIndex(st sqlscan.Statement, h head) (index, table name, is bool) {
	i := h.skip(1, "UNIQUE")
	if st.Verb != "CREATE" && st.Verb != "DROP" || !h.is(i, "INDEX", "CONCURRENTLY") {
		return name{}, name{}, false
	}
	index, next, ok := h.nameAt(h.skip(i+2, "IF NOT EXISTS", "IF EXISTS"))
	if !ok || st.Verb == "CREATE" && index.object == "on" && !h.is(next, "ON") {
		return name{}, name{}, true
	}
	if st.Verb == "CREATE" {
		table, _, _ = h.nameAt(h.skip(next+1, "ONLY"))
	}
	return index, table, true
}

// indexOID is the expression for that index, null where there is none. One that is
// made is looked for on its table: it is made in the table's schema, and the
// search_path may find another one of its name first.
func (p *postgres) indexOID(index, table name) string {
	if table.object == "" {
		return p.regclass(index)
	}
	return "(SELECT x.indexrelid FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class y ON y.oid = x.indexrelid WHERE x.indrelid = " +
		p.regclass(table) + " AND y.relname = " + p.Literal(index.object) + ")"
}

// Refuse wants a name for an index that is built concurrently. A build that is
// cut short leaves an invalid index, and which one that is only its name says:
// one that appeared on the table meanwhile may be another session's, in the middle
// of its own build or left for somebody to look at, and dropping that would be
// worse than asking for a name.
func (p *postgres) Refuse(st sqlscan.Statement) string {
	if st.Verb != "CREATE" {
		return ""
	}
	if index, _, building := p.concurrentIndex(st, headOf(st.Text, p.ScanOptions())); !building || index.object != "" {
		return ""
	}
	return "CREATE INDEX CONCURRENTLY needs a name here: without one, the invalid index of a build that failed could not be told from others; write CONCURRENTLY name ON (the server would have chosen TABLE_COLUMN_idx)"
}

// detached are the tables of ALTER TABLE … DETACH PARTITION.
func detached(st sqlscan.Statement, h head) (parent, partition name, ok bool) {
	if st.Verb != "ALTER" || !h.is(1, "TABLE") {
		return name{}, name{}, false
	}
	parent, i, ok := h.nameAt(h.skip(2, "IF EXISTS", "ONLY"))
	if ok && h.punct(i, "*") {
		i++
	}
	if !ok || !h.is(i, "DETACH", "PARTITION") {
		return name{}, name{}, false
	}
	partition, _, ok = h.nameAt(i + 2)
	return parent, partition, ok
}

// regclass is the expression for a table or index, null where there is none.
func (p *postgres) regclass(n name) string {
	return "to_regclass(" + p.Literal(p.Qualify(n.schema, n.object)) + ")"
}

// Fingerprint looks at the object that the statement makes, drops or detaches,
// and says "invalid" where an index build or a detachment was cut short. It
// always says so of REINDEX CONCURRENTLY, which may run again without harm.
func (p *postgres) Fingerprint(st sqlscan.Statement) string {
	h := headOf(st.Text, p.ScanOptions())
	if reindexesConcurrently(st, h) {
		return "'" + FingerprintInvalid + "'::text"
	}
	if index, table, is := p.concurrentIndex(st, h); is {
		if index.object == "" {
			return ""
		}
		return `(SELECT coalesce((SELECT CASE WHEN i.indisvalid THEN 'valid ' || i.indexrelid ELSE '` + FingerprintInvalid + `' END FROM pg_catalog.pg_index i WHERE i.indexrelid = ` +
			p.indexOID(index, table) + `), 'absent'))`
	}
	if parent, partition, ok := detached(st, h); ok {
		// The column is there since version 14.
		return `(SELECT coalesce((SELECT CASE WHEN to_jsonb(i)->>'inhdetachpending' = 'true' THEN '` + FingerprintInvalid + `' ELSE 'attached' END FROM pg_catalog.pg_inherits i WHERE i.inhparent = ` +
			p.regclass(parent) + ` AND i.inhrelid = ` + p.regclass(partition) + `), 'detached'))`
	}
	if (st.Verb == "CREATE" || st.Verb == "DROP") && (h.is(1, "DATABASE") || h.is(1, "TABLESPACE")) {
		catalog, column := "pg_catalog.pg_database", "datname"
		if h.is(1, "TABLESPACE") {
			catalog, column = "pg_catalog.pg_tablespace", "spcname"
		}
		object, _, ok := h.nameAt(h.skip(2, "IF EXISTS"))
		if !ok {
			return ""
		}
		return fmt.Sprintf("(SELECT CASE WHEN EXISTS (SELECT FROM %s WHERE %s = %s) THEN 'present' ELSE 'absent' END)", catalog, column, p.Literal(object.object))
	}
	return ""
}

// Definitions shows the index of a concurrent statement, the only kind of object
// that can be left half made.
func (p *postgres) Definitions(ctx context.Context, c *sql.Conn, st sqlscan.Statement) ([]string, error) {
	index, table, is := p.concurrentIndex(st, headOf(st.Text, p.ScanOptions()))
	if !is || index.object == "" {
		return nil, nil
	}
	name := p.Qualify(cmp.Or(index.schema, table.schema), index.object)
	var text string
	err := QueryRow(ctx, c, "SELECT pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' (invalid)' END FROM pg_catalog.pg_index i WHERE i.indexrelid = "+p.indexOID(index, table), p.QueryArgs(), &text)
	if errors.Is(err, ErrNoRow) {
		return []string{"index " + name + " does not exist"}, nil
	}
	return []string{"index " + name + " is: " + text}, err
}

// SessionState is made of the settings that were made in the session, its role and
// its temporary objects.
func (p *postgres) SessionState(ctx context.Context, c *sql.Conn) (state string, err error) {
	err = QueryRow(ctx, c, "SELECT concat_ws(' ', current_user, (SELECT md5(string_agg(name || '=' || setting, ',' ORDER BY name)) FROM pg_catalog.pg_settings WHERE source = 'session'),"+
		" (SELECT md5(string_agg(relname, ',' ORDER BY relname)) FROM pg_catalog.pg_class WHERE relnamespace = pg_my_temp_schema()))", p.QueryArgs(), &state)
	return state, err
}

// MayHide: every function may, and DO is one.
func (*postgres) MayHide(st sqlscan.Statement) bool {
	switch st.Verb {
	case "SELECT", "WITH", "DO", "CALL", "VALUES":
		return true
	}
	return false
}

// Rerun drops the invalid index that a failed or killed CREATE INDEX
// CONCURRENTLY leaves: IF NOT EXISTS would take it for done, and without it the
// name is taken. Of a detachment that was cut short the second half is run: the
// first cannot be taken back, nor run again.
func (p *postgres) Rerun(ctx context.Context, c *sql.Conn, st sqlscan.Statement) (done bool, err error) {
	h := headOf(st.Text, p.ScanOptions())
	if reindexesConcurrently(st, h) {
		return false, p.dropReindexed(ctx, c, h)
	}
	index, table, building := p.concurrentIndex(st, h)
	building = building && st.Verb == "CREATE" && index.object != ""
	parent, partition, detaching := detached(st, h)
	if !building && !detaching {
		return false, nil
	}
	var found string
	if err := QueryRow(ctx, c, "SELECT "+p.Fingerprint(st), p.QueryArgs(), &found); err != nil || found != FingerprintInvalid {
		return false, err
	}
	if detaching {
		_, err = c.ExecContext(ctx, "ALTER TABLE "+p.Qualify(parent.schema, parent.object)+" DETACH PARTITION "+p.Qualify(partition.schema, partition.object)+" FINALIZE")
		return err == nil, err
	}
	// Behind a pooler the server goes on building for a process that died, and
	// nothing ends that. A DROP would wait for it as well, and then take away what
	// has become valid.
	oid := p.indexOID(index, table)
	being := "SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_progress_create_index b WHERE b.index_relid = " + oid + ")"
	if err := untilGone(ctx, c, being, p.QueryArgs()); err != nil {
		return false, err
	}
	var left name
	err = QueryRow(ctx, c, "SELECT n.nspname, c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"+
		" WHERE NOT i.indisvalid AND i.indexrelid = "+oid, p.QueryArgs(), &left.schema, &left.object)
	if errors.Is(err, ErrNoRow) { // it has become valid, or somebody else has dropped it
		return false, nil
	}
	if err == nil {
		_, err = c.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+p.Qualify(left.schema, left.object))
	}
	return false, err
}

// reindexesConcurrently knows both forms, the word and the option in brackets:
// no object can have that name unquoted.
func reindexesConcurrently(st sqlscan.Statement, h head) bool {
	return st.Verb == "REINDEX" && h.contains("CONCURRENTLY")
}

// dropReindexed drops what REINDEX CONCURRENTLY leaves when it is cut short:
// new indexes that are not finished and old ones that are not gone, by the names
// that the server gives them.
func (p *postgres) dropReindexed(ctx context.Context, c *sql.Conn, h head) (err error) {
	i := 1
	if h.punct(i, "(") { // (VERBOSE, CONCURRENTLY)
		for i < len(h.tokens) && !h.punct(i, ")") {
			i++
		}
		i++
	}
	kind := h.word(i)
	object, _, ok := h.nameAt(h.skip(i+1, "CONCURRENTLY"))
	if !ok && (kind == "TABLE" || kind == "INDEX" || kind == "SCHEMA") {
		return nil // the server will say what is wrong with it
	}
	where := "true" // DATABASE, SYSTEM
	switch kind {
	case "TABLE", "INDEX":
		where = `i.indrelid IN (WITH named AS (SELECT ` + p.regclass(object) + `::oid AS oid UNION SELECT relid::oid FROM pg_catalog.pg_partition_tree(` + p.regclass(object) + `)),` +
			` tables AS (SELECT oid FROM named UNION SELECT indrelid FROM pg_catalog.pg_index JOIN named ON indexrelid = named.oid)` +
			` SELECT oid FROM tables UNION SELECT reltoastrelid FROM pg_catalog.pg_class WHERE oid IN (SELECT oid FROM tables))`
	case "SCHEMA":
		where = "n.nspname = " + p.Literal(object.object)
	}
	rows, err := c.QueryContext(ctx, `SELECT n.nspname, c.relname FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace`+
		` WHERE NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$' AND `+where, p.QueryArgs()...)
	if err != nil {
		return err
	}
	var left []string
	for rows.Next() {
		var n name
		if err = rows.Scan(&n.schema, &n.object); err != nil {
			break
		}
		left = append(left, p.Qualify(n.schema, n.object))
	}
	if err = errors.Join(err, rows.Err(), rows.Close()); err != nil {
		return err
	}
	for _, index := range left {
		_, err := c.ExecContext(ctx, "DROP INDEX CONCURRENTLY IF EXISTS "+index)
		if err != nil && (pgCode(err) != "42501" || !strings.HasPrefix(index, `"pg_toast".`)) {
			return err
		}
		// Those of a table's TOAST only an administrator can drop, and the server
		// passes over them when it reindexes again.
	}
	return nil
}

func pgCode(err error) string {
	var coded interface{ SQLState() string }
	if errors.As(err, &coded) {
		return coded.SQLState()
	}
	return ""
}

// IsReadOnly knows 25006, read_only_sql_transaction.
func (*postgres) IsReadOnly(err error) bool { return pgCode(err) == "25006" }

func (*postgres) IsLockTimeout(err error) bool {
	switch pgCode(err) {
	case "55P03", "40P01", "40001": // lock_not_available, deadlock_detected, serialization_failure
		return true
	case "XX000": // two that change one row of the catalogue: an internal error, in words that are not translated
		return strings.Contains(err.Error(), "tuple concurrently ")
	}
	return false
}

func (*postgres) Position(err error) (character, line int) {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return int(pgErr.Position), 0
	}
	return 0, 0
}

func (*postgres) Hint(err error) string {
	switch pgCode(err) {
	case "25001": // active_sql_transaction
		return "this statement cannot run in a transaction: put '-- tldwdb: no-transaction' at the head of the file"
	case "42501": // insufficient_privilege
		return "the role may not do this: grant it, or migrate as another role with Config.MigrateURL (TLDWDB_MIGRATE_URL)"
	case "42704": // undefined_object
		if strings.Contains(err.Error(), "unrecognized configuration parameter") {
			return "this server does not know the setting; a pg_dump that is newer than the server writes such lines: take it out"
		}
	case "08P01": // protocol_violation: what PgBouncer says of itself
		if strings.Contains(err.Error(), "statement pooling") {
			return "a pooler that gives each statement another session (pool_mode = statement) takes no transactions, and no migration can do without: set Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection, or to a pool in session or transaction mode"
		}
	case "57014": // query_canceled
		return "if it was the statement timeout: '-- tldwdb: statement-timeout=30m' at the head of the file raises it"
	}
	return connectHint(err)
}

// Lock is a session-level advisory lock. Its key covers schema and table; the
// database is part of every advisory lock.
func (p *postgres) Lock(f Facts, table string) Lock {
	sum := sha256.Sum256([]byte("tldwdb\x00" + f.Schema + "\x00" + table))
	l := &postgresLock{p: p, key: int64(binary.BigEndian.Uint64(sum[:8])), session: f.Session}
	if f.Cluster != ClusterCockroachDB {
		l.keepalives = keepalives
	}
	return l
}

type postgresLock struct {
	p          *postgres
	key        int64
	session    int64       // the server process of the connection that takes it
	keepalives []keepalive // none where the server knows none
}

func (*postgresLock) Kind() string          { return "advisory lock" }
func (*postgresLock) Waits() bool           { return true }
func (*postgresLock) NeedsConnection() bool { return true }

// Try waits inside the server, which wakes in milliseconds, but never longer
// than one slice: the snapshot that a waiting statement holds would stop CREATE
// INDEX CONCURRENTLY for ever.
//
// It waits for the lock in its shared form, and gives it back at once. When the
// holder is done all waiters wake together, look, and leave; queueing for the
// exclusive lock they would come through one by one, only to find nothing to do.
//
// The keepalives come with the exclusive lock, in its own statement: its answer
// may be the first that a host does not hear.
func (l *postgresLock) Try(ctx context.Context, c *sql.Conn, slice time.Duration) (got bool, err error) {
	try := fmt.Sprintf("SELECT CASE WHEN pg_catalog.pg_try_advisory_lock(%d) THEN true", l.key)
	for _, k := range l.keepalives {
		try += fmt.Sprintf(" AND pg_catalog.set_config('%s', '%d', false) IS NOT NULL", k.setting, k.value)
	}
	if err := QueryRow(ctx, c, try+" ELSE false END", l.p.QueryArgs(), &got); err != nil || got || slice <= 0 {
		return got, err
	}
	// One packet is one implicit transaction, and the settings end with it: they
	// must not stay on a connection that a pooler gives to somebody else.
	_, err = c.ExecContext(ctx, fmt.Sprintf("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = %d; SELECT pg_catalog.pg_advisory_lock_shared(%d); SELECT pg_catalog.pg_advisory_unlock_shared(%d)",
		max(slice.Milliseconds(), 1), l.key, l.key))
	if pgCode(err) == "55P03" {
		return false, nil
	}
	return false, err
}

func (l *postgresLock) Unlock(ctx context.Context, c *sql.Conn) (held bool, err error) {
	if err := QueryRow(ctx, c, fmt.Sprintf("SELECT pg_catalog.pg_advisory_unlock(%d)", l.key), l.p.QueryArgs(), &held); err != nil {
		return false, err
	}
	reset := ""
	for _, k := range l.keepalives {
		reset += "RESET " + k.setting + "; "
	}
	if reset != "" {
		_, err = c.ExecContext(ctx, reset)
	}
	return held, err
}

func (l *postgresLock) Holder(ctx context.Context, c *sql.Conn) (string, error) {
	query := `SELECT l.pid, coalesce(a.application_name, ''), coalesce(host(a.client_addr), 'local'), coalesce(to_char(a.backend_start AT TIME ZONE 'UTC', 'HH24:MI:SS'), '')` +
		` FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid WHERE ` + l.granted()
	var pid int64
	var application, address, since string
	err := QueryRow(ctx, c, query, l.p.QueryArgs(), &pid, &application, &address, &since)
	if errors.Is(err, ErrNoRow) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s from %s, backend %d, connected since %s UTC", application, address, pid, since), nil
}

// granted is the condition that finds the lock in pg_locks, called l.
func (l *postgresLock) granted() string {
	return fmt.Sprintf(`l.locktype = 'advisory' AND l.granted AND l.mode = 'ExclusiveLock' AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`+
		` AND l.classid::bigint = %d AND l.objid::bigint = %d AND l.objsubid = 1`, uint32(uint64(l.key)>>32), uint32(uint64(l.key)))
}

// Abandon asks for the lock's own holder and not for a process number alone:
// numbers are used again. A session gives its advisory locks back after it has
// rolled back, so there is nothing left of it when the lock is gone.
func (l *postgresLock) Abandon(ctx context.Context, second *sql.Conn) error {
	ours := fmt.Sprintf("FROM pg_catalog.pg_locks l WHERE %s AND l.pid = %d", l.granted(), l.session)
	var asked int64
	if err := QueryRow(ctx, second, "SELECT count(pg_terminate_backend(l.pid)) "+ours, l.p.QueryArgs(), &asked); err != nil {
		return err
	}
	return untilGone(ctx, second, "SELECT count(*) > 0 "+ours, l.p.QueryArgs())
}

func (l *postgresLock) Excludes(ctx context.Context, second *sql.Conn) (bool, error) {
	var taken bool
	if err := QueryRow(ctx, second, fmt.Sprintf("SELECT pg_catalog.pg_try_advisory_lock(%d)", l.key), l.p.QueryArgs(), &taken); err != nil {
		return false, err
	}
	if taken {
		var held bool
		if err := QueryRow(ctx, second, fmt.Sprintf("SELECT pg_catalog.pg_advisory_unlock(%d)", l.key), l.p.QueryArgs(), &held); err != nil {
			return false, err
		}
	}
	return !taken, nil
}

func runes(s string) int {
	n := 0
	for range s {
		n++
	}
	return n
}
