package tldwdb

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/lint"
	"github.com/tldw/tldwdb/tldwdblint"
)

// Environment says what a database is for. It decides which variable names the
// database, and production databases are protected from destructive calls.
type Environment string

// The environments. The empty one is [Development].
const (
	Development Environment = "development"
	Test        Environment = "test"
	Production  Environment = "production"
)

// LockKind is a kind of migration lock.
type LockKind string

// The kinds of migration lock.
const (
	// LockAuto chooses by what is at the other end of the connection, and by
	// proof: see [Status].
	LockAuto LockKind = ""
	// LockSession is the server's own lock for a session (an advisory lock on
	// PostgreSQL, GET_LOCK on MySQL and MariaDB), or the file lock on SQLite. It is
	// free the moment its session ends.
	LockSession LockKind = "session"
	// LockLease is a row with an expiry, for where sessions are shared, as behind
	// a pooler in transaction mode, or where a session's locks are local to one
	// node of a cluster. SQLite has none.
	LockLease LockKind = "lease"
)

// The defaults of [Config].
const (
	defaultURL            = "sqlite:///tldw.db"
	defaultMigrationsDir  = "."
	defaultSeedsDir       = "."
	defaultSet            = "default"
	defaultTable          = "tldwdb_history"
	defaultPoolSize       = 20
	defaultPoolRecycle    = time.Hour
	defaultPoolIdleTime   = 5 * time.Minute
	defaultPoolTimeout    = 30 * time.Second
	defaultBusyTimeout    = 5 * time.Second
	defaultConnectTimeout = 10 * time.Second
	defaultConnectWait    = time.Minute
	defaultReconnectWait  = 10 * time.Second
	defaultLockWait       = 10 * time.Minute
	defaultLeaseTime      = 15 * time.Second
	defaultLockTimeout    = 2 * time.Second
	defaultRetryBudget    = 5 * time.Minute
)

