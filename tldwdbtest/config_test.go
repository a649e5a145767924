package tldwdbtest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
)

// TestTarget: which server is taken, and when there is none.
func TestTarget(t *testing.T) {
	t.Parallel()
	const pg, my, maria = "postgres://u:secret@h/d", "mysql://u:secret@h/d", "mariadb://u:secret@h/d"
	for _, c := range []struct {
		name   string
		env    map[string]string
		cfg    Config
		engine Engine
		want   string // engine and URL, or a part of the error
	}{
		{"nothing", nil, Config{}, "", "sqlite "},
		{"the variable for all", map[string]string{"TLDWDB_TEST_URL": pg}, Config{}, "", "postgres " + pg},
		{"of another engine", map[string]string{"TLDWDB_TEST_URL": pg, "TLDWDB_TEST_MYSQL_URL": my}, Config{}, MySQL, "mysql " + my},
		{"SQLite beside it", map[string]string{"TLDWDB_TEST_URL": pg}, Config{}, SQLite, "sqlite "},
		{"the engine's variable", map[string]string{"TLDWDB_TEST_POSTGRES_URL": pg}, Config{}, Postgres, "postgres " + pg},
		{"the engine's variable is not for all", map[string]string{"TLDWDB_TEST_POSTGRES_URL": pg}, Config{}, "", "sqlite "},
		{"MariaDB under MySQL's scheme", map[string]string{"TLDWDB_TEST_MARIADB_URL": my}, Config{}, MariaDB, "mariadb " + my},
		{"MariaDB's scheme", map[string]string{"TLDWDB_TEST_URL": maria}, Config{}, "", "mariadb " + maria},
		{"the Config goes before", map[string]string{"TLDWDB_TEST_URL": pg}, Config{URL: my}, "", "mysql " + my},
		{"missing", nil, Config{}, Postgres, "TLDWDB_TEST_POSTGRES_URL"},
		{"left out", map[string]string{"TLDWDB_TEST_ENGINES": "sqlite, mysql", "TLDWDB_TEST_POSTGRES_URL": pg}, Config{}, Postgres, "leaves it out"},
		{"no URL", nil, Config{URL: "u:secret@tcp(h)/d"}, "", "scheme://"},
		{"unknown", nil, Config{}, "oracle", "unknown engine"},
	} {
		at, err := c.cfg.target(func(key string) string { return c.env[key] }, c.engine)
		got := fmt.Sprintf("%s %s", at.engine, at.url)
		if err != nil {
			if got = err.Error(); strings.Contains(got, "secret") {
				t.Errorf("%s: the error shows the password: %s", c.name, got)
			}
		}
		if err == nil && got != c.want || !strings.Contains(got, c.want) {
			t.Errorf("%s: %s, and not %s", c.name, got, c.want)
		}
	}
}

// TestRequired: a missing server is a failure only where somebody wanted it.
func TestRequired(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env   map[string]string
		asked bool
		want  bool
	}{
		{nil, true, false},
		{map[string]string{"CI": "true"}, true, true},
		{map[string]string{"CI": "true"}, false, false},
		{map[string]string{"CI": "false"}, true, false},
		{map[string]string{"TLDWDB_TEST_REQUIRE": "sqlite,postgres"}, false, true},
		{map[string]string{"TLDWDB_TEST_REQUIRE": "sqlite", "CI": "true"}, true, false},
		{map[string]string{"TLDWDB_TEST_ENGINES": "sqlite", "CI": "true"}, true, false},
	} {
		if got := required(func(key string) string { return c.env[key] }, Postgres, c.asked); got != c.want {
			t.Errorf("%v, asked %t: %t", c.env, c.asked, got)
		}
	}
}

// TestKey: whatever changes what is in a template changes its key.
func TestKey(t *testing.T) {
	t.Parallel()
	one := func(text string) fs.FS { return fstest.MapFS{"1_a.up.sql": {Data: []byte(text)}} }
	nothing := func(context.Context, tldwdb.Conn) error { return nil }
	seen := map[string]int{}
	for i, c := range []struct {
		cfg   Config
		e     Engine
		place string
	}{
		{Config{Migrations: one("SELECT 1")}, Postgres, "u"},
		{Config{Migrations: one("SELECT 2")}, Postgres, "u"},
		{Config{Migrations: fstest.MapFS{"1_b.up.sql": {Data: []byte("SELECT 1")}}}, Postgres, "u"},
		{Config{Migrations: fstest.MapFS{"1_a.up.sql": {Data: []byte("SELECT 1")}, "1_a.down.sql": {Data: []byte("SELECT 1")}}}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1")}, MySQL, "u"},
		{Config{Migrations: one("SELECT 1")}, Postgres, "other"},
		{Config{Migrations: one("SELECT 1"), SetupKey: "1"}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1"), Base: tldwdb.Config{Table: "other"}}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1"), Base: tldwdb.Config{Set: "other"}}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1"), GoMigrations: []tldwdb.GoMigration{{Version: 2, Name: "b", Up: nothing}}}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1"), Setup: func(context.Context, *tldwdb.DB) error { return nil }}, Postgres, "u"},
		{Config{Migrations: one("SELECT 1"), Setup: func(context.Context, *tldwdb.DB) error { return nil }}, Postgres, "u"}, // another function
		{Config{Setup: func(context.Context, *tldwdb.DB) error { return nil }}, Postgres, "u"},
		{Config{Setup: func(context.Context, *tldwdb.DB) error { return nil }}, Postgres, "u"},
	} {
		key, own, err := keyOf(c.cfg, c.e, c.place)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[key]; ok {
			t.Errorf("%d has the key of %d", i, other)
		}
		seen[key] = i
		if code := c.cfg.Setup != nil || c.cfg.GoMigrations != nil; own != code {
			t.Errorf("%d: it is of one program: %t", i, own)
		}
		if again, _, err := knownKey(c.cfg, c.e, c.place); err != nil || again != key {
			t.Errorf("%d: another key the second time: %v", i, err)
		}
	}
}

