package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
)

// The names of the checks of [Health]. Those of the database are asked in this
// order; what comes behind a connection that is not to be had is left out.
const (
	CheckConnection  = "connection"   // a connection is had and the server answers; milliseconds to get it
	CheckMonitor     = "monitor"      // Config.MonitorURL could not be used; only listed then
	CheckRoundTrip   = "round_trip"   // one question and its answer, in milliseconds
	CheckFile        = "file"         // SQLite: the file is the one that was opened; only listed when it is not
	CheckHistory     = "history"      // the schema is what this binary needs; migrations that are pending
	CheckTables      = "tables"       // the tables of HealthOptions.Tables are there; how many are not
	CheckWriteAccess = "write_access" // a row can be written
	CheckPool        = "pool"         // share of the application's pool that is in use, 0 to 1
	CheckPoolWait    = "pool_wait"    // milliseconds to get a connection of a pool that is full
	CheckCount       = "count"        // rows of one table of HealthOptions.Counts
	CheckSize        = "size"         // of the database, in bytes
	CheckGrowth      = "growth"       // of the database, in bytes a day, since this process began to look
	CheckDisk        = "disk"         // SQLite: bytes free where the file is
	CheckReplication = "replication"  // seconds behind the server that this one follows, or of the slowest that follows it
	CheckCertificate = "certificate"  // seconds until a certificate of the connection ends, the server's or this side's
	CheckDrift       = "drift"        // differences that [DB.Drift] found; only listed with HealthOptions.DriftEvery
	CheckBackup      = "backup"       // seconds since the last good backup
	CheckRestoreTest = "restore_test" // seconds since a backup was last restored on trial
)

// Limit is from where on an observed value is a warning or a failure. Of what
// should not become small ([CheckDisk], [CheckCertificate]) it is below which. Zero
// means the default of the check, a negative value never.
type Limit struct {
	Warn float64
	Fail float64
}

const (
	never = -1
	day   = 24 * 60 * 60.0
)

// defaultLimits are in the units of the checks.
var defaultLimits = map[string]Limit{
	CheckRoundTrip:   {Warn: 250, Fail: never},
	CheckPool:        {Warn: 0.9, Fail: never},
	CheckPoolWait:    {Warn: 100, Fail: never},
	CheckCount:       {Warn: never, Fail: never},
	CheckSize:        {Warn: never, Fail: never},
	CheckGrowth:      {Warn: never, Fail: never},
	CheckDisk:        {Warn: 512 << 20, Fail: 32 << 20},
	CheckReplication: {Warn: 30, Fail: never},
	CheckCertificate: {Warn: 14 * day, Fail: 1},
	CheckDrift:       {Warn: 1, Fail: never},
	CheckBackup:      {Warn: 26 * 60 * 60, Fail: 3 * day},
	CheckRestoreTest: {Warn: 35 * day, Fail: never},
}

// checkNames are all checks, for messages.
var checkNames = []string{CheckConnection, CheckMonitor, CheckRoundTrip, CheckFile, CheckHistory, CheckTables, CheckWriteAccess, CheckPool, CheckPoolWait,
	CheckCount, CheckSize, CheckGrowth, CheckDisk, CheckReplication, CheckCertificate, CheckDrift, CheckBackup, CheckRestoreTest}

// HealthOptions is what [DB.Health] asks, how often, and who is told. The zero
// value of every field is useful.
type HealthOptions struct {
	// Interval is for how long an answer is given again without asking the
	// database. Default: 2 seconds.
	Interval time.Duration

	// Timeout is how long one probe may take, all of it; whoever waits for it has
	// an answer then. Default: 2 seconds.
	Timeout time.Duration

	// DetailInterval is the same as Interval for what costs more or changes slowly:
	// counts, size, replication, certificate, backup. Default: 30 seconds.
	DetailInterval time.Duration

	// Tables are the tables that have to be there, with a schema or without.
	Tables []string

	// Counts are the tables whose rows are counted. The answer has them as
	// <table>_count.
	Counts []string

	// ExactCountLimit is up to how many rows are counted; the size of a larger
	// table is what the server's statistics say. Negative: nothing is counted.
	// Default: 10,000.
	ExactCountLimit int

	// Limits are from where on a check warns or fails, by the check's name, such as
	// [CheckRoundTrip].
	Limits map[string]Limit

	// Ready names the checks whose failure makes the process not ready. Default:
	// connection, file, history and pool_wait.
	Ready []string

	// Advisory names the checks whose failure is only a warning, such as
	// write_access for a service that reads a replica.
	Advisory []string

	// ReadyFailures is how many probes in a row have to fail before a process that
	// was ready no longer is. One that is not ready is again with the first probe that
	// passes. A schema that does not fit counts at once. Default: 3.
	ReadyFailures int

	// ReadyGrace is how long the failure may last, however many probes there
	// were. Negative: no time at all, the first failure counts. Default: 5 seconds.
	ReadyGrace time.Duration

	// DeepWrite is how often the write probe commits, to see a disk that is full:
	// what is rolled back may never reach it. At least a minute. Default: never.
	DeepWrite time.Duration

	// DriftEvery is how often the schema is compared with what the applied
	// migrations make, by [DB.Drift]. The first time, and when another migration was
	// applied, they run on a scratch database, which the account has to be allowed to
	// make. One process of a service is enough to ask. Default: never.
	DriftEvery time.Duration

	// DriftIgnore lists objects that are not compared, as [Verification].Ignore does.
	DriftIgnore []string

	// Backup says when there was a backup last. It is called once in
	// DetailInterval, never twice at a time. Default: what the store has that
	// Config.Backup names, looked at every five minutes; not asked where it names none.
	Backup func(context.Context) (BackupState, error)

	// Authorized says whether a request may see the details: every check with what
	// was observed, the counts, names of tables and the words of the server. Default:
	// nobody may.
	Authorized func(*http.Request) bool
}

