package tldwdb

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/diskfree"
)

// probeMemory is what one probe leaves to the next.
type probeMemory struct {
	details   []Check // of the last time that they were asked
	counts    map[string]int64
	detailsAt time.Time
	deepAt    time.Time
	sizes     []sizeAt
}

// sizeAt is how large the database was.
type sizeAt struct {
	at    time.Time
	bytes int64
}

// The samples by which growth is told, and how far the first has to be back.
const (
	sizesKept   = 144
	sizeEvery   = 10 * time.Minute
	growthAfter = 10 * time.Minute
)

// probing is one probe under way.
type probing struct {
	*prober
	Health
	unanswered error // why the database could not be asked
}

func (h *probing) add(c Check) {
	if c.Time.IsZero() {
		c.Time = time.Now()
	}
	h.Checks = append(h.Checks, c)
}

// probe asks everything, in an order in which the first failure explains the rest.
func (p *prober) probe(ctx context.Context) Health {
	h := &probing{prober: p, Health: Health{Time: time.Now(), Activity: p.db.activity.now.Load()}}
	ctx, end := p.db.watch.start(ctx, p.db.operation(OperationHealth))
	defer func() { end(h.unanswered) }()
	h.askDatabase(ctx)
	h.askPool(ctx)
	h.askProgram(ctx)
	p.conclude(&h.Health)
	return h.Health
}

func (h *probing) askDatabase(ctx context.Context) {
	conn, mode, err := h.reach(ctx)
	if err != nil {
		h.add(h.failed(Check{Name: CheckConnection, Latency: time.Since(h.Time)}, err))
		h.unanswered = err
		return
	}
	sound := true
	defer func() {
		if !sound || !conn.asBefore() {
			conn.discard()
			return
		}
		_ = conn.Close()
	}()
	h.Connection = true
	if !h.sameFile(ctx, conn) {
		return
	}
	hist := h.askHistory(ctx, conn)
	if h.Activity != nil {
		return // the schema is on its way: its tables may be locked, and not there yet
	}
	h.askTables(ctx, conn, hist)
	sound = h.askWrite(ctx, conn, mode)
	h.askDisk()
	if sound {
		h.askDetails(ctx, conn)
	}
}

// reach gets a connection, and an answer by it. One that the server has closed
// meanwhile is found out when it is taken out of the pool: the probes' own is
// always tested.
func (h *probing) reach(ctx context.Context) (*probeConn, dialect.Mode, error) {
	start := time.Now()
	conn, err := h.connect(ctx, h)
	if err != nil {
		return nil, dialect.Mode{}, err
	}
	had := time.Since(start)
	start = time.Now()
	mode, err := h.db.dialect.Alive(ctx, conn.Conn.Conn)
	if err != nil {
		conn.discard()
		return nil, mode, err
	}
	took := time.Since(start)
	h.add(h.measured(Check{Name: CheckConnection, Latency: had}, milliseconds(had), "ms"))
	h.add(h.measured(Check{Name: CheckRoundTrip, Latency: took}, milliseconds(took), "ms"))
	return conn, mode, nil
}

func (h *probing) sameFile(ctx context.Context, conn *probeConn) bool {
	err := h.db.checkFile(ctx, conn.Conn)
	if err != nil {
		c := h.failed(Check{Name: CheckFile}, err)
		if errors.Is(err, ErrFileReplaced) {
			c.Class = "" // it is seen, and no retry cures it
		}
		h.add(c)
	}
	return err == nil
}

