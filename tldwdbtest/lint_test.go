package tldwdbtest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// TestLint: what is unsafe fails the test, on the engines that are asked for; what is only worth a thought does not.
func TestLint(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{
		"0001_a.up.sql":   {Data: []byte("CREATE TABLE a (id bigint NOT NULL PRIMARY KEY, v bigint);")},
		"0001_a.down.sql": {Data: []byte("DROP TABLE a;")},
		"0002_b.up.sql":   {Data: []byte("CREATE INDEX a_v ON a (v);")},
	}
	for name, c := range map[string]struct {
		cfg        Config
		fails, log string
	}{
		"postgres": {Config{Migrations: fsys, Engine: Postgres}, "0002_b.up.sql:1:1: warning PG101: ", "CREATE INDEX CONCURRENTLY a_v ON a (v);"},
		"sqlite":   {Config{Migrations: fsys}, "", "notice GN102"},
		"both":     {Config{Migrations: fsys, Engines: []Engine{SQLite, Postgres}}, "warning PG101: ", ""},
		"later":    {Config{Engine: Postgres, Base: tldwdb.Config{Migrations: fsys, Lint: tldwdblint.Config{StartAfter: 2}}}, "", ""},
		"wrong":    {Config{Migrations: fstest.MapFS{"1.sql": {}}}, "judging the migrations for sqlite", ""},
	} {
		f := &fake{TB: t}
		f.run(func(tb TB) { Lint(tb, c.cfg) })
		if text := f.log.String(); f.failed != (c.fails != "") || !strings.Contains(text, c.fails) || !strings.Contains(text, c.log) {
			t.Errorf("%s: failed %v with\n%s", name, f.failed, text)
		}
	}
}
