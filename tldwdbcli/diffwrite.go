package tldwdbcli

import (
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lint"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file makes migration files of the statements that a differ has found, and asks
// the rules of lint about them.

// pieces are the migrations to write, in their order: one, or those that a fix takes
// it apart into.
func (d *differ) pieces(answer diffAnswer) []lint.Migration {
	head := ""
	if answer.Irreversible != "" {
		head = "-- tldwdb: irreversible " + answer.Irreversible + "\n"
	}
	texts := answer.fixed
	if len(texts) == 0 {
		texts = []lint.FixedPiece{{Name: d.migration, Up: diffText(answer.Up), Down: diffText(answer.Down)}}
	}
	if len(answer.values.up) > 0 {
		texts = slices.Insert(slices.Clone(texts), 0, lint.FixedPiece{Name: d.migration + "_values", Up: diffText(answer.values.up), Down: diffText(answer.values.down)})
	}
	list := make([]lint.Migration, len(texts))
	for i, text := range texts {
		version, err := parseVersion(d.first)
		if err != nil {
			version = d.numbers.last + 1 // next gives numbers
		}
		digits := d.first
		if i > 0 {
			version += int64(i)
			digits = d.numbers.format(version)
		}
		stem := path.Join(d.sub, digits+"_"+text.Name)
		up := text.Up
		if head != "" && !strings.HasPrefix(up, "-- tldwdb: ") {
			up = "\n" + up
		}
		list[i] = lint.Migration{Version: version, Name: text.Name, Up: ruleText(stem+".up.sql", head+up)}
		if answer.Irreversible == "" {
			list[i].Down = ruleText(stem+".down.sql", text.Down)
		}
	}
	return list
}

// ruleText is a file that diff has written, as rules see it.
func ruleText(path, text string) *lint.Text {
	return &lint.Text{
		Path: path, SQL: text, NoTransaction: strings.Contains(text, "-- tldwdb: no-transaction\n"), Irreversible: strings.HasPrefix(text, "-- tldwdb: irreversible "),
	}
}

// files are the texts of migrations by their paths.
func (d *differ) files(list []lint.Migration) map[string]string {
	files := map[string]string{}
	for _, m := range list {
		files[m.Up.Path] = m.Up.SQL
		if m.Down != nil {
			files[m.Down.Path] = m.Down.SQL
		}
	}
	return files
}

// migrations are those of the folder, for what they have made, and the new ones.
func (d *differ) migrations(answer diffAnswer) ([]lint.Migration, error) {
	files, err := tldwdb.Files(d.settings.config, d.name)
	if err != nil {
		return nil, err
	}
	list := lintable(files)
	for i := range list {
		list[i].Quiet = true
	}
	return append(list, d.pieces(answer)...), nil
}

// rules are the configured ones, for the server at hand, as at Up.
func (d *differ) rules() (dialectName string, cfg tldwdblint.Config) {
	dialectName, cfg = d.name, d.settings.config.Lint
	if d.dialect.ScanOptions().MariaDB {
		dialectName = "mariadb"
	}
	cfg.Severity = maps.Clone(cfg.Severity)
	if cfg.Severity == nil {
		cfg.Severity = map[string]tldwdblint.Severity{}
	}
	cfg.Severity["MY114"] = tldwdblint.SeverityOff // MODIFY loses what it does not repeat: here that is what is wanted
	if release := d.facts.Release(); release != "" && cfg.Target[dialectName] == "" {
		cfg.Target = map[string]string{dialectName: release}
	}
	return dialectName, cfg
}

// fix takes the migration apart where that is known to be safer.
func (d *differ) fix(answer *diffAnswer) error {
	list, err := d.migrations(*answer)
	if err != nil {
		return err
	}
	name, cfg := d.rules()
	fixes, err := lint.Fixes(list, name, cfg)
	if err != nil {
		return err
	}
	for _, f := range fixes {
		switch {
		case f.Path != list[len(list)-1].Up.Path: // of values, which have a file of their own
		case !d.flags.fix:
			answer.Fixable = answer.Fixable || f.Why == ""
		case f.Why != "":
			answer.Unfixed = append(answer.Unfixed, f.Path+": "+f.Why)
		default:
			answer.fixed = f.Pieces
		}
	}
	return nil
}

// judge asks the rules about the files as they will be written.
func (d *differ) judge(answer *diffAnswer) error {
	list, err := d.migrations(*answer)
	if err != nil {
		return err
	}
	answer.Texts = d.files(d.pieces(*answer))
	name, cfg := d.rules()
	answer.Findings, err = lint.Check(list, name, cfg)
	return err
}

// diffText is a file. A semicolon behind a comment would be part of it.
func diffText(statements []string) string {
	var b strings.Builder
	for _, statement := range statements {
		b.WriteString(statement)
		if last := statement[strings.LastIndexByte(statement, '\n')+1:]; strings.Contains(last, "--") || strings.Contains(last, "#") {
			b.WriteByte('\n')
		}
		b.WriteString(";\n")
	}
	return b.String()
}
