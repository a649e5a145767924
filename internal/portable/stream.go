package portable

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/bits"
	"time"
)

// An archive is lines of UTF-8 text: the header, and for each table a line that
// describes it, its rows, a line with \. alone, and a line that says how many there
// were; at the end a line over all. Lines that are not rows are JSON. A row has its
// values between tabs as PostgreSQL's COPY writes them: \N is NULL, and backslash,
// newline, carriage return and tab are written as \\, \n, \r and \t.
//
// A value that SQLite stores in another way than its column's kind says begins
// with \I (integer), \R (real), \S (text) or \B (blob).

// The forms of an archive. It has the oldest in which it can be written, so that older
// programs read what they can, and know what they cannot from what is damaged.
const (
	formatFirst  = 1
	formatRowids = 2 // a column may be SQLite's own number of a row, which the digest leaves out
	formatNewest = formatRowids
)

// formatOf is the form of an archive with these tables.
func formatOf(tables []*Table) int {
	for _, t := range tables {
		for _, c := range t.Columns {
			if c.Rowid {
				return formatRowids
			}
		}
	}
	return formatFirst
}

// Header is the first line of an archive.
type Header struct {
	Format     string      `json:"format"`  // "tldwdb rows"
	Version    int         `json:"version"` // of its form
	Writer     string      `json:"writer"`  // tldwdb and its version
	Engine     string      `json:"engine"`
	Server     string      `json:"server"`             // product and version
	Position   string      `json:"position,omitempty"` // of the snapshot in the server's log
	Started    time.Time   `json:"started"`
	Migrations []Migration `json:"migrations"`
}

const formatName = "tldwdb rows"

// Migration is one that was applied when the archive was made.
type Migration struct {
	Set      string `json:"set"`
	Version  int64  `json:"version"` // 0 for a repeatable one
	Name     string `json:"name"`
	Checksum string `json:"checksum"`
	State    string `json:"state"`
}

// tableEnd is the line behind a table's rows.
type tableEnd struct {
	Rows   int64  `json:"rows"`
	Digest string `json:"digest"`
	Next   int64  `json:"next,omitempty"` // of the column that is numbered
}

// archiveEnd is the last line.
type archiveEnd struct {
	End       bool       `json:"end"`
	Tables    int        `json:"tables"`
	Rows      int64      `json:"rows"`
	Sequences []Sequence `json:"sequences,omitempty"`
	Lines     string     `json:"lines"` // SHA-256 of all lines before this one that are not rows
}

// Sequence is one that belongs to no column.
type Sequence struct {
	Name string `json:"name"`
	Next int64  `json:"next"`
}

