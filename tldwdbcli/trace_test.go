package tldwdbcli

import (
	"testing"
	"time"
)

// A time that is known roughly has one digit.
func TestRoughly(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		280 * time.Millisecond: "0.3s", 700 * time.Millisecond: "0.7s", 61 * time.Millisecond: "0.06s", 960 * time.Millisecond: "1s", 0: "0s",
		7 * time.Second: "7s", 96 * time.Second: "100s", 130 * time.Second: "2min", 5 * time.Hour: "5h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%v is %s, want %s", d, got, want)
		}
	}
}
