package dialect

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// mysqlDialect is MySQL 8 and later, and MariaDB 10.5 and later.
type mysqlDialect struct {
	mariaDB     atomic.Bool // Inspect has seen MariaDB
	noBackslash atomic.Bool // Inspect has seen sql_mode NO_BACKSLASH_ESCAPES
	ansiQuotes  atomic.Bool // Inspect has seen sql_mode ANSI_QUOTES
}

func (*mysqlDialect) Name() string { return NameMySQL }
func (*mysqlDialect) Concat(parts ...string) string {
	return "CONCAT(" + strings.Join(parts, ", ") + ")"
}
func (*mysqlDialect) TransactionalDDL() bool   { return false }
func (*mysqlDialect) RowsAsTable() bool        { return false }
func (*mysqlDialect) QueryArgs() []any         { return nil }
func (*mysqlDialect) Now() string              { return "UTC_TIMESTAMP(6)" }
func (*mysqlDialect) Begin(Session) []string   { return nil }
func (*mysqlDialect) Reclaim() []string        { return nil }
func (*mysqlDialect) Restore(Session) []string { return nil } // see Snapshot
func (*mysqlDialect) Rerun(context.Context, *sql.Conn, sqlscan.Statement) (bool, error) {
	return false, nil
}

// ScanOptions knows only after Inspect which of the two servers it is: each has
// comments that are code to it and not to the other.
func (d *mysqlDialect) ScanOptions() sqlscan.Options {
	return sqlscan.Options{Dialect: sqlscan.MySQL, MariaDB: d.mariaDB.Load(), NoBackslashEscapes: d.noBackslash.Load(), ANSIQuotes: d.ansiQuotes.Load()}
}

// Literal writes hexadecimal digits, which mean the same in every sql_mode and
// every character set of the connection. So do the characters of ASCII but the
// backslash, and those a person can read.
func (*mysqlDialect) Literal(s string) string {
	if s == "" {
		return "''"
	}
	for i := range len(s) {
		if c := s[i]; c == '\\' || c > '~' || c < ' ' && c != '\n' && c != '\t' {
			return "_utf8mb4 x'" + hex.EncodeToString([]byte(s)) + "'"
		}
	}
	return "_utf8mb4 '" + strings.ReplaceAll(s, "'", "''") + "'"
}

func (*mysqlDialect) Identifier(name string) string { return backtick(name) }

func (*mysqlDialect) Qualify(schema, table string) string {
	if schema == "" {
		return backtick(table)
	}
	return backtick(schema) + "." + backtick(table)
}

func backtick(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }

func (*mysqlDialect) ElapsedMS(column string) string {
	return "TIMESTAMPDIFF(MICROSECOND, " + column + ", UTC_TIMESTAMP(6)) / 1000"
}

func (*mysqlDialect) TimeText(column string) string {
	return "DATE_FORMAT(" + column + ", '%Y-%m-%dT%H:%i:%s.%fZ')"
}

func (*mysqlDialect) HistoryDDL(table string) []string {
	return []string{"CREATE TABLE IF NOT EXISTS " + table + ` (
	set_name varchar(64) NOT NULL,
	version bigint NOT NULL,
	repeatable varchar(190) NOT NULL,
	name varchar(255) NOT NULL,
	checksum varchar(64) NOT NULL,
	state varchar(16) NOT NULL,
	direction varchar(8) NOT NULL,
	done int NOT NULL,
	steps int NOT NULL,
	intent text,
	started_at datetime(6) NOT NULL,
	finished_at datetime(6),
	duration_ms double,
	actor varchar(255) NOT NULL,
	run_id varchar(32) NOT NULL,
	tool_version varchar(64) NOT NULL,
	error text,
	down_sql longtext,
	PRIMARY KEY (set_name, version, repeatable)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin`}
}

func mysqlNumber(err error) uint16 {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e.Number
	}
	return 0
}

// IsNoTable knows 1146 (no such table).
func (*mysqlDialect) IsNoTable(err error) bool { return mysqlNumber(err) == 1146 }

// IsDuplicate knows 1062 (duplicate key) and 1050 (table exists).
func (*mysqlDialect) IsDuplicate(err error) bool {
	return mysqlNumber(err) == 1062 || mysqlNumber(err) == 1050
}

// IsNullViolation knows 1048 (a column cannot be null).
func (*mysqlDialect) IsNullViolation(err error) bool { return mysqlNumber(err) == 1048 }

func (*mysqlDialect) IsThere(err error) bool {
	switch mysqlNumber(err) {
	case 1007, 1050, 1060, 1061, 1304, 1359, 1537, 1826: // database, table, column, index, routine, trigger, event, foreign key
		return true
	}
	return false
}

// IsLockTimeout knows 1205 (lock wait timeout, of a row or of a table's
// metadata), 1213 (deadlock, or another node of a cluster committed first), 1684
// (MariaDB's catalogue cannot be read for a table that another session is
// changing, which strict mode makes an error), 1020 (a row that is to be locked
// has changed since the transaction's first reading: MariaDB from 11.6 on) and
// 3572 (MySQL's word for a lock that NOWAIT did not get).
func (*mysqlDialect) IsLockTimeout(err error) bool {
	switch mysqlNumber(err) {
	case 1020, 1205, 1213, 1684, 3572:
		return true
	}
	return false
}

// IsReadOnly knows 1290 (the server runs with --read-only; it also speaks of
// other options), 1792 (a read-only transaction) and 1836 (InnoDB in read-only
// mode). The variable itself says nothing: administrators may write all the same.
func (*mysqlDialect) IsReadOnly(err error) bool {
	switch mysqlNumber(err) {
	case 1290:
		return strings.Contains(err.Error(), "read-only") || strings.Contains(err.Error(), "read_only")
	case 1792, 1836:
		return true
	}
	return false
}

// IsCutOff knows what a Galera node says that is not in the part of its cluster
// that has the majority: 1047, and 1180 from a commit that meets the separation.
// Both numbers have other meanings elsewhere.
func (*mysqlDialect) IsCutOff(err error) bool {
	switch mysqlNumber(err) {
	case 1047:
		return strings.Contains(err.Error(), "WSREP")
	case 1180:
		return strings.Contains(err.Error(), "Primary Component")
	}
	return false
}

