package tldwdbcli

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// seedAnswer is what was seeded, what would be, or a file of seeds.
type seedAnswer struct {
	tldwdb.SeedResult
	DryRun bool   `json:"dry_run"`            // nothing was written
	Dumped string `json:"fixtures,omitempty"` // of --dump: the file
}

func (s seedAnswer) text(p *printer) {
	if s.Dumped != "" {
		p.linef("%s", strings.TrimRight(s.Dumped, "\n"))
		return
	}
	if len(s.Sets) == 0 {
		return
	}
	t := p.table("SET", "TABLE", "INSERTED", "UPDATED", "UNCHANGED")
	for _, set := range s.Sets {
		for _, table := range set.Tables {
			t.row(set.Name, oneLine(table.Name, 60), fmt.Sprint(table.Inserted), fmt.Sprint(table.Updated), p.faint(fmt.Sprint(table.Unchanged)))
		}
	}
	t.end()
	for _, set := range s.Sets {
		for _, table := range set.Tables {
			s.keys(p, "+", table.Name, table.InsertedKeys, table.Inserted)
			s.keys(p, "~", table.Name, table.UpdatedKeys, table.Updated)
		}
		for _, file := range set.Ran {
			p.linef("%s %s", p.paint(colorGreen, map[bool]string{true: "would run", false: "ran"}[s.DryRun]), oneLine(file, 100))
		}
		for _, file := range set.Edited {
			p.linef("%s %s runs once, and was edited behind its run", p.paint(colorYellow, "note:"), oneLine(file, 100))
		}
	}
	p.linef("")
	switch n := s.Changes(); {
	case s.DryRun:
		p.linef("%s would be written", plural(int(n), "row"))
	case n == 0:
		p.linef("all rows are there")
	default:
		p.linef("%s written in %s", plural(int(n), "row"), took(s.Duration))
	}
}

// keysShown is how many rows of a table are named.
const keysShown = 20

func (s seedAnswer) keys(p *printer, sign, table string, keys []string, all int64) {
	for i, key := range keys {
		if i == keysShown {
			p.linef("%s %s %s", sign, oneLine(table, 60), p.faint(fmt.Sprintf("and %d more", all-keysShown)))
			return
		}
		p.linef("%s %s %s", p.paint(colorGreen, sign), oneLine(table, 60), oneLine(key, 100))
	}
}

func (a *app) seedCommand(root *cobra.Command) {
	var dir string
	var dry, dump bool
	var options tldwdb.DumpSeedOptions
	cmd := a.add(root, command{
		use: "seed [SET…] [flags]", group: groupRun, short: "Write the rows that belong into the database, as far as they are missing",
		long: `
Writes sets of seeds: folders with files of rows (YAML, JSON, CSV) and of SQL. Without
a name these are the set common and that of the environment (development, test or
production). Rows that are there, by their keys, are left alone, unless their file
says that they are to be updated, so it may be run at any time. Each set is one
transaction, under the migration lock. --dry-run says what would be written.

The sets development and test are refused on a production database, unless it is
named by --yes-on.

With --dump it writes rows of the database as a file of seeds instead: the named
tables, or all of them, without those that --skip names. --mask keeps personal data
out: table.column=kind, where the kind is email, name, hash, null or fixed:TEXT.`,
		example: `
tldwdb seed --dir seeds
tldwdb seed --dir seeds common --dry-run
tldwdb seed --dump user --mask user.email=email --mask user.access_token=null`,
		args: cobra.ArbitraryArgs,
		run: func(cmd *cobra.Command, args []string) error {
			if dump && (dry || dir != "") {
				return usagef("--dump writes a file of seeds from the database: it takes neither --dir nor --dry-run")
			}
			if len(options.Masks)+len(options.Skip) > 0 && !dump {
				return usagef("--mask and --skip are for --dump")
			}
			if dump {
				options.Tables = args
				return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
					var file bytes.Buffer
					if err := db.DumpSeed(ctx, &file, options); err != nil {
						return nil, err
					}
					return seedAnswer{SeedResult: tldwdb.SeedResult{Sets: []tldwdb.SeededSet{}}, Dumped: file.String()}, nil
				}, looking)
			}
			if dir != "" {
				if info, err := os.Stat(dir); err != nil || !info.IsDir() {
					return usagef("the folder of seeds %s is not there", dir)
				}
			}
			if dir == "" && a.opts.Config.Seeds == nil && len(a.opts.Config.GoSeeds) == 0 {
				return usagef("which seeds? name their folder with --dir")
			}
			edits := []func(*tldwdb.Config){func(cfg *tldwdb.Config) {
				if dir != "" {
					cfg.Seeds, cfg.SeedsDir = folderFS(dir), "."
				}
			}}
			if dry {
				edits = append(edits, looking)
			}
			return a.withDB(cmd, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				seed := db.Seed
				if dry {
					seed = db.PlanSeed
				}
				result, err := seed(ctx, args...)
				return seedAnswer{SeedResult: result, DryRun: dry}, err
			}, edits...)
		},
	})
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "", "`folder` of the sets of seeds (default: built in)")
	f.BoolVar(&dry, "dry-run", false, "say what would be written, and write nothing")
	f.BoolVar(&dump, "dump", false, "write rows of the database as a file of seeds")
	f.StringSliceVar(&options.Skip, "skip", nil, "with --dump: `tables` to leave out (cache_*)")
	f.StringArrayVar(&options.Masks, "mask", nil, "with --dump: `column=kind` to mask, see above")
}
