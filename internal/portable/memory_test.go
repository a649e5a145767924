package portable_test

import (
	"bufio"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// heapPeak is how much the heap grows while work is done, at most: what is reachable
// and what was not collected yet.
func heapPeak(work func()) (peak uint64) {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	now := func() uint64 {
		metrics.Read(sample)
		return sample[0].Value.Uint64()
	}
	runtime.GC()
	before := now()
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		tick := time.NewTicker(500 * time.Microsecond)
		defer tick.Stop()
		most := before
		for {
			select {
			case <-tick.C:
				most = max(most, now())
			case <-stop:
				done <- max(most, now())
				return
			}
		}
	}()
	work()
	close(stop)
	return <-done - before
}

// Values of 10 MB do not take more memory than there is for a backup, whatever their
// number. It is not parallel: it measures the heap of the whole process.
func TestMemoryOfBigValues(t *testing.T) {
	if testing.Short() {
		t.Skip("it moves 30 MB through every engine")
	}
	const (
		size = 10 << 20
		rows = 3
	)
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(i * 2654435761 >> 7)
	}
	for _, e := range testdb.Engines() {
		t.Run(string(e), func(t *testing.T) {
			a, b := testdb.New(t, e), testdb.New(t, e)
			schema, insert := "CREATE TABLE big (id INTEGER PRIMARY KEY, raw BLOB)", "INSERT INTO big VALUES (?, ?)"
			const most = uint64(64 << 20)
			switch e {
			case testdb.Postgres:
				schema, insert = "CREATE TABLE big (id integer PRIMARY KEY, raw bytea)", "INSERT INTO big VALUES ($1, $2)"
			case testdb.MariaDB, testdb.MySQL:
				schema = "CREATE TABLE big (id integer PRIMARY KEY, raw longblob)"
			}
			fill(t, a, schema)
			fill(t, b, schema)
			for id := range rows {
				if _, err := a.AdminDB(t).ExecContext(t.Context(), insert, id, raw); err != nil {
					t.Fatal(err)
				}
			}
			path := filepath.Join(t.TempDir(), "rows")
			from, to := side(t, a), side(t, b)
			dumped := heapPeak(func() {
				f, err := os.Create(path)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := portable.Dump(t.Context(), from.Dialect, from.Conn, f, from.Options); err != nil {
					t.Error(err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
			loaded := heapPeak(func() {
				f, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				archive, err := portable.Open(bufio.NewReader(f))
				if err == nil {
					_, err = archive.Load(t.Context(), to.Dialect, to.Conn, to.Options)
				}
				if err != nil {
					t.Error(err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
			copied := heapPeak(func() {
				if _, err := portable.Copy(t.Context(), from, to); err != nil {
					t.Error(err)
				}
			})
			t.Logf("dump %d MiB, load %d MiB, copy %d MiB", dumped>>20, loaded>>20, copied>>20)
			for what, peak := range map[string]uint64{"a dump": dumped, "a load": loaded, "a copy": copied} {
				if peak > most {
					t.Errorf("%s takes %d MiB, want at most %d", what, peak>>20, most>>20)
				}
			}
		})
	}
}