var mysqlLine = lazyregexp.New(` at line (\d+)$`)

// Position reads the line from a syntax error's text: MySQL gives no offset.
func (*mysqlDialect) Position(err error) (character, line int) {
	var e *mysql.MySQLError
	if !errors.As(err, &e) {
		return 0, 0
	}
	if m := mysqlLine.FindStringSubmatch(e.Message); m != nil {
		line, _ = strconv.Atoi(m[1]) // digits by the expression; too many are no line
	}
	return 0, line
}

func (*mysqlDialect) Hint(err error) string {
	if mysqlNumber(err) != 0 && strings.Contains(err.Error(), "has an error in its body") {
		// MariaDB 10.11, twice in 15,000 faults (docs/torture.md): the trigger is well.
		return "where the trigger's text is well, the server keeps a broken copy of it, from a session that was ended while it opened the table: FLUSH TABLES as an administrator, then migrate again"
	}
	switch mysqlNumber(err) {
	case 1044, 1142, 1227: // access denied to a database, table or administrative statement
		return "the user may not do this: grant it, or migrate as another user with Config.MigrateURL (TLDWDB_MIGRATE_URL)"
	case 1419:
		return "the server keeps a binary log, and trusts only administrators with triggers and functions: set log_bin_trust_function_creators=1, or migrate as an administrator with Config.MigrateURL (TLDWDB_MIGRATE_URL)"
	}
	return connectHint(err)
}

func (d *mysqlDialect) Inspect(ctx context.Context, c *sql.Conn, _ string) (Facts, error) {
	var f Facts
	var database sql.NullString
	var mode string
	var idle int64
	if err := QueryRow(ctx, c, "SELECT DATABASE(), VERSION(), CONNECTION_ID(), @@SESSION.sql_mode, @@SESSION.wait_timeout", nil, &database, &f.Server, &f.Session, &mode, &idle); err != nil {
		return Facts{}, err
	}
	f.IdleLimit = time.Duration(idle) * time.Second
	if !database.Valid {
		return Facts{}, errors.New("the connection has no database: name one in the URL")
	}
	f.Database, f.Schema = database.String, database.String
	d.mariaDB.Store(strings.Contains(f.Server, "MariaDB"))
	modes := strings.Split(mode, ",")
	d.noBackslash.Store(slices.Contains(modes, "NO_BACKSLASH_ESCAPES"))
	d.ansiQuotes.Store(slices.Contains(modes, "ANSI_QUOTES"))
	if !d.mariaDB.Load() {
		f.Server = "MySQL " + f.Server
	}
	variables, err := showVariables(ctx, c, mysqlClusterVariables)
	if err != nil {
		return Facts{}, err
	}
	f.Cluster = mysqlCluster(variables)
	return f, nil
}

// Prepare turns autocommit off. A journal entry and the rows that a statement
// changes are then in one transaction, and DDL, which commits what is open
// before it begins, makes its own journal entry durable at no cost.
//
// On a node of a Galera cluster every statement first waits for what was committed
// anywhere before it: the fence of a [Lease] then knows of a takeover on another
// node.
//
// The server ends the session after [idleLimit], as it did since the lock was
// asked for; only a Go migration may take its time between two statements.
func (d *mysqlDialect) Prepare(ctx context.Context, c *sql.Conn, s Session) error {
	settings := append([]string{d.Autocommit(false), waitTimeout(idleLimit)}, lockWaits(s)...)
	if s.Facts.Cluster == ClusterGalera {
		settings = append(settings, "wsrep_sync_wait = 15")
	}
	settings = append(settings, d.idle(s)...)
	_, err := c.ExecContext(ctx, strings.Join(settings, ", "))
	return err
}

// idleLimit is how long a session that has or wants the migration lock may say
// nothing. The server has no keepalives of its own that a session could set, and
// by default waits for eight hours for the next word of a host that lost its power,
// with the lock in its hand. Between two statements of a run are seconds.
const idleLimit = 5 * time.Minute

// waitTimeout is the setting for that. It takes whole seconds, one at least.
func waitTimeout(limit time.Duration) string {
	return fmt.Sprintf("wait_timeout = %d", max(1, int64(math.Ceil(limit.Seconds()))))
}

func (d *mysqlDialect) Timeouts(s Session) []string {
	settings := append(lockWaits(s), d.idle(s)...)
	if len(settings) == 0 {
		return nil
	}
	return []string{"SET SESSION " + strings.Join(settings, ", ")}
}

// idle limits how long nothing may happen in a transaction, which only MariaDB
// can, or takes the limits away.
func (d *mysqlDialect) idle(s Session) (settings []string) {
	if s.Idle < 0 {
		settings = append(settings, waitTimeout(8*time.Hour)) // the servers' default
	}
	if s.Idle != 0 && d.mariaDB.Load() {
		settings = append(settings, fmt.Sprintf("idle_transaction_timeout = %d", int(math.Ceil(max(0, s.Idle).Seconds()))))
	}
	return settings
}

// lockWaits are the settings for rows and for a table's metadata. Both take
// whole seconds, and no limit is written as the longest wait that every server
// accepts, a day.
func lockWaits(s Session) []string {
	if s.LockTimeout < 0 {
		return nil
	}
	seconds := 86400
	if s.LockTimeout > 0 {
		seconds = int(math.Ceil(s.LockTimeout.Seconds()))
	}
	return []string{fmt.Sprintf("innodb_lock_wait_timeout = %d", seconds), fmt.Sprintf("lock_wait_timeout = %d", seconds)}
}

func (*mysqlDialect) ExecScript(ctx context.Context, c *sql.Conn, list []sqlscan.Statement, limit time.Duration) (int, error) {
	return execEach(ctx, c, list, limit)
}

