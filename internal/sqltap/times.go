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
	stripes [stripes][]atomic.Uint64 // of each operation, its buckets, and the nanoseconds that all took
}

// stripes is how many connections count without getting in each other's way: what
// several processors write to has to be carried from one to the other each time. Each is
// an allocation of its own, and has a processor's line of memory in common with no other.
const stripes = 8

// NewTimes returns one with buckets up to and including these limits, and one for
// what takes longer.
func NewTimes(limits []time.Duration) *Times {
	t := &Times{limits: slices.Compact(slices.Sorted(slices.Values(limits)))}
	for i := range t.stripes {
		n := int(operations) * t.width()
		t.stripes[i] = make([]atomic.Uint64, n, (n+line-1)/line*line)
	}
	return t
}

// line is how many numbers fill a line of memory. An allocation of whole lines begins
// with one; smaller ones may lie side by side in it.
const line = 8

func (t *Times) buckets() int { return len(t.limits) + 1 }

// width is how many numbers there are for an operation.
func (t *Times) width() int { return t.buckets() + 1 }

// Limits are the upper limits of the buckets, ascending.
func (t *Times) Limits() []time.Duration { return slices.Clone(t.limits) }

// Add counts a call of the operation with this place among [Operations], by a
// connection with this number.
func (t *Times) Add(conn uint32, place int, took time.Duration) {
	bucket := 0
	for bucket < len(t.limits) && took > t.limits[bucket] {
		bucket++
	}
	numbers := t.stripes[conn%stripes][place*t.width():]
	numbers[bucket].Add(1)
	numbers[t.buckets()].Add(uint64(took)) //nolint:gosec // a time that has passed
}

// Read returns, for the operation with this place among [Operations], the calls in
// each bucket, and how long all took together. A call that ends meanwhile may be in
// the one and not yet in the other.
func (t *Times) Read(place int) (counts []uint64, sum time.Duration) {
	counts = make([]uint64, t.buckets())
	for _, stripe := range t.stripes {
		numbers := stripe[place*t.width():]
		for k := range counts {
			counts[k] += numbers[k].Load()
		}
		sum += time.Duration(numbers[t.buckets()].Load()) //nolint:gosec // 292 years
	}
	return counts, sum
}

// Calls is how many there were.
func (t *Times) Calls() (n int64) {
	for place := range int(operations) {
		counts, _ := t.Read(place)
		for _, c := range counts {
			n += int64(c) //nolint:gosec // it will not overflow
		}
	}
	return n
}
