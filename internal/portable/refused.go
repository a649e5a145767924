package portable

import (
	"errors"
	"fmt"
)

// badRow is a row that the target has refused, by its own words: a value that its
// enumeration does not have, or one that breaks a constraint. Which rows there are in
// the statement, or in the server's buffer, is more than the one that is fed.
type badRow struct {
	row    int64 // of those that were written, from 1
	column string
	reason string
}

// Error is the reason alone: whoever has written the row knows what to call it.
func (b *badRow) Error() string { return b.reason }

// keysKept is how many rows are still known by their keys when the target refuses one.
const keysKept = 1 << 16

// keyring remembers the keys of the rows that were written last.
type keyring struct {
	list [][]byte // of row n at n-1 modulo keysKept, each value with its length before it
	rows int64
}

func (k *keyring) add(m *mapping, row []value) {
	at := int(k.rows % keysKept)
	k.rows++
	if len(m.key) == 0 {
		return
	}
	if at == len(k.list) {
		k.list = append(k.list, nil)
	}
	slot := k.list[at][:0]
	for _, i := range m.key {
		v := row[i]
		switch {
		case v.null:
			slot = append(slot, 0)
			continue
		case v.raw:
			v.data = v.data[:min(len(v.data), longestKey)]
			v = value{data: v.text(nil)}
		}
		data := v.data[:min(len(v.data), longestKey+1)] // one more shows that there was more
		slot = append(append(slot, byte(len(data)+1)), data...)
	}
	k.list[at] = slot
}

// name is what an error calls the row by.
func (k *keyring) name(m *mapping, row int64) string {
	if len(m.key) == 0 || row > k.rows || row <= k.rows-keysKept {
		return fmt.Sprintf("row %d", row)
	}
	slot := k.list[(row-1)%keysKept]
	values := make([]value, len(m.from.Columns))
	for _, i := range m.key {
		n := int(slot[0])
		slot = slot[1:]
		if n == 0 {
			values[i].null = true
			continue
		}
		values[i].data, slot = slot[:n-1], slot[n-1:]
	}
	return m.rowName(values, row)
}

// named is the error with the row's name, where the target has refused a row.
func (f *feeder) named(err error) error {
	bad, ok := errors.AsType[*badRow](err)
	if !ok {
		return err
	}
	return &ValueError{Table: f.m.from.Name, Column: bad.column, Key: f.keys.name(f.m, f.before+bad.row), Reason: bad.reason}
}