// TestBaseIsNotReached: nothing of a service's configuration leads to its database.
func TestBaseIsNotReached(t *testing.T) {
	t.Parallel()
	cfg := Config{Base: tldwdb.Config{
		URL: "postgres://prod/x", MigrateURL: "postgres://prod/x", MonitorURL: "postgres://prod/x", PasswordFile: "/run/secret", Environment: tldwdb.Production, Confirm: "x",
		Password: func(context.Context) (string, error) { return "secret", errors.New("asked") }, BackupBeforeMigrate: tldwdb.BackupAlways, Set: "mine",
	}}
	db := New(t, cfg)
	if _, err := db.Up(t.Context()); err != nil {
		t.Error(err)
	}
	b := cfg.base()
	if text := fmt.Sprint(b); strings.Contains(text, "prod") || strings.Contains(text, "secret") || b.Password != nil || b.Set != "mine" {
		t.Error(text)
	}
}

// TestNoRight: the error says what to grant.
func TestNoRight(t *testing.T) {
	t.Parallel()
	u, err := dburl.Parse("postgres://ann:secret@h/d")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{engine: &postgres{}, url: u, prefix: prefixOf(u)}
	if text := s.explain(&pgconn.PgError{Code: "42501", Message: "permission denied to create database"}).Error(); !strings.Contains(text, `ALTER ROLE "ann" CREATEDB`) {
		t.Error(text)
	}
	for _, e := range []Engine{MySQL, MariaDB} {
		cfg := Config{Engine: e, Migrations: files(1)}
		at, err := cfg.target(os.Getenv, e)
		if err != nil {
			t.Log(err)
			continue
		}
		if at.url, err = withDatabase(at.url, "information_schema", ""); err != nil {
			t.Fatal(err)
		}
		_, _, err = open(t.Context(), t, cfg, at)
		if err == nil || !strings.Contains(err.Error(), "GRANT ALL ON `information\\_schema\\_tldwdbtest\\_%`.* TO 'tldw'") {
			t.Errorf("%s: %v", e, err)
		}
	}
}

// TestPrefix: a name is never too long, and two databases never share a prefix.
func TestPrefix(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 60)
	a, b := prefixOf(dburl.URL{Dialect: dburl.Postgres, Database: long + "a"}), prefixOf(dburl.URL{Dialect: dburl.Postgres, Database: long + "b"})
	if a == b || len(a)+len("12345678_1234567_123456") > maxName {
		t.Errorf("%q and %q", a, b)
	}
	if p := prefixOf(dburl.URL{Dialect: dburl.Postgres, User: "ann"}); p != "ann_tldwdbtest_" {
		t.Error(p)
	}
}

// TestWithDatabase: the database of a URL is replaced wherever it is named, and the rest
// stays as it is.
func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ url, name, settings, want string }{
		{"postgres://u:p@h:1/app", "x", "", "postgres://u:p@h:1/x"},
		{"postgres://u:p@h", "x", "", "postgres://u:p@h/x"},
		{"postgres://u:p@h/app?sslmode=disable&dbname=prod", "x", "", "postgres://u:p@h/x?sslmode=disable"},
		{"postgres://u:p@h/?database=prod&sslmode=disable", "x", "", "postgres://u:p@h/x?sslmode=disable"},
		{"postgres://u:p@h/?db%6eame=prod", "x", "", "postgres://u:p@h/x"},
		{"mysql://u:p%2F@h/app?charset=utf8mb4", "x", "multiStatements=true", "mysql://u:p%2F@h/x?charset=utf8mb4&multiStatements=true"},
		{"mysql://u:p@h/a%20b", "a b%_x", "", "mysql://u:p@h/a%20b%25_x"},
	} {
		if got, err := withDatabase(c.url, c.name, c.settings); err != nil || got != c.want {
			t.Errorf("%s: %s, %v; want %s", c.url, got, err, c.want)
		}
	}
}
