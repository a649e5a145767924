package tldwdbmetrics

import (
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tldw/tldwdb"
)

const (
	queriesName = "db_client_operation_duration_seconds"
	queriesHelp = "Duration of calls of the database driver on the application's pools; of a query until its rows were closed."
)

// usualQueries is the histogram of the calls that went well, as tldwdb counts them
// itself: Prometheus's own costs more for each call than the rest of watching it
// (docs/decisions/0010-observability.md).
type usualQueries struct {
	times *tldwdb.QueryTimes
	desc  *prometheus.Desc
	born  time.Time
}

func newUsualQueries(buckets []float64) *usualQueries {
	var limits []time.Duration
	for _, b := range buckets {
		if ns := math.Round(b * float64(time.Second)); ns < math.MaxInt64 { // what is above the last has a bucket anyway
			limits = append(limits, time.Duration(ns))
		}
	}
	return &usualQueries{times: tldwdb.NewQueryTimes(limits...), desc: describe(queriesName, queriesHelp, "operation", "error_type"), born: time.Now()}
}

// Describe is part of [prometheus.Collector].
func (u *usualQueries) Describe(ch chan<- *prometheus.Desc) { ch <- u.desc }

// Collect is part of [prometheus.Collector].
func (u *usualQueries) Collect(ch chan<- prometheus.Metric) {
	limits := u.times.Limits()
	u.times.Each(func(operation string, calls []uint64, sum time.Duration) {
		count, buckets := uint64(0), make(map[float64]uint64, len(limits))
		for i, n := range calls {
			if count += n; i < len(limits) {
				buckets[limits[i].Seconds()] = count
			}
		}
		ch <- prometheus.MustNewConstHistogramWithCreatedTimestamp(u.desc, count, sum.Seconds(), buckets, u.born, operation, "")
	})
}
