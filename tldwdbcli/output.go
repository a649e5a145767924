package tldwdbcli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// texter is an answer that can be printed for people. As JSON it is itself.
type texter interface{ text(p *printer) }

// envelope is the form of every answer in JSON.
type envelope struct {
	Schema int           `json:"schema"` // version of the form; it changes only when a program that reads it has to
	Answer string        `json:"answer"` // the command whose form it has: status, plan, ...
	OK     bool          `json:"ok"`
	Exit   int           `json:"exit"` // the exit code
	Data   any           `json:"data,omitempty"`
	Error  *errorMessage `json:"error,omitempty"`
}

// schemaVersion is the version of all answers' form.
const schemaVersion = 1

// errorMessage is an error in JSON.
type errorMessage struct {
	Kind      string                `json:"kind"`                // see errorKinds; usage; "failed" for any other
	Message   string                `json:"message"`             // one line or several
	Hint      string                `json:"hint,omitempty"`      // what to do about it
	Migration *tldwdb.ID            `json:"migration,omitempty"` // which one failed
	File      string                `json:"file,omitempty"`
	Line      int                   `json:"line,omitempty"`
	Column    int                   `json:"column,omitempty"`
	Statement string                `json:"statement,omitempty"`
	Problems  []tldwdb.Disagreement `json:"problems,omitempty"` // what files and database disagree about

	Differences []tldwdb.Difference `json:"differences,omitempty"` // in what the schema is not what the migrations make
}

// errorKinds are the words for the kinds of error, the narrower ones first.
var errorKinds = []struct {
	word string
	kind error
}{
	{"lock_timeout", tldwdb.ErrLockTimeout}, {"lock_lost", tldwdb.ErrLockLost}, {"lock_unproved", tldwdb.ErrLockUnproved},
	{"ambiguous", tldwdb.ErrAmbiguous}, {"half_applied", tldwdb.ErrHalfApplied}, {"half_loaded", tldwdb.ErrHalfLoaded}, {"plan_changed", tldwdb.ErrPlanChanged},
	{"protected", tldwdb.ErrProtected}, {"irreversible", tldwdb.ErrIrreversible}, {"unknown_version", tldwdb.ErrUnknownVersion},
	{"read_only", tldwdb.ErrReadOnly}, {"pending", tldwdb.ErrPending}, {"changed", tldwdb.ErrChanged}, {"out_of_order", tldwdb.ErrOutOfOrder},
	{"newer", tldwdb.ErrNewer}, {"missing", tldwdb.ErrMissing}, {"squashed", tldwdb.ErrSquashed}, {"pool_timeout", tldwdb.ErrPoolTimeout}, {"unhealthy", errUnhealthy},
	{"interrupted", context.Canceled}, {"timeout", context.DeadlineExceeded},
	{"schema_differs", tldwdb.ErrSchemaDiffers}, {"snapshot_differs", tldwdb.ErrSnapshotDiffers}, {"no_scratch", tldwdb.ErrNoScratch}, {"not_empty", tldwdb.ErrNotEmpty},
	{"backup_damaged", tldwdb.ErrBackupDamaged}, {"backup_key", tldwdb.ErrBackupKey}, {"backup_newer", tldwdb.ErrBackupNewer}, {"no_backup", tldwdb.ErrNoBackup}, {"no_foreign_history", tldwdb.ErrNoForeignHistory},
	{"foreign_state", tldwdb.ErrForeignState}, {"not_mapped", tldwdb.ErrNotMapped}, {"file_replaced", tldwdb.ErrFileReplaced},
	{"copy_unfit", tldwdb.ErrCopyUnfit}, {"copy_value", tldwdb.ErrCopyValue}, {"copy_differs", tldwdb.ErrCopyDiffers},
	{"seed", tldwdb.ErrSeed},
}

