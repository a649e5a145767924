package portable

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"runtime"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// PostgreSQL sends a row as one message, and its driver takes room for all of it, of the
// next power of two: 32 MiB for 10 MB of bytes, which are two digits each, and that twice
// or three times before the first is collected. So rows of a COPY are without their long
// values, which are read behind it in pieces.

// How long a value may be that comes with its row, and what is read at once of one that
// does not: two digits for each byte stay within a message of 2 MiB.
const (
	longValue = 1 << 20
	longPiece = 1<<20 - 64
	// longStored is what a value may take in the table where how long it is is not known
	// without reading it. It may be packed there.
	longStored = 256 << 10
	// longPieces is in how many pieces a text is read at most: the server reads all of it
	// for each.
	longPieces = 16
)

// pgLong is the condition that a value of a type is too long to come with its row; empty
// for one that never is. The server answers it from what the row has of the value.
func pgLong(kind Kind, base, class string, l limits, column string) string {
	switch {
	case kind != KindText && kind != KindChar && kind != KindBytes && kind != KindJSON && kind != KindOther, class == "e", l.chars > 0 && l.chars < longValue/4:
		return ""
	case base == "text" || base == "varchar" || base == "bytea":
		return fmt.Sprintf("pg_catalog.octet_length(%s) > %d", column, longValue)
	}
	return fmt.Sprintf("pg_catalog.pg_column_size(%s) > %d", column, longStored)
}

// longRow is where a row is in the snapshot.
type longRow struct{ table, ctid string }

// longReader takes the rows of a COPY, each with its place before it where it has long
// values, and NULL where it has none.
type longReader struct {
	copyWriter
	long []longRow
}

func (w *longReader) Write(line []byte) (int, error) {
	if plain, ok := bytes.CutPrefix(line, []byte(`\N`+"\t")); ok {
		_, err := w.copyWriter.Write(plain)
		return len(line), err
	}
	place, _, _ := bytes.Cut(line, []byte{'\t'})
	v, err := w.reader.value(place)
	if err != nil {
		return 0, err
	}
	table, ctid, _ := cutLast(string(v.data), " ")
	w.long = append(w.long, longRow{table, ctid})
	return len(line), nil
}

// cutLast is strings.Cut at the last separator.
func cutLast(s, separator string) (before, after string, found bool) {
	i := strings.LastIndex(s, separator)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(separator):], true
}

// readLong reads a table that may have long values, whose conditions are in long, by
// column.
func (p *postgres) readLong(ctx context.Context, t *Table, from string, long []string, row func(line []byte, row []value) error) error {
	var conditions []string
	list := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		list[i] = p.d.Identifier(c.Name)
		if long[i] != "" {
			conditions = append(conditions, long[i])
			list[i] = "CASE WHEN " + long[i] + " THEN NULL ELSE " + list[i] + " END"
		}
	}
	place := "CASE WHEN " + strings.Join(conditions, " OR ") + " THEN tableoid::pg_catalog.regclass::text || ' ' || ctid::text END"
	w := &longReader{copyWriter: copyWriter{n: len(t.Columns), row: row}}
	err := dialect.CopyOut(ctx, p.c, "COPY (SELECT "+place+", "+strings.Join(list, ", ")+" FROM "+from+") TO STDOUT", w)
	if w.err != nil {
		return w.err
	}
	if err != nil {
		return err
	}
	r := &longValues{p: p, t: t, list: list, long: long}
	for _, at := range w.long {
		values, err := r.read(ctx, at)
		if err == nil {
			err = row(nil, values)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// longValues reads the rows that have long values, each by itself.
type longValues struct {
	p          *postgres
	t          *Table
	list, long []string
	short      []byte // values that came with the row
	room       []byte // the others
	piece      rowReader
}

// text is a value as the server sends it, in bytes.
func (r *longValues) text(i int) string {
	name := r.p.d.Identifier(r.t.Columns[i].Name)
	if r.t.Columns[i].Kind == KindBytes {
		return name
	}
	return "pg_catalog.convert_to(pg_catalog.format('%s', " + name + "), 'UTF8')" // format has the type's own form, which a cast has not
}

func (r *longValues) read(ctx context.Context, at longRow) ([]value, error) {
	from := " FROM ONLY " + at.table + " WHERE ctid = '" + at.ctid + "'"
	list := append([]string(nil), r.list...)
	for i, long := range r.long {
		if long != "" {
			list = append(list, "CASE WHEN "+long+" THEN pg_catalog.octet_length("+r.text(i)+") END")
		}
	}
	var short rowReader
	var values []value
	err := dialect.CopyOut(ctx, r.p.c, "COPY (SELECT "+strings.Join(list, ", ")+from+") TO STDOUT", writerFunc(func(line []byte) (err error) {
		r.short = append(r.short[:0], line[:len(line)-1]...)
		values, err = short.split(r.short, len(list))
		return err
	}))
	if err != nil {
		return nil, err
	}
	if values == nil {
		return nil, fmt.Errorf("a row that was there is not found again, at %s of %s", at.ctid, at.table)
	}
	n := len(r.t.Columns)
	lengths := values[n:]
	sizes, all := make([]int, n), 0
	for i := range n {
		if r.long[i] == "" {
			continue
		}
		if !lengths[0].null {
			if sizes[i], err = strconv.Atoi(string(lengths[0].data)); err != nil {
				return nil, err
			}
			all += sizes[i]
		}
		lengths = lengths[1:]
	}
	if cap(r.room) < all {
		r.room = nil
		runtime.GC() // what it was before would count as in use until the heap is twice as large
		r.room = make([]byte, 0, all)
	}
	r.room = r.room[:0]
	for i, size := range sizes {
		if size == 0 {
			continue
		}
		start := len(r.room)
		if err := r.pieces(ctx, i, size, from); err != nil {
			return nil, err
		}
		if got := len(r.room) - start; got != size {
			return nil, fmt.Errorf("column %s has %d bytes and %d were read", r.t.Columns[i].Name, size, got)
		}
		values[i] = value{raw: r.t.Columns[i].Kind == KindBytes, data: r.room[start:len(r.room):len(r.room)]}
	}
	return values[:n], nil
}

// pieces appends a long value to room.
func (r *longValues) pieces(ctx context.Context, i, size int, from string) error {
	length := longPiece
	if r.t.Columns[i].Kind != KindBytes {
		length = max(length, size/longPieces)
	}
	for at := 0; at < size; at += length {
		query := fmt.Sprintf("COPY (SELECT pg_catalog.substring(%s, %d, %d)%s) TO STDOUT", r.text(i), at+1, length, from)
		err := dialect.CopyOut(ctx, r.p.c, query, writerFunc(func(line []byte) error {
			v, err := r.piece.value(line[:len(line)-1])
			if err != nil {
				return err
			}
			digits, ok := bytes.CutPrefix(v.data, []byte(`\x`))
			if !ok {
				return malformed("a piece of a value is not in hexadecimal digits")
			}
			r.room, err = hex.AppendDecode(r.room, digits)
			return err
		}))
		if err != nil {
			return err
		}
	}
	return nil
}

// writerFunc takes what is written a row at a time.
type writerFunc func(line []byte) error

func (f writerFunc) Write(line []byte) (int, error) { return len(line), f(line) }
