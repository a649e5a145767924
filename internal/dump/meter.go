package dump

import (
	"io"
	"time"
)

// tellEvery is how long progress is silent after a word.
const tellEvery = 200 * time.Millisecond

// meter tells how much is done.
type meter struct {
	done, all int64
	table     string
	told      time.Time
	tell      func(table string, done, all int64)
}

func (m *meter) add(n int) {
	m.done += int64(n)
	if m.tell == nil || time.Since(m.told) < tellEvery {
		return
	}
	m.told = time.Now()
	all := m.all
	if all > 0 {
		all = max(all, m.done) // what was expected is an estimate
	}
	m.tell(m.table, m.done, all)
}

type meteredWriter struct {
	w io.Writer
	meter
}

func (m *meteredWriter) Write(b []byte) (int, error) {
	n, err := m.w.Write(b)
	m.add(n)
	return n, err
}

type meteredReader struct {
	r io.Reader
	meter
}

func (m *meteredReader) Read(b []byte) (int, error) {
	n, err := m.r.Read(b)
	m.add(n)
	return n, err
}