func describeError(err error) *errorMessage {
	m := &errorMessage{Kind: "failed", Message: err.Error(), Hint: hint(err)}
	if errors.As(err, new(*usageError)) {
		m.Kind = "usage"
	}
	for _, k := range errorKinds {
		if errors.Is(err, k.kind) {
			m.Kind = k.word
			break
		}
	}
	var failed *tldwdb.MigrationError
	if errors.As(err, &failed) {
		m.Migration, m.File, m.Line, m.Column, m.Statement = &failed.Migration, failed.File, failed.Line, failed.Column, failed.Statement
	}
	var history *tldwdb.HistoryError
	if errors.As(err, &history) {
		m.Problems = history.Problems
	}
	var schema *tldwdb.SchemaError
	if errors.As(err, &schema) {
		m.Differences = schema.Differences
	}
	return m
}

// answer prints what a command found, also beside an error: a result stays valid
// then, and says what was done before it.
func (a *app) answer(cmd *cobra.Command, data texter, err error) error {
	if a.flags.json {
		return a.answerJSON(cmd, data, err)
	}
	p := a.printer(cmd.OutOrStdout())
	whole := bufio.NewWriter(p.w) // a thousand lines are a few writes
	p.w = whole
	data.text(p)
	if writeErr := whole.Flush(); writeErr != nil {
		return a.unwritten(cmd, err, writeErr)
	}
	if errors.Is(err, errUnhealthy) { // the answer has said why
		return &toldError{err}
	}
	return err
}

// unwritten is the end of a command whose answer could not be written, beside the
// error of the command itself. It is told on standard error, also where JSON was asked
// for: the same writer would fail again. A reader that has gone wanted no more.
func (a *app) unwritten(cmd *cobra.Command, err, writeErr error) error {
	if !errors.Is(writeErr, syscall.EPIPE) {
		err = errors.Join(err, fmt.Errorf("writing the answer: %w", writeErr))
	}
	if err == nil {
		return nil
	}
	a.printer(cmd.ErrOrStderr()).failure(err)
	return &toldError{err}
}

// fillLists makes every list that is nil an empty one, so that it is [] in JSON
// and a program can walk it.
func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			fillLists(v.Elem())
		}
	case reflect.Slice:
		if v.IsNil() && v.CanSet() {
			v.Set(reflect.MakeSlice(v.Type(), 0, 0))
		}
		for i := range v.Len() {
			fillLists(v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fillLists(v.Field(i))
			}
		}
	}
}

// answerName is the name of a command's answer: backup-list for 'backup list'.
func answerName(cmd *cobra.Command) string {
	if group := cmd.Parent(); group != nil && group.Name() == "backup" {
		return group.Name() + "-" + cmd.Name()
	}
	return cmd.Name()
}

func (a *app) answerJSON(cmd *cobra.Command, data any, err error) error {
	name := answerName(cmd)
	if named, ok := data.(interface{ answers() string }); ok {
		name = named.answers()
	}
	if data != nil {
		whole := reflect.New(reflect.TypeOf(data)) // a struct in an interface cannot be changed
		whole.Elem().Set(reflect.ValueOf(data))
		fillLists(whole)
		data = whole.Interface()
	}
	e := envelope{Schema: schemaVersion, Answer: name, OK: err == nil, Exit: ExitCode(err), Data: data}
	if err != nil {
		e.Error = describeError(a.ofBuiltIn(cmd, err))
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if writeErr := encoder.Encode(e); writeErr != nil {
		return a.unwritten(cmd, err, writeErr)
	}
	if err != nil {
		return &toldError{err}
	}
	return nil
}

// printer writes text for people.
type printer struct {
	w     io.Writer
	color bool
	live  bool // a line can be written again: it is a terminal that knows how
	width int  // of the terminal, in columns; 0 where the answer goes elsewhere
	now   time.Time
	err   error // the first one of writing
}

func (a *app) printer(w io.Writer) *printer {
	p := &printer{w: w, now: time.Now()}
	if file, ok := w.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			p.width = width
		}
		name, _ := a.lookup("TERM")
		able := name != "dumb" && knowsSequences(file)
		noColor, _ := a.lookup("NO_COLOR")
		p.live = able && p.width > 0
		p.color = able && noColor == "" && !a.flags.noColor
	}
	return p
}

