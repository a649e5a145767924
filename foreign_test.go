package tldwdb_test

import (
	"errors"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Folders as users of golang-migrate, goose and dbmate have them. Each case is
// one habit that was met in public repositories.

const anyEngine = testdb.Engine("")

var foreignFolders = []struct {
	name   string
	engine testdb.Engine // anyEngine: all of them
	files  map[string]string
	tables []string // what is there afterwards
	down   int      // how many of the migrations have a way back, from the newest
}{
	{
		name: "pairs of any width, with timestamps and other files beside them",
		files: map[string]string{
			"1_first.up.sql": "CREATE TABLE a (id int);", "1_first.down.sql": "DROP TABLE a;",
			"000002_second-one.up.sql": "CREATE TABLE b (id int)", "000002_second-one.down.sql": "DROP TABLE b",
			"20240229123456_third.x.up.sql": "CREATE TABLE c (id int);\r\n", "20240229123456_third.x.down.sql": "DROP TABLE c;\r\n",
			"README.md": "# not SQL", "atlas.sum": "h1:", "embed.go": "package migrations", ".keep": "",
		},
		tables: []string{"a", "b", "c"}, down: 3,
	},
	{
		name: "a down file with another name, and empty files",
		files: map[string]string{
			"30_add_note.up.sql": "CREATE TABLE a (id int);", "30_drop_note.down.sql": "DROP TABLE a;",
			"31_nothing.up.sql": "", "31_nothing.down.sql": "-- nothing to take back\n",
		},
		tables: []string{"a"}, down: 2,
	},
	{
		name: "a transaction around the whole file", engine: testdb.Postgres,
		files: map[string]string{
			"1_a.up.sql":   "-- licence\nBEGIN;\nCREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\nEND;\n",
			"1_a.down.sql": "BEGIN TRANSACTION;\nDROP TABLE a;\nCOMMIT;",
			"2_b.up.sql":   "SET lock_timeout = '1s';\nSTART TRANSACTION;\nCREATE TABLE b (id int);\nCOMMIT;\n", "2_b.down.sql": "DROP TABLE b;",
		},
		tables: []string{"a", "b"}, down: 2,
	},
	{
		name: "a transaction around the whole file, SQLite", engine: testdb.SQLite,
		files:  map[string]string{"1_a.up.sql": "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;\nCREATE TABLE a (id int);\nCOMMIT;\nPRAGMA foreign_keys=ON;\n"},
		tables: []string{"a"},
	},
	{
		name: "a single statement that wants no transaction", engine: testdb.Postgres,
		files: map[string]string{
			"1_a.up.sql": "CREATE TABLE a (id int);", "1_a.down.sql": "DROP TABLE a;",
			"2_index.up.sql": "CREATE INDEX CONCURRENTLY a_id ON a (id);", "2_index.down.sql": "DROP INDEX CONCURRENTLY a_id;",
			"3_vacuum.up.sql": "VACUUM a;", "3_vacuum.down.sql": "",
		},
		tables: []string{"a"}, down: 3,
	},
	{
		name: "goose: NO TRANSACTION above the sections", engine: testdb.Postgres,
		files: map[string]string{
			"00001_a.sql": "\xef\xbb\xbf-- +goose Up\nCREATE TABLE a (id int);\n-- +goose Down\nDROP TABLE a;\n",
			"00002_i.sql": "-- +goose NO TRANSACTION\n\n-- +goose Up\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nCREATE INDEX CONCURRENTLY a_id2 ON a (id);\n" +
				"-- +goose Down\nDROP INDEX CONCURRENTLY a_id;\nDROP INDEX CONCURRENTLY a_id2;\n",
			"00003_j.sql": "-- +goose Up\n-- +goose NO TRANSACTION\nCREATE INDEX CONCURRENTLY a_id3 ON a (id);\nCREATE INDEX CONCURRENTLY a_id4 ON a (id);\n" +
				"-- +goose Down\nDROP INDEX CONCURRENTLY a_id3;\nDROP INDEX CONCURRENTLY a_id4;\n",
		},
		tables: []string{"a"}, down: 3,
	},
	{
		name: "goose: sections, statement marks, our directive at the head",
		files: map[string]string{
			"20240101000000_a.sql": "-- a licence\n-- tldwdb: lock-timeout=3s\n\n-- +goose Up\n-- +goose StatementBegin\nSELECT 'up SQL query';\n-- +goose StatementEnd\n" +
				"CREATE TABLE a (id int);\n-- +goose StatementBegin\nCREATE TABLE b (id int);\n-- +goose StatementEnd\n\n" +
				"-- +goose Down\n-- +goose StatementBegin\nDROP TABLE b;\n-- +goose StatementEnd\nDROP TABLE a;\n",
			"20240102000000_c.sql": "--+goose up\nCREATE TABLE c (id int);\n\n--+goose DOWN\nDROP TABLE c;",
		},
		tables: []string{"a", "b", "c"}, down: 2,
	},
	{
		name: "goose: a trigger between statement marks", engine: testdb.MariaDB,
		files: map[string]string{
			"1_a.sql": "-- +goose Up\nCREATE TABLE a (id int);\n-- +goose StatementBegin\nCREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW\nBEGIN\n  SET NEW.id = 1;\n  SET @x = 2;\nEND;\n-- +goose StatementEnd\n" +
				"-- +goose Down\nDROP TABLE a;\n",
		},
		tables: []string{"a"}, down: 1,
	},
	{
		name: "dbmate: sections and transaction:false", engine: testdb.Postgres,
		files: map[string]string{
			"20240101000000_a.sql": "-- migrate:up\nCREATE TABLE a (id int);\n\n-- migrate:down\nDROP TABLE a;\n",
			"20240102000000_i.sql": "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY a_id ON a (id);\nCREATE INDEX CONCURRENTLY a_id2 ON a (id);\n\n-- migrate:down\nDROP INDEX a_id;\nDROP INDEX a_id2;\n",
		},
		tables: []string{"a"}, down: 2,
	},
	{
		name: "dbmate: without a way back",
		files: map[string]string{
			"20240101000000_a.sql": "-- migrate:up\nCREATE TABLE a (id int);\n",
			"20240102000000_b.sql": "-- migrate:up\nCREATE TABLE b (id int);\n\n-- migrate:down\n\n",
		},
		tables: []string{"a", "b"},
	},
}

func TestForeignFolders(t *testing.T) {
	t.Parallel()
	for _, c := range foreignFolders {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.engine != anyEngine {
				foreignFolder(t, testdb.New(t, c.engine), c.files, c.tables, c.down)
				return
			}
			testdb.ForEach(t, func(t *testing.T, db *testdb.Database) { foreignFolder(t, db, c.files, c.tables, c.down) })
		})
	}
}