func (d *mysqlDialect) Class(st sqlscan.Statement) Class {
	st = d.behindSet(st)
	h := headOf(st.Text, d.ScanOptions())
	switch st.Verb {
	case "BEGIN":
		if h.is(1, "NOT", "ATOMIC") {
			return ClassOpaque
		}
		return ClassTransaction
	case "START":
		if h.is(1, "TRANSACTION") {
			return ClassTransaction
		}
		return ClassRepeatable // START REPLICA
	case "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "XA":
		return ClassTransaction
	case "SET":
		if _, ok := d.WithoutAutocommit(st); !ok {
			return ClassTransaction
		}
		if h.is(1, "TRANSACTION") || h.is(2, "TRANSACTION") {
			return ClassSession
		}
		if h.is(1, "PASSWORD") || h.is(1, "DEFAULT") {
			return d.account(st)
		}
		return ClassSession
	case "USE", "LOCK", "UNLOCK", "PREPARE", "DEALLOCATE", "HANDLER":
		return ClassSession
	case "CREATE", "DROP":
		switch {
		case h.is(1, "TEMPORARY"), h.is(1, "OR", "REPLACE", "TEMPORARY"):
			return ClassTemporary
		case h.is(1, "USER"), h.is(1, "ROLE"):
			return d.account(st)
		}
		return ClassSchema
	case "ALTER", "RENAME", "TRUNCATE", "IMPORT", "INSTALL", "UNINSTALL":
		if h.is(1, "USER") {
			return d.account(st)
		}
		if d.mariaDB.Load() && st.Verb == "ALTER" && h.says("EXCHANGE", "PARTITION") {
			return ClassAlone // without autocommit it waits for a lock of its own session, until that times out
		}
		return ClassSchema
	case "ANALYZE", "LOAD":
		if i := h.skip(1, "LOCAL", "NO_WRITE_TO_BINLOG"); h.is(i, "TABLE") || h.is(i, "TABLES") || h.is(1, "INDEX") {
			return ClassRepeatable
		}
		return ClassData // MariaDB's ANALYZE UPDATE changes rows; LOAD DATA
	case "GRANT", "REVOKE", "FLUSH", "OPTIMIZE", "REPAIR", "CHECK", "CACHE", "RESET", "STOP", "CHANGE":
		return ClassRepeatable
	case "INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "WITH", "VALUES", "TABLE", "SHOW", "DESCRIBE", "DESC", "EXPLAIN", "HELP", "(", "SIGNAL":
		return ClassData
	}
	// CALL, EXECUTE, DO, MariaDB's IF, LOOP and the like outside of routines, and
	// whatever comes with a later version: it may commit what it has done so far.
	return ClassOpaque
}

// account is the class of a statement that is about users or roles. It commits by
// itself, and the catalogue shows nothing of it. MariaDB has done the first of
// several before it refuses the second.
func (d *mysqlDialect) account(st sqlscan.Statement) Class {
	h := codeOf(st, d.ScanOptions())
	once := st.Verb == "RENAME" || onlyOnce(h)
	if st.Verb == "CREATE" || st.Verb == "DROP" {
		once = !h.is(2, "IF")
	}
	if !once {
		return ClassRepeatable
	}
	if d.mariaDB.Load() {
		for i := range h.outside() {
			if h.punct(i, ",") {
				return ClassOpaque
			}
		}
	}
	return ClassSchema
}

// HasRun knows the errors of a REVOKE of what is not granted: 1141, 1147 (on a
// table), 1403 (on a routine), 1962 (MariaDB's roles); and that of a RESET PERSIST
// of what is not persisted, 3615.
func (d *mysqlDialect) HasRun(st sqlscan.Statement, err error) bool {
	switch mysqlNumber(err) {
	case 1141, 1147, 1403, 1962:
		return d.behindSet(st).Verb == "REVOKE"
	case 3615:
		return d.behindSet(st).Verb == "RESET"
	}
	return false
}

// Refuse knows what the journal stands in the way of: its entry is a statement
// between the one that is asked about and the one that asks.
func (d *mysqlDialect) Refuse(st sqlscan.Statement) string {
	st = d.behindSet(st)
	if st.Verb == "GET" {
		return "GET DIAGNOSTICS sees the journal's own statement here; put both into one routine"
	}
	if st.Verb == "FLUSH" {
		return refuseFlush(codeOf(st, d.ScanOptions()))
	}
	if d.Class(st) != ClassData {
		return ""
	}
	h := codeOf(st, d.ScanOptions())
	for i := range h.tokens {
		if h.calls(i, "ROW_COUNT", "FOUND_ROWS") {
			name := h.word(i)
			return name + "() would tell of the journal's own statement here; write SET @n = " + name + "() behind the statement that it is about, and use @n"
		}
	}
	return ""
}

// refuseFlush knows the forms that lock. The history table cannot be among the locked
// ones, as with LOCK TABLES: it is to be written.
func refuseFlush(h head) string {
	switch {
	case h.says("WITH", "READ", "LOCK"):
		return "FLUSH TABLES WITH READ LOCK keeps the journal from being written; LOCK TABLES does not"
	case h.says("FOR", "EXPORT"):
		return "FLUSH TABLES FOR EXPORT keeps the journal from being written; copy the files outside of a migration"
	}
	return ""
}

// Autocommit turns autocommit on or off.
func (*mysqlDialect) Autocommit(on bool) string {
	if on {
		return "SET SESSION autocommit = 1"
	}
	return "SET SESSION autocommit = 0"
}

// WithoutAutocommit cuts the assignments to autocommit out of a SET. ok says that
// there are none.
func (d *mysqlDialect) WithoutAutocommit(st sqlscan.Statement) (rest string, ok bool) {
	type assignment struct {
		from, to int    // its bytes
		target   string // what stands left of its first operator, modifiers included
		assigned bool   // the target is complete
	}
	var list []assignment
	depth, server := 0, false
	for t := range sqlscan.Tokens(st.Text, d.ScanOptions()) {
		switch {
		case t.Kind == sqlscan.Comment:
			continue
		case list == nil: // the word SET
			list = append(list, assignment{from: t.Offset + len(t.Text)})
			continue
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case t.Text == "," && depth == 0:
			list = append(list, assignment{from: t.Offset + 1})
			continue
		}
		a := &list[len(list)-1]
		a.to = t.Offset + len(t.Text)
		a.assigned = a.assigned || t.Text == "=" || t.Text == ":="
		if !a.assigned {
			a.target += " " + strings.ToUpper(t.Name(sqlscan.MySQL))
		}
		server = server || t.Is("GLOBAL") || t.Is("PERSIST") || t.Is("PERSIST_ONLY")
	}
	if len(list) == 0 {
		return st.Text, true
	}
	var kept []string
	for _, a := range list {
		switch target := strings.TrimPrefix(strings.TrimPrefix(strings.ReplaceAll(a.target, " ", ""), "SESSION"), "LOCAL"); target {
		case "AUTOCOMMIT", "@@AUTOCOMMIT", "@@SESSION.AUTOCOMMIT", "@@LOCAL.AUTOCOMMIT":
		default:
			kept = append(kept, strings.TrimSpace(st.Text[a.from:max(a.from, a.to)]))
		}
	}
	switch {
	case len(kept) == len(list):
		return st.Text, true
	case server: // a word that holds for the assignments behind it too
		return st.Text, false
	case len(kept) == 0:
		return "", false
	}
	return st.Text[:list[0].from] + " " + strings.Join(kept, ", ") + st.Text[list[len(list)-1].to:], false
}

// OutsideTransaction knows SET TRANSACTION, and the settings of the binary log.
func (d *mysqlDialect) OutsideTransaction(st sqlscan.Statement) bool {
	if st.Verb != "SET" {
		return false
	}
	h := codeOf(st, d.ScanOptions())
	for i := range h.tokens {
		switch h.word(i) {
		case "SQL_LOG_BIN", "BINLOG_FORMAT", "BINLOG_DIRECT_NON_TRANSACTIONAL_UPDATES", "GTID_NEXT":
			return true
		}
	}
	return h.is(1, "TRANSACTION")
}

// DropTemporary names the table: the server shows nobody which temporary tables
// a session has.
func (d *mysqlDialect) DropTemporary(st sqlscan.Statement) string {
	h := headOf(st.Text, d.ScanOptions())
	i := h.skip(1, "OR REPLACE", "TEMPORARY", "TABLE", "IF NOT EXISTS")
	table, _, ok := h.nameAt(i)
	if st.Verb != "CREATE" || !ok {
		return ""
	}
	return "DROP TEMPORARY TABLE IF EXISTS " + d.Qualify(table.schema, table.object)
}

// Rewrite lets the journal be written while a file holds table locks, as every
// dump does: under LOCK TABLES no other table can be touched, so the history
// table is added to the list.
func (d *mysqlDialect) Rewrite(st sqlscan.Statement, historyTable string) string {
	if st.Verb != "LOCK" {
		return st.Text
	}
	h := headOf(st.Text, d.ScanOptions())
	if !h.is(1, "TABLES") && !h.is(1, "TABLE") || len(h.tokens) < 3 {
		return st.Text
	}
	at := h.tokens[2].Offset
	return st.Text[:at] + historyTable + " WRITE, " + st.Text[at:]
}

// Fingerprint describes the objects that a DDL statement is about, as the
// server's catalogue has them at that moment.
func (d *mysqlDialect) Fingerprint(st sqlscan.Statement) string {
	st = d.behindSet(st)
	h := headOf(st.Text, d.ScanOptions())
	objects := d.objects(h, st.Verb)
	if st.Verb == "DROP" && len(objects) > 1 && d.mariaDB.Load() {
		return "" // it drops one after the other: a change does not say that it came to the end
	}
	if d.traceless(st) {
		return ""
	}
	var parts []string
	// A second run of these would empty what has been filled since.
	dated := h.is(0, "CREATE", "OR", "REPLACE", "TABLE") || h.is(0, "CREATE", "OR", "REPLACE", "SEQUENCE")
	// These make what must not be there before: that it is there says all, and costs one
	// question to the catalogue instead of seven.
	appears := h.is(0, "CREATE", "TABLE") || h.is(0, "CREATE", "SEQUENCE") || h.is(0, "CREATE", "VIEW")
	for _, o := range objects {
		o.dated, o.appears = dated, appears
		expression := o.expression(d)
		if expression == "" {
			return ""
		}
		parts = append(parts, expression)
	}
	if len(parts) == 0 {
		return ""
	}
	return "(SELECT SHA2(CONCAT_WS('|', " + strings.Join(parts, ", ") + "), 256))"
}

// traceless reports whether the catalogue may say the same before and after a
// statement that must not run twice.
func (d *mysqlDialect) traceless(st sqlscan.Statement) bool {
	h := codeOf(st, d.ScanOptions())
	switch {
	case st.Verb == "TRUNCATE":
		return true
	case st.Verb == "RENAME":
		return onlySwaps(d.objects(h, st.Verb))
	case st.Verb == "ALTER" && h.is(1, "SEQUENCE"):
		return h.contains("RESTART") // numbers that have been given out since would be given out again
	case st.Verb == "ALTER":
		// A partition and a table of one structure change places too.
		return replacesColumns(h) || h.says("EXCHANGE", "PARTITION") || h.says("TRUNCATE", "PARTITION") || movesTablespace(h)
	case st.Verb == "CREATE":
		return expires(h)
	}
	return false
}

// movesTablespace reports whether it takes a table's file away or in. The catalogue
// does not show files.
func movesTablespace(h head) bool {
	for i := range h.outside() {
		if h.is(i, "DISCARD") || h.is(i, "IMPORT") {
			return h.is(i+1, "TABLESPACE") || h.is(i+1, "PARTITION")
		}
	}
	return false
}

// onlyOnce reports whether an ALTER USER or SET PASSWORD does another thing when it
// runs again: it keeps the password that it replaces for a while, and would then
// keep the new one and lose the old; it names the old one; it adds or drops a factor.
func onlyOnce(h head) bool {
	for i := range h.tokens {
		if h.is(i, "RETAIN", "CURRENT", "PASSWORD") || h.is(i, "REPLACE") || h.is(i, "FACTOR") {
			return true
		}
	}
	return false
}

// expires reports whether a CREATE makes an event that the server drops when its
// time has come: its absence does not say that it never was, and a second run
// would let it happen again.
func expires(h head) bool {
	i := h.skip(1, "OR REPLACE")
	if h.word(i) == "DEFINER" {
		i = h.skipDefiner(i)
	}
	if h.word(i) != "EVENT" {
		return false
	}
	ends := false
	for ; i < len(h.tokens) && h.word(i) != "DO"; i++ {
		if h.is(i, "COMPLETION", "PRESERVE") {
			return false
		}
		ends = ends || h.is(i, "AT") || h.is(i, "ENDS")
	}
	return ends
}

// Definitions asks the server how it would make each object.
func (d *mysqlDialect) Definitions(ctx context.Context, c *sql.Conn, st sqlscan.Statement) ([]string, error) {
	st = d.behindSet(st)
	var list []string
	for _, o := range d.objects(headOf(st.Text, d.ScanOptions()), st.Verb) {
		name := d.Qualify(o.name.schema, o.name.object)
		text, err := showCreate(ctx, c, "SHOW CREATE "+o.kind+" "+name)
		switch mysqlNumber(err) {
		case 1049, 1146, 1305, 1347, 1360, 1539, 4091: // unknown database, table, routine, view, trigger, event, sequence
			list = append(list, strings.ToLower(o.kind)+" "+name+" does not exist")
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, strings.ToLower(o.kind)+" "+name+" is: "+text)
	}
	return list, nil
}

// showCreate reads the column that has the statement: its place differs.
func showCreate(ctx context.Context, c *sql.Conn, query string) (text string, err error) {
	rows, err := c.QueryContext(ctx, query)
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return "", err
	}
	values, dest := make([]sql.NullString, len(columns)), make([]any, len(columns))
	for i := range values {
		dest[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return "", err
		}
		for i, column := range columns {
			if strings.HasPrefix(column, "Create ") || column == "SQL Original Statement" {
				text = values[i].String
			}
		}
	}
	return text, rows.Err()
}

