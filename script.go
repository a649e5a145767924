package tldwdb

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file writes what a run would do as a script, for a person who runs it with
// the engine's own client. Which steps there are decide says, and what is in them
// prepare, as for a run; the statements about the history are the run's own. What
// a run learns from the server while it goes on, a script asks the server when it
// is run, and stops where the answer is not the one that it was written for.

// ScriptRequest says which script [Script] writes.
type ScriptRequest struct {
	// Dialect is sqlite, postgres, mysql or mariadb. The last two differ in what they
	// take for a comment, and a script is refused by the other one.
	Dialect string
	// From is the version that the database is at: all files up to it are applied.
	// 0: it is empty, and the script makes the history table too. A script that finds
	// the database elsewhere stops before it has changed anything.
	From int64
	// Request says what the script reaches, as [DB.Migrate] would: the zero Request
	// is everything above From; GoalVersion with a Version below From, GoalDown and
	// GoalBase are ways down.
	Request Request
	// Database is the name of the database, where a file for MySQL or MariaDB changes
	// it with USE; the script then runs in that one only. Empty: any database.
	Database string
}

var errScriptLease = errors.New("the migration lock is a lease, and a script cannot keep one alive")

// scriptActor is who the history says ran a migration of a script.
const scriptActor = "script"

// Script writes the SQL script that does what [DB.Migrate] would do, for somebody
// who runs it by hand with psql, mysql, mariadb or sqlite3. Afterwards the
// history says the same as if this package had migrated, but for the actor, which
// is "script". It needs no database: what DB.Script reads from one is From here.
// Repeatable migrations are all in it. From cfg it takes the migrations, the
// history table, the timeouts, and the Environment that is stamped into the
// database.
//
// The script takes the migration lock, so that a booting worker waits for it, and
// stops at the first fault. On PostgreSQL and SQLite nothing of the migration that
// failed is left; on MySQL the history says at which statement it stopped, and
// [DB.Up] or [DB.Repair] go on from there. It begins with the command that runs it.
// It does not try again when a table is locked for longer than Config.LockTimeout,
// and on MySQL, which has no such limit, and SQLite it does without
// Config.StatementTimeout. Where it stopped behind a CALL, or in a file without a
// transaction behind a SELECT on PostgreSQL, the routine may have changed the
// session, and nobody has looked: then Up is [ErrHalfApplied].
//
// The same files and the same request make the same script. It returns a
// *[LoadError] for faulty files, [ErrUnknownVersion], [ErrIrreversible],
// [ErrProtected] for a way down where cfg says production and Config.Confirm names
// no database, and an error for Go migrations, which no script can hold, all
// before it writes anything; and the error of w.
func Script(w io.Writer, cfg Config, req ScriptRequest) error {
	cfg, err := cfg.normalize()
	if err != nil {
		return err
	}
	u, migrateURL, err := cfg.urls()
	if err != nil {
		return err
	}
	if migrateURL.Dialect != "" {
		u = migrateURL
	}
	d, err := dialect.Offline(req.Dialect)
	if err != nil {
		return err
	}
	if cfg.Lock == LockLease {
		return withHint(fmt.Errorf("%w (Config.Lock)", errScriptLease), "migrate with DB.Up")
	}
	src, err := loadSource(cfg.Migrations, cfg.MigrationsDir, d.Name(), cfg.GoMigrations)
	if err != nil {
		return err
	}
	hist := &history{}
	if req.From != 0 {
		if src.find(ID{Version: req.From}) == nil {
			return fmt.Errorf("%w: version %d, from which the script shall lead", ErrUnknownVersion, req.From)
		}
		hist.format = historyFormat
		for _, m := range src.migrations {
			if !m.id.Repeatable && m.id.Version <= req.From {
				hist.rows = append(hist.rows, row{id: m.id, checksum: m.checksum(), state: stateApplied, direction: DirectionUp})
			}
		}
	}
	r := &run{cfg: &cfg, d: d, src: src, log: cfg.Logger, facts: dialect.Facts{Server: "none", Database: req.Database}}
	s := &scripter{run: r, url: u, offline: true}
	return s.write(context.Background(), w, hist, req.Request)
}

