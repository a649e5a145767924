package tldwdb

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dburl"
)

// This file reads snapshots: files that make at once what the migrations up to a
// version make. Which database loads one is decided in plan.go.

// ErrSquashed means that a migration has to run whose file is gone: a snapshot has
// taken its place, and only an empty database can load that. It is a kind of
// [HistoryError] too.
var ErrSquashed = errors.New("a migration was squashed into a snapshot")

// snapshot is such a file.
type snapshot struct {
	version int64
	engine  string // of a server: mysql and mariadb are two
	script  *script
	holds   []held
	stale   string // why it is not what the files say; empty when it is
}

// held is a migration whose work a snapshot holds.
type held struct {
	id  ID
	sum string // its checksum; empty for one in Go
}

// id is what a snapshot is called while it is loaded.
func (s *snapshot) id() ID { return ID{Version: s.version, Name: snapshotMark} }

// loadingSum is the checksum of the row that a snapshot has while it is loaded. No
// file has one like it, so that nobody takes the row for that of the migration with
// the same version.
func (s *snapshot) loadingSum() string {
	return (loadingMark + s.script.checksum)[:len(s.script.checksum)]
}

const (
	snapshotMark = "snapshot"
	loadingMark  = "snapshot:"
	noSum        = "-"

	engineMariaDB = "mariadb"
)

// isLoading reports whether a row is that of a snapshot on its way.
func (r *row) isLoading() bool { return strings.HasPrefix(r.checksum, loadingMark) && !r.state.done() }

// snapshotEngines are the engines that a snapshot can be for, by dialect.
var snapshotEngines = map[string][]string{
	dburl.SQLite: {dburl.SQLite}, dburl.Postgres: {dburl.Postgres}, dburl.MySQL: {dburl.MySQL, engineMariaDB},
}

// snapshotFile is the name of a snapshot's file. digits is the version.
func snapshotFile(digits, engine string) string {
	return digits + "_" + snapshotMark + "." + engine + ".sql"
}

// parseSnapshot reads 0042_snapshot.postgres.sql.
func parseSnapshot(name string) (digits, engine string, ok bool) {
	digits, rest, ok := strings.Cut(strings.TrimSuffix(name, ".sql"), "_"+snapshotMark+".")
	if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" || name != snapshotFile(digits, rest) {
		return "", "", false
	}
	for _, engines := range snapshotEngines {
		if slices.Contains(engines, rest) {
			return digits, rest, true
		}
	}
	return "", "", false
}

// A snapshot begins with comments:
//
//	-- tldwdb: snapshot CHECKSUM of all that stands below the last of these lines
//	-- tldwdb: holds 0001_user CHECKSUM of its file
//	-- tldwdb: holds 0002_fill -
const (
	snapshotLine = "-- tldwdb: snapshot "
	holdsLine    = "-- tldwdb: holds "
)

// snapshotHead is those lines for a text.
func snapshotHead(holds []held, body string) string {
	var b strings.Builder
	b.WriteString(snapshotLine + checksum([]byte(body)) + "\n")
	for _, h := range holds {
		fmt.Fprintf(&b, "%s%s %s\n", holdsLine, h.id, cmp.Or(h.sum, noSum))
	}
	return b.String()
}

// cutSnapshot reads them. body is the rest of the text.
func cutSnapshot(text []byte) (holds []held, sum string, body []byte, problem string) {
	body = text
	for n := 1; ; n++ {
		line, rest, _ := bytes.Cut(body, []byte("\n"))
		words := strings.TrimSuffix(string(line), "\r")
		if n == 1 {
			var ok bool
			if sum, ok = strings.CutPrefix(words, snapshotLine); !ok {
				return nil, "", nil, "this is no snapshot that 'tldwdb snapshot' has made: its first line is missing"
			}
			body = rest
			continue
		}
		words, ok := strings.CutPrefix(words, holdsLine)
		if !ok {
			return holds, sum, body, ""
		}
		name, of, _ := strings.Cut(words, " ")
		digits, label, _ := strings.Cut(name, "_")
		version, err := strconv.ParseInt(digits, 10, 64)
		if err != nil || label == "" || of == "" || len(holds) > 0 && version <= holds[len(holds)-1].id.Version {
			return nil, "", nil, fmt.Sprintf("line %d does not say which migration it is about", n)
		}
		if of == noSum {
			of = ""
		}
		holds = append(holds, held{ID{Version: version, Name: label}, of})
		body = rest
	}
}

