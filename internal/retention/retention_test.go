package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// at reads "2026-11-23 10:46", in UTC.
func at(t *testing.T, texts ...string) []time.Time {
	t.Helper()
	var all []time.Time
	for _, text := range texts {
		when, err := time.Parse("2006-01-02 15:04", text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, when)
	}
	return all
}

func TestApply(t *testing.T) {
	t.Parallel()
	now := at(t, "2026-11-23 12:00")[0] // a Monday
	for _, test := range []struct {
		name    string
		policy  Policy
		backups string // each with what is expected behind it; "-" may go
	}{
		{"no policy", Policy{}, `
2026-11-23 10:00 no policy
2000-01-01 00:00 no policy`},
		{"last", Policy{Last: 2}, `
2026-11-23 10:00 last
2026-11-23 10:00 last
2026-11-23 09:59 -
2026-11-22 10:00 -`},
		{"more than there are", Policy{Last: 9}, `
2026-11-23 10:00 last
2026-11-22 10:00 last`},
		{"hourly", Policy{Hourly: 2}, `
2026-11-23 10:59 hourly
2026-11-23 10:00 -
2026-11-22 10:59 hourly
2026-11-21 10:59 -`},
		{"daily: the newest of each day", Policy{Daily: 2}, `
2026-11-23 10:00 daily
2026-11-23 00:00 -
2026-11-22 23:59 daily
2026-11-21 10:00 -`},
		{"days without a backup do not count", Policy{Daily: 2}, `
2026-11-23 10:00 daily
2026-09-01 10:00 daily
2026-08-31 10:00 -`},
		{"weeks begin on Monday, and not with the year", Policy{Weekly: 3}, `
2026-11-23 00:00 weekly
2026-11-22 23:59 weekly
2026-11-16 00:00 -
2021-01-03 10:00 weekly
2020-12-28 10:00 -
2020-12-27 10:00 -`},
		{"monthly", Policy{Monthly: 2}, `
2026-11-23 10:00 monthly
2026-11-01 10:00 -
2025-11-30 10:00 monthly
2025-10-30 10:00 -`},
		{"yearly", Policy{Yearly: 2}, `
2026-11-23 10:00 yearly
2026-01-01 00:00 -
2025-12-31 23:59 yearly
2024-12-31 23:59 -`},
		{"the oldest while there is room", Policy{Daily: 3}, `
2026-11-23 10:00 daily
2026-11-23 09:00 -
2026-11-23 08:00 oldest daily`},
		{"not the oldest when there is none", Policy{Daily: 1}, `
2026-11-23 10:00 daily
2026-11-23 09:00 -`},
		{"within, from the newest on", Policy{Within: 24 * time.Hour}, `
2026-10-02 10:00 within 24h0m0s
2026-10-01 10:00 within 24h0m0s
2026-10-01 09:59 -`},
		{"one rule is enough", Policy{Last: 1, Daily: 2, Yearly: 1}, `
2026-11-23 10:00 last daily yearly
2026-11-22 10:00 daily
2026-11-21 10:00 -`},
		{"the future", Policy{Last: 1, Within: time.Hour}, `
2027-01-01 00:00 in the future
2026-11-23 12:00 last within 1h0m0s
2026-11-23 11:00 within 1h0m0s
2026-11-23 10:00 -`},
		{"nothing", Policy{Last: 1}, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var texts, want []string
			for line := range strings.Lines(strings.TrimSpace(test.backups)) {
				line = strings.TrimSpace(line)
				texts, want = append(texts, line[:16]), append(want, line[17:])
			}
			backups := at(t, texts...)
			order := rand.Perm(len(backups)) // whatever order they come in
			if slices.Equal(backups[min(1, len(backups)):min(2, len(backups))], backups[:min(1, len(backups))]) {
				slices.Sort(order) // of two at one instant the first is the newer one
			}
			shuffled := make([]time.Time, len(backups))
			for i, o := range order {
				shuffled[i] = backups[o].In(time.FixedZone("", 14*3600))
			}
			for i, got := range Apply(shuffled, now, test.policy) {
				text := strings.Join(got, " ")
				if text == "" {
					text = "-"
				}
				if text != want[order[i]] {
					t.Errorf("%v: %s, want %s", texts[order[i]], text, want[order[i]])
				}
			}
		})
	}
}

// Whatever the policy: applied every day for three years it keeps as many as it says
// once there are that many, and never throws away what a later day would have kept.
func TestEveryDay(t *testing.T) {
	t.Parallel()
	p := Policy{Last: 3, Daily: 7, Weekly: 4, Monthly: 6, Yearly: 2}
	start := at(t, "2023-01-01 03:00")[0]
	var have, all []time.Time
	for day := range 3 * 366 {
		now := start.AddDate(0, 0, day)
		have, all = append(have, now), append(all, now)
		var kept []time.Time
		for i, why := range Apply(have, now, p) {
			if len(why) > 0 {
				kept = append(kept, have[i])
			}
		}
		var fromAll []time.Time
		for i, why := range Apply(all, now, p) {
			// The oldest of all is another one than the oldest of those that are left.
			if len(why) > 0 && !strings.HasPrefix(why[0], "oldest") {
				fromAll = append(fromAll, all[i])
			}
		}
		for _, one := range fromAll {
			if !slices.Contains(kept, one) {
				t.Fatalf("on %v %v is not there any more", now, one)
			}
		}
		have = kept
	}
	if len(have) < 7+4-1 || len(have) > 3+7+4+6+2 {
		t.Errorf("%d are left", len(have))
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for p, good := range map[Policy]bool{{}: true, {Last: 1, Within: 1}: true, {Daily: -1}: false, {Within: -1}: false} {
		if err := p.Check(); (err == nil) != good {
			t.Error(fmt.Sprintf("%+v", p), err)
		}
	}
}