// Script is the function [Script] for the database as it is: which migrations are
// applied, and which files have to run, it reads from the history. It takes no
// migration lock and writes nothing to the database; the script checks when it runs
// that the history is still where it was. It returns an error where the lock is a
// lease, which no script can keep alive, [ErrHalfApplied] where a migration is half
// applied, [ErrProtected] for a way down on a production database that
// Config.Confirm does not name, beside the errors of [DB.Plan].
func (db *DB) Script(ctx context.Context, w io.Writer, req Request) error {
	r, err := db.newRun(ctx)
	if err != nil {
		return err
	}
	defer r.release(ctx)
	return ended(ctx, r.script(ctx, w, req))
}

func (r *run) script(ctx context.Context, w io.Writer, req Request) error {
	if err := r.connectAndInspect(ctx); err != nil {
		return err
	}
	hist, err := r.store.read(ctx, r.conn)
	if err != nil {
		return err
	}
	for _, row := range hist.rows {
		if !row.state.done() {
			return withHint(fmt.Errorf("%w: %s is %s", ErrHalfApplied, row.id, row.standing()), "call DB.Up or DB.Repair first")
		}
	}
	r.seen = hist
	if err := r.chooseLock(ctx); err != nil {
		return err
	}
	if r.choice.kind == dialect.LockLease {
		return withHint(fmt.Errorf("%w (%s)", errScriptLease, r.choice.why), "migrate with DB.Up")
	}
	u := r.db.url
	if r.db.migrateURL.Dialect != "" {
		u = r.db.migrateURL
	}
	s := &scripter{run: r, url: u}
	return s.write(ctx, w, hist, req)
}

// scripter writes one script.
type scripter struct {
	*run
	client  dialect.Client
	url     dburl.URL
	offline bool // the history is what the caller said
	text    strings.Builder
}

func (s *scripter) write(ctx context.Context, w io.Writer, hist *history, req Request) error {
	options := s.options()
	options.fromFiles = true
	steps, _, err := decide(s.src, hist, req, options)
	if err != nil {
		return err
	}
	if len(steps) > 0 && steps[0].snapshot != nil {
		return withHint(fmt.Errorf("%w: %s stands for files that a script would need", ErrSquashed, steps[0].snapshot.script.file), "begin with DB.Up, which loads it; a script can go on from there")
	}
	down := slices.ContainsFunc(steps, func(st step) bool { return st.reason == reasonRequested })
	if down && s.offline && s.cfg.Environment == Production && s.cfg.Confirm == "" {
		return withHint(fmt.Errorf("%w: Config.Environment is production", ErrProtected), "name the database in Config.Confirm (TLDWDB_CONFIRM); the script then runs in that one only")
	}
	if down && !s.offline {
		if err := s.unprotected(hist); err != nil {
			return err
		}
	}
	jobs, err := s.prepare(ctx, steps)
	if err != nil {
		return err
	}
	if err := s.possible(jobs); err != nil {
		return err
	}
	s.session = dialect.Session{LockTimeout: s.cfg.LockTimeout, StatementTimeout: s.cfg.StatementTimeout}
	database, err := s.database(jobs)
	if err != nil {
		return err
	}
	s.client = s.d.Client(dialect.ClientOptions{Table: s.cfg.Table, Database: database, URL: s.url})
	s.store = store{d: s.d, table: s.client.Table(), set: s.cfg.Set, actor: scriptActor, run: scriptID(jobs)}
	s.header(hist, jobs)
	if len(jobs) > 0 {
		s.body(hist, jobs, database, down)
	}
	_, err = io.WriteString(w, s.client.File(s.text.String()))
	return err
}

// possible refuses what no script can hold.
func (s *scripter) possible(jobs []*job) error {
	var code []string
	for _, j := range jobs {
		if j.code != nil {
			code = append(code, j.id.String())
		}
	}
	if len(code) > 0 {
		return withHint(fmt.Errorf("a script cannot hold migrations that are written in Go: %s", strings.Join(code, ", ")),
			"write a script up to the version before, migrate over it with DB.MigrateTo, and write another one from there")
	}
	for _, j := range jobs {
		if len(j.rebuilds) > 0 {
			return withHint(fmt.Errorf("a script cannot hold %s, which rebuilds a table: what hangs on the table is read when it runs", j.id),
				"write a script up to the version before, migrate over it with DB.MigrateTo, and write another one from there")
		}
	}
	if s.cfg.SingleTransaction {
		return s.singleTransactionPossible(jobs)
	}
	return nil
}

