package tldwdbcli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// This file has the commands that put one file in the place of many migrations.

// snapshotName is the name of a snapshot: version and engine.
var snapshotName = lazyregexp.New(`^(\d+)_snapshot\.(sqlite|postgres|mysql|mariadb)\.sql$`)

// snapshotAnswer is a snapshot, or those that were compared with the migrations.
type snapshotAnswer struct {
	Snapshot *tldwdb.Snapshot `json:"snapshot,omitempty"`
	Written  string           `json:"written,omitempty"` // path
	SQL      string           `json:"sql,omitempty"`     // where it is written to the standard output
	Checked  []string         `json:"checked,omitempty"` // files, with --check
	check    bool
}

func (s snapshotAnswer) text(p *printer) {
	switch {
	case s.check && len(s.Checked) == 0:
		p.linef("there is no snapshot to compare")
	case s.check:
		for _, name := range s.Checked {
			p.linef("%s %s is what its migrations make", p.paint(colorGreen, "ok:"), name)
		}
	case s.Written == "":
		p.line(strings.TrimSuffix(s.SQL, "\n"))
	default:
		if s.Snapshot == nil {
			p.linef("%s %s", p.paint(colorGreen, "wrote"), s.Written)
			return
		}
		p.linef("%s %s: %s up to version %d, for %s", p.paint(colorGreen, "wrote"), s.Written, plural(s.Snapshot.Holds, "migration"), s.Snapshot.Version, s.Snapshot.Engine)
		for _, l := range s.Snapshot.LeftOut {
			p.linef("%s %s", p.paint(colorYellow, "not in it:"), l)
		}
	}
}

func (a *app) snapshotCommand(root *cobra.Command) {
	var req tldwdb.SnapshotRequest
	var schema string
	var check bool
	cmd := a.add(root, command{
		use: "snapshot [flags]", group: groupFiles, short: "Write what the migrations make as one file for empty databases",
		long: `
Runs the migrations on a scratch database, as 'drift' does, and writes what they have
made into the folder of --dir: 0042_snapshot.postgres.sql for the migrations up to
version 42. An empty database of that engine loads it and has them all applied;
other databases are not touched by it. Rows that the migrations write are in it, and
what belongs to the installation is not: statements about rights, owners, accounts
and settings of the server are listed. The file is loaded on trial and compared
before it is written.

With --check nothing is written: the snapshots that are there are compared with what
their migrations make, and the exit code is 3 when one differs. With --schema the
text is a schema without rows, for people and for 'check --schema'; - is the standard
output.`,
		example: `
tldwdb snapshot --dir migrations
tldwdb snapshot --dir migrations --check
tldwdb snapshot --schema schema.sql`,
		run: func(cmd *cobra.Command, _ []string) error {
			dir := ""
			if schema == "" && !check {
				var err error
				if dir, err = a.folder(); err != nil {
					return err
				}
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				if check {
					names, err := db.CheckSnapshots(ctx)
					if err != nil {
						return nil, err
					}
					return snapshotAnswer{Checked: names, check: true}, nil
				}
				if schema != "" {
					text, err := db.SchemaSQL(ctx, req)
					if err != nil || schema == "-" {
						return snapshotAnswer{SQL: text}, err
					}
					return snapshotAnswer{Written: schema}, replaceFile(schema, text)
				}
				s, err := db.Snapshot(ctx, req)
				if err != nil {
					return nil, err
				}
				answer := snapshotAnswer{Snapshot: s, Written: filepath.Join(dir, s.File)}
				return answer, replaceFile(answer.Written, s.Text)
			}, looking)
		},
	})
	f := cmd.Flags()
	f.Int64Var(&req.Version, "to", 0, "`version` to end at (default: the newest)")
	f.StringVar(&req.ToolDir, "tools", "", "`folder` of pg_dump (default: where it usually is)")
	f.StringVar(&schema, "schema", "", "write a schema into this `file` instead")
	f.BoolVar(&check, "check", false, "compare the snapshots that are there instead")
	cmd.MarkFlagsMutuallyExclusive("schema", "check")
	cmd.MarkFlagsMutuallyExclusive("to", "check")
}

