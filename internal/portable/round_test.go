package portable_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Times as Go's driver for SQLite writes them go where fewer digits are kept when that is
// wanted, and are compared as they were written.
func TestRoundTimes(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		if b.Engine == testdb.SQLite {
			return // it keeps all
		}
		fine, coarse := "DATETIME(6)", "DATETIME"
		if b.Engine == testdb.Postgres {
			fine, coarse = "TIMESTAMPTZ", "TIMESTAMP(0)"
		}
		a := testdb.New(t, testdb.SQLite)
		fill(t, a, "CREATE TABLE event (id INTEGER PRIMARY KEY, fine DATETIME, coarse DATETIME, any_text)",
			"INSERT INTO event VALUES (1, '2026-11-23 10:46:00.123456789+00:00', '2026-12-31 23:59:59.5', '2026-11-23T10:46:00.25Z')",
			"INSERT INTO event VALUES (2, '2026-11-23 12:46:00.999999500+02:00', 1795430760499, NULL)",
			"INSERT INTO event VALUES (3, '2026-11-23 10:46:00', '2026-11-23 10:46:00', '2026-11-23 10:46:00')")
		fill(t, b, "CREATE TABLE event (id INTEGER PRIMARY KEY, fine "+fine+", coarse "+coarse+", any_text "+coarse+")")
		from, to := side(t, a), side(t, b)
		_, err := portable.Copy(t.Context(), from, to)
		if value, ok := errors.AsType[*portable.ValueError](err); !ok || !value.Fine || value.Key != "id=1" {
			t.Fatalf("without the option: %v", err)
		}
		to.Options.RoundTimes = true
		want := []string{
			"table event, column fine: 2 times were rounded to 6 digits of a fraction of a second",
			"table event, column coarse: 2 times were rounded to 0 digits of a fraction of a second",
			"table event, column any_text: 1 times were rounded to 0 digits of a fraction of a second",
		}
		if _, _, notes, err := portable.Plan(t.Context(), from, to, true); err != nil || !slices.Equal(notes, want) {
			t.Errorf("a plan notes %q, %v", notes, err)
		}
		sum, err := portable.Copy(t.Context(), from, to)
		if err != nil || !slices.Equal(sum.Notes, want) {
			t.Errorf("a copy notes %q, %v", sum.Notes, err)
		}
		text := "CONCAT_WS(' ', fine, coarse, any_text)"
		if b.Engine == testdb.Postgres {
			text = "CONCAT_WS(' ', fine AT TIME ZONE 'UTC', coarse, any_text)"
		}
		for id, want := range map[string]string{
			"1": "2026-11-23 10:46:00.123457 2027-01-01 00:00:00 2026-11-23 10:46:00",
			"2": "2026-11-23 10:46:01 2026-11-23 10:46:00",
		} {
			if got := strings.ReplaceAll(textOf(t, b, "SELECT "+text+" FROM event WHERE id = "+id), ".000000", ""); got != want {
				t.Errorf("row %s is %s, want %s", id, got, want)
			}
		}
	})
}
