package portable

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
)

// fields reads a row that is longer than the buffer in parts.
type fields struct {
	r    *reader
	part []byte // not read yet
}

// more makes sure that there is something in part.
func (f *fields) more() error {
	if len(f.part) > 0 {
		return nil
	}
	part, err := f.r.in.ReadSlice('\n')
	f.r.bytes += int64(len(part))
	switch {
	case errors.Is(err, io.EOF):
		return damaged("it ends too early")
	case err != nil && !errors.Is(err, bufio.ErrBufferFull):
		return err
	}
	f.part = part
	return nil
}

// peek is the next character.
func (f *fields) peek() (byte, error) {
	if err := f.more(); err != nil {
		return 0, err
	}
	return f.part[0], nil
}

// take reads the next character.
func (f *fields) take() (byte, error) {
	c, err := f.peek()
	if err == nil {
		f.part = f.part[1:]
	}
	return c, err
}

// long takes a long row apart. Bytes are not kept as digits, which would take twice the
// room, and there is room for each value once: this is what moves a value of 10 MB
// with not much more memory than that.
func (r *rowReader) long(f *fields, columns []Column) ([]value, error) {
	if cap(r.row) < len(columns) {
		r.row = make([]value, len(columns))
	}
	r.row = r.row[:len(columns)]
	ends := make([]int, len(columns)) // in scratch, which may move while it grows
	r.scratch = r.scratch[:0]
	for i := range r.row {
		v, err := r.longValue(f, columns[i].Kind)
		if err != nil {
			return nil, err
		}
		r.row[i], ends[i] = v, len(r.scratch)
		c, err := f.take()
		if err != nil {
			return nil, err
		}
		if last := i == len(columns)-1; last != (c == '\n') {
			return nil, malformed(fmt.Sprintf("a row does not have %d values", len(columns)))
		}
	}
	start := 0
	for i, end := range ends {
		if !r.row[i].null {
			r.row[i].data = r.scratch[start:end:end]
		}
		start = end
	}
	return r.row, nil
}

// room makes sure that n more bytes can be appended. What is doubled leaves less
// behind than what grows as append does it.
func (r *rowReader) room(n int) {
	if len(r.scratch)+n > cap(r.scratch) {
		r.scratch = slices.Grow(r.scratch, max(n, cap(r.scratch)))
		if cap(r.scratch) > huge {
			runtime.GC() // what it was before counts as in use until then, and lets the heap grow to twice that
		}
	}
}

// longValue appends a value to scratch, up to the tab or newline behind it.
func (r *rowReader) longValue(f *fields, kind Kind) (v value, err error) {
	first := true
	for {
		if err := f.more(); err != nil {
			return v, err
		}
		n := bytes.IndexAny(f.part[:min(len(f.part), big)], "\\\t\n")
		if n < 0 {
			n = min(len(f.part), big)
		}
		if n > 0 {
			r.room(n)
			r.scratch = append(r.scratch, f.part[:n]...)
			f.part, first = f.part[n:], false
			continue
		}
		if f.part[0] != '\\' {
			return v, nil
		}
		f.part = f.part[1:]
		c, err := f.take()
		if err != nil {
			return v, err
		}
		if first && v.tag == 0 {
			switch c {
			case 'N':
				v.null = true
				if c, err = f.peek(); err == nil && c != '\t' && c != '\n' {
					err = malformed(`something follows \N`)
				}
				return v, err
			case tagInt, tagFloat, tagText, tagBytes:
				v.tag = c
				continue
			}
		}
		if first && c == '\\' && v.kind(kind) == KindBytes {
			v.raw = true
			return v, r.longBytes(f)
		}
		first = false
		plain, ok := unescaped(c)
		if !ok {
			return v, malformed(fmt.Sprintf(`a value has \%c in it`, c))
		}
		r.room(1)
		r.scratch = append(r.scratch, plain)
	}
}

// longBytes appends the bytes that digits mean, which stand behind an x.
func (r *rowReader) longBytes(f *fields) error {
	if c, err := f.take(); err != nil || c != 'x' {
		return cmpErr(err, malformed("bytes do not begin with x"))
	}
	half, high := false, byte(0)
	for {
		if err := f.more(); err != nil {
			return err
		}
		part := f.part[:min(len(f.part), 2*big)]
		r.room(len(part)/2 + 1)
		for i, c := range part {
			n := nibble(c)
			switch {
			case c == '\t' || c == '\n':
				if half {
					return malformed("bytes have half a pair of digits")
				}
				f.part = f.part[i:]
				return nil
			case n > 15:
				return malformed("bytes are no digits")
			case half:
				r.scratch = append(r.scratch, high<<4|n)
			default:
				high = n
			}
			half = !half
		}
		f.part = f.part[len(part):]
	}
}