// Config is everything that [Open] and [Attach] want to know. The zero value
// of every field is useful: it means the default that the field names. Where a
// duration says so, a negative value switches the limit off.
//
// Printing a Config, by fmt, log/slog or encoding/json, shows no password.
type Config struct {
	// URL names the database: sqlite:///relative.db, sqlite:////absolute.db,
	// sqlite:// (in memory), postgres://user:password@host/database,
	// mysql://user:password@host/database, the same with SQLAlchemy's
	// +driver, libpq's "host=... dbname=..." or go-sql-driver's DSN.
	// Default: sqlite:///tldw.db, except in production, which has none.
	URL string

	// MigrateURL is another road to the same database for running migrations:
	// past a pooler, or as a user with more rights. Default: URL.
	MigrateURL string

	// MonitorURL is another road to the same database for health probes: as a user
	// that can read the history and the catalogue, and no row of a user. Password
	// does not serve it. Default: URL. SQLite takes none.
	MonitorURL string

	// Environment is what the database is for. Default: [Development].
	Environment Environment

	// Migrations holds the migration files, usually an embed.FS.
	Migrations fs.FS

	// MigrationsDir is the folder inside Migrations. Default: ".".
	MigrationsDir string

	// GoMigrations are migrations written in Go; they share the sequence of
	// the files.
	GoMigrations []GoMigration

	// Seeds holds the seeds, in a folder for each set: see [DB.Seed]. Usually an
	// embed.FS.
	Seeds fs.FS

	// SeedsDir is the folder inside Seeds. Default: ".".
	SeedsDir string

	// GoSeeds are seeds written in Go; they share the order of the files of their set.
	GoSeeds []GoSeed

	// Set names this sequence of migrations. Several sets, each with versions
	// of its own, can live in one database. Default: "default".
	Set string

	// Table is the name of the history table, without a schema.
	// Default: "tldwdb_history".
	Table string

	// Application is the name under which the server lists our connections, and
	// which the history records. Default: tldwdb:host:pid.
	Application string

	// Password is asked at every new connection and goes before the password
	// in URL, so that a rotated password needs no restart. It also serves
	// MigrateURL, if that has no password of its own. SQLite does not ask. A
	// callback that caches uses [FreshSecret]. Connections that are there stay, also
	// when the answer is another one: each may be a new token. See [DB.Rotate].
	Password func(context.Context) (string, error)

	// PasswordFile is a file with the password, which is read at every new
	// connection and otherwise like Password, except that it is followed: when a new
	// content has worked, the connections with the old one are replaced. Password
	// goes before it.
	PasswordFile string

	// Logger is told what Open and the migrations do. Default: silent.
	Logger *slog.Logger

	// Progress is told what a run is about to do, before it does it, by the goroutine
	// that called Up: the run goes on when it returns. Default: nobody is told.
	Progress func(Progress)

	// Observers are told what goes on: see [Observer]. Default: none.
	Observers []*Observer

	// WrapConnector puts something between database/sql and the driver of the
	// application's pools, such as a tracing library. Its connections need a Raw or
	// Unwrap method that returns the driver.Conn that they wrap. What it returns is
	// also used by migrations, unless there is a MigrateURL. [Attach] ignores it.
	// Default: nothing.
	WrapConnector func(driver.Connector) driver.Connector

	// SlowQuery is the time from which on a query of the application counts as slow:
	// the log then has its fingerprint, in which no value stands, once a minute for
	// each. [Attach] ignores it. Default: none is slow.
	SlowQuery time.Duration

	// PoolSize is how many connections there are at most, in use and idle.
	// Default: 20. A SQLite database in memory always has one.
	PoolSize int

	// PoolRecycle is the age at which a connection is replaced, give or take a
	// tenth, so that a fleet does not reconnect as one. Negative: never.
	// Default: 1 hour.
	PoolRecycle time.Duration

	// PoolIdleTime is how long a connection stays open unused. Negative: for
	// as long as PoolRecycle lets it. Default: 5 minutes.
	PoolIdleTime time.Duration

	// PoolTimeout is how long [DB.Acquire] waits for a connection. Negative: as
	// long as its context. Default: 30 seconds.
	PoolTimeout time.Duration

	// DisablePrePing leaves out the test that a connection from the pool still
	// works: by a look at the socket, and on PostgreSQL by a round trip after a
	// second unused.
	DisablePrePing bool

	// BusyTimeout is how long SQLite waits for a lock of another connection.
	// Default: 5 seconds.
	BusyTimeout time.Duration

	// ConnectTimeout bounds one attempt to connect, log-in included, unless
	// the URL has a timeout of its own. Default: 10 seconds.
	ConnectTimeout time.Duration

	// ConnectWait is how long [Open] goes on trying while the server is not
	// there yet. Negative: one attempt. Default: 1 minute.
	ConnectWait time.Duration

	// ReconnectWait is how long a new connection of the pool waits for a server that
	// was there before, counted from the beginning of the outage: a restart of the
	// server delays requests and does not fail them, and one that takes longer fails
	// them at once. The context of the request goes before it. Negative: not at all.
	// Default: 10 seconds.
	ReconnectWait time.Duration

	// LockWait is how long to wait while another process migrates, or for a
	// Galera node that has lost its cluster. Negative: not at all. Default: 10
	// minutes.
	LockWait time.Duration

	// Lock forces a kind of migration lock. All processes of a database have to
	// agree about it, so that the default is best left alone. Default: [LockAuto].
	Lock LockKind

	// LeaseTime is how long a lease lasts without a sign of life of its holder: as
	// long, after a crash, do the others wait. It counts only where the migration
	// lock is a lease. At least 1 second. Default: 15 seconds.
	LeaseTime time.Duration

	// Pooler says that URL leads to a pooler in transaction mode, such as PgBouncer:
	// no statement is then prepared on the server by name. Migrations find a pooler
	// by themselves; the application's pool cannot in time. PostgreSQL only.
	Pooler bool

	// WaitOnReadOnly makes [DB.Up], and every other call that migrates, wait, at
	// most for LockWait, when migrations are pending on a server that takes no writes, such as a standby, until they have
	// arrived from its primary or the server is promoted. The default is to return
	// [ErrReadOnly] at once.
	WaitOnReadOnly bool

	// LockTimeout is how long a statement of a migration waits for a lock on a
	// table, because everybody else waits behind it. Negative: the server's
	// own setting. Default: 2 seconds.
	LockTimeout time.Duration

	// RetryBudget is how long, in all, a migration that ran into LockTimeout is
	// tried again. Negative: not at all. Default: 5 minutes.
	RetryBudget time.Duration

	// StatementTimeout is how long one statement of a migration may run.
	// Default: no limit.
	StatementTimeout time.Duration

	// OutOfOrder applies files whose version is below one that is applied
	// already, which is an error otherwise.
	OutOfOrder bool

	// Strict makes it an error that the database has migrations that this
	// binary does not know, which is normal while a new version is rolled out.
	Strict bool

	// SingleTransaction applies all pending migrations in one transaction,
	// where the engine and the files allow it.
	SingleTransaction bool

	// Health is what health probes ask, how often, and who is told.
	Health HealthOptions

	// Backup is how backups are made and where they are, for all calls that leave it
	// open. Where it names a Store or a Dir, health probes look there for the newest
	// backup, unless Health.Backup is set.
	Backup BackupOptions

	// BackupBeforeMigrate makes a backup before a run applies or takes back the first
	// migration, under the same lock. If it fails, so does the run, and nothing has been
	// touched. An empty database is not backed up. Default: [BackupNever].
	BackupBeforeMigrate BackupWhen

	// Lint judges what is pending before a run takes the lock: findings are in the log,
	// or stop the run before anything is touched. Lint.Mode is [tldwdblint.ModeWarn] while
	// Environment is Development, and [tldwdblint.ModeOff] otherwise, unless it is set. See [Lint].
	Lint tldwdblint.Config

	// Confirm is the name of the database on which destructive calls are
	// allowed although it is stamped as production.
	Confirm string

	urlFrom        string               // the variable that URL came from, for messages
	migrateURLFrom string               // the same of MigrateURL
	urlFile        string               // the file that URL came from, followed for another log-in
	migrateURLFile string               // the same of MigrateURL
	login          *dialect.Credentials // of the connections, in place of all of the above: of a scratch database
	urlRead        fromFile             // how Open knows that URL is still what was read
	migrateURLRead fromFile
	monitorURLRead fromFile
	monitorURLFile string
	monitorURLFrom string // the same of MonitorURL
	monitorURL     dburl.URL
	warnings       []string                    // what ConfigFromLookup found odd; Open logs it
	lookup         func(string) (string, bool) // where seeds find variables; nil: the process's environment
}

