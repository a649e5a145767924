package tldwdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/portable"
)

// This file knows the history table: its rows, and the statements that read
// and write them. What differs between engines (types, clock, quoting) is asked
// of the dialect. Every value is written as a literal: a statement with
// parameters costs MySQL two round trips more, and cannot be part of the one
// packet in which PostgreSQL receives a whole migration.

// historyFormat is the layout of the table that this version reads and writes.
// It is kept in the table, so that a later layout can be told from this one.
const historyFormat = 1

// metaSet is the set name of the rows that describe the table itself.
const metaSet = ""

// The names of the meta rows.
const (
	metaFormat      = "format"
	metaEnvironment = "environment"
	metaLock        = "lock"
	metaLoading     = "loading"  // rows are being brought in, by the command that it names
	metaAdopted     = "adopted " // and the set behind it
	metaSeed        = "seed "    // and the set and the file behind it: one that runs once, with its checksum
)

// state is how far a migration has come.
type state string

const (
	stateApplied  state = "applied"
	stateBaseline state = "baseline" // taken as applied without having run here
	stateSnapshot state = "snapshot" // made by a snapshot, together with others
	stateRunning  state = "running"  // journaled, and not finished: in progress, or its process died
	stateFailed   state = "failed"   // journaled, and stopped at a statement that is known to have failed
)

// done reports whether the migration's effects are all there.
func (s state) done() bool { return s == stateApplied || s == stateBaseline || s == stateSnapshot }

// row is one row of the history table.
type row struct {
	id        ID
	checksum  string
	state     state
	direction Direction
	done      int    // statements known to have taken effect (journaled migrations)
	steps     int    // statements in all
	intent    string // JSON of the statement that was about to run; see journal.go
	finished  time.Time
	actor     string // who: host, process, application
	run       string // identity of the run that the row belongs to
	hasDown   bool   // the down script is stored
	details          // zero unless readDetails has read the row
}

// details is what only people want to know.
type details struct {
	started  time.Time
	duration time.Duration
	tool     string // version of this package
	fault    string // error of the last attempt
}

// clone is a copy that stays as it is while the history goes on.
func (r *row) clone() *row {
	if r == nil {
		return nil
	}
	c := *r
	return &c
}

// when says when the migration was applied, for messages.
func (r *row) when() string {
	if r.finished.IsZero() {
		return "at an unknown time"
	}
	return "on " + r.finished.UTC().Format("2006-01-02 15:04:05 UTC")
}

// standing says how far the migration has come, for messages.
func (r *row) standing() string {
	if r.state.done() {
		return "applied " + r.when()
	}
	return fmt.Sprintf("%s, with %d of %d statements done", r.state, r.done, r.steps)
}

// history is what the table says about one set of migrations.
type history struct {
	rows        []row // in running order
	format      int
	environment string
	lock        lockChoice        // that of the last run that found it by itself
	loading     string            // the command that brings rows in, and is not at its end
	identity    string            // of the database: the run that made the table, which no other database has
	adopted     *int64            // up to here another tool's history was taken over; nil if none was
	seeds       map[string]string // files of seeds that have run once, with their checksums
}

func (h *history) find(id ID) *row {
	i, ok := slices.BinarySearchFunc(h.rows, id, func(r row, id ID) int { return compareIDs(r.id, id) })
	if !ok {
		return nil
	}
	return &h.rows[i]
}

// current is the highest version whose effects are all there.
func (h *history) current() (int64, bool) {
	for _, r := range slices.Backward(h.rows) {
		if r.state.done() && !r.id.Repeatable {
			return r.id.Version, true
		}
	}
	return 0, false
}

// done is how many migrations are there.
func (h *history) done() (n int) {
	for _, r := range h.rows {
		if r.state.done() {
			n++
		}
	}
	return n
}

