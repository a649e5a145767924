package tldwdb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/rebuild"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file turns the steps of a plan into jobs: it reads the files of the
// pending migrations, splits them into statements and refuses what cannot be
// run, all before anything in the database is touched.

// job is a step that is ready to run.
type job struct {
	step
	file       string // for messages; empty for a Go migration
	directives directives
	journaled  bool // runs statement by statement, with its journal
	checksum   string
	statements []sqlscan.Statement
	classes    []dialect.Class
	rebuilds   map[int]*rebuild.Table // by the offset of the statement, which is not run as it stands
	down       []byte                 // the down script to keep; nil for none
	code       func(context.Context, Conn) error
	idempotent bool    // a Go migration that may run again
	held       []entry // the rows of the migrations that a snapshot holds, its own version's last
	place      int     // in this run, from 1
	places     int     // jobs of this run
}

// touchesSession reports whether the job may leave settings behind.
func (j *job) touchesSession() bool {
	return j.code != nil || slices.ContainsFunc(j.classes, func(c dialect.Class) bool {
		return c == dialect.ClassSession || c == dialect.ClassTemporary
	})
}

// keptByPooler refuses a file that sets something in its session and needs more
// than one transaction: a pooler that shares its connections gives the next
// statement another session, and what was set to somebody else.
func (r *run) keptByPooler(jobs []*job) error {
	for _, j := range jobs {
		if !r.session.Pooled || !j.journaled || j.code != nil {
			continue
		}
		for k, class := range j.classes {
			if class == dialect.ClassSession || class == dialect.ClassTemporary {
				return hinted(j.fail(r.d, k, errors.New("behind a pooler that shares its connections, this lasts no longer than its statement in a file without a transaction")),
					"set Config.MigrateURL (TLDWDB_MIGRATE_URL) to a direct connection, or put the statement into a migration that has a transaction")
			}
		}
	}
	return nil
}

// firstEffect is the index of the first statement that does more than set the
// session, or the number of statements when there is none.
func (j *job) firstEffect() int {
	if k := slices.IndexFunc(j.classes, func(c dialect.Class) bool { return c != dialect.ClassSession }); k >= 0 {
		return k
	}
	return len(j.classes)
}

// fail wraps an error of this job. statement is the index of the statement that
// failed, or negative.
func (j *job) fail(d dialect.Dialect, statement int, err error) error {
	e := &MigrationError{Migration: j.id, Direction: j.direction, File: j.file, Err: err, Hint: cmp.Or(adviceIn(err), d.Hint(err))}
	if statement >= 0 && statement < len(j.statements) {
		st := j.statements[statement]
		e.Line, e.Column = position(d, st, err)
		e.Statement = shorten(st.Text, 300)
	}
	return e
}

// position is where in the file a fault is: the statement's own place, moved by
// what the server says about it. Servers count characters, so do we.
func position(d dialect.Dialect, st sqlscan.Statement, err error) (line, column int) {
	character, lineInStatement := d.Position(err)
	if character > 0 {
		line, column = st.Line, st.Column
		for i, r := range []rune(st.Text) {
			if i == character-1 {
				break
			}
			if r == '\n' {
				line, column = line+1, 1
			} else {
				column++
			}
		}
		return line, column
	}
	if lineInStatement > 1 {
		return st.Line + lineInStatement - 1, 0
	}
	return st.Line, 0
}

// prepare makes the jobs of a run. All faults in all files are reported at
// once, as a *LoadError.
func (r *run) prepare(ctx context.Context, steps []step) ([]*job, error) {
	jobs := make([]*job, 0, len(steps))
	var problems []Problem
	for _, s := range steps {
		j, err := r.prepareOne(ctx, s)
		var load *LoadError
		switch {
		case errors.As(err, &load):
			problems = append(problems, load.Problems...)
		case err != nil:
			return nil, err
		default:
			jobs = append(jobs, j)
		}
	}
	if len(problems) > 0 {
		return nil, &LoadError{Problems: problems}
	}
	return jobs, nil
}

func (r *run) prepareOne(ctx context.Context, s step) (*job, error) {
	if err := r.inspect(ctx); err != nil {
		return nil, err
	}
	j := &job{step: s}
	if s.migration != nil {
		j.checksum = s.migration.checksum()
	}
	if m := s.migration; m != nil && m.code != nil {
		return r.prepareGo(j, m.code)
	}
	if s.snapshot != nil {
		return r.prepareSnapshot(j)
	}
	sc, err := r.scriptFor(ctx, s)
	if err != nil {
		return nil, err
	}
	j.file, j.directives = sc.file, sc.directives
	text, err := r.src.read(sc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sc.file, err)
	}
	if sc.file == "" {
		j.file = s.id.String() + ".down.sql (stored in the database)"
		l := &loader{rules: r.d.ScanOptions()}
		j.directives = l.directives(j.file, text)
		if len(l.problems) > 0 {
			return nil, &LoadError{Problems: l.problems}
		}
	}
	if s.direction == DirectionUp {
		if j.down, err = r.src.storable(s.migration); err != nil {
			return nil, err
		}
	}
	j.journaled = j.directives.NoTransaction || !r.d.TransactionalDDL()
	return j, r.split(j, text)
}