// database is the one that the script is bound to, if there is a USE in it: what
// stands behind that has to find the history again.
func (s *scripter) database(jobs []*job) (string, error) {
	for _, j := range jobs {
		for _, st := range j.statements {
			if s.d.Name() != dialect.NameMySQL || st.Verb != "USE" {
				continue
			}
			if s.facts.Database == "" {
				return "", j.fail(s.d, -1, withHint(errors.New("it changes the database with USE"), "name the database that the script is for in ScriptRequest.Database"))
			}
			return s.facts.Database, nil
		}
	}
	return "", nil
}

// scriptID is the run's identity: one that is the same for the same script.
func scriptID(jobs []*job) string {
	var text strings.Builder
	for _, j := range jobs {
		fmt.Fprintf(&text, "%s %s %s %s\n", j.id, j.direction, j.checksum, prefixHash(j.statements, len(j.statements)))
	}
	sum := sha256.Sum256([]byte(text.String()))
	return hex.EncodeToString(sum[:8])
}

func (s *scripter) lines(list ...string) {
	for _, line := range list {
		s.text.WriteString(line)
		s.text.WriteByte('\n')
	}
}

// comment writes a line that no client and no server reads as anything else.
func (s *scripter) comment(format string, args ...any) {
	s.lines(strings.TrimRight("-- "+printable(fmt.Sprintf(format, args...)), " "))
}

// printable takes out what would end a line: a file's name may hold it.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, text)
}

// own writes statements about the history.
func (s *scripter) own(list ...string) {
	for _, statement := range list {
		s.lines(statement + ";")
	}
}

// set writes statements about the session and its transaction, which are
// short, in a line.
func (s *scripter) set(list []string) {
	if len(list) > 0 {
		s.lines(strings.Join(list, "; ") + ";")
	}
}

func (s *scripter) header(hist *history, jobs []*job) {
	s.comment("Migrations for %s, written by tldwdb %s.", s.client.Product(), Version)
	s.comment("")
	if len(jobs) == 0 {
		s.comment("There is nothing to do.")
		return
	}
	s.comment("Run it as the user that migrates otherwise, with")
	s.comment("    %s", s.client.Command())
	for _, note := range s.client.Notes() {
		s.comment("%s", note)
	}
	s.comment("")
	from := "an empty database"
	if version, is := hist.current(); is {
		from = fmt.Sprintf("a database at version %d", version)
	}
	s.comment("It is for %s, set %s, and stops before it changes anything elsewhere.", from, s.cfg.Set)
	s.comment("When it stops later, run %q or %q, not the script again.", "tldwdb up", "tldwdb repair")
	for _, j := range jobs {
		how := ""
		if j.journaled {
			how = " (statement by statement)"
		}
		s.comment("    %s %s%s", j.direction, j.id, how)
	}
}

func (s *scripter) body(hist *history, jobs []*job, database string, down bool) {
	s.lines("")
	s.lines(s.client.Open()...)
	s.lines(s.client.Lock(s.cfg.LockWait)...)
	s.lines("")
	s.comment("The history")
	s.begin(s.session)
	if hist.format == 0 {
		s.own(s.d.HistoryDDL(s.store.table)...)
	}
	s.guards(hist, database, down)
	s.stamp(hist)
	s.own("COMMIT")
	for i, j := range jobs {
		s.lines("")
		s.comment("%s %s", j.direction, j.id)
		s.lines(s.client.Say(printable(fmt.Sprintf("%s %s", j.direction, j.id))))
		s.job(j, i == 0, i == len(jobs)-1)
	}
	s.lines("")
	s.comment("The end")
	s.lines(s.client.Unlock()...)
	s.lines(s.client.Say("done"))
}

// begin opens a transaction. On MySQL autocommit is off.
func (s *scripter) begin(session dialect.Session) {
	if list := s.d.Begin(session); len(list) > 0 {
		s.set(list)
		return
	}
	s.set(s.d.Timeouts(session))
}