// askHistory says whether the schema is what this binary needs. It returns nil
// where that could not be asked.
func (h *probing) askHistory(ctx context.Context, conn *probeConn) *history {
	c := Check{Name: CheckHistory, Unit: "migrations"}
	start := time.Now()
	src, err := h.db.source()
	var hist *history
	if err == nil {
		st := store{d: h.db.dialect, table: h.db.dialect.Qualify("", h.db.cfg.Table), set: h.db.cfg.Set}
		hist, err = st.read(ctx, conn)
		if conn.monitor && (dialect.FaultOf(err) == dialect.FaultPermission || err == nil && len(hist.rows) == 0) {
			hist, err = h.historyByPool(ctx, &st, hist, err)
		}
	}
	c.Latency = time.Since(start)
	if err != nil {
		h.add(h.failed(c, err))
		return nil
	}
	h.db.tellSchema(src, hist)
	h.Current, _ = hist.current()
	h.Head, _ = src.head()
	var warnings []Disagreement
	var wrong error
	h.Pending, warnings, wrong = h.db.pending(src, hist)
	c.Status, c.Observed = CheckPass, float64(h.Pending)
	half, theirs := 0, 0
	for _, r := range hist.rows {
		switch {
		case r.state.done():
		case src.find(r.id) != nil:
			half++
		default: // a newer binary's: it has no part in what this one needs
			theirs++
		}
	}
	switch {
	case errors.Is(wrong, ErrHalfLoaded):
		c.said = "rows of the database are missing"
		c.Status, c.Output = CheckFail, wrong.Error()
	case wrong != nil:
		c.said = "migrations and database disagree"
		c.Status, c.Output = CheckFail, wrong.Error()
	case half > 0:
		c.said = "a migration is half applied"
		c.Status, c.Output = CheckFail, fmt.Sprintf("%d half applied, %d pending", half, h.Pending)
	case h.Pending > 0:
		c.said = fmt.Sprintf("%d migrations are pending", h.Pending)
		c.Status, c.Output = CheckFail, fmt.Sprintf("%d pending: the database is at version %d, this binary at %d", h.Pending, h.Current, h.Head)
	case theirs > 0:
		c.Status, c.said = CheckWarn, "a newer binary's migration is under way, or half applied"
		c.Output = c.said
	case len(warnings) > 0:
		var texts []string
		for _, w := range warnings {
			texts = append(texts, w.String())
		}
		c.Output = strings.Join(texts, "; ")
		c.Status = CheckPass // newer than this binary: a rollout
		if slices.ContainsFunc(warnings, func(d Disagreement) bool { return !errors.Is(d.Kind, ErrNewer) }) {
			c.Status, c.said = CheckWarn, "the database has migrations that this binary lacks"
		}
	}
	h.add(c)
	return hist
}

// splitTable is schema and table of a name in HealthOptions.
func splitTable(name string) (schema, table string) {
	if schema, table, ok := strings.Cut(name, "."); ok {
		return schema, table
	}
	return "", name
}

// historyByPool reads the history by the application's pool where the monitor's
// account may not, or sees none: it may have been led to another database.
func (h *probing) historyByPool(ctx context.Context, st *store, hist *history, err error) (*history, error) {
	pooled, borrowErr := h.borrowLimited(ctx)
	if borrowErr != nil {
		return hist, err
	}
	there, readErr := st.read(ctx, pooled)
	if pooled.asBefore() {
		_ = pooled.Close()
	} else {
		pooled.discard()
	}
	if err == nil && readErr == nil && len(there.rows) > 0 {
		h.add(Check{Name: CheckMonitor, Status: CheckWarn, Time: time.Now(), said: "the monitoring account sees another database, or no history",
			Output: "Config.MonitorURL sees no history, and Config.URL does: do both lead to the same database?"})
	}
	return there, readErr
}

// askTables looks whether the tables are there and may be read. The monitor's
// account may not: it asks the catalogue.
func (h *probing) askTables(ctx context.Context, conn *probeConn, hist *history) {
	c := Check{Name: CheckTables, Unit: "tables", Status: CheckPass}
	start := time.Now()
	var err error
	if len(h.opts.Tables) > 0 {
		if conn.monitor {
			c.Output, err = h.tablesInCatalog(ctx, conn, &c)
		} else {
			c.Output, err = h.tablesByReading(ctx, conn, &c)
		}
	}
	c.Latency = time.Since(start)
	switch {
	case err != nil:
		c = h.failed(c, err)
	case c.Observed > 0:
		c.Status = CheckFail
	case hist == nil:
		c.Status, c.Output = CheckFail, "the history could not be read"
	}
	if len(h.opts.Tables) > 0 || c.Status != CheckPass {
		h.add(c)
	}
	h.Tables = c.Status == CheckPass
}

