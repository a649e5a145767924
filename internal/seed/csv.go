package seed

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// csvReader reads CSV as RFC 4180 has it, a row at a time. Unlike that of the standard
// library it tells "" from nothing: nothing between two commas is NULL.
type csvReader struct {
	in   *bufio.Reader
	line int // of the row that was read last
	next int
	room []byte
	ends []int
	null []bool
}

func newCSV(r io.Reader) *csvReader {
	in := bufio.NewReaderSize(r, 64<<10)
	if mark, err := in.Peek(3); err == nil && bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = in.Discard(3) // they are in the buffer
	}
	return &csvReader{in: in, next: 1}
}

// longestCSVRow is where a quote is taken for one that was never closed.
const longestCSVRow = 32 << 20

// read reads the next row that is not an empty line. The fields are valid until the
// next call. At the end it returns io.EOF.
func (c *csvReader) read() error {
	for {
		c.line = c.next
		c.room, c.ends, c.null = c.room[:0], c.ends[:0], c.null[:0]
		text, err := c.lineOf()
		if err != nil {
			return err
		}
		if len(text) == 0 {
			continue
		}
		return c.split(text)
	}
}

// lineOf is a line without its end. It is valid until the next read.
func (c *csvReader) lineOf() ([]byte, error) {
	text, err := c.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		long := bytes.Clone(text)
		for errors.Is(err, bufio.ErrBufferFull) {
			text, err = c.in.ReadSlice('\n')
			if long = append(long, text...); len(long) > longestCSVRow {
				return nil, faultf(c.line, "the row is longer than %d MiB", longestCSVRow>>20)
			}
		}
		text = long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(text) == 0) {
		return nil, err
	}
	c.next++
	text = bytes.TrimSuffix(text, []byte("\n"))
	return bytes.TrimSuffix(text, []byte("\r")), nil
}

func (c *csvReader) split(text []byte) error {
	for {
		if len(text) == 0 || text[0] != '"' {
			end := bytes.IndexByte(text, ',')
			field := text
			if end >= 0 {
				field = text[:end]
			}
			if bytes.IndexByte(field, '"') >= 0 {
				return faultf(c.line, "a quote inside of a field that does not begin with one")
			}
			c.end(field, len(field) == 0)
			if end < 0 {
				return nil
			}
			text = text[end+1:]
			continue
		}
		text = text[1:]
		for {
			quote := bytes.IndexByte(text, '"')
			if quote < 0 { // it goes on in the next line
				c.room = append(append(c.room, text...), '\n')
				var err error
				if text, err = c.lineOf(); errors.Is(err, io.EOF) || len(c.room) > longestCSVRow {
					return faultf(c.line, "a quote that begins here is not closed")
				} else if err != nil {
					return err
				}
				continue
			}
			c.room = append(c.room, text[:quote]...)
			if text = text[quote+1:]; len(text) == 0 || text[0] != '"' {
				break
			}
			c.room, text = append(c.room, '"'), text[1:]
		}
		c.end(nil, false)
		if len(text) == 0 {
			return nil
		}
		if text[0] != ',' {
			return faultf(c.line, "something follows a closing quote")
		}
		text = text[1:]
	}
}

// end ends a field, after its rest.
func (c *csvReader) end(rest []byte, null bool) {
	c.room = append(c.room, rest...)
	c.ends, c.null = append(c.ends, len(c.room)), append(c.null, null)
}

// fields is how many there are.
func (c *csvReader) fields() int { return len(c.ends) }

func (c *csvReader) field(i int) (text []byte, null bool) {
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.room[start:c.ends[i]], c.null[i]
}
