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
	"go.yaml.in/yaml/v3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/convert"
	"github.com/tldw/tldwdb/internal/foreign"
)

// This file has the commands that take a database over, and those that mend one.

func (a *app) careCommands(root *cobra.Command) {
	a.baselineCommand(root)
	a.adoptCommand(root)
	a.repairCommand(root)
	a.copyCommand(root)
	a.seedCommand(root)
}

// baselineAnswer is what a baseline wrote.
type baselineAnswer struct {
	*tldwdb.Result
	Verified bool `json:"verified"` // the schema was compared with what the migrations make
}

func (b baselineAnswer) text(p *printer) {
	for _, d := range b.Accepted {
		p.linef("%s %s", p.paint(colorYellow, "accepted:"), d)
	}
	if b.Verified && len(b.Accepted) == 0 {
		p.linef("%s the schema is what the migrations up to version %d make", p.paint(colorGreen, "ok:"), b.After)
	}
	p.linef("the migrations up to version %d are taken as applied; 'up' goes on from there", b.After)
}

func (a *app) baselineCommand(root *cobra.Command) {
	var how tldwdb.Verification
	var noVerify bool
	cmd := a.add(root, command{
		use: "baseline V [flags]", group: groupCare, short: "Take migrations as applied without running them",
		long: `
Takes the migrations up to version V as applied without running them: for a
database that something else made, and that has their schema. It writes nothing but
the history.

First it proves that: it runs the migrations on a scratch database (a temporary
file for SQLite; elsewhere a database beside this one, which is dropped again), and
compares every table, index, view, trigger and routine. When something differs it
says what, writes nothing, and ends with exit code 3; --force takes the database as
it is, and keeps the differences in the history.

A database that another migration tool has kept is for 'adopt'.`,
		example: `
tldwdb baseline 1
tldwdb baseline 1 --ignore 'audit_*' --force
tldwdb baseline 1 --no-verify`,
		args: exactly("the version"),
		run: func(cmd *cobra.Command, args []string) error {
			version, err := parseVersion(args[0])
			switch {
			case err != nil:
				return err
			case noVerify && (how.Force || how.ScratchURL != "" || how.AnyColumnOrder || len(how.Ignore) > 0):
				return usagef("--no-verify compares nothing: leave out the flags that say how to compare")
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				baseline := db.Baseline
				if !noVerify {
					baseline = func(ctx context.Context, version int64) (*tldwdb.Result, error) {
						return db.BaselineVerified(ctx, version, how)
					}
				}
				res, err := baseline(ctx, version)
				if err != nil {
					return nil, err
				}
				return baselineAnswer{res, !noVerify}, nil
			})
		},
	})
	f := cmd.Flags()
	f.BoolVar(&noVerify, "no-verify", false, "do not compare the schema with the migrations")
	f.BoolVar(&how.Force, "force", false, "take the database as it is, differences noted")
	ignoreFlag(f, &how.Ignore)
	f.BoolVar(&how.AnyColumnOrder, "any-column-order", false, "columns may stand in another order")
	f.StringVar(&how.ScratchURL, "scratch-url", "", "`URL` of an empty database to run the migrations on")
}

// adoptAnswer is what was found and written.
type adoptAnswer struct {
	*tldwdb.Adoption
	failed bool
}

func (a adoptAnswer) text(p *printer) {
	p.linef("found the history of %s in %s: %s", a.Tool, a.Table, plural(len(a.Found), "version"))
	if a.failed { // the error says the rest
		if n := len(a.Found); n > 0 {
			p.linef("the newest of them is %s", a.Found[n-1].Version)
		}
		return
	}
	word := "taken as applied"
	if a.DryRun {
		word = "would be taken as applied"
	}
	for _, id := range a.Written {
		p.linef("%s %s", p.paint(colorGreen, word), id)
	}
	for _, version := range a.Unknown {
		p.linef("%s %s is none of ours", p.paint(colorYellow, "note:"), version)
	}
	for _, id := range a.Unapplied {
		p.linef("%s %s", p.paint(colorYellow, "pending"), id)
	}
	switch {
	case a.Already:
		p.linef("already adopted: nothing was written")
	case a.DryRun:
		p.linef("nothing was written (--dry-run)")
	case len(a.Unapplied) > 0:
		p.linef("adopted; 'up' applies what is pending")
	default:
		p.linef("adopted; nothing is pending")
	}
}

