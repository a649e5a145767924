package tldwdb

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/lazyregexp"
	"github.com/tldw/tldwdb/internal/rebuild"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file reads the migrations of a program. It does no I/O but reading the
// given fs.FS, and it does not parse SQL: at a boot with nothing pending each
// file is only hashed. What a pending file says is scanned in prepare.go.

// ID names a migration: a version with its name, or the name of a repeatable
// one.
type ID struct {
	Version    int64  `json:"version"`              // leading integer of the file name; 0 for a repeatable one
	Name       string `json:"name"`                 // the rest, without ending
	Repeatable bool   `json:"repeatable,omitempty"` // R__name.sql: runs whenever its text changes
}

// String gives the name as files carry it: 0003_users, or R__views.
func (id ID) String() string {
	if id.Repeatable {
		return "R__" + id.Name
	}
	if id.Name == "" { // asked for by its version alone
		return fmt.Sprintf("%04d", id.Version)
	}
	return fmt.Sprintf("%04d_%s", id.Version, id.Name)
}

// compareIDs orders migrations as they run: versions, then repeatable ones by
// name. The name of a versioned one is only a label and does not count.
func compareIDs(a, b ID) int {
	if a.Repeatable != b.Repeatable {
		if a.Repeatable {
			return 1
		}
		return -1
	}
	if c := cmp.Compare(a.Version, b.Version); c != 0 || !a.Repeatable {
		return c
	}
	return cmp.Compare(a.Name, b.Name)
}

// Direction says whether a migration is applied or taken back.
type Direction string

// The two directions.
const (
	DirectionUp   Direction = "up"
	DirectionDown Direction = "down"
)

// Conn is the connection that a Go migration runs its statements on: the one
// that holds the migration lock and, where the engine has them for DDL, an
// open transaction. Do not commit or roll back on it. [*sqlx.Conn] implements
// it, and is not what a migration is given.
//
// Close every Rows before returning: rows that are left open are closed, and the
// migration has failed.
type Conn interface {
	sqlx.QueryerContext
	sqlx.ExecerContext
	GetContext(ctx context.Context, dest any, query string, args ...any) error
	SelectContext(ctx context.Context, dest any, query string, args ...any) error
	Rebind(query string) string
}

// GoMigration is a migration written in Go. It shares the sequence of versions
// with the files.
//
// On PostgreSQL and SQLite it runs in a transaction with its history row,
// unless NoTransaction is set. On MySQL and MariaDB conn must not lie unused for
// eight hours: the server ends it then, for it cannot tell a migration that
// thinks from a host that lost its power. They commit at every DDL statement:
// there a run that dies inside Up ends in [ErrAmbiguous], unless Idempotent
// says that Up may simply run again. The same goes for an Up that returns an
// error: nobody knows what it had done before.
type GoMigration struct {
	Version int64  // unique among files and Go migrations
	Name    string // letters, digits and _ as in a file name
	Up      func(ctx context.Context, conn Conn) error
	Down    func(ctx context.Context, conn Conn) error // nil: cannot be taken back

	NoTransaction bool // Up and Down manage their own transactions
	Idempotent    bool // Up and Down may run again after having died, or failed, half-way
}

// directives are what a file's leading "-- tldwdb:" comments ask for.
type directives struct {
	NoTransaction    bool
	LockTimeout      time.Duration // 0: Config.LockTimeout
	StatementTimeout time.Duration // 0: Config.StatementTimeout
	Irreversible     string        // the reason; empty: reversible
	ForeignKeysOn    bool          // SQLite: leave enforcement on while the file runs
	Rebuilds         bool          // SQLite: there are directives above statements
	Texts            []string      // all of them as they are written, in order
}

// script is one direction of a migration: a file, a section of one, or the
// text that the history table kept.
type script struct {
	file       string // path inside Config.Migrations
	format     fileFormat
	direction  Direction
	checksum   string
	directives directives
	stored     string // the text itself, when it comes from the history table
}