// tablesByReading reads no row of any of them, in one question while all is well.
func (h *probing) tablesByReading(ctx context.Context, conn *probeConn, c *Check) (string, error) {
	var each []string
	for _, name := range h.opts.Tables {
		each = append(each, "SELECT 1 FROM "+h.db.dialect.Qualify(splitTable(name))+" WHERE 1 = 0")
	}
	if err := h.nothing(ctx, conn, strings.Join(each, " UNION ALL ")); err == nil {
		return "", nil
	}
	var said []string
	for i, query := range each {
		err := h.nothing(ctx, conn, query)
		switch fault := dialect.FaultOf(err); fault {
		case "":
		case dialect.FaultMissingTable, dialect.FaultPermission:
			c.Observed++
			if c.Class == "" && fault == dialect.FaultPermission {
				c.Class = ErrorClass(fault)
			}
			if fault == dialect.FaultMissingTable {
				c.Class = ErrorClass(fault)
			}
			said = append(said, fmt.Sprintf("%s: %s", h.opts.Tables[i], fault))
		default:
			return "", err
		}
	}
	return strings.Join(said, ", "), nil
}

// nothing runs a query whose rows do not matter.
func (h *probing) nothing(ctx context.Context, conn *probeConn, query string) error {
	rows, err := conn.QueryContext(ctx, query, h.db.dialect.QueryArgs()...)
	if err != nil {
		return err
	}
	for rows.Next() { // to the end: an error may be there
		continue
	}
	return errors.Join(rows.Err(), rows.Close())
}

// tablesInCatalog asks whether they are there, in one question.
func (h *probing) tablesInCatalog(ctx context.Context, conn *probeConn, c *Check) (string, error) {
	c.Method = MethodCatalog
	var each []string
	for i, name := range h.opts.Tables {
		each = append(each, fmt.Sprintf("SELECT %d AS number WHERE NOT (%s)", i, h.db.dialect.Exists(splitTable(name))))
	}
	rows, err := conn.QueryContext(ctx, strings.Join(each, " UNION ALL "), h.db.dialect.QueryArgs()...)
	if err != nil {
		return "", err
	}
	var missing []string
	for rows.Next() {
		var i int
		if err := rows.Scan(&i); err != nil {
			return "", errors.Join(err, rows.Close())
		}
		missing = append(missing, h.opts.Tables[i]+": "+string(dialect.FaultMissingTable))
	}
	if c.Observed = float64(len(missing)); c.Observed > 0 {
		c.Class = ErrorClass(dialect.FaultMissingTable)
	}
	return strings.Join(missing, ", "), errors.Join(rows.Err(), rows.Close())
}

// probeSet is the set of the rows that write probes make and take back. No set of
// migrations has the name: a slash is not allowed in one.
const probeSet = "tldwdb/health"

// writeProbe makes a row in the history table. The row is this process's own, so
// that two probes do not wait for each other.
func (s *store) writeProbe() string {
	return fmt.Sprintf("INSERT INTO %s (set_name, version, repeatable, name, checksum, state, direction, done, steps, started_at, actor, run_id, tool_version) VALUES (%s, 0, %s, '', '', 'probe', '', 0, 0, %s, '', '', %s)",
		s.table, s.d.Literal(probeSet), s.d.Literal(s.run), s.d.Now(), s.d.Literal(Version))
}