// after takes a migration that was just committed into account and returns the
// highest applied version.
func (h *history) after(id ID, direction Direction) int64 {
	i, found := slices.BinarySearchFunc(h.rows, id, func(r row, id ID) int { return compareIDs(r.id, id) })
	switch {
	case direction == DirectionDown && found:
		h.rows = slices.Delete(h.rows, i, i+1)
	case direction == DirectionUp && found:
		h.rows[i].state = stateApplied
	case direction == DirectionUp:
		h.rows = slices.Insert(h.rows, i, row{id: id, state: stateApplied})
	}
	version, _ := h.current()
	return version
}

// loaded takes a snapshot into account, which is the first that a history has.
func (h *history) loaded(held []entry) int64 {
	h.rows = make([]row, len(held))
	for i, e := range held {
		h.rows[i] = row{id: e.id, state: e.state}
	}
	version, _ := h.current()
	return version
}

// store reads and writes the history of one set in one table.
type store struct {
	d     dialect.Dialect
	table string // quoted, with its schema once that is known
	set   string
	actor string
	run   string // identity of this run: two of one process have two
	known int    // how many migrations there are in the files: about as many rows are expected
	// fence wraps an expression that is to be NULL once the lease is another
	// run's. nil where the lock needs none.
	fence func(expression string) string
}

// newRunID makes the identity of a run: no other one has the same.
func newRunID() string { return fmt.Sprintf("%016x", rand.Uint64()) }

// fenced is an expression that becomes NULL once the lease is another run's.
func (s *store) fenced(expression string) string {
	if s.fence == nil {
		return expression
	}
	return s.fence(expression)
}

// runID is this run's identity as an expression. The column takes no NULL: a
// statement that writes it fails when the lease is gone.
func (s *store) runID() string { return s.fenced(s.d.Literal(s.run)) }

// read is the look: one SELECT, no lock, no write. A table that is not there
// is an empty history; any other error is an error. It is made at each boot, so
// it leaves out what no decision needs.
func (s *store) read(ctx context.Context, q dialect.Queryer) (*history, error) {
	return s.readColumns(ctx, q, false)
}

// readDetails is read with the details of each row.
func (s *store) readDetails(ctx context.Context, q dialect.Queryer) (*history, error) {
	return s.readColumns(ctx, q, true)
}

func (s *store) readColumns(ctx context.Context, q dialect.Queryer, withDetails bool) (*history, error) {
	columns := fmt.Sprintf("set_name, version, repeatable, name, checksum, state, direction, done, steps, COALESCE(intent, ''), COALESCE(%s, ''), actor, run_id,"+
		" CASE WHEN down_sql IS NULL THEN 0 ELSE 1 END", s.d.TimeText("finished_at"))
	if withDetails {
		columns += fmt.Sprintf(", COALESCE(%s, ''), COALESCE(duration_ms, 0), tool_version, COALESCE(error, '')", s.d.TimeText("started_at"))
	}
	query := fmt.Sprintf("SELECT %s FROM %s WHERE set_name IN (%s, %s)", columns, s.table, s.d.Literal(metaSet), s.d.Literal(s.set))
	h, err := s.query(ctx, q, query, withDetails)
	// A Galera node ends whoever looks at a table that another node creates or
	// alters at that instant. Nothing is lost by looking again.
	for tries := 1; tries < readTries && s.d.IsLockTimeout(err) && ctx.Err() == nil; tries++ {
		if err := sleep(ctx, pollFirst+rand.N(pollFirst)); err != nil {
			return nil, err
		}
		h, err = s.query(ctx, q, query, withDetails)
	}
	if s.d.IsNoTable(err) {
		return &history{}, nil
	}
	if err != nil {
		err = fmt.Errorf("reading the history table: %w", err)
		if dialect.Refused(err) {
			err = withHint(err, "the account may not read it, or it is not there yet: migrate first, with Config.MigrateURL (TLDWDB_MIGRATE_URL) or as an account that may, and grant this one SELECT on it (docs/roles)")
		}
		return nil, err
	}
	if h.format > historyFormat {
		return nil, fmt.Errorf("the history table has layout %d, and this version of tldwdb knows layouts up to %d: use a newer tldwdb", h.format, historyFormat)
	}
	if h.loading == loadingCopy { // of a restore the mark is enough: it goes when all has been compared
		if there, err := s.isLoading(ctx, q); err != nil || !there {
			h.loading = ""
			return h, err
		}
	}
	return h, nil
}