// Format prints the settings that are not zero, for every verb of fmt, with
// passwords masked.
func (c Config) Format(f fmt.State, _ rune) {
	var b strings.Builder
	b.WriteString("tldwdb.Config{")
	for i, s := range c.settings() {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s:%v", s.Key, s.Value)
	}
	b.WriteByte('}')
	_, _ = io.WriteString(f, b.String()) // fmt keeps no error
}

// LogValue gives log/slog the settings that are not zero, with passwords
// masked.
func (c Config) LogValue() slog.Value { return slog.GroupValue(c.settings()...) }

// MarshalJSON gives the settings that are not zero, with passwords masked.
// Durations are text. It cannot be read back.
func (c Config) MarshalJSON() ([]byte, error) {
	settings := map[string]any{}
	for _, s := range c.settings() {
		settings[s.Key] = s.Value.Any()
		if d, ok := s.Value.Any().(time.Duration); ok {
			settings[s.Key] = d.String()
		}
	}
	return json.Marshal(settings)
}

// settings lists the fields that are not zero. Reflection keeps the list
// complete; values that are not plain are only said to be set.
func (c Config) settings() []slog.Attr {
	c.URL, c.MigrateURL, c.MonitorURL = redactURL(c.URL), redactURL(c.MigrateURL), redactURL(c.MonitorURL)
	var list []slog.Attr
	v := reflect.ValueOf(c)
	for _, field := range reflect.VisibleFields(v.Type()) {
		value := v.FieldByIndex(field.Index)
		if !field.IsExported() || value.IsZero() {
			continue
		}
		switch value.Kind() {
		case reflect.Func, reflect.Interface, reflect.Pointer, reflect.Struct:
			list = append(list, slog.String(field.Name, "set"))
		case reflect.Slice:
			list = append(list, slog.Int(field.Name, value.Len()))
		default:
			list = append(list, slog.Any(field.Name, value.Interface()))
		}
	}
	return list
}

// redactURL masks the password of a URL. What cannot be read as a URL is not
// shown at all: nobody can tell where in it a password stands.
func redactURL(raw string) string {
	if raw == "" {
		return ""
	}
	u, err := dburl.Parse(raw)
	if err != nil {
		return "(not a database URL)"
	}
	return u.String()
}

// ConfigFromEnv reads the configuration from the process's environment, as
// [ConfigFromLookup] does.
func ConfigFromEnv() (Config, error) { return ConfigFromLookup(os.LookupEnv) }

