// Package tldwdbmetrics gives Prometheus what there is to know about a
// [tldwdb.DB]: its pools, connection attempts, queries, migrations and health.
//
//	m := tldwdbmetrics.New(tldwdbmetrics.Options{})
//	cfg = m.Observe(cfg)
//	db, err := tldwdb.Open(ctx, cfg)
//	registry.MustRegister(m)
//
// A scrape reads what is known and never waits for the database. No label holds
// SQL, a name out of the database, an address or an account, and each has few
// values. docs/guide/observability.md lists the metrics.
package tldwdbmetrics

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tldw/tldwdb"
)

// Options are settings of [New]. The zero value is useful.
type Options struct {
	// QueryBuckets are the upper limits, in seconds, of the histogram of queries.
	// Default: 0.001 to 10, as OpenTelemetry has them for database clients.
	QueryBuckets []float64

	// HealthAge is how old the last answer about the database's health may be before
	// a scrape asks for a new one; it does not wait for it, and shows it the next
	// time. Negative: a scrape never asks. Default: 10 seconds.
	HealthAge time.Duration

	// Exemplar returns the labels of an exemplar for a query, such as the trace_id of
	// the context, or nil for none. Default: no exemplars.
	Exemplar func(context.Context) prometheus.Labels
}

const defaultHealthAge = 10 * time.Second

// The buckets of OpenTelemetry's db.client.operation.duration, and some that reach
// from a round trip to a long migration.
var (
	queryBuckets     = []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10}
	operationBuckets = []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 10, 60, 300, 1800, 7200}
)

// The values of the label result.
const (
	resultOK    = "ok"
	resultError = "error"
)

// Metrics is a [prometheus.Collector] for one [tldwdb.DB]. A program with several
// makes one for each, and registers each through
// [prometheus.WrapRegistererWith] with a label of its own.
type Metrics struct {
	options Options

	queries     *prometheus.HistogramVec // those that failed; with exemplars, all
	usual       *usualQueries            // the others, without exemplars
	queryErrors *prometheus.CounterVec
	slow        *prometheus.CounterVec
	connects    *prometheus.CounterVec
	connectTime prometheus.Histogram
	timeouts    prometheus.Counter
	operations  *prometheus.HistogramVec
	faults      *prometheus.CounterVec
	running     *prometheus.GaugeVec
	backup      *prometheus.GaugeVec
	kept        []prometheus.Collector // all of these

	schema atomic.Pointer[tldwdb.SchemaInfo]
	health atomic.Pointer[healthAnswer]
	asking atomic.Bool // somebody asks for the health

	mu    sync.Mutex
	db    *tldwdb.DB // nil before Open, and after Close
	pools []prometheus.Collector
}

// healthAnswer is what the database's health was at a time.
type healthAnswer struct {
	tldwdb.Health
	took time.Duration
}

// New makes the metrics of a DB that is yet to be opened: see [Metrics.Observe].
func New(o Options) *Metrics {
	if o.QueryBuckets == nil {
		o.QueryBuckets = queryBuckets
	}
	if o.HealthAge == 0 {
		o.HealthAge = defaultHealthAge
	}
	m := &Metrics{
		options: o,
		queries: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: queriesName, Help: queriesHelp, Buckets: o.QueryBuckets}, []string{"operation", "error_type"}),
		queryErrors: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tldwdb_query_errors_total",
			Help: "Calls of the database driver on the application's pools that failed."}, []string{"error_type"}),
		slow: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tldwdb_slow_queries_total",
			Help: "Calls of the database driver that took Config.SlowQuery or longer."}, []string{"operation"}),
		connects: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tldwdb_connects_total",
			Help: "Attempts to open a connection."}, []string{"result", "error_type"}),
		connectTime: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "tldwdb_connect_duration_seconds",
			Help: "Duration of attempts to open a connection, log-in included.", Buckets: queryBuckets}),
		timeouts: prometheus.NewCounter(prometheus.CounterOpts{Name: "tldwdb_pool_timeouts_total",
			Help: "Calls of DB.Acquire that got no connection within Config.PoolTimeout."}),
		operations: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "tldwdb_operation_duration_seconds",
			Help: "Duration of what tldwdb does: runs, the wait for the migration lock, migrations, their statements, health checks, backups, their verification, restores.", Buckets: operationBuckets}, []string{"operation", "result"}),
		faults: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "tldwdb_operation_errors_total",
			Help: "Operations that failed, by what kind of error."}, []string{"operation", "error_type"}),
		running: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tldwdb_operations_running",
			Help: "Operations that have begun and not ended."}, []string{"operation"}),
		backup: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "tldwdb_backup_bytes",
			Help: "Size of the last backup that this process made or verified: stored, and its content before compression and encryption."}, []string{"form"}),
	}
	m.kept = []prometheus.Collector{m.queries, m.queryErrors, m.slow, m.connects, m.connectTime, m.timeouts, m.operations, m.faults, m.running, m.backup}
	if o.Exemplar == nil {
		m.usual = newUsualQueries(o.QueryBuckets)
		m.kept = append(m.kept, m.usual)
	}
	m.prepare()
	return m
}

