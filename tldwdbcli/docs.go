package tldwdbcli

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdbdocs"
)

// docsAnswer is what the schema is.
type docsAnswer struct {
	*tldwdbdocs.Schema
	File string `json:"file,omitempty"` // where it was written

	document string
}

func (d docsAnswer) text(p *printer) {
	if d.File != "" {
		p.linef("%s", d.File)
		return
	}
	p.linef("%s", strings.TrimRight(d.document, "\n"))
}

func (a *app) docsCommand(root *cobra.Command) {
	var o tldwdb.DocumentOptions
	var title, out string
	var diagram bool
	cmd := a.add(root, command{
		use: "docs [flags]", group: groupFiles, short: "Write the schema down for people, with a diagram",
		long: `
Writes Markdown: a Mermaid diagram, every table with its columns, keys, comments,
indexes and triggers, every view, routine and type; and of each which migration made
it and which one changed it last. The same schema gives the same bytes: a copy in the
repository changes with the schema alone.

The migrations run on a scratch database, one after the other: a temporary file for
SQLite; elsewhere a database beside this one, which is dropped again, and which the
account has to be allowed to make. --scratch-url names an empty one instead, and what
is made there stays. With --live it is the database that is described, as it is.`,
		example: `
tldwdb docs --out docs/schema.md
tldwdb docs | diff docs/schema.md - || echo 'docs/schema.md is old'
tldwdb docs --live --ignore 'audit_*' --diagram > live.mmd`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
				schema, err := db.Document(ctx, o)
				if err != nil {
					return nil, err
				}
				var b strings.Builder
				write := func(w io.Writer) error { return schema.Markdown(w, title) }
				if diagram {
					write = schema.Mermaid
				}
				if err := write(&b); err != nil {
					return nil, err
				}
				if out != "" {
					if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil { //nolint:gosec // as below
						return nil, err
					}
					if err := os.WriteFile(out, []byte(b.String()), 0o644); err != nil { //nolint:gosec // for everybody to read, as the files beside it
						return nil, err
					}
				}
				return docsAnswer{schema, out, b.String()}, nil
			}, []func(*tldwdb.Config){looking})
			if err != nil {
				return err
			}
			return a.answer(cmd, data, nil)
		},
	})
	f := cmd.Flags()
	f.BoolVar(&o.Live, "live", false, "describe the database as it is")
	f.BoolVar(&diagram, "diagram", false, "write the Mermaid diagram alone")
	f.StringVar(&title, "title", "Schema", "the document's `title`")
	f.StringVar(&out, "out", "", "write to this `file`, in the place of what it has")
	ignoreFlag(f, &o.Ignore)
	f.StringVar(&o.ScratchURL, "scratch-url", "", "`URL` of an empty database to run the migrations on")
}
