package tldwdbtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
)

// Engine is a kind of database.
type Engine string

// The engines. MySQL and MariaDB speak one protocol, and differ enough in DDL and
// locks that a service which runs on both is tested on both.
const (
	SQLite   Engine = "sqlite"
	Postgres Engine = "postgres"
	MySQL    Engine = "mysql"
	MariaDB  Engine = "mariadb"
)

// Engines returns all engines, in the order in which [ForEach] takes them.
func Engines() []Engine { return []Engine{SQLite, Postgres, MySQL, MariaDB} }

// dialect is the name under which tldwdb knows the engine.
func (e Engine) dialect() string {
	if e == MariaDB {
		return dburl.MySQL
	}
	return string(e)
}

// variable names the engine's server; SQLite has none.
func (e Engine) variable() string {
	if e == SQLite {
		return ""
	}
	return "TLDWDB_TEST_" + strings.ToUpper(string(e)) + "_URL"
}

// The default size of a test's pool: enough for a test with a few goroutines,
// little enough that a server with 100 connections serves 20 tests at once.
const defaultPoolSize = 4

// Config says what is in a test's database, and where it is made. The zero value is
// an empty SQLite database.
type Config struct {
	// Migrations, MigrationsDir and GoMigrations are those of [tldwdb.Config]. What
	// is not set here is taken from Base.
	Migrations    fs.FS
	MigrationsDir string
	GoMigrations  []tldwdb.GoMigration

	// Seeds, SeedsDir and GoSeeds are those of [tldwdb.Config]: the sets common and
	// test, as far as they are there, or those of SeedSets, are written into the
	// template before Setup. What is not set here is taken from Base. Times that a seed
	// has from now are of the day on which the template was made.
	Seeds    fs.FS
	SeedsDir string
	GoSeeds  []tldwdb.GoSeed
	SeedSets []string

	// Engine is the kind of the database that [New] makes. On a server, URL or
	// TLDWDB_TEST_URL names it if that is of this engine, and otherwise
	// TLDWDB_TEST_POSTGRES_URL, TLDWDB_TEST_MYSQL_URL or TLDWDB_TEST_MARIADB_URL.
	// Default: the engine of URL, or else of TLDWDB_TEST_URL, or else SQLite.
	Engine Engine

	// Engines are those that [ForEach] runs on. Default: all that are there.
	Engines []Engine

	// URL names the server, in the form of [tldwdb.Config]: an account that may
	// create databases, and a database that it may connect to, which stays as it is.
	// It must be a direct connection, and not one to a pooler in transaction mode.
	// Default: see Engine.
	URL string

	// InMemory makes a SQLite database in memory, which has one connection and cannot
	// be kept. It is of use where files are slow.
	InMemory bool

	// Setup is called once with the migrated template, before it is copied for the
	// tests, for the rows and settings that every test begins with. It must not
	// depend on the test that happens to call it.
	Setup func(ctx context.Context, db *tldwdb.DB) error

	// Fill is called by [RoundTrip] before each way, with the version that the database
	// is at, and writes the rows that the migrations are tried with. What is there
	// already it should leave alone. Default: rows are invented.
	Fill func(ctx context.Context, db *tldwdb.DB, version int64) error

	// SetupKey stands for what cannot be hashed: the code of Setup, of GoMigrations
	// and of GoSeeds. Databases are copied from a template that another process made
	// with the same key and the same files, so that the key has to change when that
	// code does. Default: the test's own program and the function's place in it, which
	// shares the template with nobody else. Of one function with different captured variables
	// the first one counts: give those a key.
	SetupKey string

	// Base is the service's own configuration, for Set, Table and whatever else a
	// test shall have as the service has it. URLs, passwords, Environment, Confirm and
	// backups of Base are never looked at: a test does not reach the service's database. Default
	// of Base.PoolSize here: 4.
	Base tldwdb.Config
}

// base is the configuration of templates and databases, without a URL.
func (c Config) base() tldwdb.Config {
	b := c.Base
	if c.Migrations != nil {
		b.Migrations, b.MigrationsDir = c.Migrations, ""
	}
	b.MigrationsDir = cmp.Or(c.MigrationsDir, b.MigrationsDir)
	if c.GoMigrations != nil {
		b.GoMigrations = c.GoMigrations
	}
	if c.Seeds != nil {
		b.Seeds, b.SeedsDir = c.Seeds, ""
	}
	b.SeedsDir = cmp.Or(c.SeedsDir, b.SeedsDir)
	if c.GoSeeds != nil {
		b.GoSeeds = c.GoSeeds
	}
	b.URL, b.MigrateURL, b.MonitorURL = "", "", ""
	b.Password, b.PasswordFile = nil, ""
	b.Environment, b.Confirm = tldwdb.Test, ""
	b.Backup, b.BackupBeforeMigrate = tldwdb.BackupOptions{}, tldwdb.BackupNever
	b.Pooler, b.WaitOnReadOnly = false, false
	b.PoolSize = cmp.Or(b.PoolSize, defaultPoolSize)
	return b
}