// migration is one version, or one repeatable file, in all its parts.
type migration struct {
	id   ID
	up   *script // nil for a Go migration
	down *script // nil when there is none
	code *GoMigration

	squashed *snapshot // stands for its file, which is gone
	sum      string    // the checksum that the file had
}

// reversible reports whether the files, or the Go code, have a way back.
func (m *migration) reversible() bool {
	if m.code != nil {
		return m.code.Down != nil
	}
	return m.down != nil && m.down.directives.Irreversible == "" && (m.up == nil || m.up.directives.Irreversible == "")
}

// checksum identifies what the migration does, for noticing an edited file.
// A Go migration has none: its code cannot be hashed.
func (m *migration) checksum() string {
	if m.up == nil {
		return m.sum
	}
	return m.up.checksum
}

// source is the set of migrations that this binary knows, in running order.
type source struct {
	fsys       fs.FS
	migrations []*migration
	snapshots  []*snapshot // of this dialect, the highest version first
}

// find returns the migration that id names, or nil.
func (s *source) find(id ID) *migration {
	i, ok := slices.BinarySearchFunc(s.migrations, id, func(m *migration, id ID) int { return compareIDs(m.id, id) })
	if !ok {
		return nil
	}
	return s.migrations[i]
}

// head is the highest version that this binary knows.
func (s *source) head() (int64, bool) {
	for i := len(s.migrations) - 1; i >= 0; i-- {
		if !s.migrations[i].id.Repeatable {
			return s.migrations[i].id.Version, true
		}
	}
	return 0, false
}

// fileFormat is how a file holds its two directions.
type fileFormat uint8

const (
	formatPair   fileFormat = iota // one direction in each file
	formatGoose                    // "-- +goose Up" and "-- +goose Down" sections
	formatDbmate                   // "-- migrate:up" and "-- migrate:down" sections
)

// goName is what the name of a Go migration may be.
var goName = lazyregexp.New(`^[\pL\pN_.-]+$`)

// fileName is what a file's name says about it.
type fileName struct {
	digits     string // the version; empty for a repeatable migration
	name       string
	direction  Direction // empty where the file has both directions in it
	repeatable bool
}

// parseName reads 0001_name.up.sql, 0001_name.sql and R__name.sql. It is asked about
// every file at every boot, and by hand that takes a tenth of what regular
// expressions take.
func parseName(file string) (f fileName, ok bool) {
	stem, ok := strings.CutSuffix(file, ".sql")
	if !ok || strings.Contains(stem, "\n") {
		return f, false
	}
	if name, ok := strings.CutPrefix(stem, "R__"); ok {
		return fileName{name: name, repeatable: true}, name != ""
	}
	f.name = strings.TrimLeft(stem, "0123456789")
	f.digits = stem[:len(stem)-len(f.name)]
	if f.digits == "" || f.name == "" || f.name[0] != '_' && f.name[0] != '-' {
		return f, false
	}
	f.name = f.name[1:]
	for _, direction := range []Direction{DirectionUp, DirectionDown} {
		if name, ok := strings.CutSuffix(f.name, "."+string(direction)); ok && name != "" {
			f.name, f.direction = name, direction
			break
		}
	}
	return f, f.name != ""
}

// The longest names that the history table of every engine can keep. That of a
// repeatable migration is part of the key.
const (
	longestName       = 250
	longestRepeatable = 190
)

// dialectFolders are the folders inside the migrations that hold what differs
// for one engine.
var dialectFolders = []string{"sqlite", "postgres", "mysql"}

// scanRules are the rules by which the text of a dialect is read, as far as they
// are known before the server is.
var scanRules = map[string]sqlscan.Dialect{"sqlite": sqlscan.SQLite, "postgres": sqlscan.Postgres, "mysql": sqlscan.MySQL}

// misnamedFolders are names that look like one of them, and would otherwise be
// passed over without a word.
var misnamedFolders = map[string]string{
	"sqlite3": "sqlite", "postgresql": "postgres", "pg": "postgres", "pgsql": "postgres", "mariadb": "mysql",
}

