package tldwdbcli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tldw/tldwdb"
)

// talk is what goes on while a command runs, on standard error: the records of
// the log that a person wants to see, and which statement is running for how
// long. On a terminal the latter is one line that is written again and again.
type talk struct {
	p       *printer
	level   slog.Level
	attrs   []slog.Attr
	state   *talkState
	enabled bool
}

// talkState is what the copies of a talk share.
type talkState struct {
	mu      sync.Mutex
	now     *tldwdb.Progress
	backup  *tldwdb.BackupProgress // goes before now
	since   time.Time              // when the statement began
	said    time.Time              // when it was last told
	live    bool                   // the last line is one to be written again
	started bool
	ended   chan struct{}
	done    sync.WaitGroup
}

const (
	tellEvery     = 200 * time.Millisecond // on a terminal
	tellSlowAfter = 10 * time.Second       // elsewhere: a statement that takes long
)

func (a *app) talk(w io.Writer) *talk {
	t := &talk{p: a.printer(w), level: slog.LevelInfo, state: &talkState{ended: make(chan struct{})}, enabled: !a.flags.quiet}
	switch {
	case a.flags.quiet:
		t.level = slog.LevelError
	case a.flags.verbose > 1:
		t.level = slog.LevelDebug
	}
	if a.flags.verbose == 0 && !a.flags.quiet {
		t.level = levelPeople
	}
	return t
}

// levelPeople lets through what is a warning, and of the rest what [told] names.
const levelPeople = slog.LevelInfo + 1

// told are the records below a warning that say why nothing seems to happen.
var told = []string{
	"waiting for the migration lock", "waiting for the migrations", "waiting for a server that takes writes, or for the migrations to arrive",
	"waiting for this node to be in its cluster again", "the database server is there", "a table is locked, trying again",
	"waiting for a connection to spare",
	"the session of the holder before cannot be seen from here, waiting for what it may have on its way",
}

// Enabled is part of [slog.Handler].
func (t *talk) Enabled(_ context.Context, level slog.Level) bool {
	return level >= t.level || t.level == levelPeople && level == slog.LevelInfo
}

// Handle is part of [slog.Handler].
func (t *talk) Handle(_ context.Context, r slog.Record) error {
	if t.level == levelPeople && r.Level < slog.LevelWarn && !slices.Contains(told, r.Message) {
		return nil
	}
	var b strings.Builder
	switch {
	case r.Level >= slog.LevelError:
		b.WriteString(t.p.paint(colorRed, "error: "))
	case r.Level >= slog.LevelWarn:
		b.WriteString(t.p.paint(colorYellow, "warning: "))
	}
	b.WriteString(r.Message)
	add := func(attr slog.Attr) bool {
		if value := attr.Value.Resolve().String(); value != "" {
			b.WriteString(" " + t.p.faint(attr.Key+"=") + quoted(value))
		}
		return true
	}
	for _, attr := range t.attrs {
		add(attr)
	}
	r.Attrs(add)
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	t.clear()
	t.p.linef("%s", b.String())
	return nil
}

func quoted(value string) string {
	if strings.ContainsAny(value, " \t\n\"=") {
		return fmt.Sprintf("%q", value)
	}
	return value
}

// WithAttrs is part of [slog.Handler].
func (t *talk) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *t
	with.attrs = append(slices.Clip(t.attrs), attrs...)
	return &with
}

// WithGroup is part of [slog.Handler]. tldwdb has no groups.
func (t *talk) WithGroup(string) slog.Handler { return t }

// progress is [tldwdb.Config]'s.
func (t *talk) progress(p tldwdb.Progress) {
	if !t.enabled {
		return
	}
	s := t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.now == nil || s.now.Migration != p.Migration || s.now.Direction != p.Direction || s.now.Scratch != p.Scratch
	s.now, s.since = &p, time.Now()
	if first && !t.p.live {
		t.p.linef("%s", t.line())
		s.said = s.since
	}
	s.backup = nil
	t.start()
}