// ConfigFromLookup reads the configuration from variables, which lookup finds
// as os.LookupEnv does. A variable that is empty counts as not set.
//
// TLDWDB_ENV, or else APP_ENV, names the environment: development (the
// default), test or production. In development and test the database is
// MYSQL_URL, else POSTGRES_URL, else DATABASE_URL; with none of them URL stays
// empty, and [Open] takes sqlite:///tldw.db. In production it is DATABASE_URL,
// else the only one of the other two that is set; there is no default.
//
// DATABASE_URL_FILE, POSTGRES_URL_FILE, MYSQL_URL_FILE,
// TLDWDB_MIGRATE_URL_FILE and TLDWDB_MONITOR_URL_FILE name files that hold the value instead.
// These, and the file with the password that TLDWDB_PASSWORD_FILE names, are read
// anew for every connection and followed when they change; a URL's file for
// another user and password, and nothing else. The other fields of [Config] have a variable each:
// TLDWDB_POOL_SIZE for PoolSize, TLDWDB_PRE_PING for the opposite of
// DisablePrePing, and so on. Durations are Go's, such as 1m30s, or plain
// seconds; 0 (and SQLAlchemy's -1) switches off what a negative value in
// [Config] does.
//
// The error names every invalid variable and what it accepts, at once. It
// shows no value that could be a secret.
func ConfigFromLookup(lookup func(string) (string, bool)) (Config, error) {
	e := envReader{lookup: lookup}
	cfg := Config{
		Environment:   e.environment(),
		MigrationsDir: e.text("TLDWDB_MIGRATIONS_DIR"),
		SeedsDir:      e.text("TLDWDB_SEEDS_DIR"),
		Set:           e.text("TLDWDB_SET"),
		Table:         e.text("TLDWDB_TABLE"),
		Application:   e.text("TLDWDB_APPLICATION"),
		Confirm:       e.text("TLDWDB_CONFIRM"),
		PasswordFile:  e.passwordFile("TLDWDB_PASSWORD_FILE"),

		PoolSize:       e.number("TLDWDB_POOL_SIZE"),
		PoolRecycle:    e.duration("TLDWDB_POOL_RECYCLE", true),
		PoolIdleTime:   e.duration("TLDWDB_POOL_IDLE_TIME", true),
		PoolTimeout:    e.duration("TLDWDB_POOL_TIMEOUT", true),
		DisablePrePing: !e.flag("TLDWDB_PRE_PING", true),
		BusyTimeout:    e.duration("TLDWDB_BUSY_TIMEOUT", false),
		ConnectTimeout: e.duration("TLDWDB_CONNECT_TIMEOUT", false),
		ConnectWait:    e.duration("TLDWDB_CONNECT_WAIT", true),
		ReconnectWait:  e.duration("TLDWDB_RECONNECT_WAIT", true),
		SlowQuery:      e.duration("TLDWDB_SLOW_QUERY", false),

		LockWait:          e.duration("TLDWDB_LOCK_WAIT", true),
		Lock:              LockKind(strings.ToLower(e.text("TLDWDB_LOCK"))),
		LeaseTime:         e.duration("TLDWDB_LEASE_TIME", false),
		Pooler:            e.flag("TLDWDB_POOLER", false),
		WaitOnReadOnly:    e.flag("TLDWDB_WAIT_ON_READ_ONLY", false),
		LockTimeout:       e.duration("TLDWDB_LOCK_TIMEOUT", true),
		RetryBudget:       e.duration("TLDWDB_RETRY_BUDGET", true),
		StatementTimeout:  max(0, e.duration("TLDWDB_STATEMENT_TIMEOUT", true)), // zero has no default to mean
		OutOfOrder:        e.flag("TLDWDB_OUT_OF_ORDER", false),
		Strict:            e.flag("TLDWDB_STRICT", false),
		SingleTransaction: e.flag("TLDWDB_SINGLE_TRANSACTION", false),
		Health: HealthOptions{
			Interval: e.duration("TLDWDB_HEALTH_INTERVAL", false),
			Timeout:  e.duration("TLDWDB_HEALTH_TIMEOUT", false),
			Tables:   e.list("TLDWDB_HEALTH_TABLES"),
			Counts:   e.list("TLDWDB_HEALTH_COUNTS"),

			DriftEvery:  e.duration("TLDWDB_HEALTH_DRIFT_EVERY", false),
			DriftIgnore: e.list("TLDWDB_HEALTH_DRIFT_IGNORE"),
		},
		Backup: BackupOptions{
			Dir:            e.text("TLDWDB_BACKUP_DIR"),
			Method:         BackupMethod(strings.ToLower(e.text("TLDWDB_BACKUP_METHOD"))),
			Compression:    strings.ToLower(e.text("TLDWDB_BACKUP_COMPRESSION")),
			Jobs:           e.number("TLDWDB_BACKUP_JOBS"),
			ToolDir:        e.text("TLDWDB_TOOL_DIR"),
			Recipients:     e.list("TLDWDB_BACKUP_RECIPIENTS"),
			RecipientsFile: e.text("TLDWDB_BACKUP_RECIPIENTS_FILE"),
			IdentityFiles:  e.list("TLDWDB_BACKUP_IDENTITY_FILES"),
			PassphraseFile: e.text("TLDWDB_BACKUP_PASSPHRASE_FILE"),
			Digests:        e.flag("TLDWDB_BACKUP_DIGESTS", false),
			Skip:           e.list("TLDWDB_BACKUP_SKIP"),
		},
		BackupBeforeMigrate: BackupWhen(strings.ToLower(e.text("TLDWDB_BACKUP_BEFORE_MIGRATE"))),
		Lint: tldwdblint.Config{
			Mode:       tldwdblint.Mode(strings.ToLower(e.text("TLDWDB_LINT"))),
			StartAfter: int64(e.number("TLDWDB_LINT_START_AFTER")),
			Target:     pairs[string](&e, "TLDWDB_LINT_TARGET", "postgres=14, with commas between several"),
			Severity:   pairs[tldwdblint.Severity](&e, "TLDWDB_LINT_SEVERITY", "PG101=off, with commas between several"),
		},
	}
	cfg.URL, cfg.urlFrom = e.database(cfg.Environment)
	cfg.MigrateURL, cfg.migrateURLFrom = e.secret("TLDWDB_MIGRATE_URL")
	cfg.urlRead, cfg.migrateURLRead = e.fromFile(cfg.urlFrom, cfg.URL), e.fromFile(cfg.migrateURLFrom, cfg.MigrateURL)
	cfg.MonitorURL, cfg.monitorURLFrom = e.secret("TLDWDB_MONITOR_URL")
	cfg.monitorURLRead = e.fromFile(cfg.monitorURLFrom, cfg.MonitorURL)
	cfg.warnings = e.warnings
	cfg.lookup = lookup
	// What is left to check is the same for a Config that was written in Go.
	_, errFields := cfg.normalize()
	_, _, errURLs := cfg.urls()
	_, errMonitor := cfg.monitor()
	if err := errors.Join(append(e.errs, errFields, errURLs, errMonitor)...); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return cfg, nil
}