// loader collects a source and everything that is wrong with it.
type loader struct {
	fsys       fs.FS
	rules      sqlscan.Options
	versions   map[int64]*migration
	repeatable map[string]*migration
	problems   []Problem

	snapshotFiles []string // names, in the outer folder
}

// loadSource reads the migrations of one dialect. Files in the folder named
// after the dialect replace those of the same version and direction beside
// it. The error is a *LoadError with every fault found.
func loadSource(fsys fs.FS, dir, dialect string, code []GoMigration) (*source, error) {
	rules := sqlscan.Options{Dialect: scanRules[dialect]}
	l := &loader{fsys: fsys, rules: rules, versions: map[int64]*migration{}, repeatable: map[string]*migration{}}
	if fsys != nil {
		l.folder(dir, true)
		special := &loader{fsys: fsys, rules: rules, versions: map[int64]*migration{}, repeatable: map[string]*migration{}}
		special.folder(path.Join(dir, dialect), false)
		l.overlay(special)
	}
	l.goMigrations(code)
	s := &source{fsys: fsys, snapshots: l.snapshots(dir, dialect)}
	for _, m := range l.versions {
		if m.up == nil && m.code == nil && m.down != nil && m.down.format == formatPair { // of a single file it has been told
			l.problem(m.down.file, 0, "there is no up file for this down file: add %s", upName(m.down.file))
		}
		s.migrations = append(s.migrations, m)
	}
	for _, m := range l.repeatable {
		s.migrations = append(s.migrations, m)
	}
	slices.SortFunc(s.migrations, func(a, b *migration) int { return compareIDs(a.id, b.id) })
	if len(s.migrations) == 0 && fsys != nil {
		l.elsewhere(dir)
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		return nil, &LoadError{Problems: l.problems}
	}
	return s, nil
}

func upName(down string) string { return strings.TrimSuffix(down, ".down.sql") + ".up.sql" }

func (l *loader) problem(file string, line int, format string, args ...any) {
	l.problems = append(l.problems, Problem{File: file, Line: line, Msg: fmt.Sprintf(format, args...)})
}

// folder reads the files of one folder. Only the outer one must exist.
func (l *loader) folder(dir string, outer bool) {
	entries, err := fs.ReadDir(l.fsys, dir)
	if err != nil {
		if outer || !errors.Is(err, fs.ErrNotExist) {
			l.problem(dir, 0, "the folder of the migrations cannot be read: %v", unwrapPath(err))
		}
		return
	}
	for _, entry := range entries {
		name := entry.Name()
		file := path.Join(dir, name)
		switch {
		case entry.IsDir():
			if right, ok := misnamedFolders[strings.ToLower(name)]; ok && outer {
				l.problem(file, 0, "this folder is not read: call it %s (the dialects are %s)", right, strings.Join(dialectFolders, ", "))
			}
		case strings.HasSuffix(strings.ToLower(name), ".sql"):
			l.file(file, name)
		}
	}
}

// elsewhere looks below the folder when there is nothing in it: an embed.FS keeps
// the folders of its files, and that is forgotten easily.
func (l *loader) elsewhere(dir string) {
	_ = fs.WalkDir(l.fsys, dir, func(file string, entry fs.DirEntry, err error) error { // what cannot be read is not found
		switch {
		case err != nil:
			return fs.SkipDir
		case entry.IsDir() && slices.Contains(dialectFolders, entry.Name()):
			return fs.SkipDir // another engine's
		case entry.IsDir() || !strings.HasSuffix(strings.ToLower(file), ".sql"):
			return nil
		}
		l.problem(file, 0, "there is no migration in the folder %q: set Config.MigrationsDir (TLDWDB_MIGRATIONS_DIR) to %s if they are here", dir, path.Dir(file))
		return fs.SkipAll
	})
}

// unwrapPath drops the path from an fs error: the problem names it already.
func unwrapPath(err error) error {
	var pathError *fs.PathError
	if errors.As(err, &pathError) {
		return pathError.Err
	}
	return err
}