// readTries is how often the history is read before a deadlock is an error.
const readTries = 10

// query is one try of readColumns. pgx reports the error of a query with its rows.
func (s *store) query(ctx context.Context, q dialect.Queryer, query string, withDetails bool) (*history, error) {
	rows, err := q.QueryContext(ctx, query, s.d.QueryArgs()...)
	if err != nil {
		return nil, err
	}
	h := &history{rows: make([]row, 0, s.known)}
	return h, h.scan(rows, s.set, withDetails)
}

func (h *history) scan(rows *sql.Rows, of string, withDetails bool) (err error) {
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	var (
		r                           row // one for all rows: Scan needs its address, which costs an allocation
		set, repeatable             string
		started, finished, stateStr string
		milliseconds                float64
		hasDown                     int
	)
	into := []any{&set, &r.id.Version, &repeatable, &r.id.Name, &r.checksum, &stateStr, &r.direction, &r.done, &r.steps,
		&r.intent, &finished, &r.actor, &r.run, &hasDown}
	if withDetails {
		into = append(into, &started, &milliseconds, &r.tool, &r.fault)
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if set == metaSet {
			if err := h.meta(of, repeatable, r.id.Name); err != nil {
				return err
			}
			if repeatable == metaFormat {
				h.identity = r.run
			}
			continue
		}
		r.id.Repeatable = repeatable != ""
		r.state = state(stateStr)
		r.hasDown = hasDown != 0
		r.duration = time.Duration(milliseconds * float64(time.Millisecond))
		if r.started, err = parseTime(started); err != nil {
			return err
		}
		if r.finished, err = parseTime(finished); err != nil {
			return err
		}
		h.rows = append(h.rows, r)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	slices.SortFunc(h.rows, func(a, b row) int { return compareIDs(a.id, b.id) })
	return nil
}

func (h *history) meta(set, key, value string) error {
	switch key {
	case metaAdopted + set:
		version, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("the version up to which the history was adopted is not a number: %q", value)
		}
		h.adopted = &version
	case metaFormat:
		format, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("the layout of the history table is not a number: %q", value)
		}
		h.format = format
	case metaEnvironment:
		h.environment = value
	case metaLoading:
		h.loading = value
	case metaLock:
		h.lock.kind, h.lock.why, _ = strings.Cut(value, ": ")
	default:
		if file, ok := strings.CutPrefix(key, metaSeed+set+" "); ok {
			if h.seeds == nil {
				h.seeds = map[string]string{}
			}
			h.seeds[file] = value
		}
	}
	return nil
}

// parseTime reads what TimeText of a dialect writes.
func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text)
}

// where is the condition that names one migration.
func (s *store) where(id ID) string {
	return fmt.Sprintf("set_name = %s AND version = %d AND repeatable = %s", s.d.Literal(s.set), id.Version, s.d.Literal(repeatableKey(id)))
}

func repeatableKey(id ID) string {
	if id.Repeatable {
		return id.Name
	}
	return ""
}

// entry is what a new row says.
type entry struct {
	id        ID
	checksum  string
	state     state
	direction Direction
	done      int
	steps     int
	intent    string // SQL expression; empty for NULL
	down      []byte // nil: none is stored
}

const insertColumns = "set_name, version, repeatable, name, checksum, state, direction, done, steps, intent, started_at, finished_at, duration_ms, actor, run_id, tool_version, down_sql"

// downText is the down script of a new row as an expression.
func (s *store) downText(e entry) string {
	if e.down == nil || !validText(e.down) {
		return "NULL"
	}
	return s.d.Literal(string(e.down))
}