// object is one of those that a statement is about.
type object struct {
	kind  string // a word of the statement: TABLE, VIEW, PROCEDURE …
	name  name
	dated bool // when it was made counts too

	appears bool // it is made by a statement that fails, or does nothing, where it is there
}

// objects lists what a DDL statement makes, changes or drops. It is empty when
// the statement is not understood.
func (d *mysqlDialect) objects(h head, verb string) []object {
	switch verb {
	case "TRUNCATE":
		return d.list(h, h.skip(1, "TABLE"), "TABLE")
	case "RENAME":
		if !h.is(1, "TABLE") && !h.is(1, "TABLES") {
			return nil
		}
		return d.list(h, h.skip(2, "IF EXISTS"), "TABLE")
	case "CREATE", "ALTER", "DROP":
	default:
		return nil
	}
	// What may stand between the verb and the kind of the object.
	i := 1
	for i < len(h.tokens) {
		switch w := h.word(i); w {
		case "OR", "REPLACE", "AGGREGATE", "UNIQUE", "FULLTEXT", "SPATIAL", "ONLINE", "OFFLINE", "IGNORE", "SQL", "SECURITY", "INVOKER", "UNDO":
			i++
			continue
		case "DEFINER":
			if h.word(i-1) == "SECURITY" {
				i++
				continue
			}
			i = h.skipDefiner(i)
			continue
		case "ALGORITHM":
			i += 3 // ALGORITHM = MERGE
			continue
		case "TABLE", "TABLES", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "DATABASE", "SCHEMA", "SEQUENCE", "INDEX":
			return d.named(h, i, verb, w)
		}
		return nil
	}
	return nil
}

