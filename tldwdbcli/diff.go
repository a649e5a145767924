package tldwdbcli

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lint"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file is the command diff and its answer: differ.go finds the statements, and
// diffwrite.go makes files of them.

// diffAnswer is the migration that leads to the wanted schema.
type diffAnswer struct {
	Dialect string   `json:"dialect"`
	Files   []string `json:"files"` // written, or with dry_run those that would be

	Texts map[string]string `json:"texts"` // of the files, by their paths in the folder of migrations

	Up           []string `json:"up"`           // statements; none when the migrations make the wanted schema
	Down         []string `json:"down"`         // none too when there is no way back
	Irreversible string   `json:"irreversible"` // why there is none
	Warnings     []string `json:"warnings"`     // what to look at before it is applied

	Findings []tldwdblint.Finding `json:"findings"` // of the rules of lint, about the files
	Fixable  bool                 `json:"fixable"`  // --fix would write it in a safer way
	Unfixed  []string             `json:"unfixed"`  // what --fix could not take apart, and why
	DryRun   bool                 `json:"dry_run"`

	fixed  []lint.FixedPiece // the migrations that do the same safely, with --fix
	values changeOf          // values of enums, which are a migration of their own before it
}

// changeOf are statements, and those that take them back.
type changeOf struct{ up, down []string }

// unsafe reports whether the files should not be applied as they are. The way back is
// for another day, and has been seen to work.
func (d diffAnswer) unsafe() bool {
	return slices.ContainsFunc(d.Findings, func(f tldwdblint.Finding) bool { return f.Direction == "up" && f.Severity == tldwdblint.SeverityError })
}

func (d diffAnswer) text(p *printer) {
	if len(d.Up) == 0 {
		p.linef("%s the migrations make this schema: there is nothing to write", p.paint(colorGreen, "ok:"))
		return
	}
	texts := map[string]string{} // by file and direction
	for _, name := range slices.Sorted(maps.Keys(d.Texts)) {
		stem, up := strings.CutSuffix(name, ".up.sql")
		if !up {
			continue // it follows its way up
		}
		down := stem + ".down.sql"
		texts[name+" up"], texts[down+" down"] = d.Texts[name], d.Texts[down]
		for _, file := range []string{name, down} {
			if text := d.Texts[file]; text != "" && d.DryRun {
				p.linef("%s\n%s", p.paint(colorBold, "-- "+file), text)
			}
		}
	}
	if !d.DryRun {
		for _, name := range d.Files {
			p.linef("%s %s", p.paint(colorGreen, "wrote"), name)
		}
	}
	if d.Irreversible != "" {
		p.linef("%s there is no way back: %s", p.paint(colorYellow, "note:"), d.Irreversible)
	}
	for _, w := range d.Warnings {
		p.linef("%s %s", p.paint(colorYellow, "note:"), w)
	}
	shown := slices.DeleteFunc(slices.Clone(d.Findings), func(f tldwdblint.Finding) bool {
		return f.Direction != "up" || !f.Severity.AtLeast(tldwdblint.SeverityWarning)
	})
	p.findings(shown, texts)
	if more := len(d.Findings) - len(shown); more > 0 {
		p.linef("%s", p.faint(fmt.Sprintf("'lint' has %s, about the way back or not urgent", plural(more, "more finding"))))
	}
	for _, why := range d.Unfixed {
		p.linef("%s %s", p.paint(colorYellow, "not fixed:"), why)
	}
	switch {
	case d.Fixable && d.DryRun:
		p.linef("%s with --fix it is written in a safer way", p.paint(colorYellow, "hint:"))
	case d.Fixable:
		p.linef("%s there is a safer way: remove the files, and give --fix", p.paint(colorYellow, "hint:"))
	}
	if d.unsafe() && !d.DryRun {
		p.linef("%s do not apply this as it is: a rule of severity error found something", p.paint(colorRed, "unsafe:"))
	}
}

// diffFlags are those of the command.
type diffFlags struct {
	to, toURL, structs string
	ignore, scratch    []string
	dryRun, fix        bool
}

