package tldwdbcli

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// schemas are the JSON Schemas of the answers, one for each command. A test makes
// them from the types, and fails when they are not what is here.
//
//go:embed schema/*.json
var schemas embed.FS

type schemaAnswer struct{ document string }

func (s schemaAnswer) text(p *printer) { p.linef("%s", strings.TrimRight(s.document, "\n")) }

// schemaNames are the commands that have a schema.
func schemaNames() []string {
	entries, err := schemas.ReadDir("schema")
	if err != nil {
		return nil // it is embedded
	}
	names := make([]string, 0, len(entries))
	for _, entry := range entries {
		names = append(names, strings.TrimSuffix(entry.Name(), ".json"))
	}
	return names
}

func (a *app) schemaCommand(root *cobra.Command) {
	a.add(root, command{
		use: "schema [COMMAND]", group: groupLook, short: "Show the JSON Schema of a command's --json answer",
		long: `
Shows the JSON Schema (draft 2020-12) of what a command prints with --json. Without
a command it lists those that have one. The version of all of them is the member
"schema" of each answer; it changes when a program that reads them has to.`,
		example: `
tldwdb schema
tldwdb schema status`,
		args: atMost(1),
		run: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				p := a.printer(cmd.OutOrStdout())
				for _, name := range schemaNames() {
					p.linef("%s", name)
				}
				return p.err
			}
			if !slices.Contains(schemaNames(), args[0]) {
				return usagef("%q has no schema: known are %s", args[0], strings.Join(schemaNames(), ", "))
			}
			text, err := schemas.ReadFile(path.Join("schema", args[0]+".json"))
			if err != nil {
				return fmt.Errorf("the schema of %s: %w", args[0], err)
			}
			p := a.printer(cmd.OutOrStdout())
			schemaAnswer{string(text)}.text(p)
			return p.err
		},
	})
}