// templateBase is that of templates, which nobody watches.
func (c Config) templateBase() tldwdb.Config {
	b := c.base()
	b.Observers, b.WrapConnector, b.Progress, b.SlowQuery = nil, nil, nil, 0
	return b
}

// target is where a database is to be made.
type target struct {
	engine Engine
	url    string // of the server; empty for SQLite
	memory bool
}

// missingError says that there is no server of an engine.
type missingError struct {
	engine Engine
	why    string
}

// Error says which variable would help.
func (e *missingError) Error() string { return fmt.Sprintf("no %s: %s", e.engine, e.why) }

// target finds the server. Its errors show no password.
func (c Config) target(getenv func(string) string, e Engine) (target, error) {
	if e != "" && !slices.Contains(Engines(), e) {
		return target{}, fmt.Errorf("Config: unknown engine %q: known are %q", e, Engines())
	}
	for _, from := range []struct{ name, url string }{
		{"Config.URL", c.URL},
		{"TLDWDB_TEST_URL", getenv("TLDWDB_TEST_URL")},
		{e.variable(), getenv(cmp.Or(e.variable(), "TLDWDB_TEST_URL"))},
	} {
		if from.url == "" {
			continue
		}
		of, err := engineOf(from.url)
		if err != nil {
			return target{}, fmt.Errorf("%s: %w", from.name, err)
		}
		// One variable names MySQL and MariaDB alike: mysql:// is the URL of both.
		if e == "" || e == of || from.name == e.variable() && e.dialect() == of.dialect() {
			return c.at(getenv, cmp.Or(e, of), from.url)
		}
	}
	switch e {
	case SQLite, "":
		return c.at(getenv, SQLite, "")
	default:
		return target{}, &missingError{e, e.variable() + " names no server (" + e.dialect() + "://user:password@host/database, whose account may create databases)"}
	}
}

func (c Config) at(getenv func(string) string, e Engine, rawURL string) (target, error) {
	if only := getenv("TLDWDB_TEST_ENGINES"); only != "" && !listed(only, e) {
		return target{}, &missingError{e, "TLDWDB_TEST_ENGINES leaves it out"}
	}
	if e == SQLite {
		rawURL = "" // the file is in a folder of ours, whatever the URL says
	}
	return target{engine: e, url: rawURL, memory: e == SQLite && c.InMemory}, nil
}

// engineOf tells the engine by a URL's scheme.
func engineOf(rawURL string) (Engine, error) {
	u, err := dburl.Parse(rawURL)
	if err != nil {
		return "", err
	}
	if !strings.Contains(rawURL, "://") {
		return "", errors.New("write it as a URL, scheme://user:password@host/database")
	}
	if u.Dialect == dburl.MySQL && strings.HasPrefix(rawURL, "mariadb") {
		return MariaDB, nil
	}
	return Engine(u.Dialect), nil
}

// required reports whether a missing engine is a failure.
func required(getenv func(string) string, e Engine, asked bool) bool {
	if only := getenv("TLDWDB_TEST_ENGINES"); only != "" && !listed(only, e) {
		return false
	}
	if list := getenv("TLDWDB_TEST_REQUIRE"); list != "" {
		return listed(list, e)
	}
	ci := getenv("CI")
	return asked && ci != "" && ci != "0" && ci != "false"
}

func listed(list string, e Engine) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(name), string(e)) {
			return true
		}
	}
	return false
}

// withDatabase puts another database's name, and further settings, into the text of a
// URL: [dburl.URL] does not give its password away as text. PostgreSQL's URLs may name the
// database among the settings too, and that one would win.
func withDatabase(rawURL, name, settings string) (string, error) {
	head, query, _ := strings.Cut(rawURL, "?")
	scheme, rest, ok := strings.Cut(head, "://")
	if !ok {
		return "", errors.New("the server's URL has no ://")
	}
	authority, _, _ := strings.Cut(rest, "/")
	list := slices.DeleteFunc(append(strings.Split(query, "&"), settings), func(setting string) bool {
		key, _, _ := strings.Cut(setting, "=")
		if plain, err := url.QueryUnescape(key); err == nil {
			key = plain
		}
		return key == "" || key == "dbname" || key == "database"
	})
	if query = strings.Join(list, "&"); query != "" {
		query = "?" + query
	}
	made := scheme + "://" + authority + "/" + url.PathEscape(name) + query
	if u, err := dburl.Parse(made); err != nil || u.Database != name {
		return "", errors.New("the server's URL cannot be given another database: write it as scheme://user:password@host/database")
	}
	return made, nil
}