// skipDefiner passes over DEFINER = user@host and its variants.
func (h head) skipDefiner(i int) int {
	i += 2 // DEFINER =
	i++    // user, or CURRENT_USER
	if h.punct(i, "(") {
		i += 2
	}
	if i < len(h.tokens) && strings.HasPrefix(h.tokens[i].Text, "@") {
		if h.tokens[i].Text == "@" {
			i++
		}
		i++
	}
	return i
}

// noColumns are the words that say of DROP, ADD or RENAME that it is not about a
// column. None of them can be a column's name without quotes.
var noColumns = map[string]bool{
	"INDEX": true, "KEY": true, "PRIMARY": true, "UNIQUE": true, "FULLTEXT": true, "SPATIAL": true,
	"FOREIGN": true, "CONSTRAINT": true, "CHECK": true, "PARTITION": true,
}

// replacesColumns reports whether an ALTER TABLE takes a column away and makes one
// of the same name: the table may look as before, and a second run would empty the
// column, or swap two of them back.
func replacesColumns(h head) bool {
	gone, made := map[string]bool{}, map[string]bool{}
	column := func(at int) (string, int) {
		n, next, _ := h.nameAt(h.skip(at, "COLUMN", "IF EXISTS", "IF NOT EXISTS"))
		return strings.ToLower(n.object), next
	}
	part := func(i int) {
		if noColumns[h.word(i+1)] {
			return
		}
		switch h.word(i) {
		case "DROP":
			name, _ := column(i + 1)
			gone[name] = true
		case "ADD":
			name, next := column(i + 1)
			made[name] = true
			for _, name := range h.firstIn(next) { // ADD (a int, b int)
				made[name] = true
			}
		case "CHANGE":
			old, next := column(i + 1)
			name, _ := column(next)
			if old != name {
				gone[old], made[name] = true, true
			}
		case "RENAME":
			if old, next := column(i + 1); h.is(i+1, "COLUMN") {
				name, _ := column(next + 1)
				gone[old], made[name] = true, true
			}
		}
	}
	_, next, _ := h.nameAt(h.skip(1, "ONLINE", "IGNORE", "TABLE", "IF EXISTS"))
	part(h.skipWait(next))
	for i := range h.outside() {
		if h.punct(i, ",") {
			part(i + 1)
		}
	}
	for name := range gone {
		if made[name] {
			return true
		}
	}
	return false
}

// firstIn are the names, in lower case, with which the parts of the brackets begin
// that open at token i. There are none where no bracket is.
func (h head) firstIn(i int) (names []string) {
	for depth := 0; i < len(h.tokens); i++ {
		switch {
		case h.punct(i, "("):
			depth++
		case h.punct(i, ")"):
			depth--
		}
		if depth == 0 {
			break
		}
		if depth == 1 && (h.punct(i, "(") || h.punct(i, ",")) {
			names = append(names, strings.ToLower(h.name(i+1)))
		}
	}
	return names
}