func (a *app) diffCommand(root *cobra.Command) {
	var flags diffFlags
	cmd := a.add(root, command{
		use: "diff NAME [flags]", group: groupFiles, short: "Write the migration to a wanted schema",
		long: `
Compares what the migrations of --dir make with a wanted schema, and writes the two
files of a new migration NAME that leads from the one to the other, and back. The
wanted schema is a file with CREATE statements (--to), another database (--to-url),
or the structs of a Go package (--from-structs). It is for the engine of the
database of the environment, or --url. That database is not looked at: its server
lends two scratch databases, which are dropped again; for SQLite they are files.
--scratch-url, given twice, names empty ones instead (once with --to-url), and what
is made there stays.

Before anything is written, the files are run on a scratch database, up and down,
and both outcomes compared with what they should be. What cannot be written in full
is an error that lists what is missing. When nothing differs, nothing is written.

A rename cannot be seen: a comment says it, above a CREATE TABLE or in the line of a
column of it:

    -- tldwdb: renamed from OLD_NAME

Then the rules of 'lint' are asked about the files. With --fix, what is known to be
done safely in files of its own is written so: CREATE INDEX CONCURRENTLY, NOT VALID
and its VALIDATE. The exit code is 3 when a rule of severity error found something,
and the files are written all the same.

Read what was written before you apply it. It knows nothing of the rows.`,
		example: `
tldwdb diff add_teams --to schema.sql --dir migrations
tldwdb diff hot_fix --to-url sqlite:///other.db --dir migrations
tldwdb diff users --from-structs ./models --dir migrations --dry-run
tldwdb diff add_teams --to schema.sql --dir migrations --fix`,
		args: exactly("the name"),
		run: func(cmd *cobra.Command, args []string) error {
			name := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.TrimSpace(args[0]))
			given := 0
			for _, source := range []string{flags.to, flags.toURL, flags.structs} {
				if source != "" {
					given++
				}
			}
			switch {
			case !migrationName.MatchString(name):
				return usagef("the name is %q: accepted are letters, digits and _", args[0])
			case given != 1:
				return usagef("what is wanted? one of --to, --to-url and --from-structs says it")
			}
			if needed := flags.databases(); len(flags.scratch) > 0 && len(flags.scratch) != needed {
				return usagef("--scratch-url names %s, and it takes %d: one for the migrations%s", plural(len(flags.scratch), "database"), needed, map[bool]string{true: ", and one for the wanted schema"}[needed > 1])
			}
			return a.diff(cmd, name, flags)
		},
	})
	f := cmd.Flags()
	f.StringVar(&flags.to, "to", "", "`file` with the wanted CREATE statements")
	f.StringVar(&flags.toURL, "to-url", "", "`URL` of a database that has the wanted schema")
	f.StringVar(&flags.structs, "from-structs", "", "`folder` of a Go package with the wanted tables")
	ignoreFlag(f, &flags.ignore)
	f.BoolVar(&flags.dryRun, "dry-run", false, "show the migration, and write nothing")
	f.BoolVar(&flags.fix, "fix", false, "write what can be done safely in files of its own")
	f.StringArrayVar(&flags.scratch, "scratch-url", nil, "`URL` of an empty database to work on")
}

// databases is how many scratch databases it takes.
func (f diffFlags) databases() int {
	if f.toURL != "" {
		return 1
	}
	return 2
}

// verification says where one of them is: the first for the migrations.
func (f diffFlags) verification(which int) (v tldwdb.Verification) {
	if which < len(f.scratch) {
		v.ScratchURL = f.scratch[which]
	}
	return v
}

func (a *app) diff(cmd *cobra.Command, name string, flags diffFlags) error {
	dir, err := a.folder()
	if err != nil {
		return err
	}
	s, err := a.settings()
	if err != nil {
		return err
	}
	u, err := s.url()
	if err != nil {
		return err
	}
	there, err := numberedFiles(dir)
	if err != nil {
		return err
	}
	d := &differ{app: a, settings: s, name: u.Dialect, flags: flags, numbers: numberingOf(there), migration: name}
	d.first = d.numbers.next(false, false, time.Now())
	if _, err := os.Stat(filepath.Join(dir, d.name)); err == nil {
		d.sub = d.name
	}
	data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
		answer, err := d.plan(ctx, db)
		if err != nil || len(answer.Up) == 0 {
			return answer, err
		}
		if !flags.dryRun {
			answer.Files, err = writeNew(dir, answer.Texts)
			return answer, err
		}
		for _, file := range slices.Sorted(maps.Keys(answer.Texts)) {
			answer.Files = append(answer.Files, filepath.Join(dir, filepath.FromSlash(file)))
		}
		return answer, nil
	}, []func(*tldwdb.Config){looking, func(cfg *tldwdb.Config) { cfg.PoolSize = 0 }}) // one connection alone would wait for itself
	if err != nil {
		return err
	}
	if data.(diffAnswer).unsafe() {
		return a.answer(cmd, data, errUnhealthy)
	}
	return a.answer(cmd, data, nil)
}