func (a *app) adoptCommand(root *cobra.Command) {
	var req tldwdb.AdoptRequest
	var pairs []string
	var mapFile string
	cmd := a.add(root, command{
		use: "adopt [flags]", group: groupCare, short: "Take over the history of another migration tool",
		long: `
Finds what another tool has applied (Alembic and Flask-Migrate, Atlas, dbmate,
Django, Flyway, golang-migrate, goose, Liquibase, Prisma, Rails, refinery,
sql-migrate, sqlx, tern), and takes the same migrations of ours as applied. Their
table is left alone. Versions with equal numbers are the same; others need --map:
"when this one of theirs is applied, ours up to that version are there". Files that
'import' made bring their own map.`,
		example: `
tldwdb adopt --dry-run
tldwdb adopt --map a91b6cd24e07=2
tldwdb adopt --from goose --from-table db_version`,
		run: func(cmd *cobra.Command, _ []string) error {
			if req.From != "" && !slices.Contains(foreign.Tools(), req.From) {
				return usagef("--from is %q: accepted are %s", req.From, joined(foreign.Tools()))
			}
			s, err := a.settings()
			if err != nil {
				return err
			}
			if req.Versions, err = versionMap(s, pairs, mapFile); err != nil {
				return err
			}
			data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				adoption, err := db.Adopt(ctx, req)
				if adoption == nil || adoption.Tool == "" { // nothing was found
					return nil, err
				}
				return adoptAnswer{adoption, err != nil}, err
			}, []func(*tldwdb.Config){withoutMaking})
			if data == nil {
				return err
			}
			return a.answer(cmd, data, err)
		},
	})
	f := cmd.Flags()
	f.StringVar(&req.From, "from", "", "the `tool`, where there are several")
	f.StringVar(&req.Table, "from-table", "", "the tool's `table`, where its name is unusual")
	f.StringArrayVar(&pairs, "map", nil, "`THEIRS=OURS`: with theirs, ours up to that are there")
	f.StringVar(&mapFile, "map-file", "", "`file` of such pairs, as YAML: 'theirs: ours'")
	f.BoolVar(&req.DryRun, "dry-run", false, "only say what would be written")
}

// joined are names in a sentence, in order.
func joined[S ~string](names []S) string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = string(name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// versionMap collects the pairs of all places, the flags before the file before
// what 'import' has left in the folder of the migrations.
func versionMap(s *settings, pairs []string, file string) (map[string]int64, error) {
	versions := map[string]int64{}
	if s.config.Migrations != nil {
		manifest, err := convert.ReadManifest(s.config.Migrations, s.config.MigrationsDir)
		switch {
		case err == nil:
			for theirs, ours := range manifest.Versions {
				versions[theirs] = ours
			}
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		}
	}
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, usagef("--map-file: %w", err)
		}
		var document yaml.Node
		if err := yaml.Unmarshal(text, &document); err != nil {
			return nil, usagef("%s: it is not YAML: %s", file, strings.TrimPrefix(firstLine(err.Error()), "yaml: "))
		}
		if len(document.Content) == 0 || document.Content[0].Kind != yaml.MappingNode {
			return nil, usagef("%s: expected lines of the form 'theirs: ours'", file)
		}
		list := document.Content[0].Content
		for i := 0; i < len(list); i += 2 {
			ours, err := parseVersion(list[i+1].Value)
			if err != nil {
				return nil, usagef("%s:%d: %w", file, list[i+1].Line, err)
			}
			versions[list[i].Value] = ours
		}
	}
	for _, pair := range pairs {
		i := strings.LastIndex(pair, "=")
		if i < 1 {
			return nil, usagef("--map is %q: write THEIRS=OURS, such as a91b6cd24e07=2", pair)
		}
		ours, err := parseVersion(pair[i+1:])
		if err != nil {
			return nil, usagef("--map is %q: %w", pair, err)
		}
		versions[pair[:i]] = ours
	}
	return versions, nil
}