// replaceFile writes a file that appears whole or not at all.
func replaceFile(path, text string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tldwdb-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// squashAnswer is what became of the files.
type squashAnswer struct {
	Version  int64    `json:"version"`
	Snapshot string   `json:"snapshot"` // path of the file that stands for the others
	Removed  []string `json:"removed"`  // paths
	Moved    string   `json:"moved"`    // folder that they are in now; empty: they are gone
	DryRun   bool     `json:"dry_run"`
	// LeftOut are the statements that nothing will run any more in an empty database.
	LeftOut []tldwdb.LeftOut `json:"left_out"`
}

func (s squashAnswer) text(p *printer) {
	word := "removed"
	if s.Moved != "" {
		word = "moved"
	}
	for _, name := range s.Removed {
		p.linef("%s %s", p.paint(colorYellow, word), name)
	}
	p.linef("%s %s stands for them", p.paint(colorGreen, "wrote"), s.Snapshot)
	for _, l := range s.LeftOut {
		p.linef("%s %s", p.paint(colorYellow, "not in it:"), l)
	}
	if s.DryRun {
		p.linef("nothing was written or %s (--dry-run)", word)
		return
	}
	p.linef("release it when every database is at version %d or higher: 'status' says so", s.Version)
}

func (a *app) squashCommand(root *cobra.Command) {
	var req tldwdb.SnapshotRequest
	var move string
	var dryRun, leaveOut bool
	cmd := a.add(root, command{
		use: "squash --to V [flags]", group: groupFiles, short: "Put one snapshot in the place of old migration files",
		long: `
Makes the snapshot of version V for the engine of --url, and removes the files of the
migrations up to V from the folder of --dir, or moves them to --move. Databases that
have them keep their history, and their ways back, which are in it. Empty ones load
the snapshot. A database between two of them is refused from then on: first bring it
to V with the last release that has the files.

Statements about rights, owners, accounts and settings of the server are in no
snapshot. Where the files have such, squash lists them and stops: put them into a
repeatable migration or a later file, or go on without them with --leave-out.

Where the folder has files for several engines, make the snapshot of V for each of the
others first ('snapshot --to V' with its --url). Go migrations stay, in the program.`,
		example: `
tldwdb squash --to 1 --dir migrations --dry-run
tldwdb squash --to 1 --dir migrations --move old`,
		run: func(cmd *cobra.Command, _ []string) error {
			if req.Version <= 0 {
				return usagef("up to which version? name it with --to")
			}
			dir, err := a.folder()
			if err != nil {
				return err
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				snapshot, err := db.Snapshot(ctx, req)
				if err != nil {
					return nil, err
				}
				if err := lossless(snapshot); err != nil && !leaveOut {
					return nil, err
				}
				answer := squashAnswer{Version: req.Version, Snapshot: filepath.Join(dir, snapshot.File), Moved: move, DryRun: dryRun, LeftOut: snapshot.LeftOut}
				if answer.Removed, err = squashed(dir, req.Version, snapshot.Engine); err != nil || dryRun {
					return answer, err
				}
				// The snapshot first: with both there, the files count.
				if err := replaceFile(answer.Snapshot, snapshot.Text); err != nil {
					return nil, err
				}
				return answer, removeAll(answer.Removed, dir, move)
			}, looking)
		},
	})
	f := cmd.Flags()
	f.Int64Var(&req.Version, "to", 0, "newest `version` that the snapshot stands for")
	f.StringVar(&req.ToolDir, "tools", "", "`folder` of pg_dump (default: where it usually is)")
	f.StringVar(&move, "move", "", "`folder` to move the files to, instead of removing them")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be done")
	f.BoolVar(&leaveOut, "leave-out", false, "go on without what no snapshot can carry")
}