// operationKinds are those that a DB has from its start.
var operationKinds = []string{tldwdb.OperationRun, tldwdb.OperationLock, tldwdb.OperationMigration, tldwdb.OperationStatement, tldwdb.OperationHealth,
	tldwdb.OperationBackup, tldwdb.OperationVerify, tldwdb.OperationRestore, tldwdb.OperationSeed}

// prepare makes the series whose first increase an alert has to see: to Prometheus
// what begins at 1 has not increased.
func (m *Metrics) prepare() {
	for _, operation := range tldwdb.QueryOperations() {
		if m.usual == nil {
			m.queries.WithLabelValues(operation, "")
		}
		m.slow.WithLabelValues(operation)
	}
	m.connects.WithLabelValues(resultOK, "")
	for _, class := range tldwdb.ErrorClasses() {
		m.queryErrors.WithLabelValues(string(class))
		m.connects.WithLabelValues(resultError, string(class))
		for _, kind := range []string{tldwdb.OperationRun, tldwdb.OperationBackup, tldwdb.OperationVerify} {
			m.faults.WithLabelValues(kind, string(class))
		}
	}
	for _, kind := range operationKinds {
		m.running.WithLabelValues(kind)
		for _, result := range []string{resultOK, resultError} {
			m.operations.WithLabelValues(kind, result)
		}
	}
}

// Observe returns the configuration with m among its observers. A pool that
// [tldwdb.Attach] borrows is seen by its figures alone: its queries and connections
// are not tldwdb's.
func (m *Metrics) Observe(cfg tldwdb.Config) tldwdb.Config {
	o := &tldwdb.Observer{
		Opened:      m.opened,
		Closed:      m.closed,
		Start:       m.start,
		Connected:   m.connected,
		PoolTimeout: func(*tldwdb.PoolTimeoutError) { m.timeouts.Inc() },
		Query:       m.query,
		Schema:      func(s tldwdb.SchemaInfo) { m.schema.Store(&s) },
		Health:      m.checked,
		Backup: func(b tldwdb.Backup) {
			m.backup.WithLabelValues("stored").Set(float64(b.Size()))
			m.backup.WithLabelValues("content").Set(float64(b.PlainSize()))
		},
	}
	if m.usual != nil {
		o.QueryTimes = m.usual.times
	}
	cfg.Observers = append(slices.Clip(cfg.Observers), o)
	return cfg
}

func (m *Metrics) opened(db *tldwdb.DB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.db = db
	m.schema.Store(nil) // of one that was open before, and may have been another database
	m.health.Store(nil)
	m.pools = []prometheus.Collector{collectors.NewDBStatsCollector(db.Pool().DB, tldwdb.PoolApplication)}
	if db.Reader() != db.Pool() {
		m.pools = append(m.pools, collectors.NewDBStatsCollector(db.Reader().DB, tldwdb.PoolReader))
	}
}

func (m *Metrics) closed(db *tldwdb.DB) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.db == db {
		m.db, m.pools = nil, nil
	}
}

func (m *Metrics) start(ctx context.Context, op tldwdb.Operation) (context.Context, func(error)) {
	running := m.running.WithLabelValues(op.Kind)
	running.Inc()
	start := time.Now()
	return ctx, func(err error) {
		running.Dec()
		result := resultOK
		if err != nil {
			result = resultError
			m.faults.WithLabelValues(op.Kind, string(tldwdb.ClassOf(err))).Inc()
		}
		m.operations.WithLabelValues(op.Kind, result).Observe(time.Since(start).Seconds())
	}
}

func (m *Metrics) connected(c tldwdb.ConnectInfo) {
	result := resultOK
	if c.Class != "" {
		result = resultError
	}
	m.connects.WithLabelValues(result, string(c.Class)).Inc()
	m.connectTime.Observe(c.Duration.Seconds())
}

func (m *Metrics) query(ctx context.Context, q tldwdb.QueryInfo) {
	if q.Slow {
		m.slow.WithLabelValues(q.Operation).Inc()
	}
	if q.Class != "" {
		m.queryErrors.WithLabelValues(string(q.Class)).Inc()
	} else if m.usual != nil {
		return // it is counted
	}
	series := m.queries.WithLabelValues(q.Operation, string(q.Class))
	if m.options.Exemplar != nil {
		if labels := m.options.Exemplar(ctx); labels != nil {
			series.(prometheus.ExemplarObserver).ObserveWithExemplar(q.Duration.Seconds(), labels)
			return
		}
	}
	series.Observe(q.Duration.Seconds())
}