// BackupState is what is known of the backups. A zero time means never.
type BackupState struct {
	LastGood        time.Time // when the newest backup that is known to be good was made
	LastRestoreTest time.Time // when a backup was last restored on trial, with success
}

// The defaults of [HealthOptions].
const (
	defaultHealthInterval  = 2 * time.Second
	defaultHealthTimeout   = 2 * time.Second
	defaultDetailInterval  = 30 * time.Second
	defaultExactCountLimit = 10_000
	defaultReadyFailures   = 3
	defaultReadyGrace      = 5 * time.Second
)

var healthTable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$`)

// normalize fills in the defaults and checks every field.
func (o HealthOptions) normalize() (HealthOptions, error) {
	var errs []error
	failf := func(format string, args ...any) { errs = append(errs, fmt.Errorf("Config.Health."+format, args...)) }
	for _, d := range []struct {
		name         string
		field        *time.Duration
		unset, least time.Duration
	}{
		{"Interval", &o.Interval, defaultHealthInterval, time.Millisecond},
		{"Timeout", &o.Timeout, defaultHealthTimeout, 10 * time.Millisecond},
		{"DetailInterval", &o.DetailInterval, defaultDetailInterval, time.Millisecond},
		{"DeepWrite", &o.DeepWrite, 0, time.Minute},
		{"DriftEvery (TLDWDB_HEALTH_DRIFT_EVERY)", &o.DriftEvery, 0, time.Millisecond},
	} {
		if *d.field == 0 {
			*d.field = d.unset
		}
		if *d.field != 0 && *d.field < d.least {
			failf("%s is %v: accepted is a duration from %v, or 0 for the default", d.name, *d.field, d.least)
		}
	}
	if o.ReadyGrace == 0 {
		o.ReadyGrace = defaultReadyGrace
	}
	if o.ReadyFailures == 0 {
		o.ReadyFailures = defaultReadyFailures
	}
	if o.ReadyFailures < 0 {
		failf("ReadyFailures is %d: accepted is a number from 1, or 0 for %d", o.ReadyFailures, defaultReadyFailures)
	}
	if o.ExactCountLimit == 0 {
		o.ExactCountLimit = defaultExactCountLimit
	}
	if err := (catalog.Options{Ignore: o.DriftIgnore}).Check(); err != nil {
		failf("DriftIgnore (TLDWDB_HEALTH_DRIFT_IGNORE): %w", err)
	}
	for _, list := range []struct {
		field  string
		tables []string
	}{{"Tables (TLDWDB_HEALTH_TABLES)", o.Tables}, {"Counts (TLDWDB_HEALTH_COUNTS)", o.Counts}} {
		for _, table := range list.tables {
			if !healthTable.MatchString(table) {
				failf("%s has %.80q: accepted are table or schema.table, of letters, digits, underscores and dollar signs", list.field, table)
			}
		}
	}
	known := func(field, name string) {
		if !slices.Contains(checkNames, name) {
			failf("%s names %.40q: accepted are %s", field, name, strings.Join(checkNames, ", "))
		}
	}
	if o.Ready == nil {
		o.Ready = []string{CheckConnection, CheckFile, CheckHistory, CheckPoolWait}
	}
	for _, name := range o.Ready {
		known("Ready", name)
	}
	for _, name := range o.Advisory {
		known("Advisory", name)
	}
	for name := range o.Limits {
		if _, has := defaultLimits[name]; !has {
			failf("Limits names %.40q, which has no observed value with a limit", name)
		}
	}
	return o, errors.Join(errs...)
}

// limit is the limit of a check with the defaults filled in.
func (o *HealthOptions) limit(name string) Limit {
	l, unset := o.Limits[name], defaultLimits[name]
	if l.Warn == 0 {
		l.Warn = unset.Warn
	}
	if l.Fail == 0 {
		l.Fail = unset.Fail
	}
	return l
}

// CheckStatus is what a check came to.
type CheckStatus string

// The outcomes of a check.
const (
	CheckPass CheckStatus = "pass"
	CheckWarn CheckStatus = "warn" // somebody should look; the service goes on
	CheckFail CheckStatus = "fail"
)

// Check is one thing that a probe has looked at. Output is for operators and may
// name tables and migrations and quote the server; it has no credentials.
type Check struct {
	Name     string        `json:"name"`              // one of the Check constants
	Status   CheckStatus   `json:"status"`            // pass, warn or fail
	Observed float64       `json:"observed"`          // what was measured; 0 where Unit is empty
	Unit     string        `json:"unit,omitempty"`    // of Observed: ms, s, bytes, bytes/day, ratio, rows, migrations, tables or differences
	Method   string        `json:"method,omitempty"`  // how it was asked, where there are several ways
	Subject  string        `json:"subject,omitempty"` // the table, of a count
	Class    ErrorClass    `json:"class,omitempty"`   // what kind of failure it was, where an error was the reason
	Output   string        `json:"output,omitempty"`  // what there is to say beside that
	Latency  time.Duration `json:"latency_ns"`        // how long it took to find out
	Time     time.Time     `json:"time"`              // when that was

	said string // what a stranger may read of it, where the name does not say it all
}

// The ways in which write access, counts and tables are asked for, in
// [Check].Method.
const (
	MethodInsert   = "insert"   // a row was written into the history table and rolled back
	MethodCommit   = "commit"   // the same, and deleted and committed: HealthOptions.DeepWrite
	MethodCreate   = "create"   // SQLite without a history table yet: a table was made and rolled back
	MethodFlags    = "flags"    // the server's variables were read: this account may not write into the history table, or there is none yet
	MethodExact    = "exact"    // the rows were counted
	MethodEstimate = "estimate" // the server's statistics were read
	MethodCatalog  = "catalog"  // whether the tables are there, and not whether they can be read: Config.MonitorURL
)

// Activity is what this process does for its schema just now.
type Activity struct {
	State string    `json:"state"`             // waiting, for another process's migrations or the lock, or migrating
	Since time.Time `json:"since"`             // when that began
	Step  int       `json:"step,omitempty"`    // which migration of this run, from 1
	Steps int       `json:"steps,omitempty"`   // migrations in this run
	To    int64     `json:"version,omitempty"` // of the migration that runs; 0 for a repeatable one
}

// The states of an [Activity].
const (
	ActivityWaiting   = "waiting"
	ActivityMigrating = "migrating"
)

// The values of Health.Status.
const (
	StatusHealthy   = "healthy"
	StatusUnhealthy = "unhealthy"
)

// Health is the answer to "can this database serve this binary?". Its fields
// but for Checks and Counts name no address, account, table, file or statement, and
// quote nobody. [DB.HealthHandler] keeps the versions from strangers as well.
type Health struct {
	Status      string           `json:"status"`             // healthy or unhealthy: unhealthy when a check fails
	Degraded    bool             `json:"degraded"`           // a check warns
	Ready       bool             `json:"ready"`              // the process may get requests: see HealthOptions.Ready
	Connection  bool             `json:"connection"`         // the database answered in time
	Tables      bool             `json:"tables"`             // the history and every table of HealthOptions.Tables are there
	WriteAccess bool             `json:"write_access"`       // a row could be written, or by its own word the server takes it
	Current     int64            `json:"current"`            // highest applied version; 0 for none
	Head        int64            `json:"head"`               // highest version that this binary knows
	Pending     int              `json:"pending"`            // steps that Up would take
	Activity    *Activity        `json:"activity,omitempty"` // nil unless this process migrates, or waits for another that does
	Class       ErrorClass       `json:"class,omitempty"`    // of the worst check, where an error was the reason
	Error       string           `json:"error,omitempty"`    // of the worst check, in fixed words
	Time        time.Time        `json:"time"`               // when the database was asked
	Stale       bool             `json:"stale"`              // it is older than it should be: the caller did not wait for the next
	Age         time.Duration    `json:"age_ns"`             // how old it is; 0 unless it is stale
	Counts      map[string]int64 `json:"counts,omitempty"`   // rows, by the names of HealthOptions.Counts
	Checks      []Check          `json:"checks"`             // everything that was looked at
}

// Check returns the check of a name, or nil. Of counts it returns the first.
func (h Health) Check(name string) *Check {
	for i := range h.Checks {
		if h.Checks[i].Name == name {
			return &h.Checks[i]
		}
	}
	return nil
}

// Health says whether the database can serve this binary. It asks by a connection
// of its own beside the pool (Config.MonitorURL, or else URL), one probe at a
// time, and all callers share the answer for HealthOptions.Interval. It writes
// nothing that stays, unless HealthOptions.DeepWrite is set, and takes no lock that
// outlives it.
//
// There is an answer within HealthOptions.Timeout, whatever the database does. A
// caller whose context ends before that gets the last answer, marked as stale; the
// probe goes on.
func (db *DB) Health(ctx context.Context) Health {
	h := db.prober.answer(ctx).health
	h.Checks = slices.Clone(h.Checks)
	return h
}
