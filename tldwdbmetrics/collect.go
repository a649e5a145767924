package tldwdbmetrics

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/tldw/tldwdb"
)

// This file turns what is known at the time of a scrape into metrics.

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	buildInfo = describe("tldwdb_build_info", "The version of tldwdb; the value is 1.", "version")

	migrations = describe("tldwdb_migrations", "Migrations by state, as the history was last read.", "state")
	version    = describe("tldwdb_migration_version", "Highest applied version.")
	head       = describe("tldwdb_migration_head", "Highest version that this program knows.")
	lockInfo   = describe("tldwdb_lock_info", "The kind of the migration lock of the last run; the value is 1.", "kind")

	healthReady    = describe("tldwdb_health_ready", "Whether the process may get requests.")
	healthHealthy  = describe("tldwdb_health_healthy", "Whether no check of the database's health fails.")
	healthStatus   = describe("tldwdb_health_status", "What each check of the database's health came to.", "check", "status")
	healthTime     = describe("tldwdb_health_probe_timestamp_seconds", "When the health was last looked at.")
	healthDuration = describe("tldwdb_health_probe_duration_seconds", "How long that took.")

	allDescs = []*prometheus.Desc{buildInfo, migrations, version, head, lockInfo, healthReady, healthHealthy, healthStatus, healthTime, healthDuration}
)

// observed are the checks whose figure is a metric of its own.
var observed = []struct {
	check string
	desc  *prometheus.Desc
	value func(observed float64, c *tldwdb.Check, h *healthAnswer) float64
}{
	{tldwdb.CheckRoundTrip, describe("tldwdb_round_trip_seconds", "Round trip of one question to the database."), thousandth},
	{tldwdb.CheckSize, describe("tldwdb_database_size_bytes", "Size of the database."), asItIs},
	{tldwdb.CheckDisk, describe("tldwdb_disk_free_bytes", "Free space where the file of a SQLite database is."), asItIs},
	{tldwdb.CheckReplication, describe("tldwdb_replication_lag_seconds", "How far the replica is behind, or the slowest of them."), asItIs},
	{tldwdb.CheckCertificate, describe("tldwdb_certificate_expiry_timestamp_seconds", "When a certificate of the connections ends, the server's or this side's."),
		func(left float64, c *tldwdb.Check, _ *healthAnswer) float64 {
			return math.Round(seconds(c.Time) + left)
		}},
	{tldwdb.CheckBackup, describe("tldwdb_backup_last_success_timestamp_seconds", "When the last good backup was made."), ago},
	{tldwdb.CheckRestoreTest, describe("tldwdb_backup_last_verified_timestamp_seconds", "When a backup was last restored on trial."), ago},
}

func thousandth(v float64, _ *tldwdb.Check, _ *healthAnswer) float64 { return v / 1000 }

func asItIs(v float64, _ *tldwdb.Check, _ *healthAnswer) float64 { return v }

// ago is the time of what is some seconds old, as seen by the last probe.
func ago(v float64, _ *tldwdb.Check, h *healthAnswer) float64 { return math.Round(seconds(h.Time) - v) }

// Describe is part of [prometheus.Collector].
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.kept {
		c.Describe(ch)
	}
	for _, pool := range []string{tldwdb.PoolApplication, tldwdb.PoolReader} {
		collectors.NewDBStatsCollector(nil, pool).Describe(ch) // only Collect looks at the pool
	}
	for _, d := range allDescs {
		ch <- d
	}
	for _, o := range observed {
		ch <- o.desc
	}
}

// Collect is part of [prometheus.Collector]. It does not wait for the database.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.kept {
		c.Collect(ch)
	}
	m.mu.Lock()
	db, pools := m.db, m.pools
	m.mu.Unlock()
	for _, c := range pools {
		c.Collect(ch)
	}
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(buildInfo, 1, tldwdb.Version)
	if db == nil {
		return // what was known of one that is closed is not so any more
	}
	if s := m.schema.Load(); s != nil {
		collectSchema(gauge, s)
	}
	if h := m.health.Load(); h != nil {
		collectHealth(gauge, h)
	}
	m.refresh(db)
}

type gaugeFunc func(d *prometheus.Desc, value float64, labels ...string)

func collectSchema(gauge gaugeFunc, s *tldwdb.SchemaInfo) {
	gauge(migrations, float64(s.Applied), "applied")
	gauge(migrations, float64(s.Pending), "pending")
	gauge(migrations, float64(s.HalfApplied), "half_applied")
	gauge(migrations, float64(s.Failed), "failed")
	gauge(version, float64(s.Current))
	gauge(head, float64(s.Head))
	if s.Lock != "" {
		gauge(lockInfo, 1, s.Lock)
	}
}

func collectHealth(gauge gaugeFunc, h *healthAnswer) {
	gauge(healthReady, truth(h.Ready))
	gauge(healthHealthy, truth(h.Status == tldwdb.StatusHealthy))
	gauge(healthTime, seconds(h.Time))
	gauge(healthDuration, h.took.Seconds())
	worst := map[string]int{}
	for i := range h.Checks {
		c := &h.Checks[i]
		worst[c.Name] = max(worst[c.Name], slices.Index(statuses, c.Status))
	}
	for check, is := range worst {
		for i, status := range statuses {
			gauge(healthStatus, truth(i == is), check, string(status))
		}
	}
	for _, o := range observed {
		if c := h.Check(o.check); c != nil && c.Unit != "" && c.Class == "" {
			gauge(o.desc, o.value(c.Observed, c, h))
		}
	}
}

// statuses are what a check can come to, the best first.
var statuses = []tldwdb.CheckStatus{tldwdb.CheckPass, tldwdb.CheckWarn, tldwdb.CheckFail}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds is a time as Prometheus has it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// checked keeps an answer about the health.
func (m *Metrics) checked(h tldwdb.Health, took time.Duration) {
	m.health.Store(&healthAnswer{Health: h, took: took})
}

// refresh asks for the health when the last answer has become old, and comes back
// at once. There is one who asks at a time, however often a scrape comes.
func (m *Metrics) refresh(db *tldwdb.DB) {
	h := m.health.Load()
	if m.options.HealthAge < 0 || h != nil && time.Since(h.Time) < m.options.HealthAge || !m.asking.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer m.asking.Store(false)
		db.Health(context.Background()) // which ends by itself, and tells its observers
	}()
}