// guards stop the script where the database is not what it was written for.
func (s *scripter) guards(hist *history, database string, down bool) {
	lit := s.d.Literal
	in := "FROM " + s.store.table + " WHERE set_name = " + lit(s.cfg.Set)
	refuse := func(message, condition string) { s.lines(s.client.Refuse("("+condition+")", message)...) }
	if database != "" {
		refuse("this is not the database of the script", "NOT "+s.client.IsDatabase(database))
	}
	meta := func(key, condition string) string {
		return "EXISTS (" + s.store.selectMeta(key) + " AND " + condition + ")"
	}
	refuse("the history table has another layout", meta(metaFormat, "name <> "+lit(fmt.Sprint(historyFormat))))
	refuse("the migration lock is a lease here", meta(metaLock, "name LIKE "+lit(dialect.LockLease+":%")))
	if down {
		condition := meta(metaEnvironment, "name = "+lit(string(Production)))
		if s.cfg.Environment == Production {
			condition = "1 = 1"
		}
		if s.cfg.Confirm != "" {
			condition += " AND NOT " + s.client.IsDatabase(s.cfg.Confirm)
		}
		refuse("this is a production database", condition)
	}
	refuse("a migration is half applied: see tldwdb repair", "EXISTS (SELECT 1 "+in+" AND NOT "+s.store.isDone()+")")
	versions := 0
	for _, r := range hist.rows {
		if !r.id.Repeatable {
			versions++
		}
	}
	applied := in + " AND repeatable = ''"
	message, wrong := "there are migrations in this database already", "EXISTS (SELECT 1 "+applied+")"
	if version, is := hist.current(); is {
		message = fmt.Sprintf("this database is not at version %d, with %d applied", version, versions)
		wrong = fmt.Sprintf("COALESCE((SELECT MAX(version) %s), -1) <> %d OR (SELECT COUNT(*) %s) <> %d", applied, version, applied, versions)
	}
	refuse(message, wrong)
}

// stamp says what the table is, and what the database is for. One that was
// production once stays so.
func (s *scripter) stamp(hist *history) {
	if hist.format == 0 {
		s.own(s.store.setMeta(metaFormat, fmt.Sprint(historyFormat))...)
	}
	if s.cfg.Environment == Production {
		s.own(s.store.setMeta(metaEnvironment, string(Production))...)
	} else {
		s.own(s.store.addMeta(metaEnvironment, string(s.cfg.Environment)))
	}
	choice := lockChoice{dialect.LockSession, "a script was run"}
	if s.d.Name() == dialect.NameSQLite {
		choice.kind = dialect.LockFile
	}
	s.own(s.store.addMeta(metaLock, choice.String()))
}

// job writes one migration, as applyOne runs it. first and last say where it
// stands in the script.
func (s *scripter) job(j *job, first, last bool) {
	limit := s.sessionFor(j).StatementTimeout
	if limit > 0 {
		s.lines(s.client.Limit(limit)...)
	}
	s.lines(s.client.Before(j.statements)...)
	keys, guarded := s.client.(dialect.ForeignKeyClient)
	if guarded && j.directives.ForeignKeysOn {
		s.lines(keys.ForeignKeys(true))
	}
	switch {
	case j.journaled:
		s.checked(j, func() { s.journal(j) })
	default:
		s.transact(j, !s.cfg.SingleTransaction || first, !s.cfg.SingleTransaction || last)
	}
	s.lines(s.client.After(j.statements)...)
	if guarded && j.directives.ForeignKeysOn {
		s.lines(keys.ForeignKeys(false))
	}
	if limit > 0 {
		s.lines(s.client.Limit(0)...)
	}
}

// checked writes the check for rows that have lost their parents around work.
func (s *scripter) checked(j *job, work func()) {
	keys, guarded := s.client.(dialect.ForeignKeyClient)
	guarded = guarded && !j.directives.ForeignKeysOn && s.mayBreakForeignKeys(j)
	if guarded {
		s.lines(keys.Violations()...)
	}
	work()
	if guarded {
		s.lines(keys.MoreViolations()...)
	}
}

// transact writes a migration and its history row as one transaction.
func (s *scripter) transact(j *job, begin, commit bool) {
	if begin {
		s.set(s.d.Begin(s.sessionFor(j)))
	} else {
		s.set(s.d.Timeouts(s.sessionFor(j)))
	}
	s.own(s.claim(j)...)
	s.checked(j, func() {
		for _, st := range j.statements {
			s.lines(s.client.Statement(st))
		}
	})
	s.set(s.d.Reclaim())
	s.own(s.settle(j))
	if commit {
		s.own("COMMIT")
	}
}