// skipWait passes over MariaDB's WAIT 5 or NOWAIT, which may stand behind a table's
// name.
func (h head) skipWait(i int) int {
	if h.is(i, "WAIT") {
		return i + 2
	}
	return h.skip(i, "NOWAIT")
}

// onlySwaps reports whether the tables of a RENAME, old and new name in turn,
// only change places. Where they are alike the catalogue then says the same
// before and after, and a second run would undo the first. A name without a
// schema may mean the same table as one with any of the schemas that are named.
func onlySwaps(list []object) bool {
	current := []string{""}
	for _, o := range list {
		current = append(current, o.name.schema)
	}
	return slices.ContainsFunc(current, func(schema string) bool {
		var names [2][]string // old, new
		for i, o := range list {
			names[i%2] = append(names[i%2], cmp.Or(o.name.schema, schema)+"."+o.name.object)
		}
		for i := range names[1] {
			if names[0][i] == names[1][i] {
				return false // it would be refused: the unnamed schema is another one
			}
		}
		slices.Sort(names[0])
		slices.Sort(names[1])
		return slices.Equal(names[0], names[1])
	})
}

func (d *mysqlDialect) named(h head, i int, verb, kind string) []object {
	if kind == "TABLES" {
		kind = "TABLE"
	}
	i = h.skip(i+1, "IF NOT EXISTS", "IF EXISTS")
	if kind == "INDEX" {
		// CREATE INDEX i [USING x] ON t, DROP INDEX i ON t: the table shows it.
		for i < len(h.tokens) && h.word(i) != "ON" {
			i++
		}
		list := d.list(h, i+1, "TABLE")
		return list[:min(1, len(list))]
	}
	if verb == "DROP" {
		return d.list(h, i, kind)
	}
	n, next, ok := h.nameAt(i)
	if !ok {
		return nil
	}
	objects := []object{{kind: kind, name: n}}
	if verb == "ALTER" && (kind == "TABLE" || kind == "EVENT") {
		// A new name shows whether the old one is gone; one further down in the
		// statement is told by the old name alone.
		for ; next < len(h.tokens); next++ {
			if h.word(next) != "RENAME" {
				continue
			}
			if renamed, _, ok := h.nameAt(h.skip(next+1, "TO", "AS")); ok {
				switch strings.ToUpper(renamed.object) {
				case "COLUMN", "INDEX", "KEY", "CONSTRAINT":
				default:
					objects = append(objects, object{kind: kind, name: renamed})
				}
			}
		}
	}
	return objects
}

// list reads names separated by commas or by TO.
func (d *mysqlDialect) list(h head, i int, kind string) []object {
	var objects []object
	for {
		n, next, ok := h.nameAt(i)
		if !ok {
			return objects
		}
		objects = append(objects, object{kind: kind, name: n})
		next = h.skipWait(next)
		if !h.punct(next, ",") && h.word(next) != "TO" {
			return objects
		}
		i = next + 1
	}
}

// expression reads everything that the catalogue says about one object. Rows
// are combined by exclusive or, which needs no order and cannot be cut short
// by group_concat_max_len. The times at which things were made are left out: an
// OPTIMIZE changes them, and they are others on the replica that takes over, on
// another node of a cluster and in a restored backup, where the statement would
// be taken for done. What shows in nothing else can be done again.
func (o object) expression(d *mysqlDialect) string {
	schema := "DATABASE()"
	if o.name.schema != "" {
		schema = d.Literal(o.name.schema)
	}
	rows := func(table, columns, condition string) string {
		return "(SELECT CONCAT(COUNT(*), ':', COALESCE(BIT_XOR(CAST(CONV(SUBSTR(SHA2(CONCAT_WS('|', " + columns + "), 256), 1, 16), 16, 10) AS UNSIGNED)), 0)) FROM information_schema." + table + " WHERE " + condition + ")"
	}
	at := func(schemaColumn, nameColumn string) string {
		return fmt.Sprintf("%s = %s AND %s = %s", schemaColumn, schema, nameColumn, d.Literal(o.name.object))
	}
	nullable := func(columns ...string) string {
		for i, c := range columns {
			columns[i] = "COALESCE(" + c + ", '')"
		}
		return strings.Join(columns, ", ")
	}
	switch o.kind {
	case "TABLE", "SEQUENCE", "VIEW":
		table := at("TABLE_SCHEMA", "TABLE_NAME")
		if o.appears {
			return "(SELECT COUNT(*) FROM information_schema.TABLES WHERE " + table + ")"
		}
		properties := []string{"TABLE_TYPE", "ENGINE", "ROW_FORMAT", "TABLE_COLLATION", "CREATE_OPTIONS", "TABLE_COMMENT"}
		if o.dated {
			properties = append(properties, "CREATE_TIME")
		}
		return "CONCAT_WS('/', " + strings.Join([]string{
			rows("TABLES", nullable(properties...), table),
			rows("COLUMNS", nullable("COLUMN_NAME", "ORDINAL_POSITION", "COLUMN_DEFAULT", "IS_NULLABLE", "COLUMN_TYPE", "CHARACTER_SET_NAME", "COLLATION_NAME", "EXTRA", "COLUMN_COMMENT", "GENERATION_EXPRESSION"), table),
			rows("STATISTICS", nullable("INDEX_NAME", "SEQ_IN_INDEX", "COLUMN_NAME", "SUB_PART", "NON_UNIQUE", "INDEX_TYPE", "INDEX_COMMENT"), table),
			rows("TABLE_CONSTRAINTS", nullable("CONSTRAINT_NAME", "CONSTRAINT_TYPE"), table),
			rows("REFERENTIAL_CONSTRAINTS", nullable("CONSTRAINT_NAME", "REFERENCED_TABLE_NAME", "UPDATE_RULE", "DELETE_RULE"), at("CONSTRAINT_SCHEMA", "TABLE_NAME")),
			rows("PARTITIONS", nullable("PARTITION_NAME", "PARTITION_METHOD", "PARTITION_EXPRESSION", "PARTITION_DESCRIPTION"), table),
			rows("VIEWS", nullable("VIEW_DEFINITION", "SECURITY_TYPE", "CHECK_OPTION"), table),
		}, ", ") + ")"
	case "PROCEDURE", "FUNCTION":
		return rows("ROUTINES", nullable("ROUTINE_DEFINITION", "SQL_MODE", "SECURITY_TYPE", "ROUTINE_COMMENT"), at("ROUTINE_SCHEMA", "ROUTINE_NAME")+" AND ROUTINE_TYPE = '"+o.kind+"'")
	case "TRIGGER":
		// By the schema of its table too: without that MariaDB opens every table of
		// the server to find one trigger.
		return rows("TRIGGERS", nullable("ACTION_STATEMENT", "ACTION_TIMING", "EVENT_MANIPULATION", "EVENT_OBJECT_TABLE"), at("TRIGGER_SCHEMA", "TRIGGER_NAME")+" AND EVENT_OBJECT_SCHEMA = "+schema)
	case "EVENT":
		return rows("EVENTS", nullable("EVENT_DEFINITION", "STATUS", "INTERVAL_VALUE", "INTERVAL_FIELD", "EXECUTE_AT", "STARTS", "ENDS"), at("EVENT_SCHEMA", "EVENT_NAME"))
	case "DATABASE", "SCHEMA":
		return rows("SCHEMATA", nullable("DEFAULT_CHARACTER_SET_NAME", "DEFAULT_COLLATION_NAME"), "SCHEMA_NAME = "+d.Literal(o.name.object))
	}
	return ""
}