func (r *run) prepareGo(j *job, code *GoMigration) (*job, error) {
	j.code, j.idempotent = code.Up, code.Idempotent
	if j.direction == DirectionDown {
		if code.Down == nil {
			return nil, &MigrationError{Migration: j.id, Direction: j.direction, Err: ErrIrreversible, Hint: "give the Go migration a Down function"}
		}
		j.code = code.Down
	}
	j.journaled = code.NoTransaction || !r.d.TransactionalDDL()
	return j, nil
}

// scriptFor finds the text of a step: a file, or for the way back of a
// migration that this binary does not know, what the database kept.
func (r *run) scriptFor(ctx context.Context, s step) (*script, error) {
	failed := func(err error, hint string) error {
		return &MigrationError{Migration: s.id, Direction: s.direction, File: s.id.String(), Err: err, Hint: hint}
	}
	if m := s.migration; m != nil {
		switch {
		case s.direction == DirectionUp:
			return m.up, nil
		case m.up != nil && m.up.directives.Irreversible != "":
			return nil, failed(fmt.Errorf("%w: %s", ErrIrreversible, m.up.directives.Irreversible), "restore a backup that is older than the migration")
		case m.down != nil && m.down.directives.Irreversible != "":
			return nil, failed(fmt.Errorf("%w: %s", ErrIrreversible, m.down.directives.Irreversible), "restore a backup that is older than the migration")
		case m.down != nil:
			return m.down, nil
		}
	}
	if s.direction == DirectionUp {
		if s.row != nil && s.row.isLoading() {
			return nil, failed(fmt.Errorf("%w: the loading of a snapshot was interrupted, and this binary has another one", ErrHalfApplied), "run the binary that has it, or empty the database: the snapshot was the first that came into it")
		}
		return nil, failed(fmt.Errorf("%w: it was interrupted, and this binary has no file for it", ErrHalfApplied), "run the binary that has the file")
	}
	if s.row != nil && s.row.hasDown {
		text, err := r.store.storedDown(ctx, r.conn, s.id)
		if err != nil {
			return nil, err
		}
		return &script{stored: text, checksum: checksum([]byte(text)), direction: DirectionDown}, nil
	}
	return nil, failed(fmt.Errorf("%w: there is no down script", ErrIrreversible), "add "+s.id.String()+".down.sql")
}

// split scans a file into statements and refuses what the runner cannot let a
// file do.
func (r *run) split(j *job, text []byte) error {
	sc := sqlscan.New(bytes.NewReader(text), r.d.ScanOptions())
	var problems []Problem
	for {
		st, err := sc.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return &LoadError{Problems: append(problems, scanProblem(j.file, err))}
		}
		j.statements = append(j.statements, st)
		j.classes = append(j.classes, r.d.Class(st))
	}
	if j.directives.Rebuilds {
		if problems := j.readRebuilds(text, r.d.ScanOptions()); len(problems) > 0 {
			return &LoadError{Problems: problems}
		}
	}
	j.dropTransactionMarks(r.d)
	if len(j.classes) == 1 && (j.classes[0] == dialect.ClassAlone || j.classes[0] == dialect.ClassRepeatable) {
		j.journaled = true // a transaction would add nothing to it, and many engines refuse it in one
	}
	refuser, refuses := r.d.(dialect.StatementRefuser)
	for i, class := range j.classes {
		st := j.statements[i]
		refused := ""
		if refuses {
			refused = refuser.Refuse(st)
		}
		switch {
		case refused != "":
			problems = append(problems, Problem{File: j.file, Line: st.Line, Column: st.Column, Msg: refused})
		case class == dialect.ClassTransaction:
			problems = append(problems, Problem{File: j.file, Line: st.Line, Column: st.Column,
				Msg: st.Verb + " is not allowed here: a migration runs in a transaction of its own where the engine has that; take it out, or use '-- tldwdb: no-transaction' with one statement per step"})
		case j.journaled && takesRole(r.d, st):
			problems = append(problems, Problem{File: j.file, Line: st.Line, Column: st.Column,
				Msg: "the journal of a file without a transaction would be written as that role: put it into a migration without the no-transaction directive, or migrate as that role with Config.MigrateURL (TLDWDB_MIGRATE_URL)"})
		case st.CopyIn && j.journaled && r.d.Name() == dialect.NamePostgres:
			problems = append(problems, Problem{File: j.file, Line: st.Line, Column: st.Column,
				Msg: "COPY FROM STDIN needs a transaction: put it into a migration without the no-transaction directive"})
		}
	}
	if len(problems) > 0 {
		return &LoadError{Problems: problems}
	}
	return nil
}

