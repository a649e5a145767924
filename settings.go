package tldwdb

import (
	"errors"
	"slices"
)

// Setting is one variable that [ConfigFromLookup] reads.
type Setting struct {
	Field    string `json:"field"`    // the field of [Config] that it sets
	Variable string `json:"variable"` // its name in the environment
	Doc      string `json:"doc"`      // what it is, in a line
}

// settingsRead is every variable, in the order of the fields of [Config]; where a
// field has several, those that go before others come first, as they do in
// development.
var settingsRead = []Setting{
	{"URL", "MYSQL_URL", "the database, if it is MySQL or MariaDB"},
	{"URL", "MYSQL_URL_FILE", "a file with MYSQL_URL"},
	{"URL", "POSTGRES_URL", "the database, if it is PostgreSQL"},
	{"URL", "POSTGRES_URL_FILE", "a file with POSTGRES_URL"},
	{"URL", "DATABASE_URL", "the database; goes first in production, and last otherwise"},
	{"URL", "DATABASE_URL_FILE", "a file with DATABASE_URL"},
	{"MigrateURL", "TLDWDB_MIGRATE_URL", "another road to the same database, for migrations"},
	{"MigrateURL", "TLDWDB_MIGRATE_URL_FILE", "a file with TLDWDB_MIGRATE_URL"},
	{"MonitorURL", "TLDWDB_MONITOR_URL", "another road to the same database, for health probes"},
	{"MonitorURL", "TLDWDB_MONITOR_URL_FILE", "a file with TLDWDB_MONITOR_URL"},
	{"Environment", "TLDWDB_ENV", "development, test or production"},
	{"Environment", "APP_ENV", "the same, where TLDWDB_ENV is not set"},
	{"MigrationsDir", "TLDWDB_MIGRATIONS_DIR", "the folder inside the migrations"},
	{"SeedsDir", "TLDWDB_SEEDS_DIR", "the folder inside the seeds"},
	{"Set", "TLDWDB_SET", "the name of this sequence of migrations"},
	{"Table", "TLDWDB_TABLE", "the name of the history table"},
	{"Application", "TLDWDB_APPLICATION", "the name under which the server lists the connections"},
	{"PasswordFile", "TLDWDB_PASSWORD_FILE", "a file with the password, followed when it changes"},
	{"SlowQuery", "TLDWDB_SLOW_QUERY", "from when on a query is slow, and in the log"},
	{"PoolSize", "TLDWDB_POOL_SIZE", "connections at most"},
	{"PoolRecycle", "TLDWDB_POOL_RECYCLE", "age at which a connection is replaced; 0: never"},
	{"PoolIdleTime", "TLDWDB_POOL_IDLE_TIME", "how long a connection stays open unused; 0: for as long as it is not replaced"},
	{"PoolTimeout", "TLDWDB_POOL_TIMEOUT", "how long to wait for a connection of the pool; 0: without limit"},
	{"DisablePrePing", "TLDWDB_PRE_PING", "off: connections of the pool are not tested before use"},
	{"BusyTimeout", "TLDWDB_BUSY_TIMEOUT", "how long SQLite waits for a lock"},
	{"ConnectTimeout", "TLDWDB_CONNECT_TIMEOUT", "limit of one attempt to connect"},
	{"ConnectWait", "TLDWDB_CONNECT_WAIT", "how long to try while the server is not there; 0: one attempt"},
	{"ReconnectWait", "TLDWDB_RECONNECT_WAIT", "how long new connections wait for a server that was there before; 0: not at all"},
	{"LockWait", "TLDWDB_LOCK_WAIT", "how long to wait for the migration lock; 0: not at all"},
	{"Lock", "TLDWDB_LOCK", "the kind of migration lock: auto, session or lease"},
	{"LeaseTime", "TLDWDB_LEASE_TIME", "how long a lease lasts without a sign of life"},
	{"Pooler", "TLDWDB_POOLER", "on: the URL leads to a pooler in transaction mode"},
	{"WaitOnReadOnly", "TLDWDB_WAIT_ON_READ_ONLY", "on: wait while the server takes no writes"},
	{"LockTimeout", "TLDWDB_LOCK_TIMEOUT", "how long a statement waits for a table; 0: the server's own setting"},
	{"RetryBudget", "TLDWDB_RETRY_BUDGET", "how long a migration that got no table is tried again; 0: not at all"},
	{"StatementTimeout", "TLDWDB_STATEMENT_TIMEOUT", "limit of one statement of a migration; 0: none"},
	{"OutOfOrder", "TLDWDB_OUT_OF_ORDER", "on: apply files below the newest applied version"},
	{"Strict", "TLDWDB_STRICT", "on: migrations that this binary does not know are an error"},
	{"SingleTransaction", "TLDWDB_SINGLE_TRANSACTION", "on: all pending migrations in one transaction"},
	{"Health", "TLDWDB_HEALTH_INTERVAL", "for how long a health answer is given again without asking the database"},
	{"Health", "TLDWDB_HEALTH_TIMEOUT", "limit of one health probe"},
	{"Health", "TLDWDB_HEALTH_TABLES", "tables that have to be there, with commas between them"},
	{"Health", "TLDWDB_HEALTH_COUNTS", "tables whose rows a health answer counts"},
	{"Health", "TLDWDB_HEALTH_DRIFT_EVERY", "how often a health answer compares the schema with what the migrations make"},
	{"Health", "TLDWDB_HEALTH_DRIFT_IGNORE", "objects that it does not compare, with commas between them"},
	{"Backup", "TLDWDB_BACKUP_DIR", "the folder for backups"},
	{"Backup", "TLDWDB_BACKUP_METHOD", "how backups are made: native or portable"},
	{"Backup", "TLDWDB_BACKUP_COMPRESSION", "of backups: zstd or none"},
	{"Backup", "TLDWDB_BACKUP_JOBS", "connections of one backup of PostgreSQL"},
	{"Backup", "TLDWDB_TOOL_DIR", "the folder with the server's programs, such as pg_dump"},
	{"Backup", "TLDWDB_BACKUP_RECIPIENTS", "public keys of age that backups are encrypted to, with commas between them"},
	{"Backup", "TLDWDB_BACKUP_RECIPIENTS_FILE", "a file with such keys, one a line"},
	{"Backup", "TLDWDB_BACKUP_IDENTITY_FILES", "files with the secret keys that open backups"},
	{"Backup", "TLDWDB_BACKUP_PASSPHRASE_FILE", "a file with the passphrase of backups"},
	{"Backup", "TLDWDB_BACKUP_DIGESTS", "on: backups note a digest of each table's rows"},
	{"Backup", "TLDWDB_BACKUP_SKIP", "tables that portable backups leave out, with commas between them"},
	{"BackupBeforeMigrate", "TLDWDB_BACKUP_BEFORE_MIGRATE", "before which migrations a backup is made: never, destructive or always"},
	{"Lint", "TLDWDB_LINT", "what a run does with findings in pending migrations: off, warn or enforce"},
	{"Lint", "TLDWDB_LINT_START_AFTER", "the version after which migrations are judged"},
	{"Lint", "TLDWDB_LINT_TARGET", "the oldest servers that migrations have to run on, such as postgres=14"},
	{"Lint", "TLDWDB_LINT_SEVERITY", "the weight of rules, such as PG101=off, with commas between them"},
	{"Confirm", "TLDWDB_CONFIRM", "the production database on which destructive calls are allowed, by name"},
}

// Settings lists the variables that [ConfigFromLookup] reads and the fields that
// they set, for tools that show or document a configuration. The list is the
// caller's own.
func Settings() []Setting { return slices.Clone(settingsRead) }

// Effective is the configuration as [Open] uses it, with every default filled in.
// Application, MigrateURL and MonitorURL stay empty where they are: the one is made
// for each process, the others are then URL. The errors are those of Open before it connects.
func (c Config) Effective() (Config, error) {
	c, err := c.normalize()
	if err != nil {
		return Config{}, err
	}
	if c.URL == "" {
		if c.Environment == Production {
			return Config{}, errors.New("Config.URL is not set: production has no default database")
		}
		c.URL = defaultURL
	}
	if _, _, err := c.urls(); err != nil {
		return Config{}, err
	}
	if _, err := c.monitor(); err != nil {
		return Config{}, err
	}
	return c, nil
}