// askWrite writes a row and takes it back. It reports whether the connection is
// still as it was.
func (h *probing) askWrite(ctx context.Context, conn *probeConn, mode dialect.Mode) (sound bool) {
	d := h.db.dialect
	c := Check{Name: CheckWriteAccess, Method: MethodInsert}
	st := store{d: d, table: d.Qualify("", h.db.cfg.Table), set: probeSet, run: h.runID}
	list := append(d.BeginProbe(h.opts.Timeout/4), st.writeProbe())
	deep := h.opts.DeepWrite > 0 && time.Since(h.memory.deepAt) >= h.opts.DeepWrite
	if deep {
		c.Method = MethodCommit
		list = append(list, fmt.Sprintf("DELETE FROM %s WHERE set_name = %s AND version = 0 AND repeatable = %s", st.table, d.Literal(probeSet), d.Literal(st.run)), "COMMIT")
	} else {
		list = append(list, "ROLLBACK")
	}
	start := time.Now()
	err := error(nil)
	sound = true
	if conn.monitor { // whose rights are not the application's
		c.Method = MethodFlags
	} else {
		sound, err = h.inTransaction(ctx, conn, list)
	}
	fault := dialect.FaultOf(err)
	if fault == dialect.FaultMissingTable && sound && d.Name() == dialect.NameSQLite {
		c.Method = MethodCreate
		sound, err = h.inTransaction(ctx, conn, append(d.BeginProbe(0), "CREATE TABLE "+d.Qualify("", "tldwdb_health_probe")+" (n integer)", "ROLLBACK"))
		fault = dialect.FaultOf(err)
	}
	if fault == dialect.FaultMissingTable || fault == dialect.FaultPermission {
		c.Method, c.Output, err = MethodFlags, "the history table is not there", nil
		if fault == dialect.FaultPermission {
			c.Output = "this account may not write into the history table"
		}
	}
	c.Latency = time.Since(start)
	switch {
	case err != nil:
		c = h.failed(c, err)
		if fault == dialect.FaultLocked && c.Status == CheckFail { // somebody else writes
			c.Status = CheckWarn
		}
	case c.Method == MethodFlags && (mode.ReadOnly || mode.Standby):
		c.Status, c.Class, c.Output = CheckFail, ErrorClass(dialect.FaultReadOnly), "the server says that it takes no writes"
	default:
		c.Status = CheckPass
		h.WriteAccess = true
	}
	if deep && err == nil {
		h.memory.deepAt = time.Now()
	}
	if mode.Standby && c.Status != CheckPass {
		c.Output = strings.TrimPrefix(c.Output+"; it is a standby", "; ")
	}
	h.add(c)
	return sound
}

// inTransaction runs the statements of a transaction, and leaves none open.
func (h *probing) inTransaction(ctx context.Context, conn *probeConn, list []string) (sound bool, err error) {
	if _, err = h.db.dialect.ExecScript(ctx, conn.Conn.Conn, plain(list), 0); err == nil {
		return true, nil
	}
	cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.opts.Timeout/10)
	defer cancel()
	_, rollbackErr := conn.ExecContext(cleaning, "ROLLBACK")
	return rollbackErr == nil || strings.Contains(rollbackErr.Error(), "no transaction is active"), err // SQLite ends some by itself
}

// askDetails asks what costs more or changes slowly, if it is time again.
func (h *probing) askDetails(ctx context.Context, conn *probeConn) {
	m := &h.memory
	if m.detailsAt.IsZero() || time.Since(m.detailsAt) >= h.opts.DetailInterval {
		before := h.Checks
		h.Checks, m.counts = nil, map[string]int64{}
		h.askSize(ctx, conn)
		h.askReplication(ctx, conn)
		h.askCertificate(ctx, conn)
		for _, name := range h.opts.Counts {
			h.count(ctx, conn, name)
		}
		m.details, m.detailsAt = h.Checks, time.Now()
		h.Checks = before
	}
	h.Checks = append(h.Checks, m.details...)
	h.Counts = m.counts
}

func (h *probing) askSize(ctx context.Context, conn *probeConn) {
	start := time.Now()
	bytes, err := h.db.dialect.Size(ctx, conn.Conn.Conn)
	if errors.Is(err, dialect.ErrNotVisible) {
		return
	}
	c := Check{Name: CheckSize, Unit: "bytes", Latency: time.Since(start)}
	if err != nil {
		h.add(h.warned(c, err))
		return
	}
	h.add(h.measured(c, float64(bytes), c.Unit))
	m := &h.memory
	if len(m.sizes) == 0 || time.Since(m.sizes[len(m.sizes)-1].at) >= sizeEvery {
		if len(m.sizes) == sizesKept {
			m.sizes = slices.Delete(m.sizes, 0, 1)
		}
		m.sizes = append(m.sizes, sizeAt{time.Now(), bytes})
	}
	if first := m.sizes[0]; time.Since(first.at) >= growthAfter {
		h.add(h.measured(Check{Name: CheckGrowth}, float64(bytes-first.bytes)*day/time.Since(first.at).Seconds(), "bytes/day"))
	}
}

