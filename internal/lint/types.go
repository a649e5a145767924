package lint

import (
	"strconv"
	"strings"
)

// This file knows which changes of a column's type PostgreSQL makes without writing the table anew. Measured on PostgreSQL 15
// by the number of the table's file before and after; the trace repeats it on the server at hand.

// columnType is a type in PostgreSQL's terms.
type columnType struct {
	base  string // one name for all spellings
	args  []int
	array bool
	known bool // the arguments were numbers
}

// spellings are other names of types.
var spellings = map[string]string{
	"int": "integer", "int4": "integer", "serial": "integer", "serial4": "integer",
	"int8": "bigint", "bigserial": "bigint", "serial8": "bigint",
	"int2": "smallint", "smallserial": "smallint", "serial2": "smallint",
	"varchar": "character varying", "char": "character", "bpchar": "character", "nchar": "character",
	"decimal": "numeric", "dec": "numeric", "bool": "boolean", "float8": "double precision", "float": "double precision", "float4": "real",
	"timestamptz": "timestamp with time zone", "timestamp without time zone": "timestamp", "timetz": "time with time zone", "time without time zone": "time",
	"varbit": "bit varying",
}

// typeOf is parseType for what is asked by many rules: there are few types, and many columns.
func (c *check) typeOf(text string) columnType {
	t, ok := c.types[text]
	if !ok {
		t = parseType(text)
		c.types[text] = t
	}
	return t
}

// parseType reads a type as the reader of statements gives it.
func parseType(text string) columnType {
	t := columnType{known: true}
	text = strings.TrimPrefix(text, "pg_catalog.")
	if i := strings.IndexByte(text, '['); i > 0 {
		t.array, text = true, text[:i]
	}
	if i := strings.IndexByte(text, '('); i > 0 {
		k := strings.IndexByte(text[i:], ')')
		if k > 0 {
			for part := range strings.SplitSeq(text[i+1:i+k], ",") {
				n, err := strconv.Atoi(strings.TrimSpace(part))
				t.known = t.known && err == nil
				t.args = append(t.args, n)
			}
			text = strings.TrimSpace(text[:i] + text[i+k+1:])
		}
	}
	t.base = text
	if name, ok := spellings[t.base]; ok {
		t.base = name
	}
	if t.base == "character" && len(t.args) == 0 {
		t.args = []int{1}
	}
	if t.base == "numeric" && len(t.args) == 1 {
		t.args = append(t.args, 0)
	}
	return t
}

// family is the type without its length, and with the kinds of text as one: what has to agree for two columns to be compared as they are.
func (t columnType) family() string {
	switch t.base {
	case "character varying", "character":
		return "text"
	}
	return t.base
}

// change is what a change of type does to a table.
type change int

const (
	changeRewrites change = iota // the table is written anew
	changeNothing                // the catalogue only
	changeDepends                // on what is not known here
)

// changes says what it means to make a column of one type one of another. An empty old type is not known.
func changes(old, to string) change {
	b := parseType(to)
	if old == "" {
		switch {
		case b.base == "text" || b.base == "character varying" || b.base == "numeric" && len(b.args) == 0:
			return changeDepends
		}
		return changeRewrites
	}
	a := parseType(old)
	if a.array != b.array || !a.known || !b.known {
		return changeRewrites
	}
	if a.base == b.base {
		return sameBase(a, b)
	}
	switch {
	case a.base == "character varying" && b.base == "text", a.base == "cidr" && b.base == "inet":
		return changeNothing
	case a.base == "text" && b.base == "character varying" && len(b.args) == 0:
		return changeNothing
	case (a.base == "text" || a.base == "character varying") && b.base == "citext":
		return changeNothing
	case a.base == "timestamp" && b.base == "timestamp with time zone", a.base == "timestamp with time zone" && b.base == "timestamp":
		return changeDepends // on the server's time zone: UTC needs nothing
	}
	return changeRewrites
}

// sameBase is a change of a length or a precision.
func sameBase(a, b columnType) change {
	grows := len(b.args) == 0 || len(a.args) > 0 && len(b.args) > 0 && b.args[0] >= a.args[0]
	switch a.base {
	case "character varying", "bit varying", "timestamp", "timestamp with time zone", "time", "time with time zone", "interval":
		if grows {
			return changeNothing
		}
		return changeRewrites
	case "numeric":
		if len(b.args) == 0 || len(a.args) == 2 && len(b.args) == 2 && a.args[1] == b.args[1] && b.args[0] >= a.args[0] {
			return changeNothing
		}
		return changeRewrites
	}
	if len(a.args) == len(b.args) && (len(a.args) == 0 || a.args[0] == b.args[0]) {
		return changeNothing
	}
	return changeRewrites
}
