package tldwdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	f := files{
		"0001_a.up.sql":         "-- tldwdb: lock-timeout=2s\n-- tldwdb: assured rule it is empty\nCREATE TABLE a (id integer);",
		"0001_a.down.sql":       "DROP TABLE a;",
		"0003_c.sql":            "-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\n-- +goose Down\nSELECT 2;",
		"0004_d.up.sql":         "-- tldwdb: irreversible it is gone\nSELECT 1;",
		"0004_d.down.sql":       "SELECT 1;",
		"R__v.sql":              "CREATE VIEW v AS SELECT 1;",
		"mysql/0001_a.down.sql": "DROP TABLE `a`;",
	}
	list, err := tldwdb.Files(tldwdb.Config{Migrations: f.fs(), GoMigrations: []tldwdb.GoMigration{{Version: 2, Name: "b", Up: nothing, Down: nothing}}}, "mariadb")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range list {
		line := fmt.Sprint(m.Migration, " ", m.Go, " ", m.Reversible)
		for _, side := range []*tldwdb.FileText{m.Up, m.Down} {
			if side != nil {
				line += fmt.Sprintf("; %s %d %q %q", side.Path, len(side.Checksum), side.Directives, side.Text)
			}
		}
		got = append(got, line)
	}
	want := `0001_a false true; 0001_a.up.sql 64 ["lock-timeout=2s" "assured rule it is empty"] "-- tldwdb: lock-timeout=2s\n-- tldwdb: assured rule it is empty\nCREATE TABLE a (id integer);"; mysql/0001_a.down.sql 64 [] "DROP TABLE ` + "`a`" + `;"
0002_b true true
0003_c false true; 0003_c.sql 64 ["no-transaction"] "-- +goose NO TRANSACTION\n-- +goose Up\nSELECT 1;\n"; 0003_c.sql 64 ["no-transaction"] "-- +goose NO TRANSACTION\n\n\n-- +goose Down\nSELECT 2;"
0004_d false false; 0004_d.up.sql 64 ["irreversible it is gone"] "-- tldwdb: irreversible it is gone\nSELECT 1;"; 0004_d.down.sql 64 [] "SELECT 1;"
R__v false false; R__v.sql 64 [] "CREATE VIEW v AS SELECT 1;"`
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}

	_, err = tldwdb.Files(tldwdb.Config{Migrations: files{"1_x.down.sql": "", "what.sql": ""}.fs()}, "sqlite")
	var faulty *tldwdb.LoadError
	if !errors.As(err, &faulty) || len(faulty.Problems) != 2 {
		t.Errorf("faulty files: %v", err)
	}
	if _, err := tldwdb.Files(tldwdb.Config{}, "oracle"); err == nil || !strings.Contains(err.Error(), "mariadb") {
		t.Errorf("an unknown dialect: %v", err)
	}
}

func nothing(context.Context, tldwdb.Conn) error { return nil }