// pairs reads a list of name=value.
func pairs[T ~string](e *envReader, name, accepted string) map[string]T {
	var m map[string]T
	for _, pair := range e.list(name) {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" || value == "" {
			e.failf("%s has %.40q: accepted is %s", name, pair, accepted)
			continue
		}
		if m == nil {
			m = map[string]T{}
		}
		m[key] = T(value)
	}
	return m
}

// envReader reads variables and collects what is wrong with them.
type envReader struct {
	lookup   func(string) (string, bool)
	errs     []error
	warnings []string
}

func (e *envReader) failf(format string, args ...any) {
	e.errs = append(e.errs, fmt.Errorf(format, args...))
}

// text returns a variable's value without surrounding blanks; "" is not set.
func (e *envReader) text(name string) string {
	value, _ := e.lookup(name)
	return strings.TrimSpace(value)
}

// list returns the names in a variable, with commas or blanks between them.
func (e *envReader) list(name string) []string {
	return strings.FieldsFunc(e.text(name), func(r rune) bool { return r == ',' || r == ' ' })
}

func (e *envReader) environment() Environment {
	name := "TLDWDB_ENV"
	value := e.text(name)
	if value == "" {
		name = "APP_ENV"
		value = e.text(name)
	}
	switch env := Environment(strings.ToLower(value)); env {
	case "":
		return Development
	case Development, Test, Production:
		return env
	}
	// A guess, such as development for "staging", would be a silent SQLite file.
	hint := ""
	if name == "APP_ENV" {
		hint = "; TLDWDB_ENV goes before it"
	}
	e.failf("%s is %q: accepted are development, test and production%s", name, value, hint)
	return Development
}

