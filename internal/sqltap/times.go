package sqltap

import (
	"slices"
	"sync/atomic"
	"time"
)

// Times counts calls that went well, by how long they took. Its methods are safe for
// use by several goroutines at once.
type Times struct {
	limits  []time.Duration
	stripes [stripes]struct {
		counts []atomic.Uint64 // of each operation, its buckets
		sums   [operations]atomic.Int64
	}
}

// stripes is how many connections count without getting in each other's way: what
// several processors write to has to be carried from one to the other each time.
const stripes = 8

// NewTimes returns one with buckets up to and including these limits, and one for
// what takes longer.
func NewTimes(limits []time.Duration) *Times {
	t := &Times{limits: slices.Compact(slices.Sorted(slices.Values(limits)))}
	for i := range t.stripes {
		t.stripes[i].counts = make([]atomic.Uint64, int(operations)*t.buckets())
	}
	return t
}

func (t *Times) buckets() int { return len(t.limits) + 1 }

// Limits are the upper limits of the buckets, ascending.
func (t *Times) Limits() []time.Duration { return slices.Clone(t.limits) }

// Add counts a call of the operation with this place among [Operations], by a
// connection with this number.
func (t *Times) Add(conn uint32, place int, took time.Duration) {
	bucket := 0
	for bucket < len(t.limits) && took > t.limits[bucket] {
		bucket++
	}
	s := &t.stripes[conn%stripes]
	s.sums[place].Add(int64(took))
	s.counts[place*t.buckets()+bucket].Add(1)
}

// Read returns, for the operation with this place among [Operations], the calls in
// each bucket, and how long all took together. A call that ends meanwhile may be in
// the one and not yet in the other.
func (t *Times) Read(place int) (counts []uint64, sum time.Duration) {
	counts = make([]uint64, t.buckets())
	for i := range t.stripes {
		s := &t.stripes[i]
		for k := range counts {
			counts[k] += s.counts[place*len(counts)+k].Load()
		}
		sum += time.Duration(s.sums[place].Load())
	}
	return counts, sum
}

// Calls is how many there were.
func (t *Times) Calls() (n int64) {
	for i := range t.stripes {
		for k := range t.stripes[i].counts {
			n += int64(t.stripes[i].counts[k].Load()) //nolint:gosec // it will not overflow
		}
	}
	return n
}