// snapshots reads the snapshots of a folder. Those of other dialects are only
// looked at where files are gone for which they stand.
func (l *loader) snapshots(dir, of string) (list []*snapshot) {
	if len(l.snapshotFiles) == 0 {
		return nil
	}
	own := map[int64]bool{}
	var others []*snapshot
	for _, name := range l.snapshotFiles {
		digits, engine, _ := parseSnapshot(name)
		s := l.snapshot(path.Join(dir, name), digits, engine)
		switch {
		case s == nil:
		case slices.Contains(snapshotEngines[of], engine):
			own[s.version] = true
			list = append(list, s)
		default:
			others = append(others, s)
		}
	}
	for _, s := range list {
		l.compareSnapshot(s)
	}
	for _, s := range others {
		if !own[s.version] && slices.ContainsFunc(s.holds, func(h held) bool { return l.versions[h.id.Version] == nil }) {
			l.problem(s.script.file, 0, "it stands for files that are gone, and there is none for %s: make %s with the files that were there before (git), or bring them back", of, snapshotFile(fmt.Sprintf("%04d", s.version), of))
		}
	}
	slices.SortFunc(list, func(a, b *snapshot) int {
		return cmp.Or(cmp.Compare(b.version, a.version), cmp.Compare(a.engine, b.engine))
	})
	return list
}

// snapshot reads one file.
func (l *loader) snapshot(file, digits, engine string) *snapshot {
	version, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		l.problem(file, 0, "the version %s does not fit into 64 bits", digits)
		return nil
	}
	text, ok := l.read(file)
	if !ok {
		return nil
	}
	holds, sum, body, problem := cutSnapshot(text)
	switch {
	case problem != "":
	case sum != checksum(body):
		problem = "it was changed after it was made: make it again with 'tldwdb snapshot', and put the change into a migration"
	case len(holds) == 0 || holds[len(holds)-1].id.Version != version:
		problem = fmt.Sprintf("its lines do not lead to version %d", version)
	}
	if problem != "" {
		l.problem(file, 1, "%s", problem)
		return nil
	}
	return &snapshot{version: version, engine: engine, holds: holds,
		script: &script{file: file, direction: DirectionUp, checksum: checksum(text)}}
}

// compareSnapshot holds a snapshot against the files. What it holds and no file has
// is a migration that was squashed.
func (l *loader) compareSnapshot(s *snapshot) {
	held := make(map[int64]bool, len(s.holds))
	for _, h := range s.holds {
		held[h.id.Version] = true
		m := l.versions[h.id.Version]
		switch {
		case m == nil:
			l.versions[h.id.Version] = &migration{id: h.id, sum: h.sum, squashed: s}
		case m.checksum() != h.sum && m.squashed != nil:
			l.problem(s.script.file, 0, "it holds another %s than %s does", h.id, m.squashed.script.file)
		case m.checksum() != h.sum:
			s.stale = fmt.Sprintf("%s is not what it was made from", m.id)
		}
	}
	for version, m := range l.versions {
		if version < s.version && !held[version] && s.stale == "" {
			s.stale = fmt.Sprintf("it does not hold %s", m.id)
		}
	}
}

// snapshotFor is the snapshot with which an empty database begins; nil for none. An
// empty engine stands for any. Where
// files are gone it is one that holds all of those; where all are there they may be
// run instead, and fromFiles says so.
func (s *source) snapshotFor(engine string, fits func(version int64) bool, fromFiles bool) *snapshot {
	for _, snap := range s.snapshots {
		if engine != "" && snap.engine != engine || !fits(snap.version) {
			continue
		}
		if begins, alone := s.beginsWith(snap); begins && (alone || snap.stale == "" && !fromFiles) {
			return snap
		}
	}
	return nil
}

// beginsWith reports whether a snapshot holds every migration whose file is gone, and
// none that is unknown here. alone means that there are such files: it cannot be done
// without it. Both lists are in order.
func (s *source) beginsWith(snap *snapshot) (begins, alone bool) {
	left := snap.holds
	for _, m := range s.migrations {
		if m.id.Repeatable {
			break
		}
		holds := len(left) > 0 && left[0].id.Version == m.id.Version
		switch {
		case holds:
			left = left[1:]
		case m.squashed != nil || len(left) > 0 && left[0].id.Version < m.id.Version:
			return false, false
		}
		alone = alone || m.squashed != nil
	}
	return len(left) == 0, alone
}

// loading is the snapshot whose row it is; nil when this binary has another one.
func (s *source) loading(r *row) *snapshot {
	i := slices.IndexFunc(s.snapshots, func(snap *snapshot) bool { return snap.version == r.id.Version && snap.loadingSum() == r.checksum })
	if i < 0 {
		return nil
	}
	return s.snapshots[i]
}