// readRebuilds finds the statements that have directives above them.
func (j *job) readRebuilds(text []byte, rules sqlscan.Options) (problems []Problem) {
	j.rebuilds = map[int]*rebuild.Table{}
	rules.Comments = true
	problem := func(at int, msg string) {
		problems = append(problems, Problem{File: j.file, Line: lineAt(text, at), Msg: msg})
	}
	end := 0
	for k := 0; k <= len(j.statements); k++ {
		begin := end // of what stands in front of statement k
		end = len(text)
		if k < len(j.statements) {
			end = j.statements[k].Offset
		}
		lines, first := rebuildLines(string(text[begin:end]), rules)
		first += begin
		switch {
		case len(lines) == 0:
		case k == len(j.statements):
			problem(first, "there is no statement below this directive")
		case j.directives.NoTransaction:
			problem(first, "a table is rebuilt in a transaction: take no-transaction out")
		case j.directives.ForeignKeysOn:
			problem(first, "a table is rebuilt while foreign keys are off: take foreign-keys=on out")
		default:
			table, err := rebuild.Read(lines, j.statements[k].Text)
			if err != nil {
				problem(first, err.Error())
				continue
			}
			j.rebuilds[end] = table
		}
		if k < len(j.statements) {
			if inside, at := rebuildLines(j.statements[k].Text, rules); len(inside) > 0 {
				problem(end+at, "this directive stands inside of a statement: it has to stand above it")
			}
			end += len(j.statements[k].Text)
		}
	}
	return problems
}

// rebuildLines are the directives in a part of a file that are about a statement, and where the first of them is.
func rebuildLines(part string, rules sqlscan.Options) (lines []string, first int) {
	for t := range sqlscan.Tokens(part, rules) {
		if t.Kind != sqlscan.Comment || !strings.HasPrefix(t.Text, "--") || len(directiveLines([]byte(t.Text))) == 0 || !aboveStatement([]byte(t.Text)) {
			continue
		}
		if len(lines) == 0 {
			first = t.Offset
		}
		lines = append(lines, directiveText([]byte(t.Text)))
	}
	return lines, first
}

// shown is a statement as a plan shows it: a rebuild with what it is to do.
func (j *job) shown(st sqlscan.Statement) string {
	t := j.rebuilds[st.Offset]
	if t == nil {
		return st.Text
	}
	return "-- tldwdb: " + strings.Join(t.Directives(), "\n-- tldwdb: ") + "\n" + st.Text
}

var setRole = lazyregexp.New(`(?i)^SET\s+(SESSION\s+|LOCAL\s+)?(ROLE|SESSION\s+AUTHORIZATION)\b`)

// takesRole reports whether a PostgreSQL statement makes its session another
// role's.
func takesRole(d dialect.Dialect, st sqlscan.Statement) bool {
	return d.Name() == dialect.NamePostgres && st.Verb == "SET" && setRole.MatchString(st.Text)
}

// dropTransactionMarks takes out the forms of transaction control that mean
// what the runner does anyway: a BEGIN and COMMIT around the whole file, as
// sqlite3's .dump and many hand-written files have them, those that pg_dump
// puts around large objects, and the SET autocommit … COMMIT of mysqldump and
// mariadb-dump.
func (j *job) dropTransactionMarks(d dialect.Dialect) {
	manual := j.dropAutocommit(d)
	drop := make([]bool, len(j.statements))
	first := j.firstEffect()
	last := len(j.classes) - 1
	for last > first && j.classes[last] == dialect.ClassSession {
		last--
	}
	if first < last && j.opens(d, first) && j.closes(d, last) && !j.directives.NoTransaction {
		drop[first], drop[last] = true, true
	}
	for i := range j.statements {
		if end := j.largeObjectsEnd(d, i); end > 0 && !j.directives.NoTransaction {
			drop[i], drop[end] = true, true
		}
		if i >= manual && j.statements[i].Verb == "COMMIT" && j.closes(d, i) {
			drop[i] = true
		}
	}
	j.keep(func(i int) bool { return !drop[i] })
}

