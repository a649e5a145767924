package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// folderOf makes a file system of file names and texts.
func folderOf(files map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// outline shows a source as text: one line for each migration, in running order.
func outline(s *source) string {
	var b strings.Builder
	for _, m := range s.migrations {
		b.WriteString(m.id.String())
		if m.code != nil {
			b.WriteString(" go")
		}
		for _, sc := range []*script{m.up, m.down} {
			if sc == nil {
				continue
			}
			fmt.Fprintf(&b, " %s=%s", sc.direction, sc.file)
			d := sc.directives
			if d.NoTransaction {
				b.WriteString("[no-transaction]")
			}
			if d.LockTimeout != 0 {
				fmt.Fprintf(&b, "[lock %s]", d.LockTimeout)
			}
			if d.StatementTimeout != 0 {
				fmt.Fprintf(&b, "[statement %s]", d.StatementTimeout)
			}
			if d.Irreversible != "" {
				fmt.Fprintf(&b, "[irreversible %s]", d.Irreversible)
			}
			if d.ForeignKeysOn {
				b.WriteString("[foreign-keys]")
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestSource(t *testing.T) {
	t.Parallel()
	goose := "-- +goose Up\nCREATE TABLE a (x int);\n-- +goose Down\nDROP TABLE a;\n"
	for _, c := range []struct {
		name    string
		files   map[string]string
		dialect string
		code    []GoMigration
		want    string
	}{
		{name: "nothing"},
		{
			name: "pairs in order of their numbers, not of their names",
			files: map[string]string{
				"10_ten.up.sql": "SELECT 10", "9_nine.up.sql": "SELECT 9", "9_nine.down.sql": "SELECT -9", "010000_late.up.sql": "SELECT 1",
			},
			want: "0009_nine up=9_nine.up.sql down=9_nine.down.sql\n0010_ten up=10_ten.up.sql\n10000_late up=010000_late.up.sql\n",
		},
		{
			name: "version 0, a timestamp, and the highest number there is",
			files: map[string]string{
				"0000_init.up.sql": "", "20240131235959_stamp.up.sql": "", "9223372036854775807_end.up.sql": "",
			},
			want: "0000_init up=0000_init.up.sql\n20240131235959_stamp up=20240131235959_stamp.up.sql\n9223372036854775807_end up=9223372036854775807_end.up.sql\n",
		},
		{
			name:  "repeatable files run last, by name",
			files: map[string]string{"R__b.sql": "", "R__a.sql": "", "0001_t.up.sql": ""},
			want:  "0001_t up=0001_t.up.sql\nR__a up=R__a.sql\nR__b up=R__b.sql\n",
		},
		{
			name: "a dialect's folder goes over the general files",
			files: map[string]string{
				"1_a.up.sql": "general", "1_a.down.sql": "general", "2_b.up.sql": "", "R__v.sql": "",
				"postgres/1_a.up.sql": "special", "postgres/3_c.up.sql": "", "postgres/R__v.sql": "",
				"mysql/1_a.up.sql": "other", "notes/4_d.up.sql": "not a dialect",
			},
			dialect: dialect.NamePostgres,
			want:    "0001_a up=postgres/1_a.up.sql down=1_a.down.sql\n0002_b up=2_b.up.sql\n0003_c up=postgres/3_c.up.sql\nR__v up=postgres/R__v.sql\n",
		},
		{
			name:  "goose",
			files: map[string]string{"1_a.sql": goose, "2_b.sql": "-- +goose NO TRANSACTION\n" + goose, "00003-c.sql": "-- +goose Up\nSELECT 1;\n"},
			want:  "0001_a up=1_a.sql down=1_a.sql\n0002_b up=2_b.sql[no-transaction] down=2_b.sql[no-transaction]\n0003_c up=00003-c.sql\n",
		},
		{
			name: "dbmate",
			files: map[string]string{
				"1_a.sql": "-- migrate:up\nSELECT 1;\n\n-- migrate:down\nSELECT 2;\n",
				"2_b.sql": "-- migrate:up transaction:false\nSELECT 1;\n-- migrate:down\n\n",
			},
			want: "0001_a up=1_a.sql down=1_a.sql\n0002_b up=2_b.sql[no-transaction]\n",
		},
		{
			name:  "Go migrations share the sequence",
			files: map[string]string{"1_a.up.sql": "", "3_c.up.sql": "", "R__r.sql": ""},
			code:  []GoMigration{{Version: 2, Name: "fill", Up: func(context.Context, Conn) error { return nil }}},
			want:  "0001_a up=1_a.up.sql\n0002_fill go\n0003_c up=3_c.up.sql\nR__r up=R__r.sql\n",
		},
		{
			name: "directives",
			files: map[string]string{
				"1_a.up.sql":   "-- What it is for.\n-- tldwdb: no-transaction\n\n/* more */ -- tldwdb: not one, a comment is in front of it\n--tldwdb: lock-timeout=1500ms\n-- tldwdb: statement-timeout=10m\nSELECT 1;",
				"1_a.down.sql": "-- tldwdb: irreversible the values are gone",
				"2_b.up.sql":   "\ufeff-- tldwdb: foreign-keys=on\r\n-- tldwdb: assured drop-column nobody reads it\r\n-- tldwdb: assured drop-table nobody reads it\r\n\r\nSELECT 1;\r\n",
			},
			want: "0001_a up=1_a.up.sql[no-transaction][lock 1.5s][statement 10m0s] down=1_a.down.sql[irreversible the values are gone]\n0002_b up=2_b.up.sql[foreign-keys]\n",
		},
		{
			name: "a byte-order mark before the mark of a single file",
			files: map[string]string{
				"1_a.sql": "\ufeff" + goose,
				"2_b.sql": "\ufeff-- migrate:up\r\nSELECT 1;\r\n-- migrate:down\r\nSELECT 2;\r\n",
			},
			want: "0001_a up=1_a.sql down=1_a.sql\n0002_b up=2_b.sql down=2_b.sql\n",
		},
		{
			name:  "other files are none of our business",
			files: map[string]string{"1_a.up.sql": "", "README.md": "", "embed.go": "", "data/x.csv": ""},
			want:  "0001_a up=1_a.up.sql\n",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.dialect == "" {
				c.dialect = dialect.NameSQLite
			}
			s, err := loadSource(folderOf(c.files), ".", c.dialect, c.code)
			if err != nil {
				t.Fatal(err)
			}
			if got := outline(s); got != c.want {
				t.Errorf("loaded\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestSourceWithoutFiles(t *testing.T) {
	t.Parallel()
	s, err := loadSource(nil, ".", dialect.NameSQLite, nil)
	if err != nil || len(s.migrations) != 0 {
		t.Errorf("no file system: %v, %v", s, err)
	}
	if _, err := loadSource(fstest.MapFS{}, "gone", dialect.NameSQLite, nil); err == nil {
		t.Error("a folder that is not there is no error")
	}
}

// TestSourceProblems has one folder with every fault: all are told at once,
// each with its place.
func TestSourceProblems(t *testing.T) {
	t.Parallel()
	up := func(context.Context, Conn) error { return nil }
	fsys := folderOf(map[string]string{
		"1_a.up.sql":                    "SELECT 1",
		"01_a.up.sql":                   "SELECT 1",
		"2_b.down.sql":                  "SELECT 1",
		"4_unknown.up.sql":              "-- é\n-- tldwdb: no-transactions\nSELECT 1",
		"5_twice.up.sql":                "-- tldwdb: no-transaction\n\n-- tldwdb: no-transaction\nSELECT 1",
		"6_late.up.sql":                 "SELECT 1;\n-- tldwdb: no-transaction\n",
		"7_duration.up.sql":             "-- tldwdb: lock-timeout=2\n",
		"8_negative.up.sql":             "-- tldwdb: statement-timeout=-2s\n",
		"9_reason.up.sql":               "-- tldwdb: irreversible\n",
		"10_value.up.sql":               "-- tldwdb: no-transaction=yes\n",
		"11_keys.up.sql":                "-- tldwdb: foreign-keys=off\n",
		"12_assured.up.sql":             "-- tldwdb: assured drop-column\n",
		"13_direction.sql":              "SELECT 1",
		"30_assured.up.sql":             "SELECT 1;\n-- tldwdb: assured drop-column\nSELECT 2;\n",
		"14_gooses.sql":                 "-- +goose Up\n-- +goose Up\n",
		"15_env.sql":                    "-- +goose Up\n-- +goose ENVSUB ON\nSELECT '${HOME}';\n-- +goose Down\nSELECT 1;\n",
		"17_before.sql":                 "-- about it\nSELECT 1;\n-- migrate:up\nSELECT 2;\n",
		"16_downonly.sql":               "-- migrate:down\nSELECT 1;\n",
		"99999999999999999999_huge.sql": "-- migrate:up\nSELECT 1;\n",
		"schema.sql":                    "SELECT 1",
		"V1__flyway.SQL":                "SELECT 1",
		"PostgreSQL/1_a.up.sql":         "SELECT 1",
		"sqlite/17_low.up.sql":          "-- tldwdb: nonsense\n",
		"R__r.sql":                      "-- tldwdb: nonsense\n",
		"18_capitals.up.sql":            "-- TLDWDB: no-transaction\nSELECT 1",
		"19_blank.up.sql":               "--tldwdb : no-transaction\nSELECT 1",
	})
	_, err := loadSource(fsys, ".", dialect.NameSQLite, []GoMigration{
		{Version: 1, Name: "taken", Up: up}, {Version: -1, Name: "negative", Up: up}, {Version: 20, Name: "two words", Up: up}, {Version: 21, Name: "none"},
		{Version: 22, Name: "ok", Up: up}, {Version: 22, Name: "again", Up: up},
	})
	var load *LoadError
	if !errors.As(err, &load) {
		t.Fatalf("error is %T: %v", err, err)
	}
	want := []string{
		`10_value.up.sql:1: the directive no-transaction takes no value`,
		`11_keys.up.sql:1: the directive is written foreign-keys=on`,
		`12_assured.up.sql:1: the directive assured wants`,
		`13_direction.sql: which direction is this?`,
		`14_gooses.sql:2: a second up section (the first is in line 1)`,
		`15_env.sql:2: environment variables are not substituted`,
		`16_downonly.sql:1: there is no up section`,
		`17_before.sql:2: this stands before the first section`,
		`18_capitals.up.sql:1: write a directive as '-- tldwdb: name'`,
		`19_blank.up.sql:1: write a directive as '-- tldwdb: name'`,
		`1_a.up.sql: version 1 is taken by 01_a.up.sql already`,
		`2_b.down.sql: there is no up file for this down file: add 2_b.up.sql`,
		`30_assured.up.sql:2: the directive assured wants a rule and a reason`,
		`4_unknown.up.sql:2: unknown directive "no-transactions"`,
		`5_twice.up.sql:3: the directive no-transaction stands in line 1 already`,
		`6_late.up.sql:2: a directive must stand before the first statement`,
		`7_duration.up.sql:1: the directive lock-timeout wants a duration`,
		`8_negative.up.sql:1: the directive statement-timeout wants a duration`,
		`99999999999999999999_huge.sql: the version 99999999999999999999 does not fit`,
		`9_reason.up.sql:1: the directive irreversible wants a reason`,
		`Config.GoMigrations[0]: version 1 is taken by 01_a.up.sql already`,
		`Config.GoMigrations[1]: the version -1 is negative`,
		`Config.GoMigrations[2]: the name "two words" of version 20`,
		`Config.GoMigrations[3]: version 21 has no Up function`,
		`Config.GoMigrations[5]: version 22 is taken by another Go migration already`,
		`PostgreSQL: this folder is not read: call it postgres`,
		`R__r.sql:1: unknown directive "nonsense"`,
		`V1__flyway.SQL: the name fits none of`,
		`schema.sql: the name fits none of`,
		`sqlite/17_low.up.sql:1: unknown directive "nonsense"`,
	}
	got := strings.Split(err.Error(), "\n")
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			t.Errorf("not told: %s", want[i])
		case i >= len(want):
			t.Errorf("not expected: %s", got[i])
		case !strings.HasPrefix(got[i], want[i]):
			t.Errorf("problem %d is\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
	if got, want := (Problem{File: "f", Line: 3, Column: 7, Msg: "m"}).String(), "f:3:7: m"; got != want {
		t.Errorf("problem with a column: %s, want %s", got, want)
	}
}

// unreadable is a file system in which one file cannot be read.
type unreadable struct{ fstest.MapFS }

func (u unreadable) ReadFile(name string) ([]byte, error) {
	if name == "1_a.up.sql" {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrPermission}
	}
	return u.MapFS.ReadFile(name)
}

func TestSourceUnreadable(t *testing.T) {
	t.Parallel()
	_, err := loadSource(unreadable{folderOf(map[string]string{"1_a.up.sql": "", "2_b.up.sql": ""})}, ".", dialect.NameSQLite, nil)
	if err == nil || err.Error() != "1_a.up.sql: cannot be read: permission denied" {
		t.Errorf("an unreadable file: %v", err)
	}
}

// TestChecksum holds that a text is the same text on every system, and that
// everything else counts.
func TestChecksum(t *testing.T) {
	t.Parallel()
	sum := func(text string) string {
		s, err := loadSource(folderOf(map[string]string{"1_a.up.sql": text}), ".", dialect.NameSQLite, nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.migrations[0].checksum()
	}
	same := []string{"SELECT 1;\nSELECT 2;\n", "SELECT 1;\r\nSELECT 2;\r\n", "\ufeffSELECT 1;\nSELECT 2;\n", "\ufeffSELECT 1;\r\nSELECT 2;\n"}
	for _, text := range same {
		if sum(text) != sum(same[0]) {
			t.Errorf("%q has another checksum than %q", text, same[0])
		}
	}
	for _, text := range []string{"SELECT 1;\nSELECT 2;", "SELECT 1; \nSELECT 2;\n", "select 1;\nSELECT 2;\n", "SELECT 1;\rSELECT 2;\n", ""} {
		if sum(text) == sum(same[0]) {
			t.Errorf("%q has the checksum of %q", text, same[0])
		}
	}
}

// TestSectionKeepsLines holds that what a section is cut from does not move its
// lines, and that the other section is not in it.
func TestSectionKeepsLines(t *testing.T) {
	t.Parallel()
	text := "-- a comment\n-- +goose Up\n-- +goose StatementBegin\nSELECT 'up; é';\n-- +goose StatementEnd\n\n-- +goose Down\nSELECT 'down';\n"
	s, err := loadSource(folderOf(map[string]string{"1_a.sql": text}), ".", dialect.NameSQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, sc := range []*script{s.migrations[0].up, s.migrations[0].down} {
		body, err := s.read(sc)
		if err != nil {
			t.Fatal(err)
		}
		mine, other, line := "'up; é'", "'down'", 4
		if sc.direction == DirectionDown {
			mine, other, line = other, mine, 8
		}
		at := strings.Index(string(body), mine)
		if at < 0 || strings.Contains(string(body), other) || lineAt(body, at) != line {
			t.Errorf("the %s section is %q", sc.direction, body)
		}
	}
}

// TestSourceChangedMeanwhile holds that a file which changes between being
// hashed and being read is not run.
func TestSourceChangedMeanwhile(t *testing.T) {
	t.Parallel()
	fsys := folderOf(map[string]string{"1_a.up.sql": "SELECT 1", "2_b.sql": "-- migrate:up\nSELECT 1;\n"})
	s, err := loadSource(fsys, ".", dialect.NameSQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	fsys["1_a.up.sql"].Data = []byte("SELECT 2")
	fsys["2_b.sql"].Data = []byte("-- migrate:down\nSELECT 1;\n")
	for _, m := range s.migrations {
		if _, err := s.read(m.up); err == nil {
			t.Errorf("%s was read though it changed", m.up.file)
		}
	}
}

// TestDirectiveInText holds that only a comment is a directive: what looks like
// one in a literal, in COPY's data or inside another comment is text.
func TestDirectiveInText(t *testing.T) {
	t.Parallel()
	const mark = "\n-- tldwdb: no-transaction\n"
	late := func(line int) string {
		return fmt.Sprintf("1_a.up.sql:%d: a directive must stand before the first statement", line)
	}
	for _, c := range []struct {
		name, dialect, text string
		takes               bool   // the directive counts
		fault               string // of the file
	}{
		{name: "a string", dialect: dialect.NameSQLite, text: "INSERT INTO note VALUES ('how to:" + mark + "');"},
		{name: "a string in the first line of a file with a head", dialect: dialect.NameMySQL, text: "-- é\nINSERT INTO note VALUES (\"it's" + mark + "\");"},
		{name: "a quoted name", dialect: dialect.NameSQLite, text: "CREATE TABLE [a" + mark + "] (id int);"},
		{name: "a body in dollars", dialect: dialect.NamePostgres, text: "SELECT 1;\nCREATE FUNCTION f() RETURNS text AS $x$ SELECT $$" + mark + "$$ $x$ LANGUAGE sql;\nSELECT 2;"},
		{name: "COPY's data", dialect: dialect.NamePostgres, text: "COPY note FROM stdin; -- data\nit's" + mark + "x\n\\.\nSELECT 1;"},
		{name: "a comment of more lines at the head", dialect: dialect.NamePostgres, text: "/* not now:" + mark + "*/ SELECT 1;"},
		{name: "a comment of more lines further down", dialect: dialect.NamePostgres, text: "SELECT 1; /* not now:" + mark + "*/ SELECT 2;"},
		{name: "a text that cannot be scanned", dialect: dialect.NamePostgres, text: "SELECT 'no end;" + mark},
		{name: "both", dialect: dialect.NamePostgres, text: mark + "SELECT 'x" + mark + "';", takes: true},
		{name: "behind MySQL's own comment", dialect: dialect.NameMySQL, text: "# why" + mark + "SELECT 1;", takes: true},
		{name: "behind MySQL's own comment alone", dialect: dialect.NameMySQL, text: "# why" + mark, takes: true},
		{name: "late", dialect: dialect.NamePostgres, text: "SELECT 'é';" + mark + "SELECT 2;", fault: late(2)},
		{name: "late, at the end", dialect: dialect.NameMySQL, text: "SELECT 1;\n# x" + mark, fault: late(3)},
		{name: "late, inside a statement", dialect: dialect.NameSQLite, text: "SELECT 'it''s'," + mark + "2;", fault: late(2)},
		{name: "late, behind COPY's data", dialect: dialect.NamePostgres, text: "COPY note FROM stdin;\nx\n\\.\n" + mark + "SELECT 1;", fault: late(5)},
		{name: "late, behind pg_dump's mark", dialect: dialect.NamePostgres, text: "SELECT 1;\n\\unrestrict abc\n" + mark, fault: late(4)},
		{name: "late, behind a body with delimiters", dialect: dialect.NameMySQL, text: "DELIMITER ;;\nCREATE PROCEDURE p() BEGIN SELECT 1; END;;\nDELIMITER ;" + mark, fault: late(4)},
	} {
		s, err := loadSource(folderOf(map[string]string{"1_a.up.sql": c.text}), ".", c.dialect, nil)
		if c.fault != "" {
			if err == nil || err.Error() != c.fault {
				t.Errorf("%s: %v, want %s", c.name, err, c.fault)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := s.migrations[0].up.directives.NoTransaction; got != c.takes {
			t.Errorf("%s: the directive counts: %v", c.name, got)
		}
	}
}

func TestDirectiveAboveGooseMark(t *testing.T) {
	t.Parallel()
	text := "-- tldwdb: lock-timeout=7s\n-- +goose Up\nSELECT 1;\n-- +goose Down\n-- tldwdb: statement-timeout=1m\nSELECT 2;\n"
	s, err := loadSource(folderOf(map[string]string{"1_a.sql": text}), ".", dialect.NameSQLite, nil)
	if err != nil {
		t.Fatal(err)
	}
	up, down := s.migrations[0].up.directives, s.migrations[0].down.directives
	if up.LockTimeout != 7*time.Second || down.LockTimeout != 7*time.Second || up.StatementTimeout != 0 || down.StatementTimeout != time.Minute {
		t.Errorf("what stands above the marks holds for both sections, what stands in one for that: up %+v, down %+v", up, down)
	}
}

func TestFileNames(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]fileName{
		"0001_users.up.sql":     {digits: "0001", name: "users", direction: DirectionUp},
		"1-users.down.sql":      {digits: "1", name: "users", direction: DirectionDown},
		"20261123_a.b.sql":      {digits: "20261123", name: "a.b"},
		"1_x.up.down.sql":       {digits: "1", name: "x.up", direction: DirectionDown},
		"1_x.down.up.sql":       {digits: "1", name: "x.down", direction: DirectionUp},
		"1_.up.sql":             {digits: "1", name: ".up"},
		"R__views.sql":          {name: "views", repeatable: true},
		"R__views.up.sql":       {name: "views.up", repeatable: true},
		"1__2.up.sql":           {digits: "1", name: "_2", direction: DirectionUp},
		"0001_caf\u00e9.up.sql": {digits: "0001", name: "caf\u00e9", direction: DirectionUp},
	} {
		if got, ok := parseName(file); !ok || got != want {
			t.Errorf("%s: %+v, %t; want %+v", file, got, ok, want)
		}
	}
	for _, file := range []string{"users.up.sql", "1users.up.sql", "1.sql", "1_.sql", "R__.sql", "1_a.up.SQL", "1_a\nb.up.sql", "V1__a.sql", ".sql", ""} {
		if got, ok := parseName(file); ok {
			t.Errorf("%q is taken for %+v", file, got)
		}
	}
}