// file adds one .sql file. One that fits no pattern is a problem rather than
// passed over: a mistyped name must not become a migration that never runs.
func (l *loader) file(file, name string) {
	if _, _, ok := parseSnapshot(name); ok {
		l.snapshotFiles = append(l.snapshotFiles, name)
		return
	}
	f, ok := parseName(name)
	if !ok {
		l.problem(file, 0, "the name fits none of 0001_name.up.sql, 0001_name.down.sql, R__name.sql, 0042_snapshot.postgres.sql")
		return
	}
	text, ok := l.read(file)
	switch {
	case !ok:
	case f.repeatable:
		l.repeatableScript(file, f.name, text)
	case f.direction != "":
		l.script(file, f.digits, f.name, f.direction, formatPair, text)
	default:
		format := detectFormat(text)
		if format == formatPair {
			l.problem(file, 0, "which direction is this? call it %s.up.sql, or mark its sections with '-- +goose Up' or '-- migrate:up'", strings.TrimSuffix(name, ".sql"))
			return
		}
		for _, direction := range []Direction{DirectionUp, DirectionDown} {
			l.script(file, f.digits, f.name, direction, format, text)
		}
	}
}

func (l *loader) read(file string) ([]byte, bool) {
	text, err := readText(l.fsys, file)
	if err != nil {
		l.problem(file, 0, "cannot be read: %v", unwrapPath(err))
		return nil, false
	}
	return text, true
}

// readText reads a file without its byte-order mark, which would hide a
// directive or a mark in the first line.
func readText(fsys fs.FS, file string) ([]byte, error) {
	text, err := fs.ReadFile(fsys, file)
	return bytes.TrimPrefix(text, utf8BOM), err
}

// script adds one direction of a versioned migration.
func (l *loader) script(file, digits, name string, direction Direction, format fileFormat, text []byte) {
	version, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		if format == formatPair || direction == DirectionUp { // say it once for a single file
			l.problem(file, 0, "the version %s does not fit into 64 bits", digits)
		}
		return
	}
	body, ok := l.section(file, text, format, direction)
	if !ok {
		return
	}
	if len(name) > longestName {
		l.problem(file, 0, "the name has %d bytes, and the history takes %d", len(name), longestName)
		return
	}
	s := l.newScript(file, format, direction, text, body)
	m := l.versions[version]
	if m == nil {
		m = &migration{id: ID{Version: version, Name: name}}
		l.versions[version] = m
	}
	slot := &m.up
	if direction == DirectionDown {
		slot = &m.down
	}
	if *slot != nil {
		l.problem(file, 0, "version %d is taken by %s already", version, (*slot).file)
		return
	}
	if direction == DirectionUp {
		m.id.Name = name // the way back may be called otherwise: add_column up, drop_column down
	}
	*slot = s
}

func (l *loader) repeatableScript(file, name string, text []byte) {
	if len(name) > longestRepeatable {
		l.problem(file, 0, "the name has %d bytes, and the history takes %d", len(name), longestRepeatable)
		return
	}
	l.repeatable[name] = &migration{
		id: ID{Name: name, Repeatable: true},
		up: l.newScript(file, formatPair, DirectionUp, text, text),
	}
}

func (l *loader) newScript(file string, format fileFormat, direction Direction, text, body []byte) *script {
	s := &script{file: file, format: format, direction: direction, checksum: checksum(body)}
	s.directives = l.directives(file, body)
	if !s.directives.NoTransaction && noTransaction(text, body, format) {
		s.directives.NoTransaction = true
		s.directives.Texts = append(s.directives.Texts, "no-transaction")
	}
	return s
}

// overlay puts the dialect's own files over the general ones.
func (l *loader) overlay(special *loader) {
	l.problems = append(l.problems, special.problems...)
	for version, m := range special.versions {
		general := l.versions[version]
		if general == nil {
			l.versions[version] = m
			continue
		}
		general.up, general.down = cmp.Or(m.up, general.up), cmp.Or(m.down, general.down)
		general.id.Name = m.id.Name
	}
	for name, m := range special.repeatable {
		l.repeatable[name] = m
	}
}