// repairAnswer is what needs a decision.
type repairAnswer struct {
	Findings []tldwdb.Finding `json:"findings"`
	Fixed    []tldwdb.Fix     `json:"fixed"` // the decisions that were carried out
}

func (r repairAnswer) text(p *printer) {
	if len(r.Fixed) > 0 {
		for _, fix := range r.Fixed {
			p.linef("%s %s: %s", p.paint(colorGreen, "done"), name(fix.Migration), fix.Kind)
		}
		return
	}
	if len(r.Findings) == 0 {
		p.linef("%s nothing needs a decision", p.paint(colorGreen, "ok:"))
		return
	}
	for i, f := range r.Findings {
		if i > 0 {
			p.linef("")
		}
		p.linef("%s: %s", p.paint(colorBold, f.Migration.String()), f.Problem)
		for _, line := range f.Evidence {
			p.linef("  %s", strings.ReplaceAll(line, "\n", "\n    "))
		}
		switch {
		case f.Automatic:
			p.linef("  no decision is needed: the next 'up' deals with it")
		default:
			for _, kind := range f.Fixes {
				p.linef("  %s  %s", p.paint(colorYellow, fmt.Sprintf("repair %s=%s", name(f.Migration), kind)), meanings[kind])
			}
		}
	}
}

// name is a migration as 'repair' takes it.
func name(id tldwdb.ID) string {
	if id.Repeatable {
		return id.String()
	}
	return strconv.FormatInt(id.Version, 10)
}

// meanings say what each fix states.
var meanings = map[tldwdb.FixKind]string{
	tldwdb.FixDone:     "the statement in doubt took effect: go on behind it",
	tldwdb.FixRetry:    "the statement in doubt had no effect: begin with it",
	tldwdb.FixApplied:  "all of the migration has taken effect",
	tldwdb.FixForget:   "nothing of it is there: run it from its beginning",
	tldwdb.FixChecksum: "the edited file is right: take it for what was applied",
}

func (a *app) repairCommand(root *cobra.Command) {
	a.add(root, command{
		use: "repair [V=FIX ...] [flags]", group: groupCare, short: "Show what needs a decision, or carry decisions out",
		long: `
Without arguments it shows each migration that needs a decision, what is known
about it, and the decisions that fit. It writes nothing then. With V=FIX it carries
decisions out:

  done       the statement in doubt took effect: go on behind it
  retry      it had no effect: begin with it
  applied    all of the migration has taken effect
  forget     nothing of it is there: run it from its beginning
  checksum   the edited file is right: take it for what was applied

A migration that failed on PostgreSQL or SQLite never needs it: it was rolled back.
To forget what is applied on a production database needs --yes-on.`,
		example: `
tldwdb repair
tldwdb repair 1=checksum`,
		args: cobra.ArbitraryArgs,
		run: func(cmd *cobra.Command, args []string) error {
			fixes := make([]tldwdb.Fix, len(args))
			for i, arg := range args {
				var err error
				if fixes[i], err = parseFix(arg); err != nil {
					return err
				}
			}
			return a.destructive(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				findings, err := db.Repair(ctx, fixes...)
				if err != nil {
					return nil, err
				}
				return repairAnswer{findings, fixes}, nil
			})
		},
	})
}

func parseFix(text string) (tldwdb.Fix, error) {
	which, kind, ok := strings.Cut(text, "=")
	if !ok {
		return tldwdb.Fix{}, usagef("%q is no decision: write V=FIX, such as 3=done", text)
	}
	fix := tldwdb.Fix{Kind: tldwdb.FixKind(kind)}
	if _, known := meanings[fix.Kind]; !known {
		return tldwdb.Fix{}, usagef("%q is no decision: known are done, retry, applied, forget and checksum", kind)
	}
	var err error
	fix.Migration, err = parseID(which)
	return fix, err
}