// askDisk is no detail: a disk fills within seconds, and the question costs nothing.
func (h *probing) askDisk() {
	if file := h.db.file.knownPath(); file != "" {
		start := time.Now()
		if free, err := diskfree.At(filepath.Dir(file)); err == nil {
			h.add(h.left(Check{Name: CheckDisk, Latency: time.Since(start)}, float64(free), "bytes"))
		}
	}
}

func (h *probing) askReplication(ctx context.Context, conn *probeConn) {
	start := time.Now()
	lag, err := h.db.dialect.Replication(ctx, conn.Conn.Conn)
	c := Check{Name: CheckReplication, Unit: "s", Latency: time.Since(start)}
	switch {
	case errors.Is(err, dialect.ErrNotVisible):
	case err != nil:
		h.add(h.warned(c, err))
	default:
		h.add(h.measured(c, lag.Seconds(), c.Unit))
	}
}

func (h *probing) askCertificate(ctx context.Context, conn *probeConn) {
	start := time.Now()
	// Connections of our own have left their dates, of both sides; of others the server may tell its own.
	until := earliest(h.db.certificates.Server(), h.db.certificates.Client())
	var err error
	if !until.IsZero() && !conn.monitor { // TLS may be off by now
		plain, plainErr := h.db.dialect.Plain(ctx, conn.Conn.Conn)
		if err = plainErr; plain {
			until = time.Time{}
		}
	}
	if until.IsZero() && err == nil {
		until, err = h.db.dialect.CertificateExpiry(ctx, conn.Conn.Conn)
	}
	c := Check{Name: CheckCertificate, Unit: "s", Latency: time.Since(start)}
	switch {
	case errors.Is(err, dialect.ErrNotVisible):
	case err != nil:
		h.add(h.warned(c, err))
	default:
		h.add(h.left(c, time.Until(until).Seconds(), c.Unit))
	}
}