// secret returns the value of a variable, or of the file that NAME_FILE names,
// and the name of the one that was set.
func (e *envReader) secret(name string) (value, from string) {
	value = e.text(name)
	file := e.text(name + "_FILE")
	switch {
	case value != "" && file != "":
		e.failf("%s and %s_FILE are both set: set one of them", name, name)
		return "", ""
	case file == "" && value == "":
		return "", ""
	case file == "":
		return value, name
	}
	name += "_FILE"
	text, err := readSecret(name, file)
	if err != nil {
		e.errs = append(e.errs, err)
		return "", ""
	}
	if value = strings.TrimSpace(text); value == "" {
		e.failf("%s: the file is empty", name)
		return "", ""
	}
	return value, name
}

// readSecret reads a file that the variable name names. The error leaves out
// the file's name: whoever mistakes the variable puts the secret itself there.
func readSecret(name, file string) (string, error) {
	text, err := os.ReadFile(file) //nolint:gosec // the operator's own setting
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	if err != nil {
		return "", fmt.Errorf("%s: the file that it names cannot be read: %w", name, err)
	}
	return string(text), nil
}

// database chooses the database URL. Every URL that is set must be good, also
// one that is not chosen: it is there because somebody believes in it.
func (e *envReader) database(env Environment) (value, from string) {
	type candidate struct {
		name, dialect string // the dialect that the name promises; "" for any
		value, from   string
		url           dburl.URL
	}
	candidates := []candidate{{name: "MYSQL_URL", dialect: dburl.MySQL}, {name: "POSTGRES_URL", dialect: dburl.Postgres}, {name: "DATABASE_URL"}}
	if env == Production {
		candidates[0], candidates[2] = candidates[2], candidates[0]
	}
	var set []candidate
	for _, c := range candidates {
		before := len(e.errs)
		if c.value, c.from = e.secret(c.name); c.value == "" {
			if len(e.errs) > before {
				set = append(set, c) // set, though wrong: no default in its place
			}
			continue
		}
		var err error
		if c.url, err = dburl.Parse(c.value); err != nil {
			e.failf("%s: %w", c.from, err)
		} else if c.dialect != "" && c.url.Dialect != c.dialect {
			e.failf("%s: names a %s database; accepted is a %s URL", c.from, c.url.Dialect, c.dialect)
		}
		set = append(set, c)
	}
	if len(set) == 0 {
		if env == Production {
			e.failf("DATABASE_URL is not set: in production set it, or one of POSTGRES_URL and MYSQL_URL (or the same name with _FILE)")
			return "", ""
		}
		return "", "" // Open knows the default, and Attach needs none
	}
	won := set[0]
	if env == Production && won.name != "DATABASE_URL" && len(set) > 1 {
		e.failf("POSTGRES_URL and MYSQL_URL are both set: in production set DATABASE_URL, or only one of them")
		return "", ""
	}
	if len(e.errs) > 0 {
		return "", ""
	}
	for _, lost := range set[1:] {
		if lost.url.String() != won.url.String() {
			e.warnings = append(e.warnings, fmt.Sprintf("%s and %s name different databases; %s is used: %s", won.from, lost.from, won.from, won.url))
		}
	}
	return won.value, won.from
}

// passwordFile gives the name of the file. It is read once here, so that a wrong
// name is found at start-up.
func (e *envReader) passwordFile(name string) string {
	file := e.text(name)
	if file == "" {
		return ""
	}
	if _, err := readPassword(name, file); err != nil {
		e.errs = append(e.errs, err)
	}
	return file
}

// fromFile says of a URL which file it was read from; empty for another URL, which
// the program has set in its place. It is a function because a debug printer cannot
// look into one.
type fromFile func(url string) (file string)

func (e *envReader) fromFile(variable, read string) fromFile {
	if !strings.HasSuffix(variable, "_FILE") {
		return nil
	}
	file := e.text(variable)
	return func(url string) string {
		if url != read {
			return ""
		}
		return file
	}
}

func (f fromFile) of(url string) string {
	if f == nil {
		return ""
	}
	return f(url)
}

// hideURLs takes the URLs out, which from here on exist as what cannot show a
// password, and keeps the names of the files that they came from.
func (c Config) hideURLs() Config {
	c.urlFile, c.migrateURLFile, c.monitorURLFile = c.urlRead.of(c.URL), c.migrateURLRead.of(c.MigrateURL), c.monitorURLRead.of(c.MonitorURL)
	c.URL, c.MigrateURL, c.MonitorURL = "", "", ""
	return c
}

func (e *envReader) number(name string) int {
	text := e.text(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		e.failf("%s is %.40q: accepted is a whole number from 1", name, text)
	}
	return n
}