// importAnswer is a folder of another tool in our form.
type importAnswer struct {
	Tool       string            `json:"tool"`
	Dialect    string            `json:"dialect"`
	Dir        string            `json:"dir"`
	Files      []string          `json:"files"`
	Renumbered bool              `json:"renumbered"`
	Notes      []convert.Finding `json:"notes"`
	DryRun     bool              `json:"dry_run"`
}

func (i importAnswer) text(p *printer) {
	for _, note := range i.Notes {
		p.linef("%s %s", p.paint(colorYellow, "note:"), note)
	}
	for _, file := range i.Files {
		p.linef("%s", filepath.Join(i.Dir, file))
	}
	if i.DryRun {
		p.linef("%s from %s; nothing was written (--dry-run)", plural(len(i.Files), "file"), i.Tool)
		return
	}
	p.linef("%s from %s", plural(len(i.Files), "file"), i.Tool)
	if i.Renumbered {
		p.linef("the versions are new ones: %s says which is which, and 'adopt' reads it", filepath.Join(i.Dir, convert.ManifestName))
	}
}

func (a *app) importCommand(root *cobra.Command) {
	var opts convert.Options
	var tool, to string
	var values []string
	var dryRun bool
	cmd := a.add(root, command{
		use: "import DIR [flags]", group: groupFiles, short: "Turn another tool's migration files into ours",
		long: `
Reads a folder of another tool (Alembic's --sql output, Atlas, dbmate, Flyway,
golang-migrate, goose, Liquibase's formatted SQL, Prisma, refinery, sql-migrate,
sqlx, tern) and writes its migrations in our form into a new folder, with a
manifest that has the checksums of both. Nothing that is executable is dropped:
what cannot be expressed is an error with file and line, and nothing is written.

The files of goose, dbmate and golang-migrate run as they are, too.`,
		example: `
tldwdb import db/migrations --to migrations --dry-run`,
		args: exactly("the folder"),
		run: func(cmd *cobra.Command, args []string) error {
			opts.Tool = convert.Tool(tool)
			switch {
			case tool != "" && !slices.Contains(convert.Tools(), opts.Tool):
				return usagef("--from is %q: accepted are %s", tool, joined(convert.Tools()))
			case opts.Dialect != "" && !slices.Contains(dialects, opts.Dialect):
				return usagef("--dialect is %q: accepted are sqlite, postgres and mysql (for MariaDB too)", opts.Dialect)
			}
			opts.Values = map[string]string{}
			for _, pair := range values {
				name, value, ok := strings.Cut(pair, "=")
				if !ok {
					return usagef("--value is %q: write NAME=VALUE", pair)
				}
				opts.Values[name] = value
			}
			switch info, err := os.Stat(args[0]); {
			case err != nil:
				return usagef("the folder: %w", err)
			case !info.IsDir():
				return usagef("%s is no folder", args[0])
			}
			result, err := convert.Convert(os.DirFS(args[0]), opts)
			if err != nil {
				return err
			}
			answer := importAnswer{Tool: string(result.Tool), Dialect: result.Dialect, Dir: to, Renumbered: result.Manifest.Renumbered, Notes: result.Notes, DryRun: dryRun}
			for _, f := range result.Files {
				answer.Files = append(answer.Files, f.Name)
			}
			if !dryRun {
				if err := result.Write(to); err != nil {
					return err
				}
			}
			return a.answer(cmd, answer, nil)
		},
	})
	f := cmd.Flags()
	f.StringVar(&to, "to", "migrations", "the new, or empty, `folder`")
	f.StringVar(&tool, "from", "", "the `tool`, where the files do not say")
	f.StringVar(&opts.Dialect, "dialect", "", "sqlite, postgres or mysql, where the files do not say")
	f.StringArrayVar(&values, "value", nil, "`NAME=VALUE` for Flyway's ${NAME} (repeatable)")
	f.BoolVar(&dryRun, "dry-run", false, "only say what would be written")
}