// insert is the statement that adds a row. Two runs that got past the lock
// together collide here, on the primary key, before either has changed a thing.
func (s *store) insert(e entry) string {
	intent := cmp.Or(e.intent, "NULL")
	finished := "NULL"
	if e.state.done() {
		finished = s.d.Now()
	}
	return fmt.Sprintf("INSERT INTO %s ("+insertColumns+") VALUES (%s, %d, %s, %s, %s, %s, %s, %d, %d, %s, %s, %s, NULL, %s, %s, %s, %s)",
		s.table, s.d.Literal(s.set), e.id.Version, s.d.Literal(repeatableKey(e.id)), s.d.Literal(e.id.Name), s.d.Literal(e.checksum),
		s.d.Literal(string(e.state)), s.d.Literal(string(e.direction)), e.done, e.steps, intent, s.d.Now(), finished, s.d.Literal(s.actor), s.runID(), s.d.Literal(Version), s.downText(e))
}

// insertSnapshot adds the rows of the migrations that a snapshot holds, in statements
// of a size that every server takes. A thousand rows are more work than the tables
// that the snapshot makes, and most of it is reading their text: where the engine can,
// only what differs is written for each.
func (s *store) insertSnapshot(list []entry) (statements []string) {
	const enough = 64 << 10
	lit := s.d.Literal
	compact := s.d.RowsAsTable()
	common := func(version, name, sum, done, steps, down string) string {
		return strings.Join([]string{lit(s.set), version, lit(""), name, sum, lit(string(stateSnapshot)), lit(string(DirectionUp)), done, steps,
			"NULL", s.d.Now(), s.d.Now(), "NULL", lit(s.actor), s.runID(), lit(Version), down}, ", ")
	}
	head := fmt.Sprintf("INSERT INTO %s (%s) VALUES ", s.table, insertColumns)
	end := ""
	if compact {
		head = fmt.Sprintf("INSERT INTO %s (%s) WITH list (version, name, checksum, done, steps, down_sql) AS (VALUES ", s.table, insertColumns)
		end = ") SELECT " + common("version", "name", "checksum", "done", "steps", "down_sql") + " FROM list"
	}
	var b strings.Builder
	for i, e := range list {
		if b.Len() == 0 {
			b.WriteString(head + "(")
		} else {
			b.WriteString(", (")
		}
		version, done, steps, down := strconv.FormatInt(e.id.Version, 10), strconv.Itoa(e.done), strconv.Itoa(e.steps), s.downText(e)
		if compact {
			b.WriteString(strings.Join([]string{version, lit(e.id.Name), lit(e.checksum), done, steps, down}, ", "))
		} else {
			b.WriteString(common(version, lit(e.id.Name), lit(e.checksum), done, steps, down))
		}
		b.WriteString(")")
		if b.Len() > enough || i == len(list)-1 {
			b.WriteString(end)
			statements = append(statements, b.String())
			b.Reset()
		}
	}
	return statements
}

// finishSnapshot turns the row under which a snapshot was loaded into that of the
// migration with its version.
func (s *store) finishSnapshot(e entry) string {
	return fmt.Sprintf("UPDATE %s SET name = %s, checksum = %s, state = %s, done = %d, steps = %d, intent = NULL, error = NULL, finished_at = %s, duration_ms = %s, down_sql = %s WHERE %s",
		s.table, s.d.Literal(e.id.Name), s.d.Literal(e.checksum), s.d.Literal(string(e.state)), e.done, e.steps, s.d.Now(), s.d.ElapsedMS("started_at"), s.downText(e), s.where(e.id))
}