func (p *printer) linef(format string, args ...any) { p.line(fmt.Sprintf(format, args...)) }

func (p *printer) line(text string) {
	_, err := io.WriteString(p.w, text+"\n")
	if err != nil && p.err == nil && !errors.Is(err, syscall.EPIPE) { // a reader that has gone wanted no more
		p.err = err
	}
}

// The colours that are used, as ANSI terminals have them.
const (
	colorRed    = "31"
	colorGreen  = "32"
	colorYellow = "33"
	colorFaint  = "2"
	colorBold   = "1"
)

func (p *printer) paint(code, text string) string {
	if !p.color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *printer) faint(text string) string { return p.paint(colorFaint, text) }

// inCommands says in commands what the library's advice says in calls.
var inCommands = strings.NewReplacer(
	"set Config.Confirm (TLDWDB_CONFIRM) to", "give --yes-on", "name the database in Config.Confirm (TLDWDB_CONFIRM)", "name the database with --yes-on",
	"name the database that the script is for in ScriptRequest.Database", "give the --url of the database that the script is for", "call DB.Up", "run 'up'", "DB.Up", "'up'", "DB.Down", "'down'", "DB.Plan", "'plan'", "DB.Status", "'status'", "DB.Baseline", "'baseline'",
	"a Request with GoalBase takes", "'down base' takes", "use Baseline, which runs nothing", "use 'baseline --no-verify', which runs nothing", "Config.GoMigrations", "the program's Go migrations",
	"DB.Adopt", "'adopt'", "DB.MigrateTo", "'goto'", "DB.Repair with FixForget", "'repair V=forget'", "DB.Repair with FixChecksum", "'repair V=checksum'",
	"DB.Repair with FixDone or FixRetry", "'repair V=done' or 'repair V=retry'", "DB.Repair", "'repair'",
	"FixForget", "forget", "FixChecksum", "checksum", "FixDone", "done", "FixRetry", "retry", "FixApplied", "applied",
	"Verification.Ignore", "--ignore", "Verification.Force", "--force", "Verification.ScratchURL", "--scratch-url", "TraceRequest.ScratchURL", "--scratch-url", "set VerifyOptions.ScratchURL to", "give as --scratch-url", "Verification.AnyColumnOrder", "--any-column-order",
	"RestoreOptions.WithoutBackup", "'--no-backup'", "CopyOptions.Skip", "--skip", "RestoreOptions.Over names", "--over names", "AdoptRequest.Versions", "--map", "AdoptRequest.From", "--from", "AdoptRequest.Table", "--from-table",
	"set CopyOptions.Replace", "give --replace", "set CopyOptions.RoundTimes", "give --round-times",
)

var settingName = lazyregexp.New(`Config\.\w+ \((TLDWDB_\w+)\)`)

var repairCall = lazyregexp.New(`call DB\.Repair with Fix\{Migration: ID\{Version: (\d+)\}, Kind: (Fix\w+)\}`)

// hint is what can be done about an error, here.
func hint(err error) string {
	advice := adviceOn(err)
	if builtIn, ok := errors.AsType[*builtInError](err); ok {
		advice = strings.TrimPrefix(advice+"; "+builtIn.whose, "; ")
	}
	return advice
}

func adviceOn(err error) string {
	if advice := tldwdb.Hint(err); advice != "" || !errors.Is(err, context.Canceled) {
		return inWords(advice)
	}
	return "what was not committed is rolled back; on MySQL and MariaDB the next 'up' goes on where this one ended"
}

// inWords is advice of the library in the words of the command line.
func inWords(advice string) string {
	text := inCommands.Replace(repairCall.ReplaceAllString(advice, "run 'repair $1=$2'"))
	return settingName.ReplaceAllString(text, "$1")
}