func foreignFolder(t *testing.T, db *testdb.Database, files map[string]string, tables []string, down int) {
	t.Helper()
	handle := openAndUp(t, db, files)
	there := func() (found []string) {
		for _, name := range relations(t, db.Engine, db.AdminDB(t)) {
			if name != "tldwdb_history" {
				found = append(found, name)
			}
		}
		return found
	}
	if got, want := strings.Join(there(), " "), strings.Join(tables, " "); got != want {
		t.Errorf("tables after up: %s, want %s", got, want)
	}
	if down == 0 {
		if _, err := handle.Down(t.Context(), 1); !errors.Is(err, tldwdb.ErrIrreversible) {
			t.Errorf("down: %v, want ErrIrreversible", err)
		}
		return
	}
	if _, err := handle.Down(t.Context(), down); err != nil {
		t.Fatalf("down: %v", err)
	}
	if got := there(); len(got) > 0 {
		t.Errorf("tables after down: %v", got)
	}
	if _, err := handle.Up(t.Context()); err != nil {
		t.Errorf("up again: %v", err)
	}
}

func TestForeignFaults(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"no mark", map[string]string{"001_a.sql": "CREATE TABLE a (id int);"}, "001_a.sql: which direction is this?"},
		{"one version twice", map[string]string{"1_a.up.sql": "SELECT 1;", "0001_b.up.sql": "SELECT 1;"}, "version 1 is taken by 0001_b.up.sql already"},
		{"a statement above the sections", map[string]string{"1_a.sql": "-- head\nSELECT 1;\n-- +goose Up\nSELECT 2;"}, "1_a.sql:2: this stands before the first section"},
		{"environment variables", map[string]string{"1_a.sql": "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${HOME}';"}, "1_a.sql:2: environment variables are not substituted"},
		{"a misplaced directive", map[string]string{"1_a.sql": "-- +goose Up\nSELECT 2;\n-- tldwdb: no-transaction\n"}, "1_a.sql:3: a directive must stand before the first statement"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fsys := fstest.MapFS{}
			for name, text := range c.files {
				fsys[name] = &fstest.MapFile{Data: []byte(text)}
			}
			handle, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: testdb.New(t, testdb.SQLite).URL, Migrations: fsys})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = handle.Close() }()
			var load *tldwdb.LoadError
			if _, err := handle.Up(t.Context()); !errors.As(err, &load) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("up: %v, want a load error with %q", err, c.want)
			}
		})
	}
}