func (l *loader) goMigrations(code []GoMigration) {
	for i := range code {
		g := code[i]
		at := fmt.Sprintf("Config.GoMigrations[%d]", i)
		switch {
		case g.Version < 0:
			l.problem(at, 0, "the version %d is negative", g.Version)
		case !goName.MatchString(g.Name):
			l.problem(at, 0, "the name %q of version %d is empty or has characters that a file name could not have", g.Name, g.Version)
		case g.Up == nil:
			l.problem(at, 0, "version %d has no Up function", g.Version)
		case l.versions[g.Version] != nil:
			other := "another Go migration"
			if m := l.versions[g.Version]; m.code == nil {
				other = cmp.Or(m.up, m.down).file
			}
			l.problem(at, 0, "version %d is taken by %s already", g.Version, other)
		default:
			l.versions[g.Version] = &migration{id: ID{Version: g.Version, Name: g.Name}, code: &g}
		}
	}
}

// checksum is the SHA-256 of a text with its line endings normalised, so that
// a checkout on another system is the same migration.
func checksum(text []byte) string {
	if bytes.Contains(text, crlf) { // replacing copies the text
		text = bytes.ReplaceAll(text, crlf, crlf[1:])
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

var (
	utf8BOM = []byte("\xef\xbb\xbf")
	crlf    = []byte("\r\n")
)

// The marks of the single-file formats. Both tools accept blanks around them.
var (
	gooseMark          = lazyregexp.New(`(?mi)^[ \t]*--[ \t]*\+goose[ \t]+(up|down)[ \t]*\r?$`)
	dbmateMark         = lazyregexp.New(`(?m)^[ \t]*--[ \t]*migrate:(up|down)\b[^\n]*$`)
	gooseNoTransaction = lazyregexp.New(`(?mi)^[ \t]*--[ \t]*\+goose[ \t]+no[ \t]+transaction[ \t]*\r?$`)
	gooseSubstitution  = lazyregexp.New(`(?mi)^[ \t]*--[ \t]*\+goose[ \t]+envsub[ \t]+on[ \t]*\r?$`)
	// Without a blank the mark is no comment to MySQL.
	tightMark = lazyregexp.New(`(?mi)^([ \t]*--)(\+goose|migrate:)`)

	dbmateNoTransaction = lazyregexp.New(`(?m)^[ \t]*--[ \t]*migrate:(?:up|down)\b[^\n]*\btransaction:false\b`)
)

func detectFormat(text []byte) fileFormat {
	switch {
	case gooseMark.Match(text):
		return formatGoose
	case dbmateMark.Match(text):
		return formatDbmate
	}
	return formatPair
}

// noTransaction reports whether a single file says, in its own format, that a
// section cannot run in a transaction. goose's mark is about the whole file.
func noTransaction(file, section []byte, format fileFormat) bool {
	switch format {
	case formatGoose:
		return gooseNoTransaction.Match(file)
	case formatDbmate:
		return dbmateNoTransaction.Match(section)
	case formatPair:
	}
	return false
}

// section cuts the part of a single-file migration that belongs to direction,
// together with the comments above the first mark, which are about both. The
// rest is replaced by its line ends, so that line numbers stay true.
// It returns false when the file has no such section or is faulty.
func (l *loader) section(file string, text []byte, format fileFormat, direction Direction) ([]byte, bool) {
	if format == formatPair {
		return text, true
	}
	body, problem := cutSection(text, format, direction)
	if problem != nil {
		if direction == DirectionUp { // both directions see the same fault: say it once
			l.problem(file, problem.Line, "%s", problem.Msg)
		}
		return nil, false
	}
	return body, body != nil
}

func cutSection(text []byte, format fileFormat, direction Direction) ([]byte, *Problem) {
	mark := gooseMark
	if format == formatDbmate {
		mark = dbmateMark
	}
	if at := gooseSubstitution.FindIndex(text); format == formatGoose && at != nil {
		return nil, &Problem{Line: lineAt(text, at[0]), Msg: "environment variables are not substituted here: write the value, or a Go migration"}
	}
	marks := mark.FindAllSubmatchIndex(text, -1)
	if len(marks) > 0 {
		if head := headLength(text); head < marks[0][0] {
			return nil, &Problem{Line: lineAt(text, head), Msg: "this stands before the first section and would never run: move it behind the mark"}
		}
	}
	seen := map[Direction]int{}
	var body []byte
	for i, at := range marks {
		here := Direction(strings.ToLower(string(text[at[2]:at[3]])))
		if line, twice := seen[here]; twice {
			return nil, &Problem{Line: lineAt(text, at[0]), Msg: fmt.Sprintf("a second %s section (the first is in line %d): one file is one migration, split it", here, line)}
		}
		seen[here] = lineAt(text, at[0])
		if here != direction {
			continue
		}
		end := len(text)
		if i+1 < len(marks) {
			end = marks[i+1][0]
		}
		// The mark itself stays: it is a comment, and may carry options.
		section := text[at[0]:end]
		if direction == DirectionDown && headLength(section) == len(section) && len(directiveLines(section)) == 0 {
			continue // an empty down section is no way back
		}
		between := bytes.Count(text[marks[0][0]:at[0]], []byte("\n"))
		body = slices.Concat(text[:marks[0][0]], bytes.Repeat([]byte("\n"), between), tightMark.ReplaceAll(section, []byte("$1 $2")))
	}
	if body == nil {
		if direction == DirectionUp {
			return nil, &Problem{Line: 1, Msg: "there is no up section in this file"}
		}
		return nil, nil
	}
	return body, nil
}

func lineAt(text []byte, offset int) int { return bytes.Count(text[:offset], []byte("\n")) + 1 }

// span is a part of a text.
type span struct{ begin, end int }

// directiveLines are the comments of a text that are meant for this package: lines
// that begin with "-- tldwdb:" in some spelling. It looks at every line of every file
// at every boot; a regular expression took a third of the time that loading the files
// takes.
func directiveLines(text []byte) (found []span) {
	for begin := 0; begin < len(text); {
		end := begin + bytes.IndexByte(text[begin:], '\n')
		if end < begin {
			end = len(text)
		}
		comment := bytes.TrimLeft(text[begin:end], " \t")
		if word, ok := bytes.CutPrefix(comment, []byte("--")); ok {
			word = bytes.TrimLeft(word, " \t")
			if n := len("tldwdb"); len(word) > n && strings.EqualFold(string(word[:n]), "tldwdb") && bytes.HasPrefix(bytes.TrimLeft(word[n:], " \t"), []byte(":")) {
				found = append(found, span{end - len(comment), end})
			}
		}
		begin = end + 1
	}
	return found
}

// directives reads the "-- tldwdb:" comments at the head of a file. One below
// the first statement would silently do nothing, so it is a problem.
func (l *loader) directives(file string, text []byte) directives {
	var d directives
	lines := directiveLines(text)
	if len(lines) == 0 {
		return d
	}
	where := placer{text: text, rules: l.rules, head: headLength(text)}
	seen := map[string]int{}
	for _, at := range lines {
		line := lineAt(text, at.begin)
		if at.begin >= where.head && assures(text[at.begin:at.end]) {
			continue // about the statement below it, and nothing to the runner: the file need not be scanned to know its place
		}
		above := aboveStatement(text[at.begin:at.end])
		switch where.of(at.begin) {
		case placeQuoted:
			continue
		case placeLate:
			if !above && firstWord(directiveText(text[at.begin:at.end])) != "assured" { // whose fault is another one
				l.problem(file, line, "a directive must stand before the first statement")
				continue
			}
		case placeHead:
		}
		if above && l.rules.Dialect != sqlscan.SQLite {
			l.problem(file, line, "tables are rebuilt on SQLite alone: put the file into the folder sqlite")
			continue
		}
		_, rest, exact := strings.Cut(string(text[at.begin:at.end]), "tldwdb:")
		if !exact {
			l.problem(file, line, "write a directive as '-- tldwdb: name', in small letters and without a blank before the colon")
			continue
		}
		if name, problem := d.set(strings.TrimSpace(rest)); problem != "" {
			l.problem(file, line, "%s", problem)
		} else if first, twice := seen[name]; twice && name != "assured" && !above {
			l.problem(file, line, "the directive %s stands in line %d already", name, first)
		} else {
			seen[name] = line
			d.Texts = append(d.Texts, strings.TrimSpace(rest))
		}
	}
	return d
}

// assures reports whether a directive is "assured RULE reason", as it has to be: the one that may stand
// above any statement.
func assures(comment []byte) bool {
	_, rest, exact := bytes.Cut(comment, []byte("tldwdb:"))
	words := bytes.Fields(rest)
	return exact && len(words) > 2 && string(words[0]) == "assured"
}

// aboveStatement reports whether a directive belongs to the statement below it, and
// not to the file.
func aboveStatement(line []byte) bool {
	return rebuild.IsDirective(firstWord(directiveText(line)))
}

// directiveText is what a directive says.
func directiveText(line []byte) string {
	_, text, _ := strings.Cut(string(line), "tldwdb:")
	return strings.TrimSpace(text)
}

func firstWord(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return word
}

// psqlLine is a line that is no SQL but psql's: the end of COPY's data, or
// pg_dump's \restrict.
var psqlLine = lazyregexp.New(`(?m)^\\(\.|(un)?restrict [^\n]*?)\r?$`)

// place is where something that looks like a directive stands.
type place uint8

const (
	placeHead   place = iota // a comment before the first statement
	placeLate                // a comment further down
	placeQuoted              // no comment of its own: in a literal, in COPY's data, or inside a /* comment */
)

// placer tells the places of one text. It scans the text only when asked about
// one below the head: most files have their directives there, or none.
type placer struct {
	text  []byte
	rules sqlscan.Options
	head  int // where the blanks and comments at the beginning end

	scanned    bool
	statements []sqlscan.Statement
	fault      error // why the text could not be scanned to its end
}

// of tells where the two dashes at offset at stand.
func (p *placer) of(at int) place {
	if at < p.head {
		if !p.comment(0, p.head, at) {
			return placeQuoted
		}
		return placeHead
	}
	if !p.scanned {
		p.scanned = true
		p.statements, p.fault = sqlscan.Split(string(p.text), p.rules)
	}
	// The statement at or before the place, and where the next one begins.
	next, _ := slices.BinarySearchFunc(p.statements, at+1, func(st sqlscan.Statement, at int) int { return cmp.Compare(st.Offset, at) })
	begin, end := 0, len(p.text)
	if next < len(p.statements) {
		end = p.statements[next].Offset
	} else if p.fault != nil {
		return placeQuoted // nobody can say; when the file is to run the fault is reported
	}
	if next > 0 {
		st := p.statements[next-1]
		begin = st.Offset + len(st.Text)
		if st.CopyIn {
			begin += bytes.IndexByte(p.text[begin:], '\n') + 1 + len(st.Data)
		}
		if at < begin {
			begin, end = st.Offset, st.Offset+len(st.Text)
		}
	}
	switch {
	case at >= end || !p.comment(begin, end, at):
		return placeQuoted
	case next == 0:
		return placeHead
	}
	return placeLate
}

// comment reports whether a comment begins at offset at, in a part of the text
// that begins and ends between tokens.
func (p *placer) comment(begin, end, at int) bool {
	rules := p.rules
	rules.Comments = true
	text := psqlLine.ReplaceAllFunc(p.text[begin:end], func(line []byte) []byte { return bytes.Repeat([]byte(" "), len(line)) })
	for t := range sqlscan.Tokens(string(text), rules) {
		if begin+t.Offset >= at {
			return begin+t.Offset == at && t.Kind == sqlscan.Comment
		}
	}
	return false
}

// set takes one directive. It returns the directive's name, and what is wrong.
func (d *directives) set(text string) (name, problem string) {
	word, rest, _ := strings.Cut(text, " ")
	name, value, hasValue := strings.Cut(word, "=")
	rest = strings.TrimSpace(rest)
	plain := func(target *bool) string {
		if hasValue || rest != "" {
			return fmt.Sprintf("the directive %s takes no value", name)
		}
		*target = true
		return ""
	}
	duration := func(target *time.Duration) string {
		v, err := time.ParseDuration(value)
		if err != nil || v <= 0 || rest != "" {
			return fmt.Sprintf("the directive %s wants a duration such as %s=2s or %s=10m", name, name, name)
		}
		*target = v
		return ""
	}
	switch name {
	case "no-transaction":
		return name, plain(&d.NoTransaction)
	case "lock-timeout":
		return name, duration(&d.LockTimeout)
	case "statement-timeout":
		return name, duration(&d.StatementTimeout)
	case "irreversible":
		if rest == "" || hasValue {
			return name, "the directive irreversible wants a reason: -- tldwdb: irreversible the column's values are gone"
		}
		d.Irreversible = rest
		return name, ""
	case "foreign-keys":
		if value != "on" || rest != "" {
			return name, "the directive is written foreign-keys=on"
		}
		d.ForeignKeysOn = true
		return name, ""
	case "assured":
		if rule, reason, _ := strings.Cut(rest, " "); rule == "" || strings.TrimSpace(reason) == "" {
			return name, "the directive assured wants a rule and a reason: -- tldwdb: assured RULE the table is empty"
		}
		return name, ""
	}
	if rebuild.IsDirective(word) {
		d.Rebuilds = true
		if err := rebuild.Check(text); err != nil {
			return name, err.Error()
		}
		return name, ""
	}
	return name, fmt.Sprintf("unknown directive %q: known are no-transaction, lock-timeout=, statement-timeout=, irreversible, foreign-keys=on, assured, rebuild", name)
}

// headLength is the length of the blanks and comments that a text begins with.
func headLength(text []byte) int {
	i := 0
	for i < len(text) {
		rest := text[i:]
		switch {
		case rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\n' || rest[0] == '\r':
			i++
		case bytes.HasPrefix(rest, []byte("--")):
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return len(text)
			}
			i += end + 1
		case bytes.HasPrefix(rest, []byte("/*")) && !bytes.HasPrefix(rest, []byte("/*!")) && !bytes.HasPrefix(rest, []byte("/*M!")):
			end := bytes.Index(rest, []byte("*/"))
			if end < 0 {
				return i
			}
			i += end + 2
		default:
			return i
		}
	}
	return i
}

// read returns the text of a script. The file is read again rather than kept,
// so that a service does not hold its migrations in memory for its whole life;
// a text that changed since it was loaded is an error.
func (s *source) read(sc *script) ([]byte, error) {
	if sc.file == "" || sc.stored != "" || s.fsys == nil { // a text may be empty
		return []byte(sc.stored), nil
	}
	text, err := readText(s.fsys, sc.file)
	if err != nil {
		return nil, err
	}
	if sc.format != formatPair {
		body, problem := cutSection(text, sc.format, sc.direction)
		if problem != nil || body == nil {
			return nil, errors.New("the file changed while it was in use")
		}
		text = body
	}
	if checksum(text) != sc.checksum {
		return nil, errors.New("the file changed while it was in use")
	}
	return text, nil
}

// storable is the text of a down script as the history keeps it. What the marks
// of another tool's format say about it is written as our own directive: the
// text has to stand alone.
func (s *source) storable(m *migration) ([]byte, error) {
	if m.down == nil {
		return nil, nil
	}
	text, err := s.read(m.down)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.down.file, err)
	}
	if m.down.format != formatPair && m.down.directives.NoTransaction {
		text = append([]byte("-- tldwdb: no-transaction\n"), text...)
	}
	return text, nil
}

// validText reports whether a stored script may be kept as text.
func validText(text []byte) bool { return utf8.Valid(text) && !bytes.ContainsRune(text, 0) }
