package tldwdbtest

import (
	"cmp"
	"strings"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// Lint fails the test for each statement in the migrations of cfg that a rule finds unsafe: one that would stop
// writers or readers, break the programs that run meanwhile, fail, or lose something (docs/lint). The error has
// the place, and how the same is done safely. Findings of severity Notice are in the log of the test and do not fail it. It needs no
// database.
//
// The rules are those of Config.Engines, or else of Config.Engine, or else of SQLite; Config.Base.Lint sets them.
func Lint(tb TB, cfg Config) {
	tb.Helper()
	engines := cfg.Engines
	if len(engines) == 0 {
		engines = []Engine{cmp.Or(cfg.Engine, SQLite)}
	}
	for _, e := range engines {
		findings, err := tldwdb.Lint(cfg.base(), string(e))
		if err != nil {
			tb.Errorf("tldwdbtest: judging the migrations for %s: %v", e, err)
			continue
		}
		for _, f := range findings {
			text := f.String()
			if f.Remedy != "" {
				text += "\n\t" + strings.ReplaceAll(f.Remedy, "\n", "\n\t")
			}
			if f.Severity.AtLeast(tldwdblint.SeverityWarning) {
				tb.Errorf("%s", text)
			} else {
				tb.Logf("%s", text)
			}
		}
	}
}