// backup is [tldwdb.BackupOptions]'.
func (t *talk) backup(p tldwdb.BackupProgress) {
	if !t.enabled {
		return
	}
	s := t.state
	s.mu.Lock()
	defer s.mu.Unlock()
	first := s.backup == nil || s.backup.Phase != p.Phase
	s.backup = &p
	if first {
		s.since = time.Now()
		if !t.p.live && p.Phase != "lock" { // the log says if it has to be waited for
			t.p.linef("%s", t.line())
			s.said = s.since
		}
	}
	t.start()
}

// start has somebody tell what goes on. The caller has the lock.
func (t *talk) start() {
	if s := t.state; !s.started {
		s.started = true
		s.done.Add(1)
		go t.tell()
	}
}

// phases are those of a backup, a restore or a copy as people say them.
var phases = map[string]string{
	"lock": "waiting for the migration lock", "dump": "backing up", "check": "checking", "load": "loading", "verify": "comparing", "switch": "putting it in place",
}

// backupLine is how far a backup is.
func backupLine(p *tldwdb.BackupProgress) string {
	line := cmp.Or(phases[p.Phase], p.Phase)
	if p.Table != "" {
		line += " " + p.Table
	}
	if p.TablesAll > 0 {
		line += fmt.Sprintf(", %d of %d tables", p.Tables, p.TablesAll)
	}
	switch {
	case p.BytesAll > 0:
		line += fmt.Sprintf(", %s of %s", size(p.Bytes), size(p.BytesAll))
	case p.Bytes > 0:
		line += ", " + size(p.Bytes)
	}
	if p.Elapsed >= time.Second {
		line += ", " + p.Elapsed.Round(time.Second).String()
	}
	if p.Left >= time.Second {
		line += ", " + p.Left.Round(time.Second).String() + " left"
	}
	return line
}

// tell goes on telling until the command ends.
func (t *talk) tell() {
	s := t.state
	defer s.done.Done()
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-s.ended:
			return
		case now := <-ticker.C:
			s.mu.Lock()
			switch {
			case t.p.live:
				t.clear()
				_, _ = fmt.Fprint(t.p.w, cut(t.line(), t.p.width-1)) // a terminal that is gone ends the process
				s.live = true
			case now.Sub(s.said) >= tellSlowAfter && now.Sub(s.since) >= tellSlowAfter:
				t.p.linef("%s", t.line())
				s.said = now
			}
			s.mu.Unlock()
		}
	}
}

// line is the migration, and the statement, that is running.
func (t *talk) line() string {
	if b := t.state.backup; b != nil {
		return backupLine(b)
	}
	p := t.state.now
	verb := "applying"
	switch {
	case p.Scratch: // nothing of it is done to the database in question
		verb = "on the scratch database:"
	case p.Direction == tldwdb.DirectionDown:
		verb = "taking back"
	}
	line := fmt.Sprintf("%s %s", verb, p.Migration)
	if p.Steps > 1 {
		line += fmt.Sprintf(" (%d of %d)", p.Step, p.Steps)
	}
	if elapsed := time.Since(t.state.since); elapsed >= time.Second {
		line += ", " + elapsed.Round(time.Second).String()
	}
	if p.Statement > 0 && (p.Statements > 1 || time.Since(t.state.since) >= time.Second) {
		line += fmt.Sprintf(", line %d: %s", p.Line, oneLine(p.SQL, 120))
	}
	return line
}

// clear takes the live line away. The caller has the lock.
func (t *talk) clear() {
	if t.state.live {
		_, _ = fmt.Fprint(t.p.w, "\r\x1b[K")
		t.state.live = false
	}
}

// end stops telling, before the answer is printed. It is called once, when nothing
// runs any more.
func (t *talk) end() {
	close(t.state.ended)
	t.state.done.Wait()
	t.state.mu.Lock()
	defer t.state.mu.Unlock()
	t.clear()
}