// finish marks a row as applied, by the server's clock. The checksum is that of
// the text that ran last: a migration that failed half-way may have been mended.
func (s *store) finish(id ID, sum string, steps int) string {
	return fmt.Sprintf("UPDATE %s SET state = %s, checksum = %s, done = %d, steps = %d, intent = NULL, error = NULL, finished_at = %s, duration_ms = %s WHERE %s",
		s.table, s.d.Literal(string(stateApplied)), s.d.Literal(sum), steps, steps, s.d.Now(), s.d.ElapsedMS("started_at"), s.where(id))
}

// restart turns an existing row into one of a new run: a repeatable migration
// that changed, or one that is taken back statement by statement.
func (s *store) restart(e entry) string {
	intent := cmp.Or(e.intent, "NULL")
	return fmt.Sprintf("UPDATE %s SET checksum = %s, state = %s, direction = %s, done = %d, steps = %d, intent = %s, error = NULL, started_at = %s, finished_at = NULL, duration_ms = NULL, actor = %s, tool_version = %s WHERE %s",
		s.table, s.d.Literal(e.checksum), s.d.Literal(string(e.state)), s.d.Literal(string(e.direction)), e.done, e.steps, intent, s.d.Now(), s.d.Literal(s.actor), s.d.Literal(Version), s.where(e.id))
}

// progress writes how many statements are done, and what comes next. intent is
// an SQL expression.
func (s *store) progress(id ID, done int, intent string) string {
	return fmt.Sprintf("UPDATE %s SET state = %s, done = %d, intent = %s, error = NULL WHERE %s",
		s.table, s.d.Literal(string(stateRunning)), done, intent, s.where(id))
}

// fail records a statement that is known to have failed: nothing is in doubt.
func (s *store) fail(id ID, done int, intent, fault string) string {
	return fmt.Sprintf("UPDATE %s SET state = %s, done = %d, intent = %s, error = %s WHERE %s",
		s.table, s.d.Literal(string(stateFailed)), done, intent, s.d.Literal(shorten(fault, 2000)), s.where(id))
}

// note keeps the error of a statement whose outcome is in doubt beside its
// intent.
func (s *store) note(id ID, fault string) string {
	return fmt.Sprintf("UPDATE %s SET error = %s WHERE %s", s.table, s.d.Literal(shorten(fault, 2000)), s.where(id))
}

// accept keeps with a baseline what was known to be otherwise than it says.
func (s *store) accept(id ID, list []Difference) string {
	texts := make([]string, len(list))
	for i, d := range list {
		texts[i] = d.String()
	}
	return fmt.Sprintf("UPDATE %s SET error = %s WHERE %s", s.table, s.d.Literal(shorten(strings.Join(texts, "\n"), 30_000)), s.where(id))
}

// owned makes an UPDATE of a row's progress fail, or change nothing, when the
// row has passed to another run. An engine that sends the statement and what it
// stands for in one packet has to be stopped by an error. The other has to look
// at the number of rows, because its sql_mode may make an empty text of a NULL.
func (s *store) owned(update string) string {
	mine := "run_id = " + s.d.Literal(s.run)
	if s.d.TransactionalDDL() && !strings.HasPrefix(update, "DELETE") {
		return strings.Replace(update, " SET ", " SET run_id = CASE WHEN "+mine+" THEN "+s.runID()+" END, ", 1)
	}
	if s.fence != nil {
		mine += " AND " + s.fence("1") + " IS NOT NULL"
	}
	return update + " AND " + mine
}

// take makes a row this run's, if it is not that already and nobody has touched
// it since it was read.
func (s *store) take(r *row) string {
	statement := fmt.Sprintf("UPDATE %s SET actor = %s, run_id = %s WHERE %s AND (run_id = %[3]s OR run_id = %[5]s AND state = %[6]s AND done = %[7]d AND COALESCE(intent, '') = %[8]s)",
		s.table, s.d.Literal(s.actor), s.d.Literal(s.run), s.where(r.id), s.d.Literal(r.run), s.d.Literal(string(r.state)), r.done, s.d.Literal(r.intent))
	if s.fence != nil {
		statement += " AND " + s.fence("1") + " IS NOT NULL"
	}
	return statement
}