// volatile are session variables that change by themselves or cannot be set.
var volatile = map[string]bool{
	"error_count": true, "warning_count": true, "identity": true, "insert_id": true, "last_insert_id": true,
	"pseudo_thread_id": true, "rand_seed1": true, "rand_seed2": true, "gtid_next": true, "timestamp": true,
	"last_gtid": true, "proxy_user": true, "external_user": true, "in_transaction": true, "skip_replication": true,
	"gtid_seq_no": true, "autocommit": true, "statement_id": true, "resultset_metadata": true,
}

// What a snapshot has beside the session's variables.
const (
	settingDatabase = "USE"
	settingRole     = "ROLE"
)

// noLimit is the value of sql_select_limit where there is none.
const noLimit = "18446744073709551615"

func (d *mysqlDialect) Snapshot(ctx context.Context, c *sql.Conn) (settings map[string]string, err error) {
	settings = map[string]string{}
	var database, role sql.NullString
	var limit string
	if err := QueryRow(ctx, c, "SELECT DATABASE(), CURRENT_ROLE(), @@SESSION.sql_select_limit LIMIT 1", nil, &database, &role, &limit); err != nil {
		return nil, err
	}
	if limit != noLimit { // it would cut the list of variables too
		if _, err := c.ExecContext(ctx, "SET SESSION sql_select_limit = "+noLimit); err != nil {
			return nil, err
		}
		defer func() {
			_, setErr := c.ExecContext(ctx, "SET SESSION sql_select_limit = "+limit)
			err = errors.Join(err, setErr)
		}()
	}
	settings[settingDatabase], settings[settingRole] = database.String, "NONE"
	if role.String != "" && d.mariaDB.Load() {
		settings[settingRole] = backtick(role.String)
	} else if role.String != "" { // MySQL may have several, and writes them as it reads them
		settings[settingRole] = role.String
	}
	rows, err := c.QueryContext(ctx, "SHOW SESSION VARIABLES")
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var key string
		var value sql.NullString
		if err := rows.Scan(&key, &value); err != nil {
			return nil, err
		}
		if !volatile[key] {
			settings[key] = value.String
		}
	}
	settings["sql_select_limit"] = limit
	return settings, rows.Err()
}

func (d *mysqlDialect) RestoreSnapshot(ctx context.Context, c *sql.Conn, before map[string]string) error {
	if _, err := c.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
		return err
	}
	now, err := d.Snapshot(ctx, c)
	if err != nil {
		return err
	}
	if now[settingRole] != before[settingRole] { // first: what follows may need its rights
		if _, err := c.ExecContext(ctx, "SET ROLE "+before[settingRole]); err != nil {
			return fmt.Errorf("restoring the role: %w", err)
		}
	}
	set := []string{"timestamp = DEFAULT"}
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if key == settingDatabase || key == settingRole || now[key] == before[key] {
			continue
		}
		value := d.Literal(before[key])
		if _, err := strconv.ParseFloat(before[key], 64); err == nil {
			value = before[key]
		}
		set = append(set, key+" = "+value)
	}
	if err := setBack(ctx, c, set); err != nil {
		return fmt.Errorf("restoring the session: %w", err)
	}
	if now[settingDatabase] != before[settingDatabase] {
		_, err = c.ExecContext(ctx, "USE "+backtick(before[settingDatabase]))
	}
	return err
}