// failure prints an error and what can be done about it.
func (p *printer) failure(err error) {
	p.linef("%s %s", p.paint(colorRed, "error:"), err)
	var failed *tldwdb.MigrationError
	if errors.As(err, &failed) && failed.Statement != "" {
		p.linef("  in: %s", oneLine(failed.Statement, 200))
	}
	if hint := hint(err); hint != "" {
		p.linef("%s %s", p.paint(colorYellow, "hint:"), hint)
	}
}

// table is lines whose columns are aligned.
type table struct {
	p     *printer
	lines [][]string
}

func (p *printer) table(head ...string) *table {
	for i, h := range head {
		head[i] = p.paint(colorBold, h)
	}
	return &table{p: p, lines: [][]string{head}}
}

func (t *table) row(cells ...string) { t.lines = append(t.lines, cells) }

// gap is the space between two columns.
const gap = "  "

// end prints the table. On a terminal that is too narrow the widest column that
// is text gives way, and an ellipsis shows it.
func (t *table) end() {
	widths := make([]int, len(t.lines[0]))
	for _, line := range t.lines {
		for i, cell := range line {
			widths[i] = max(widths[i], visible(cell))
		}
	}
	if t.p.width > 0 {
		for sum(widths)+len(gap)*(len(widths)-1) > t.p.width {
			widest := 0
			for i, w := range widths {
				if w > widths[widest] {
					widest = i
				}
			}
			if widths[widest] <= minimumColumn {
				break
			}
			widths[widest]--
		}
	}
	for _, line := range t.lines {
		var b strings.Builder
		for i, cell := range line {
			cell = cut(cell, widths[i])
			b.WriteString(cell)
			if i < len(line)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-visible(cell)) + gap)
			}
		}
		t.p.line(strings.TrimRight(b.String(), " "))
	}
}

// minimumColumn is how narrow a column may become.
const minimumColumn = 8

func sum(list []int) (total int) {
	for _, n := range list {
		total += n
	}
	return total
}

// visible is the width of a cell, in columns of the terminal, without its colours.
func visible(cell string) int {
	columns := 0
	for inside := false; cell != ""; {
		r, n := utf8.DecodeRuneInString(cell)
		cell = cell[n:]
		switch {
		case r == '\x1b':
			inside = true
		case inside:
			inside = r != 'm'
		default:
			columns += columnsOf(r)
		}
	}
	return columns
}

// columnsOf is how many columns of a terminal a character takes: two for those of
// East Asian writing and for emoji, none for what is set onto the one before it.
func columnsOf(r rune) int {
	switch {
	case r < unicode.MaxLatin1:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a cell to a number of columns. What is cut loses its colour.
func cut(cell string, columns int) string {
	if visible(cell) <= columns {
		return cell
	}
	if strings.HasPrefix(cell, "\x1b[") {
		_, cell, _ = strings.Cut(cell, "m")
		cell, _, _ = strings.Cut(cell, "\x1b")
	}
	left := columns - 1 // for the ellipsis
	for at, r := range cell {
		if left -= columnsOf(r); left < 0 {
			return cell[:at] + "…" // a terminal may be one column wide
		}
	}
	return cell
}

// oneLine is a statement as it fits into a line.
func oneLine(text string, limit int) string {
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit-1]) + "…"
	}
	return text
}

// ago is a point in time as people say it.
func (p *printer) ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	switch d := p.now.Sub(t); {
	case d < 0 && d > -time.Minute, d < 2*time.Second && d >= 0:
		return "just now"
	case d < 0:
		return t.Local().Format(time.DateTime)
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	case d < 100*24*time.Hour:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
	return t.Local().Format(time.DateOnly)
}

// took is a duration with three digits or so.
func took(d time.Duration) string {
	switch {
	case d == 0:
		return "<1ms" // of what the history keeps
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond / 10).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
