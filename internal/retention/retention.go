// Package retention decides which of many backups are kept. It knows nothing of them
// but when they were made, and does nothing.
package retention

import (
	"fmt"
	"slices"
	"time"
)

// Policy says what is kept. A backup is kept if one rule keeps it. The zero value
// has no rule, and keeps everything.
type Policy struct {
	Last    int // so many of the newest
	Hourly  int // the newest of each of so many hours
	Daily   int // and so on
	Weekly  int
	Monthly int
	Yearly  int
	Within  time.Duration // what is no older than that, counted from the newest
}

// Empty reports whether there is no rule.
func (p Policy) Empty() bool { return p == Policy{} }

// Check says what is wrong with the policy.
func (p Policy) Check() error {
	for _, r := range p.rules() {
		if r.count < 0 {
			return fmt.Errorf("keep %d %s: not a number of backups", r.count, r.name)
		}
	}
	if p.Within < 0 {
		return fmt.Errorf("keep within %v: not a duration", p.Within)
	}
	return nil
}

// rule keeps the newest of each period, of count periods.
type rule struct {
	name   string
	count  int
	period func(time.Time) [2]int // two times of one period have the same
}

func (p Policy) rules() []rule {
	day := func(t time.Time) int { return t.Year()*1000 + t.YearDay() }
	return []rule{
		{"last", p.Last, nil}, // each is a period of its own
		{"hourly", p.Hourly, func(t time.Time) [2]int { return [2]int{day(t), t.Hour()} }},
		{"daily", p.Daily, func(t time.Time) [2]int { return [2]int{day(t)} }},
		{"weekly", p.Weekly, func(t time.Time) [2]int { year, week := t.ISOWeek(); return [2]int{year, week} }},
		{"monthly", p.Monthly, func(t time.Time) [2]int { return [2]int{t.Year(), int(t.Month())} }},
		{"yearly", p.Yearly, func(t time.Time) [2]int { return [2]int{t.Year()} }},
	}
}

// Apply says for each of the backups, which are in any order, why it is kept; one
// without a reason may go.
//
// Periods are those of the calendar, in UTC; weeks begin on Monday. Only periods
// with a backup count: who makes none for a month keeps seven daily ones none the
// less. Where a rule has room for more than there are, the oldest backup is kept
// too, so that a new policy begins to fill up instead of keeping the newest of the
// first period alone. Times in the future are kept and otherwise left out: they
// say that a clock is wrong, not that what is older is superseded.
func Apply(backups []time.Time, now time.Time, p Policy) [][]string {
	reasons := make([][]string, len(backups))
	keep := func(i int, reason string) { reasons[i] = append(reasons[i], reason) }
	var newest []int // first; indices of backups
	for i, t := range backups {
		switch {
		case p.Empty():
			keep(i, "no policy")
		case t.After(now):
			keep(i, "in the future")
		default:
			newest = append(newest, i)
		}
	}
	slices.SortStableFunc(newest, func(a, b int) int { return backups[b].Compare(backups[a]) })
	for _, r := range p.rules() {
		left := r.count
		var last [2]int
		for n, i := range newest {
			if left == 0 {
				break
			}
			var period [2]int
			if r.period != nil {
				period = r.period(backups[i].UTC())
			}
			switch {
			case n == 0 || r.period == nil || period != last:
				keep(i, r.name)
				left--
			case n == len(newest)-1:
				keep(i, "oldest "+r.name)
			}
			last = period
		}
	}
	for _, i := range newest {
		if p.Within > 0 && backups[newest[0]].Sub(backups[i]) <= p.Within {
			keep(i, "within "+p.Within.String())
		}
	}
	return reasons
}