func (e *envReader) flag(name string, unset bool) bool {
	switch text := strings.ToLower(e.text(name)); text {
	case "":
		return unset
	case "1", "true", "yes", "on":
		return true
	case "0", "false", "no", "off":
		return false
	default:
		e.failf("%s is %.40q: accepted are true and false", name, text)
		return unset
	}
}

// duration reads a Go duration or plain seconds. 0 cannot be handed on as it
// is, since it means the default in Config: it becomes a negative value, where
// that has a meaning.
func (e *envReader) duration(name string, canBeOff bool) time.Duration {
	text := e.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		d, err = time.ParseDuration(text + "s")
	}
	switch {
	case err == nil && d > 0:
		return d
	case err == nil && canBeOff && (d == 0 || d == -time.Second): // -1 is SQLAlchemy's "never"
		return -1
	case canBeOff:
		e.failf("%s is %.40q: accepted are seconds or a Go duration such as 90 or 1m30s, and 0 for off", name, text)
	default:
		e.failf("%s is %.40q: accepted are seconds or a Go duration such as 90 or 1m30s, more than 0", name, text)
	}
	return 0
}

var (
	tableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	setName   = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
)

// The longest names. A count in a regular expression costs more at the start of every
// program than all the rest of this package.
const (
	longestSet   = 64
	longestTable = 57 // the lease's has six more, and servers take 63
)