// dropAutocommit takes out what files set autocommit to. It returns the index
// from which on they commit by themselves.
func (j *job) dropAutocommit(d dialect.Dialect) (manual int) {
	manual = len(j.statements)
	engine, ok := d.(dialect.AutocommitSwitch)
	if !ok {
		return manual
	}
	before := 0 // statements that stay, in front of the one that is looked at
	j.keep(func(i int) bool {
		st := &j.statements[i]
		if j.classes[i] == dialect.ClassTransaction && st.Verb == "SET" {
			rest, _ := engine.WithoutAutocommit(*st)
			if rest != st.Text {
				manual = min(manual, before)
			}
			if rest == "" {
				return false
			}
			st.Text = rest
			j.classes[i] = d.Class(*st)
		}
		before++
		return true
	})
	return manual
}

// keep leaves out the statements for which stays is false.
func (j *job) keep(stays func(i int) bool) {
	n := 0
	for i := range j.statements {
		if stays(i) {
			j.statements[n], j.classes[n] = j.statements[i], j.classes[i]
			n++
		}
	}
	j.statements, j.classes = j.statements[:n], j.classes[:n]
}

// plainMarks are the forms that say nothing but begin and end: those with an
// isolation level, a chain or a name mean more than the runner does.
var plainMarks = map[string]bool{ // true: it opens
	"BEGIN": true, "BEGIN WORK": true, "BEGIN TRANSACTION": true, "START TRANSACTION": true,
	"BEGIN DEFERRED": true, "BEGIN DEFERRED TRANSACTION": true, "BEGIN IMMEDIATE": true, "BEGIN IMMEDIATE TRANSACTION": true,
	"BEGIN EXCLUSIVE": true, "BEGIN EXCLUSIVE TRANSACTION": true,
	"COMMIT": false, "COMMIT WORK": false, "COMMIT TRANSACTION": false, "END": false, "END WORK": false, "END TRANSACTION": false,
}

// mark tells what statement i is to a transaction, if nothing but that.
func (j *job) mark(d dialect.Dialect, i int) (opens, known bool) {
	if j.classes[i] != dialect.ClassTransaction {
		return false, false // as BEGIN NOT ATOMIC
	}
	var words []string
	for t := range sqlscan.Tokens(j.statements[i].Text, d.ScanOptions()) {
		if t.Kind != sqlscan.Comment {
			words = append(words, strings.ToUpper(t.Text))
		}
	}
	opens, known = plainMarks[strings.Join(words, " ")]
	return opens, known
}

func (j *job) opens(d dialect.Dialect, i int) bool {
	opens, known := j.mark(d, i)
	return known && opens
}

func (j *job) closes(d dialect.Dialect, i int) bool {
	opens, known := j.mark(d, i)
	return known && !opens
}

// largeObjectsEnd returns the index of the COMMIT that closes the transaction
// opened at i, when nothing in it does anything but write a large object.
func (j *job) largeObjectsEnd(d dialect.Dialect, i int) int {
	if !j.opens(d, i) {
		return 0
	}
	for k := i + 1; k < len(j.statements); k++ {
		if !strings.HasPrefix(j.statements[k].Text, "SELECT pg_catalog.lo") {
			if k > i+1 && j.closes(d, k) {
				return k
			}
			return 0
		}
	}
	return 0
}

func scanProblem(file string, err error) Problem {
	var at *sqlscan.Error
	if errors.As(err, &at) {
		return Problem{File: file, Line: at.Line, Column: at.Column, Msg: at.Msg}
	}
	return Problem{File: file, Msg: err.Error()}
}

// lineEnds writes a statement as the checksum of its file sees it: how a
// checkout ends its lines makes no other statement of it.
func lineEnds(st sqlscan.Statement) []byte { return []byte(strings.ReplaceAll(st.Text, "\r\n", "\n")) }

// textHash identifies one statement.
func textHash(st sqlscan.Statement) string {
	sum := sha256.Sum256(lineEnds(st))
	return hex.EncodeToString(sum[:8])
}

// prefixHash identifies the first n statements of a file, so that a file that
// was mended behind the point where it failed can be told from another file.
func prefixHash(list []sqlscan.Statement, n int) string {
	sum := sha256.New()
	for _, st := range list[:n] {
		addStatement(sum, st)
	}
	return shortSum(sum)
}

// addStatement takes one more statement into a sum.
func addStatement(sum hash.Hash, st sqlscan.Statement) {
	sum.Write(lineEnds(st))
	sum.Write([]byte{0})
}

func shortSum(sum hash.Hash) string { return hex.EncodeToString(sum.Sum(nil)[:8]) }