// ErrDamaged means that an archive is not what was written: it ends too early, or
// something in it was changed.
var ErrDamaged = errors.New("the archive is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// digest is of a table's rows in any order: the sum of a hash of each row, modulo
// 2^128. Rows that are there twice count twice.
type digest struct {
	hash   hash.Hash
	row    []byte
	sum    [sha256.Size]byte
	lo, hi uint64
	rows   int64
}

func newDigest() *digest { return &digest{hash: sha256.New()} }

// big values go into the hash by themselves, so that they are not copied.
const big = 4 << 10

func (d *digest) null() { d.row = append(d.row, 0) }

// add adds a value in its canonical form.
func (d *digest) add(tag byte, data []byte) {
	d.row = binary.AppendUvarint(d.row, uint64(len(data))+1)
	d.row = append(d.row, tag)
	if len(data) < big {
		d.row = append(d.row, data...)
		return
	}
	d.hash.Write(d.row)
	d.hash.Write(data)
	d.row = d.row[:0]
}

// value adds a value as add does with its form in an archive.
func (d *digest) value(tag byte, v value) {
	if !v.raw {
		d.add(tag, v.data)
		return
	}
	d.row = append(binary.AppendUvarint(d.row, uint64(v.size())+1), tag)
	if v.size() < big {
		d.row = append(d.row, `\x`...)
		d.row = hex.AppendEncode(d.row, v.data)
		return
	}
	d.hash.Write(d.row)
	d.row = d.row[:0]
	_ = v.pieces(func(part []byte) error { d.hash.Write(part); return nil }) // it has none of its own
}

// end ends a row.
func (d *digest) end() {
	d.hash.Write(d.row)
	d.row = d.row[:0]
	sum := d.hash.Sum(d.sum[:0])
	d.hash.Reset()
	var carry uint64
	d.lo, carry = bits.Add64(d.lo, binary.LittleEndian.Uint64(sum), 0)
	d.hi, _ = bits.Add64(d.hi, binary.LittleEndian.Uint64(sum[8:]), carry)
	d.rows++
}

func (d *digest) String() string { return fmt.Sprintf("%016x%016x", d.hi, d.lo) }

// appendRow writes a row as a line.
func appendRow(dst []byte, row []value) []byte {
	for i, v := range row {
		if i > 0 {
			dst = append(dst, '\t')
		}
		dst = appendValue(dst, v)
	}
	return append(dst, '\n')
}

func appendValue(dst []byte, v value) []byte {
	if v.null {
		return append(dst, `\N`...)
	}
	if v.tag != 0 {
		dst = append(dst, '\\', v.tag)
	}
	if v.raw {
		return hex.AppendEncode(append(dst, `\\x`...), v.data)
	}
	return appendEscaped(dst, v.data)
}

func appendEscaped(dst, data []byte) []byte {
	for {
		i := bytes.IndexAny(data, "\\\n\r\t")
		if i < 0 {
			return append(dst, data...)
		}
		dst = append(dst, data[:i]...)
		switch data[i] {
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', '\\')
		}
		data = data[i+1:]
	}
}

// rowReader takes lines apart.
type rowReader struct {
	row     []value
	scratch []byte
}

// split takes a line without its newline apart into n values. They point into the
// line, or into room of the reader's own: they are valid until the next call, and as
// long as the line is.
func (r *rowReader) split(line []byte, n int) ([]value, error) {
	if cap(r.row) < n {
		r.row = make([]value, n)
	}
	r.row = r.row[:n]
	r.scratch = r.scratch[:0]
	for i := range r.row {
		field := line
		tab := bytes.IndexByte(line, '\t')
		switch {
		case tab < 0 && i < n-1 || tab >= 0 && i == n-1:
			return nil, malformed(fmt.Sprintf("a row does not have %d values", n))
		case tab >= 0:
			field, line = line[:tab], line[tab+1:]
		}
		v, err := r.value(field)
		if err != nil {
			return nil, err
		}
		r.row[i] = v
	}
	return r.row, nil
}

func (r *rowReader) value(field []byte) (value, error) {
	at := bytes.IndexByte(field, '\\')
	if at < 0 {
		return value{data: field}, nil
	}
	var v value
	if at == 0 && len(field) > 1 {
		switch field[1] {
		case 'N':
			if len(field) != 2 {
				return v, malformed(`something follows \N`)
			}
			return value{null: true}, nil
		case tagInt, tagFloat, tagText, tagBytes:
			v.tag, field = field[1], field[2:]
		case '\\':
			// \\x and digits, as bytes are: what is meant is there already.
			if bytes.IndexByte(field[2:], '\\') < 0 {
				return value{data: field[1:]}, nil
			}
		}
		if at = bytes.IndexByte(field, '\\'); at < 0 {
			v.data = field
			return v, nil
		}
		if at == 0 && len(field) > 1 && field[1] == '\\' && bytes.IndexByte(field[2:], '\\') < 0 {
			v.data = field[1:]
			return v, nil
		}
	}
	if cap(r.scratch)-len(r.scratch) < len(field) { // never grown: values point into it
		r.scratch = make([]byte, 0, len(field)+big)
	}
	start := len(r.scratch)
	for at >= 0 {
		r.scratch = append(r.scratch, field[:at]...)
		if at+1 == len(field) {
			return v, malformed("a value ends with a backslash")
		}
		c, ok := unescaped(field[at+1])
		if !ok {
			return v, malformed(fmt.Sprintf(`a value has \%c in it`, field[at+1]))
		}
		r.scratch = append(r.scratch, c)
		field = field[at+2:]
		at = bytes.IndexByte(field, '\\')
	}
	r.scratch = append(r.scratch, field...)
	v.data = r.scratch[start:len(r.scratch):len(r.scratch)]
	return v, nil
}

// unescaped is what a character behind a backslash means.
func unescaped(c byte) (byte, bool) {
	switch c {
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'v':
		return '\v', true
	}
	return c, c == '\\'
}

// writer writes an archive.
type writer struct {
	out   *bufio.Writer
	lines hash.Hash
	bytes int64
	line  []byte
}

// buffer is how much is read and written at once.
const buffer = 256 << 10

func newWriter(w io.Writer) *writer {
	return &writer{out: bufio.NewWriterSize(w, buffer), lines: sha256.New()}
}

// json writes a line that is no row.
func (w *writer) json(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	w.lines.Write(text)
	return w.raw(text)
}

func (w *writer) raw(line []byte) error {
	n, err := w.out.Write(line)
	w.bytes += int64(n)
	return err
}

// row writes a row.
func (w *writer) row(row []value) (err error) {
	w.line, err = writeRow(w.line, row, w.raw)
	return err
}

// writeRow writes a row as a line, and returns the room that it has used. A big value
// is not copied into the line first.
func writeRow(line []byte, row []value, write func([]byte) error) ([]byte, error) {
	line = line[:0]
	for i, v := range row {
		if i > 0 {
			line = append(line, '\t')
		}
		if v.size() <= big {
			line = appendValue(line, v)
			continue
		}
		if v.tag != 0 {
			line = append(line, '\\', v.tag)
		}
		err := v.pieces(func(part []byte) error {
			line = appendEscaped(line, part)
			err := write(line)
			line = line[:0]
			return err
		})
		if err != nil {
			return line, err
		}
	}
	line = append(line, '\n')
	return line, write(line)
}

// sums is the digest of the lines that are not rows.
func (w *writer) sums() string { return hex.EncodeToString(w.lines.Sum(nil)) }

// reader reads the lines of an archive.
type reader struct {
	in    *bufio.Reader
	lines hash.Hash
	bytes int64
	long  []byte
}

func newReader(r io.Reader) *reader {
	return &reader{in: bufio.NewReaderSize(r, buffer), lines: sha256.New()}
}

// line reads a line, without its newline. It is valid until the next call.
func (r *reader) line() ([]byte, error) {
	part, err := r.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = r.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) {
			r.long = append(r.long, part...)
			part, err = r.in.ReadSlice('\n')
		}
		r.long = append(r.long, part...)
		part = r.long
	}
	r.bytes += int64(len(part))
	if errors.Is(err, io.EOF) {
		return nil, damaged("it ends too early")
	}
	if err != nil {
		return nil, err
	}
	return part[:len(part)-1], nil
}

// malformed is a line that is no row.
type malformed string

func (m malformed) Error() string { return string(m) }

// row reads a row with the values of some columns; none at the end of a table. line is
// nil where it does not fit into the buffer: such a row is taken apart while it is
// read. Both are valid until the next call.
func (r *reader) row(s *rowReader, columns []Column) (line []byte, row []value, err error) {
	part, err := r.in.ReadSlice('\n')
	r.bytes += int64(len(part))
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		row, err = s.long(&fields{r: r, part: part}, columns)
		return nil, row, err
	case errors.Is(err, io.EOF):
		return nil, nil, damaged("it ends too early")
	case err != nil:
		return nil, nil, err
	case string(part) == "\\.\n":
		return part, nil, nil
	}
	row, err = s.split(part[:len(part)-1], len(columns))
	return part, row, err
}

// json reads a line that is no row.
func (r *reader) json(v any) error {
	line, err := r.line()
	if err != nil {
		return err
	}
	if err := json.Unmarshal(line, v); err != nil {
		return damaged("a line is not the JSON that belongs there: %v", err)
	}
	r.lines.Write(line)
	r.lines.Write([]byte{'\n'})
	return nil
}

func (r *reader) sums() string { return hex.EncodeToString(r.lines.Sum(nil)) }
