package tldwdb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lint"
	"github.com/tldw/tldwdb/tldwdblint"
)

// This file asks the rules of internal/lint about migrations: all of them for those who ask, what is pending at a run.

// Lint judges the migrations of cfg for one dialect (sqlite, postgres, mysql or mariadb) before they run: what would stop
// writers or readers, break the programs that run meanwhile, fail, or lose something. Config.Lint sets the rules; its
// Mode has no meaning here. The findings are in the order of the migrations. It needs no database.
//
// The error is a *[LoadError] for files that cannot be loaded, or about Config.Lint.
func Lint(cfg Config, dialectName string) ([]tldwdblint.Finding, error) {
	src, err := cfg.source(dialectName)
	if err != nil {
		return nil, err
	}
	list, err := src.lintable(nil)
	if err != nil {
		return nil, err
	}
	findings, err := lint.Check(list, dialectName, cfg.Lint)
	if err != nil {
		return nil, fmt.Errorf("Config.Lint: %w", err)
	}
	return findings, nil
}

// lintable is the source as rules see it. With only, findings are wanted of those migrations alone; the others are
// there for what they have made.
func (s *source) lintable(only func(ID) bool) ([]lint.Migration, error) {
	list := make([]lint.Migration, len(s.migrations))
	for i, m := range s.migrations {
		list[i] = lint.Migration{Version: m.id.Version, Name: m.id.Name, Repeatable: m.id.Repeatable, Go: m.code != nil, Quiet: only != nil && !only(m.id)}
		var err error
		if snap := m.squashed; snap != nil { // its last migration brings what all have made
			list[i].Quiet = true
			if snap.version == m.id.Version {
				list[i].Up, err = s.lintText(snap.script)
			}
			if err != nil {
				return nil, err
			}
			continue
		}
		if list[i].Up, err = s.lintText(m.up); err != nil {
			return nil, err
		}
		if only != nil { // a run upwards: nobody asks about the way back
			list[i].OneWay = true
			continue
		}
		if list[i].Down, err = s.lintText(m.down); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (s *source) lintText(sc *script) (*lint.Text, error) {
	text, err := s.fileText(sc)
	if text == nil || err != nil {
		return nil, err
	}
	return &lint.Text{Path: text.Path, SQL: text.Text, NoTransaction: sc.directives.NoTransaction, Irreversible: sc.directives.Irreversible != ""}, nil
}

// mostLogged is how many findings of a run are in the log: a new database has all of its migrations before it.
const mostLogged = 10

// lint judges what is to be applied, as Config.Lint says.
func (r *run) lint(ctx context.Context, steps []step) error {
	mode := r.cfg.Lint.Mode
	if mode == tldwdblint.ModeOff || mode == tldwdblint.ModeWarn && !r.log.Enabled(ctx, slog.LevelWarn) {
		return nil
	}
	pending := func(id ID) bool {
		return slices.ContainsFunc(steps, func(s step) bool {
			return s.direction == DirectionUp && s.migration != nil && s.migration.code == nil && compareIDs(s.id, id) == 0
		})
	}
	if !slices.ContainsFunc(steps, func(s step) bool { return pending(s.id) }) {
		return nil
	}
	findings, err := r.unsafe(pending)
	if err != nil {
		if mode == tldwdblint.ModeEnforce {
			return err
		}
		r.log.LogAttrs(ctx, slog.LevelWarn, "pending migrations were not judged", slog.Any("error", err))
		return nil
	}
	findings = slices.DeleteFunc(findings, func(f tldwdblint.Finding) bool { return !f.Severity.AtLeast(tldwdblint.SeverityWarning) })
	if len(findings) == 0 {
		return nil
	}
	if mode == tldwdblint.ModeEnforce {
		refused := &LoadError{Problems: make([]Problem, len(findings))}
		for i, f := range findings {
			refused.Problems[i] = Problem{File: f.File, Line: f.Line, Column: f.Column, Msg: f.Rule + ": " + f.Message}
		}
		advice := "nothing was touched; "
		if f := findings[0]; f.Remedy != "" {
			advice += "instead of the first: " + strings.Join(strings.Fields(strings.ReplaceAll(strings.TrimSuffix(f.Remedy, ";"), "\n", " / ")), " ") + "; "
		}
		return hinted(refused, advice+"or say why it does not matter, above the statement: -- tldwdb: assured "+findings[0].Rule+" REASON")
	}
	for i, f := range findings {
		if i == mostLogged {
			r.log.LogAttrs(ctx, slog.LevelWarn, "more is unsafe in pending migrations", slog.Int("findings", len(findings)-i))
			break
		}
		r.log.LogAttrs(ctx, slog.LevelWarn, "a pending migration is unsafe", slog.String("file", fmt.Sprintf("%s:%d", f.File, f.Line)), slog.String("rule", f.Rule),
			slog.String("finding", f.Message), slog.String("page", f.Page))
	}
	return nil
}

// unsafe is what the rules find in some of the migrations, for the server at hand.
func (r *run) unsafe(only func(ID) bool) ([]tldwdblint.Finding, error) {
	list, err := r.src.lintable(only)
	if err != nil {
		return nil, err
	}
	name, cfg := r.target()
	findings, err := lint.Check(list, name, cfg)
	if err != nil {
		return nil, fmt.Errorf("Config.Lint: %w", err)
	}
	return findings, nil
}

// target is the dialect of the server, and Config.Lint with its version.
func (r *run) target() (string, tldwdblint.Config) {
	name, cfg := r.d.Name(), r.cfg.Lint
	if name == dialect.NameMySQL && r.d.ScanOptions().MariaDB {
		name = "mariadb"
	}
	if version := r.facts.Release(); version != "" && cfg.Target[name] == "" {
		cfg.Target = map[string]string{name: version}
	}
	return name, cfg
}