// seize makes the row of a finished migration this run's without having read it.
func (s *store) seize(id ID) string {
	return fmt.Sprintf("UPDATE %s SET actor = %s, run_id = %s WHERE %s AND %s", s.table, s.d.Literal(s.actor), s.d.Literal(s.run), s.where(id), s.isDone())
}

// isDone is the condition that a row's effects are all there.
func (s *store) isDone() string {
	return fmt.Sprintf("state IN (%s, %s, %s)", s.d.Literal(string(stateApplied)), s.d.Literal(string(stateBaseline)), s.d.Literal(string(stateSnapshot)))
}

// insist fails when the row is not this run's. It is for transactional engines:
// the row that it would write breaks the table's rules.
func (s *store) insist(id ID) string {
	statement := fmt.Sprintf("INSERT INTO %s (set_name) SELECT NULL WHERE NOT EXISTS (SELECT 1 FROM %s WHERE %s AND run_id = %s)",
		s.table, s.table, s.where(id), s.d.Literal(s.run))
	if s.fence != nil {
		statement += " OR " + s.fence("1") + " IS NULL"
	}
	return statement
}

// remove forgets a migration: it was taken back.
func (s *store) remove(id ID) string {
	return fmt.Sprintf("DELETE FROM %s WHERE %s", s.table, s.where(id))
}

// setChecksum takes an edited file for the one that was applied.
func (s *store) setChecksum(id ID, sum string) string {
	return fmt.Sprintf("UPDATE %s SET checksum = %s WHERE %s", s.table, s.d.Literal(sum), s.where(id))
}

// setDown replaces the stored down script.
func (s *store) setDown(id ID, text []byte) string {
	down := "NULL"
	if text != nil && validText(text) {
		down = s.d.Literal(string(text))
	}
	return fmt.Sprintf("UPDATE %s SET down_sql = %s WHERE %s", s.table, down, s.where(id))
}

// setMeta replaces a row that describes the table itself.
func (s *store) setMeta(key, value string) []string {
	lit := s.d.Literal
	return []string{
		fmt.Sprintf("DELETE FROM %s WHERE set_name = %s AND version = 0 AND repeatable = %s", s.table, lit(metaSet), lit(key)),
		fmt.Sprintf("INSERT INTO %s (set_name, version, repeatable, name, checksum, state, direction, done, steps, started_at, finished_at, actor, run_id, tool_version) VALUES (%s, 0, %s, %s, '', 'meta', '', 0, 0, %s, %s, %s, %s, %s)",
			s.table, lit(metaSet), lit(key), lit(value), s.d.Now(), s.d.Now(), lit(s.actor), s.runID(), lit(Version)),
	}
}

// isLoading asks the journal of the load that the history speaks of: it goes with the
// last step, and is empty before the first one.
func (s *store) isLoading(ctx context.Context, q dialect.Queryer) (loading bool, err error) {
	of := ""
	err = s.eachRow(ctx, q, s.d.TablesNamed([]string{portable.JournalName}), func(row [3]string) {
		if of == "" {
			of = s.d.Qualify(row[0], row[1])
		}
	})
	if err == nil && of != "" {
		err = s.eachRow(ctx, q, "SELECT kind, name, '' FROM "+of, func([3]string) { loading = true })
		if s.d.IsNoTable(err) { // it was at its last step
			return false, nil
		}
	}
	if err != nil {
		err = fmt.Errorf("reading the journal of a load: %w", err)
	}
	return loading, err
}