// lossless fails when there are statements in the files of a snapshot that it does not carry:
// without the files nothing would run them in an empty database.
func lossless(s *tldwdb.Snapshot) error {
	if len(s.LeftOut) == 0 {
		return nil
	}
	lines := make([]string, len(s.LeftOut))
	for i, l := range s.LeftOut {
		lines[i] = l.String()
	}
	return fmt.Errorf("the files have statements that no snapshot carries, and that would be gone with them:\n%s\n"+
		"write them into a repeatable migration, or into one above the snapshot; --leave-out goes on without them", strings.Join(lines, "\n"))
}

// squashed lists the files that a snapshot of an engine takes the place of. It refuses
// where there are files for another engine that has none.
func squashed(dir string, version int64, engine string) ([]string, error) {
	there, err := numberedFiles(dir)
	if err != nil {
		return nil, err
	}
	old, err := snapshotFiles(dir)
	if err != nil {
		return nil, err
	}
	has := map[string]bool{engine: true, dialectOf(engine): true} // engines, and folders
	var list []string
	for _, f := range old {
		if f.version == version {
			has[f.engine], has[dialectOf(f.engine)] = true, true
		}
	}
	for _, f := range old {
		if f.version < version && has[f.engine] {
			list = append(list, f.path)
		} else if f.version < version {
			return nil, fmt.Errorf("%s is for %s, which has no snapshot of version %d: make it first, with 'snapshot --to %d' on such a database", f.path, f.engine, version, version)
		}
	}
	for _, f := range there {
		if f.version > version || filepath.Ext(f.name) != ".sql" {
			continue
		}
		if of := filepath.Base(f.dir); f.dir != filepath.Join(dir, ".") && !has[of] {
			return nil, fmt.Errorf("%s is for %s, which has no snapshot of version %d: make it first, with 'snapshot --to %d' on such a database", filepath.Join(f.dir, f.name), of, version, version)
		}
		list = append(list, filepath.Join(f.dir, f.name))
	}
	slices.Sort(list)
	return list, nil
}

// dialectOf is the name of the folder with an engine's files.
func dialectOf(engine string) string {
	if engine == "mariadb" {
		return "mysql"
	}
	return engine
}

type snapshotFile struct {
	path, engine string
	version      int64
}

// snapshotFiles lists the snapshots of a folder.
func snapshotFiles(dir string) (list []snapshotFile, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		m := snapshotName.FindStringSubmatch(entry.Name())
		if m == nil {
			continue
		}
		version, err := strconv.ParseInt(m[1], 10, 64)
		if err != nil {
			continue // 'status' says what is wrong with it
		}
		list = append(list, snapshotFile{filepath.Join(dir, entry.Name()), m[2], version})
	}
	return list, nil
}

// removeAll removes files, or moves them with the folders that they are in below dir.
func removeAll(files []string, dir, move string) error {
	for _, file := range files {
		if move == "" {
			if err := os.Remove(file); err != nil {
				return err
			}
			continue
		}
		below, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		to := filepath.Join(move, below)
		if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, fmt.Errorf("%s is there already", to))
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.Rename(file, to); err != nil {
			return err
		}
	}
	return nil
}

// keptSchema is the schema.sql that is kept beside the folder of the migrations; empty for
// none. Inside of the folder every .sql file is a migration.
func (a *app) keptSchema() (string, error) {
	s, err := a.settings()
	if err != nil || s.dir == "" {
		return "", err
	}
	u, err := s.url()
	if err != nil {
		return "", err
	}
	for _, name := range []string{"schema." + u.Dialect + ".sql", "schema.sql"} {
		path := filepath.Join(s.dir, "..", name)
		switch info, err := os.Stat(path); {
		case err == nil && info.Mode().IsRegular():
			return path, nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return "", err
		}
	}
	return "", nil
}

// schemaText reads a schema.sql.
func schemaText(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimPrefix(string(text), "\ufeff"), nil
}