// claim are the statements that claim the migration's row. A script knows nothing
// of the row but that it has to be there; of a repeatable migration that it was
// written for without a database not even that.
func (s *scripter) claim(j *job) []string {
	e := entry{id: j.id, checksum: j.checksum, state: stateApplied, direction: j.direction, steps: len(j.statements), down: j.down}
	switch {
	case j.row == nil:
		return append(s.unknown(j), s.store.insert(e))
	case j.direction == DirectionDown:
		return []string{s.store.seize(j.id), s.store.insist(j.id)}
	}
	return []string{s.store.seize(j.id), s.store.insist(j.id), s.store.restart(e)}
}

func (s *scripter) unknown(j *job) []string {
	if s.offline && j.id.Repeatable {
		return []string{s.store.remove(j.id)}
	}
	return nil
}

// journal writes a migration statement by statement, with the entries that let a
// run go on where the script stopped.
func (s *scripter) journal(j *job) {
	g := s.newJournalRun(j)
	s.set(s.d.Timeouts(s.sessionFor(j)))
	if j.row == nil {
		s.own(s.unknown(j)...)
	} else {
		s.own(s.store.seize(j.id))
	}
	for k := range j.statements {
		s.one(g, k)
	}
	s.finish(g)
}

// one writes the entry for statement k and the statement.
func (s *scripter) one(g *journalRun, k int) {
	st, class, transactional := g.j.statements[k], g.j.classes[k], s.d.TransactionalDDL()
	written := st
	if rewriter, ok := s.d.(dialect.StatementRewriter); ok {
		written.Text = rewriter.Rewrite(st, s.store.table)
	}
	done := func() string {
		return g.entry(k+1, g.literal(intent{Prefix: prefixHash(g.j.statements, k+1), Hidden: g.hidden}))
	}
	switch {
	case class == dialect.ClassSession || class == dialect.ClassTemporary:
		if engine, switches := s.d.(dialect.AutocommitSwitch); switches && engine.OutsideTransaction(st) {
			s.own("COMMIT")
		}
		s.lines(s.client.Statement(written))
		return
	case class == dialect.ClassData || class == dialect.ClassSchema && transactional:
		// Whether a function has changed the session nobody looks here: it may have.
		g.hidden = g.hidden || class == dialect.ClassData && transactional && s.d.MayHide(st)
		if transactional {
			session := s.sessionFor(g.j)
			session.Kept = true // journal sets the limits, once
			s.set(s.d.Begin(session))
		}
		s.own(done())
		s.lines(s.client.Statement(written))
		if transactional {
			s.own("COMMIT")
		}
		g.begun = true
		return
	}
	s.own(g.entry(k, g.intention(k)))
	g.begun = true
	if !transactional && class != dialect.ClassSchema && class != dialect.ClassRepeatable {
		s.own("COMMIT")
	}
	s.alone(g, class, written)
	if g.unseen(k) {
		g.hidden = g.hidden || class == dialect.ClassOpaque // as above
		if !transactional {
			s.own("COMMIT")
		}
		s.own(done())
		if !transactional {
			s.own("COMMIT")
		}
	}
}

// alone writes a statement that commits by itself.
func (s *scripter) alone(g *journalRun, class dialect.Class, st sqlscan.Statement) {
	engine, switches := s.d.(dialect.AutocommitSwitch)
	switch {
	case class == dialect.ClassAlone && switches:
		s.own(engine.Autocommit(true))
		s.lines(s.client.Statement(st))
		s.own(engine.Autocommit(false))
	case class == dialect.ClassAlone:
		patient := s.sessionFor(g.j)
		patient.LockTimeout = 0
		s.set(s.d.Timeouts(patient))
		s.lines(s.client.Statement(st))
		s.set(s.d.Timeouts(s.sessionFor(g.j)))
	default:
		s.lines(s.client.Statement(st))
		if class == dialect.ClassOpaque && switches { // a routine may have switched it on
			s.own(engine.Autocommit(false))
		}
	}
}

// finish closes the account of a journaled migration.
func (s *scripter) finish(g *journalRun) {
	settle := s.settle(g.j)
	switch {
	case g.owns():
		settle = s.store.owned(settle)
	case g.j.direction == DirectionUp: // a file that only sets session variables, or nothing at all
		s.own(g.entry(len(g.j.statements), "NULL"))
	}
	if s.d.TransactionalDDL() {
		if g.owns() {
			s.own(s.store.insist(g.j.id))
		}
		s.own(settle)
		return
	}
	s.own(settle, "COMMIT")
}