// normalize fills in the defaults and checks every field. Errors name the
// field, or the variable that it came from, and what is accepted.
func (c Config) normalize() (Config, error) {
	var errs []error
	failf := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Environment == "" {
		c.Environment = Development
	}
	switch c.Environment {
	case Development, Test, Production:
	default:
		failf("Config.Environment is %q: accepted are development, test and production", c.Environment)
	}
	if c.MigrationsDir == "" {
		c.MigrationsDir = defaultMigrationsDir
	}
	if !fs.ValidPath(c.MigrationsDir) {
		failf("Config.MigrationsDir (TLDWDB_MIGRATIONS_DIR) is %q: accepted is a path as io/fs has it, such as migrations/sql, without a leading or trailing slash", c.MigrationsDir)
	}
	if c.SeedsDir == "" {
		c.SeedsDir = defaultSeedsDir
	}
	if !fs.ValidPath(c.SeedsDir) {
		failf("Config.SeedsDir (TLDWDB_SEEDS_DIR) is %q: accepted is a path as io/fs has it, such as seeds, without a leading or trailing slash", c.SeedsDir)
	}
	if c.Set == "" {
		c.Set = defaultSet
	}
	if len(c.Set) > longestSet || !setName.MatchString(c.Set) {
		failf("Config.Set (TLDWDB_SET) is %.80q: accepted are up to 64 letters, digits, dots, dashes and underscores", c.Set)
	}
	if c.Table == "" {
		c.Table = defaultTable
	}
	if len(c.Table) > longestTable || !tableName.MatchString(c.Table) {
		failf("Config.Table (TLDWDB_TABLE) is %.80q: accepted are up to 57 letters, digits and underscores, without a schema", c.Table)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.PoolSize < 0 {
		failf("Config.PoolSize is %d: accepted is a number from 1, or 0 for %d", c.PoolSize, defaultPoolSize)
	}
	if c.PoolSize == 0 {
		c.PoolSize = defaultPoolSize
	}
	for _, d := range []struct {
		name     string
		field    *time.Duration
		unset    time.Duration
		negative bool // has a meaning
	}{
		{"PoolRecycle", &c.PoolRecycle, defaultPoolRecycle, true},
		{"PoolIdleTime", &c.PoolIdleTime, defaultPoolIdleTime, true},
		{"PoolTimeout", &c.PoolTimeout, defaultPoolTimeout, true},
		{"BusyTimeout", &c.BusyTimeout, defaultBusyTimeout, false},
		{"ConnectTimeout", &c.ConnectTimeout, defaultConnectTimeout, false},
		{"ConnectWait", &c.ConnectWait, defaultConnectWait, true},
		{"ReconnectWait", &c.ReconnectWait, defaultReconnectWait, true},
		{"LockWait", &c.LockWait, defaultLockWait, true},
		{"LeaseTime", &c.LeaseTime, defaultLeaseTime, false},
		{"LockTimeout", &c.LockTimeout, defaultLockTimeout, true},
		{"RetryBudget", &c.RetryBudget, defaultRetryBudget, true},
		{"StatementTimeout", &c.StatementTimeout, 0, false},
		{"SlowQuery", &c.SlowQuery, 0, false},
	} {
		if *d.field == 0 {
			*d.field = d.unset
		}
		if *d.field < 0 && !d.negative {
			failf("Config.%s is %v: accepted is a duration above 0, or 0 for the default", d.name, *d.field)
		}
	}
	if c.LeaseTime > 0 && c.LeaseTime < time.Second {
		failf("Config.LeaseTime (TLDWDB_LEASE_TIME) is %v: accepted is a duration from 1s", c.LeaseTime)
	}
	switch c.Lock {
	case "auto":
		c.Lock = LockAuto
	case LockAuto, LockSession, LockLease:
	default:
		failf("Config.Lock (TLDWDB_LOCK) is %.40q: accepted are auto, session and lease", c.Lock)
	}
	switch c.BackupBeforeMigrate {
	case "":
		c.BackupBeforeMigrate = BackupNever
	case BackupNever, BackupDestructive, BackupAlways:
	default:
		failf("Config.BackupBeforeMigrate (TLDWDB_BACKUP_BEFORE_MIGRATE) is %.40q: accepted are never, destructive and always", c.BackupBeforeMigrate)
	}
	switch c.Lint.Mode {
	case "":
		c.Lint.Mode = tldwdblint.ModeOff
		if c.Environment == Development {
			c.Lint.Mode = tldwdblint.ModeWarn
		}
	case tldwdblint.ModeOff, tldwdblint.ModeWarn, tldwdblint.ModeEnforce:
	default:
		failf("Config.Lint.Mode (TLDWDB_LINT) is %.40q: accepted are off, warn and enforce", c.Lint.Mode)
	}
	if err := lint.Valid(c.Lint); err != nil {
		failf("Config.Lint (TLDWDB_LINT_TARGET, TLDWDB_LINT_SEVERITY): %w", err)
	}
	health, err := c.Health.normalize()
	c.Health = health
	return c, errors.Join(append(errs, err, c.Backup.check())...)
}

// monitor parses MonitorURL, which need not be set.
func (c Config) monitor() (dburl.URL, error) {
	if c.MonitorURL == "" {
		return dburl.URL{}, nil
	}
	from := c.monitorURLFrom
	if from == "" {
		from = "Config.MonitorURL (TLDWDB_MONITOR_URL)"
	}
	u, err := dburl.Parse(c.MonitorURL)
	switch {
	case err != nil:
		return dburl.URL{}, fmt.Errorf("%s: %w", from, err)
	case u.Dialect == dburl.SQLite:
		return dburl.URL{}, fmt.Errorf("%s: names a SQLite database, which has no accounts: leave it out", from)
	case u.Dialect == dburl.MySQL && u.Database == "":
		return dburl.URL{}, fmt.Errorf("%s: names no database: write mysql://user:password@host/database", from)
	}
	if database, err := dburl.Parse(c.URL); c.URL != "" && err == nil && database.Dialect != u.Dialect {
		return dburl.URL{}, fmt.Errorf("%s: names a %s database, but Config.URL a %s one; both must lead to the same database", from, u.Dialect, database.Dialect)
	}
	return u, nil
}

// urls parses URL and MigrateURL, which need not be set.
func (c Config) urls() (database, migrate dburl.URL, err error) {
	var errs []error
	parse := func(raw, from, field string) dburl.URL {
		if raw == "" {
			return dburl.URL{}
		}
		if from == "" {
			from = field
		}
		u, err := dburl.Parse(raw)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", from, err))
		} else if u.Dialect == dburl.MySQL && u.Database == "" {
			// Every statement of a migration would end in "no database selected".
			errs = append(errs, fmt.Errorf("%s: names no database: write mysql://user:password@host/database", from))
		}
		return u
	}
	database = parse(c.URL, c.urlFrom, "Config.URL")
	migrate = parse(c.MigrateURL, c.migrateURLFrom, "Config.MigrateURL (TLDWDB_MIGRATE_URL)")
	if len(errs) == 0 && c.URL != "" && c.MigrateURL != "" && database.Dialect != migrate.Dialect {
		errs = append(errs, fmt.Errorf("Config.MigrateURL (TLDWDB_MIGRATE_URL): names a %s database, but Config.URL a %s one; both must lead to the same database", migrate.Dialect, database.Dialect))
	}
	return database, migrate, errors.Join(errs...)
}