// eachRow runs a query of three columns.
func (s *store) eachRow(ctx context.Context, q dialect.Queryer, query string, f func([3]string)) (err error) {
	rows, err := q.QueryContext(ctx, query, s.d.QueryArgs()...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var row [3]string
	for rows.Next() {
		if err := rows.Scan(&row[0], &row[1], &row[2]); err != nil {
			return err
		}
		f(row)
	}
	return rows.Err()
}

// halfLoaded is why nothing is done with a database that has not all its rows.
func (h *history) halfLoaded() error {
	if h.loading == "" {
		return nil
	}
	err := fmt.Errorf("%w: %s was cut short", ErrHalfLoaded, h.loading)
	if h.loading == loadingCopy {
		return withHint(err, "call Copy (tldwdb copy) again with the same source: it goes on where it stopped; or take an empty database")
	}
	return withHint(err, "empty the database, and restore again")
}

// loadingCopy is what the history says while rows are copied.
const loadingCopy = "a copy"

// beginLoading says in the history that rows are being brought in; until endLoading
// nobody migrates the database or takes it for whole.
func (r *run) beginLoading(ctx context.Context, by string) error {
	return r.inOneTransaction(ctx, r.store.setMeta(metaLoading, by))
}

// endLoading says that the rows are there, and with them which files of seeds have
// written some of them: to run those again would double the rows.
func (r *run) endLoading(ctx context.Context, seeds map[string]string) error {
	return r.inOneTransaction(ctx, append(r.store.setSeeds(seeds), r.store.setMeta(metaLoading, "")[0]))
}

// identify replaces the identity of the database.
func (s *store) identify(identity string) string {
	return fmt.Sprintf("UPDATE %s SET run_id = %s WHERE set_name = %s AND version = 0 AND repeatable = %s", s.table, s.d.Literal(identity), s.d.Literal(metaSet), s.d.Literal(metaFormat))
}

// setSeeds replaces what is known of the files of seeds that run once.
func (s *store) setSeeds(seeds map[string]string) []string {
	all := metaSeed + s.set + " "
	list := []string{fmt.Sprintf("DELETE FROM %s WHERE set_name = %s AND version = 0 AND substr(repeatable, 1, %d) = %s", s.table, s.d.Literal(metaSet), utf8.RuneCountInString(all), s.d.Literal(all))}
	for _, file := range slices.Sorted(maps.Keys(seeds)) {
		list = append(list, s.setMeta(all+file, seeds[file])...)
	}
	return list
}

// addMeta adds a row that describes the table itself, where there is none of the
// key.
func (s *store) addMeta(key, value string) string {
	lit := s.d.Literal
	return fmt.Sprintf("INSERT INTO %s (set_name, version, repeatable, name, checksum, state, direction, done, steps, started_at, finished_at, actor, run_id, tool_version)"+
		" SELECT * FROM (SELECT %s AS a, 0 AS b, %s AS c, %s AS d, '' AS e, 'meta' AS f, '' AS g, 0 AS h, 0 AS i, %s AS j, %s AS k, %s AS l, %s AS m, %s AS n) one WHERE NOT EXISTS (%s)",
		s.table, lit(metaSet), lit(key), lit(value), s.d.Now(), s.d.Now(), lit(s.actor), lit(s.run), lit(Version), s.selectMeta(key))
}

// selectMeta is a SELECT of such a row.
func (s *store) selectMeta(key string) string {
	return fmt.Sprintf("SELECT 1 FROM %s WHERE set_name = %s AND version = 0 AND repeatable = %s", s.table, s.d.Literal(metaSet), s.d.Literal(key))
}

// storedDown reads the down script that was kept when the migration ran.
func (s *store) storedDown(ctx context.Context, q dialect.Queryer, id ID) (string, error) {
	var text sql.NullString
	err := dialect.QueryRow(ctx, q, fmt.Sprintf("SELECT down_sql FROM %s WHERE %s", s.table, s.where(id)), s.d.QueryArgs(), &text)
	if err != nil && !errors.Is(err, dialect.ErrNoRow) {
		return "", fmt.Errorf("reading the stored down script: %w", err)
	}
	return text.String, nil
}

// shorten cuts a text for a log line or a column, at a character.
func shorten(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= limit {
		return text
	}
	cut := strings.ToValidUTF8(text[:limit], "")
	return cut + " …"
}