// SessionState is made of database, role, and what the session has set otherwise
// than a new one would have it. SHOW SESSION VARIABLES would not do: it has the
// server's own variables as well, which others may change at any time.
func (d *mysqlDialect) SessionState(ctx context.Context, c *sql.Conn) (_ string, err error) {
	query := "SELECT LOWER(s.VARIABLE_NAME), s.VARIABLE_VALUE FROM performance_schema.session_variables s LEFT JOIN performance_schema.global_variables g ON g.VARIABLE_NAME = s.VARIABLE_NAME" +
		" WHERE (g.VARIABLE_VALUE IS NULL OR g.VARIABLE_VALUE <> s.VARIABLE_VALUE) AND s.VARIABLE_NAME NOT LIKE 'gtid%'"
	if d.mariaDB.Load() {
		query = "SELECT LOWER(VARIABLE_NAME), SESSION_VALUE FROM information_schema.SYSTEM_VARIABLES WHERE SESSION_VALUE IS NOT NULL"
	}
	rows, err := c.QueryContext(ctx, query+" UNION ALL SELECT 'the database', COALESCE(DATABASE(), '') UNION ALL SELECT 'the role', COALESCE(CURRENT_ROLE(), '')")
	if err != nil {
		return "", err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	state := map[string]string{}
	for rows.Next() {
		var name string
		var value sql.NullString
		if err := rows.Scan(&name, &value); err != nil {
			return "", err
		}
		if !volatile[name] {
			state[name] = value.String
		}
	}
	return fmt.Sprint(state), rows.Err() // a map is printed in the order of its keys
}

// MayHide is not asked: DDL is not transactional.
func (*mysqlDialect) MayHide(sqlscan.Statement) bool { return false }

// Forget takes away user variables, which no statement lists on MySQL.
func (*mysqlDialect) Forget(values []string) string {
	var list []string
	for _, v := range values {
		if name, is := strings.CutPrefix(v, "@"); is {
			list = append(list, "@"+backtick(name)+" = NULL")
		}
	}
	if len(list) == 0 {
		return ""
	}
	slices.Sort(list)
	return "SET " + strings.Join(slices.Compact(list), ", ")
}

// setBack sets variables in one statement, or one by one when some are not the
// session's: SHOW SESSION VARIABLES lists the server's as well, which a file's
// SET GLOBAL changes on purpose, others change at any time, and a server with a
// binary log itself (gtid_binlog_pos, gtid_executed). Those stay as they are.
func setBack(ctx context.Context, c *sql.Conn, set []string) error {
	_, err := c.ExecContext(ctx, "SET SESSION "+strings.Join(set, ", SESSION "))
	if !notOurs(err) {
		return err
	}
	for _, one := range set {
		if _, err := c.ExecContext(ctx, "SET SESSION "+one); err != nil && !notOurs(err) {
			return err
		}
	}
	return nil
}

// notOurs knows what the server says when a session cannot set a variable: 1238
// (read-only), 1229 (global only), 1227 (a privilege is missing) and 1231 (the
// value that it shows is none that can be set).
func notOurs(err error) bool {
	switch mysqlNumber(err) {
	case 1227, 1229, 1231, 1238:
		return true
	}
	return false
}

// Lock is GET_LOCK. Its name is server-wide, so it carries the database; it is
// hashed because names end at 64 characters.
func (d *mysqlDialect) Lock(f Facts, table string) Lock {
	sum := sha256.Sum256([]byte(f.Database + "\x00" + table))
	return &mysqlLock{name: d.Literal("tldwdb:" + hex.EncodeToString(sum[:16])), id: f.Session, idle: f.IdleLimit, processlist: d.processlist()}
}

type mysqlLock struct {
	name        string // as a literal
	id          int64
	idle        time.Duration // the session's own limit, as it came
	processlist string        // the table of the server's sessions
}

func (*mysqlLock) Kind() string          { return "GET_LOCK" }
func (*mysqlLock) Waits() bool           { return true }
func (*mysqlLock) NeedsConnection() bool { return true }

func (l *mysqlLock) get(ctx context.Context, c *sql.Conn, wait string) (bool, error) {
	var answer sql.NullInt64
	if err := QueryRow(ctx, c, "SELECT GET_LOCK("+l.name+", "+wait+")", nil, &answer); err != nil {
		return false, err
	}
	if !answer.Valid { // the server ran out of memory, or the wait was killed
		return false, errors.New("GET_LOCK failed on the server")
	}
	return answer.Int64 == 1, nil
}

// Try shortens the session's idle limit before it asks, and not once it has the
// lock: a host that falls silent while it waits may be given it all the same.
func (l *mysqlLock) Try(ctx context.Context, c *sql.Conn, slice time.Duration) (bool, error) {
	if err := l.limit(ctx, c, idleLimit); err != nil {
		return false, err
	}
	got, err := l.get(ctx, c, strconv.FormatFloat(slice.Seconds(), 'f', 3, 64))
	if err != nil || got {
		return got, err
	}
	return false, l.limit(ctx, c, l.idle)
}

func (l *mysqlLock) Unlock(ctx context.Context, c *sql.Conn) (bool, error) {
	held, err := l.release(ctx, c)
	if err != nil {
		return false, err
	}
	return held, l.limit(ctx, c, l.idle)
}

func (l *mysqlLock) release(ctx context.Context, c *sql.Conn) (bool, error) {
	var answer sql.NullInt64
	err := QueryRow(ctx, c, "SELECT RELEASE_LOCK("+l.name+")", nil, &answer)
	return answer.Int64 == 1, err
}

// limit says how long the session may say nothing.
func (*mysqlLock) limit(ctx context.Context, c *sql.Conn, limit time.Duration) error {
	_, err := c.ExecContext(ctx, "SET SESSION "+waitTimeout(limit))
	return err
}

// Holder sees the address of another user's connection only with the right to
// see processes.
func (l *mysqlLock) Holder(ctx context.Context, c *sql.Conn) (string, error) {
	var id sql.NullInt64
	if err := QueryRow(ctx, c, "SELECT IS_USED_LOCK("+l.name+")", nil, &id); err != nil || !id.Valid {
		return "", err
	}
	var host, since string
	if err := QueryRow(ctx, c, fmt.Sprintf("SELECT HOST, TIME FROM %s WHERE ID = %d", l.processlist, id.Int64), nil, &host, &since); err != nil {
		return fmt.Sprintf("connection %d", id.Int64), nil //nolint:nilerr // the number is what can be known without the right to see more
	}
	return fmt.Sprintf("connection %d from %s, in its present state for %s s", id.Int64, host, since), nil
}

func (l *mysqlLock) Excludes(ctx context.Context, second *sql.Conn) (bool, error) {
	got, err := l.get(ctx, second, "0")
	if err != nil || !got {
		return err == nil, err
	}
	_, err = l.release(ctx, second)
	return false, err
}

// Abandon kills the session. Without it the server finishes the statement
// first, and keeps the lock until then. It asks for the lock's own holder: the
// numbers begin again with the server, and by then may be another session's.
func (l *mysqlLock) Abandon(ctx context.Context, second *sql.Conn) error {
	held := fmt.Sprintf("SELECT COALESCE(IS_USED_LOCK(%s), 0) = %d", l.name, l.id)
	var ours bool
	if err := QueryRow(ctx, second, held, nil, &ours); err != nil || !ours {
		return err
	}
	_, err := second.ExecContext(ctx, fmt.Sprintf("KILL CONNECTION %d", l.id))
	if mysqlNumber(err) == 1094 { // unknown thread id: it has ended already
		return nil
	}
	if err != nil {
		return err
	}
	return untilGone(ctx, second, held, nil)
}