// earliest is the first of the times that are known; zero where none is.
func earliest(times ...time.Time) (first time.Time) {
	for _, t := range times {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

// count counts the rows of a table up to a limit, and takes the statistics' word
// for what is larger, and for what this account may not read.
func (h *probing) count(ctx context.Context, conn *probeConn, name string) {
	d := h.db.dialect
	schema, table := splitTable(name)
	c := Check{Name: CheckCount, Subject: name, Unit: "rows", Method: MethodExact}
	start := time.Now()
	rows, limit := int64(-1), int64(h.opts.ExactCountLimit)
	var err error
	if limit > 0 && !conn.monitor {
		err = dialect.QueryRow(ctx, conn.Conn.Conn, fmt.Sprintf("SELECT count(*) FROM (SELECT 1 FROM %s LIMIT %d) AS counted", d.Qualify(schema, table), limit+1), d.QueryArgs(), &rows)
	}
	if err == nil && (rows < 0 || rows > limit) {
		c.Method = MethodEstimate
		least := rows
		rows, err = d.Estimate(ctx, conn.Conn.Conn, schema, table)
		rows = max(rows, least) // statistics may be older than the rows
	}
	c.Latency = time.Since(start)
	switch {
	case err != nil:
		h.add(h.warned(c, err))
	case rows < 0:
		c.Status, c.Output = CheckWarn, "the server's statistics know no such table, or nothing of it yet"
		c.Unit = ""
		h.add(c)
	default:
		h.memory.counts[name] = rows
		h.add(h.measured(c, float64(rows), c.Unit))
	}
}

// askPool looks at the application's pool. One with all of its connections in use
// may be merely busy: whether it serves is seen by asking for one.
func (h *probing) askPool(ctx context.Context) {
	stats := h.db.pool.Stats()
	if stats.MaxOpenConnections == 0 {
		return
	}
	c := Check{Name: CheckPool, Output: fmt.Sprintf("%d of at most %d are in use, %d idle; %d calls have waited, %v in all",
		stats.InUse, stats.MaxOpenConnections, stats.Idle, stats.WaitCount, stats.WaitDuration.Round(time.Millisecond))}
	h.add(h.measured(c, float64(stats.InUse)/float64(stats.MaxOpenConnections), "ratio"))
	wait := Check{Name: CheckPoolWait, Unit: "ms"}
	if stats.InUse < stats.MaxOpenConnections {
		h.add(h.measured(wait, 0, wait.Unit))
		return
	}
	start := time.Now()
	conn, err := h.borrow(ctx)
	wait.Latency = time.Since(start)
	if err != nil {
		h.add(h.failed(wait, err))
		return
	}
	_ = conn.Close()
	h.add(h.measured(wait, milliseconds(wait.Latency), wait.Unit))
}

// driftLimit is how long the migrations may run on a scratch database.
const driftLimit = 10 * time.Minute

// askDrift asks whether the schema is what the migrations make. Nothing is said
// while that is being found out for the first time, and where the history check
// has the reason why nobody can.
func (h *probing) askDrift(ctx context.Context) {
	if h.opts.DriftEvery == 0 || !h.Connection || h.Activity != nil {
		return
	}
	// A migration that is applied behind a newer one puts its columns behind that one's.
	v := Verification{Ignore: h.opts.DriftIgnore, AnyColumnOrder: h.db.cfg.OutOfOrder}
	said := h.drift.ask(ctx, h.prober, asking[[]Difference]{h.opts.DriftEvery, driftLimit, func(ctx context.Context) ([]Difference, error) {
		return h.db.Drift(ctx, v)
	}})
	c := Check{Name: CheckDrift, Latency: said.took, Time: said.at, Unit: "differences"}
	switch {
	case errors.Is(said.err, errNotYet) && said.took < driftLimit, errors.Is(said.err, ErrHalfApplied), errors.As(said.err, new(*HistoryError)):
	case said.err != nil:
		c = h.warned(c, said.err)
		if hint := Hint(said.err); hint != "" {
			c.Output = shorten(c.Output+"; "+hint, 500)
		}
		h.add(c)
	default:
		texts := make([]string, len(said.value))
		for i, d := range said.value {
			texts[i] = catalog.Difference(d).Summary()
		}
		c.Output = shorten(strings.Join(texts, "; "), 500)
		h.add(h.measured(c, float64(len(texts)), c.Unit))
	}
}

// askProgram asks what takes its time, beside the probe: the comparison of the
// schema, and what only the program that uses this package knows.
func (h *probing) askProgram(ctx context.Context) {
	limited, cancel := context.WithTimeout(ctx, h.opts.Timeout/4)
	defer cancel()
	h.askDrift(limited)
	if h.opts.Backup == nil {
		return
	}
	said := h.backup.ask(limited, h.prober, asking[BackupState]{h.opts.DetailInterval, max(h.opts.Timeout, h.opts.DetailInterval), h.opts.Backup})
	for _, b := range []struct {
		name string
		at   time.Time
	}{{CheckBackup, said.value.LastGood}, {CheckRestoreTest, said.value.LastRestoreTest}} {
		c := Check{Name: b.name, Latency: said.took, Time: said.at, Unit: "s"}
		switch {
		case said.err != nil:
			h.add(h.warned(c, said.err))
		case b.at.IsZero():
			c.Status, c.Output, c.Unit = CheckWarn, "there was none yet", ""
			h.add(c)
		default:
			h.add(h.measured(c, time.Since(b.at).Seconds(), c.Unit))
		}
	}
}

// measured completes a check by what was observed, which should not be large.
func (p *prober) measured(c Check, observed float64, unit string) Check {
	c.Status, c.Observed, c.Unit = CheckPass, observed, unit
	if l, has := defaultLimits[c.Name]; has {
		l = p.opts.limit(c.Name)
		switch {
		case l.Fail >= 0 && observed >= l.Fail:
			c.Status = CheckFail
		case l.Warn >= 0 && observed >= l.Warn:
			c.Status = CheckWarn
		}
	}
	return p.advisory(c)
}

// left is measured for what should not be small.
func (p *prober) left(c Check, observed float64, unit string) Check {
	c.Status, c.Observed, c.Unit = CheckPass, observed, unit
	switch l := p.opts.limit(c.Name); {
	case l.Fail >= 0 && observed < l.Fail:
		c.Status = CheckFail
	case l.Warn >= 0 && observed < l.Warn:
		c.Status = CheckWarn
	}
	return p.advisory(c)
}

// failed completes a check by the error that it met.
func (p *prober) failed(c Check, err error) Check {
	c.Status, c.Observed, c.Unit = CheckFail, 0, ""
	c.Class, c.Output = ClassOf(err), shorten(err.Error(), 500)
	return p.advisory(c)
}

// warned is failed for what does not keep the service from serving.
func (p *prober) warned(c Check, err error) Check {
	c = p.failed(c, err)
	c.Status = CheckWarn
	return c
}

func (p *prober) advisory(c Check) Check {
	if c.Status == CheckFail && slices.Contains(p.opts.Advisory, c.Name) {
		c.Status = CheckWarn
	}
	return c
}

// conclude says what the checks come to.
func (p *prober) conclude(h *Health) {
	for i := range h.Checks {
		h.Checks[i] = p.advisory(h.Checks[i])
	}
	h.Status = StatusHealthy
	worst := h.worst()
	if worst == nil {
		return
	}
	h.Class, h.Error = worst.Class, publicError(worst)
	if worst.Status == CheckFail {
		h.Status = StatusUnhealthy
	}
	h.Degraded = slices.ContainsFunc(h.Checks, func(c Check) bool { return c.Status == CheckWarn })
}

// worst is the first check that fails, or else the first that warns, or nil.
func (h Health) worst() *Check {
	var worst *Check
	for i := range h.Checks {
		c := &h.Checks[i]
		if c.Status == CheckFail {
			return c
		}
		if c.Status == CheckWarn && worst == nil {
			worst = c
		}
	}
	return worst
}

// connectionWords say why there is no connection, to anybody.
var connectionWords = map[ErrorClass]string{
	ErrorClass(dialect.FaultTimeout):         "the database does not answer in time",
	ErrorClass(dialect.FaultAuth):            "the database refuses the sign-in",
	ErrorClass(dialect.FaultTLS):             "no encrypted connection to the database is to be had",
	ErrorClass(dialect.FaultTooMany):         "the database has no connection to spare",
	ErrorClass(dialect.FaultPoolExhausted):   "no connection of the pool is free",
	ErrorClass(dialect.FaultMissingDatabase): "the database is not there",
	ErrorClass(dialect.FaultStorage):         "the database cannot be read",
}

// checkWords say what is wrong, to anybody.
var checkWords = map[string]string{
	CheckMonitor:     "the database refuses the monitoring account",
	CheckRoundTrip:   "the database is slow",
	CheckFile:        ErrFileReplaced.Error(),
	CheckHistory:     "the migrations that are applied could not be read",
	CheckTables:      "a table is missing or may not be read",
	CheckWriteAccess: "the database takes no writes",
	CheckPool:        "most connections of the pool are in use",
	CheckPoolWait:    "connections of the pool are waited for",
	CheckCount:       "rows could not be counted",
	CheckSize:        "the database is larger than it should be",
	CheckGrowth:      "the database grows faster than it should",
	CheckDisk:        "the disk is nearly full",
	CheckReplication: "replication is behind, or not known",
	CheckCertificate: "a certificate of the connection ends soon, or has ended",
	CheckDrift:       "the schema is not what it should be",
	CheckBackup:      "the last good backup is too old, or there was none",
	CheckRestoreTest: "the last trial restore is too long ago, or there was none",
}

// figures are the checks whose words are about what was observed.
var figures = []string{CheckSize, CheckCertificate, CheckDrift, CheckBackup, CheckRestoreTest}

// publicError is what a stranger may read of a check.
func publicError(c *Check) string {
	switch {
	case c.Name == CheckConnection:
		return cmp.Or(connectionWords[c.Class], "the database does not answer")
	case c.said != "":
		return c.said
	case c.Name == CheckWriteAccess && c.Class == ErrorClass(dialect.FaultLocked):
		return "a write has to wait"
	case c.Name == CheckWriteAccess && c.Class == ErrorClass(dialect.FaultDiskFull):
		return "the database has no room to write"
	case c.Class != "" && slices.Contains(figures, c.Name): // nothing is known of the figure
		return "the health check " + c.Name + " could not be made"
	}
	return checkWords[c.Name]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
