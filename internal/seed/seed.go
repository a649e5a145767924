// Package seed reads the files of seeds, and puts their rows into a database.
//
// A set is a folder, read in three steps, each of which reports all faults that it can
// see before the next one begins:
//
//   - [Read] parses the files of a set: tables, rows and values with the lines that they
//     stand in. It asks no database.
//   - [Prepare] holds them against the catalogue: columns, types, keys, references. It
//     decides the order of the rows: tables by their foreign keys and by the references
//     in the files, rows of a table behind those that they refer to. What goes in a
//     circle is written with NULL first, and completed behind all other rows.
//   - [Plan.Apply] writes one set. The transaction and the lock are the caller's. Rows go
//     through it a batch at a time: the database is asked which of them it has, by their
//     keys, those that it does not have are inserted in bulk, and those that differ are
//     changed if the file wants that. A table without rows is not asked.
//
// Asking first, instead of leaving it to ON CONFLICT or ON DUPLICATE KEY, works for a key
// that no index makes unique, spends no numbers of a sequence on rows that are there,
// runs no trigger for them, and says of each row what became of it; and the same code
// says what would be done. Nobody else seeds meanwhile: that is what the lock is for.
package seed

import (
	"fmt"
	"strings"
	"time"
)

// Problem is one fault, and where it is.
type Problem struct {
	File   string
	Line   int // 0: the file as a whole
	Table  string
	Row    string // its name, or its key
	Column string
	Msg    string
}

// String is the problem in a line.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	for _, part := range []struct{ word, name string }{{"table", p.Table}, {"row", p.Row}, {"column", p.Column}} {
		if part.name != "" {
			fmt.Fprintf(&b, "%s %s, ", part.word, part.name)
		}
	}
	text := strings.TrimSuffix(b.String(), ", ")
	if strings.HasSuffix(text, ": ") {
		return text + p.Msg
	}
	return text + ": " + p.Msg
}

// Fault is a problem that was found at work.
type Fault struct {
	Problem
	Err error // the database's word; nil when the file is at fault
}

// Error is the problem.
func (f *Fault) Error() string { return f.String() }

// Unwrap returns the cause.
func (f *Fault) Unwrap() error { return f.Err }

// World is what values are made of beside the files.
type World struct {
	// Secret is the value of a variable, or of the file that the variable with _FILE
	// behind its name has; empty for neither.
	Secret func(variable string) (string, error)
	Now    time.Time
}

// Set is a folder of seeds.
type Set struct {
	Name  string
	Files []*File
}

// File is one file of a set.
type File struct {
	Path     string
	Once     bool   // it is to run once in the life of a database
	Checksum string // SHA-256 of the text, of one that is to run once
	Tables   []*Table
	Script   bool   // it is statements or code, which the caller runs
	SQL      string // of a file of statements
}

// Table is the rows that one file has for one table.
type Table struct {
	File    string
	Line    int
	Name    string
	Key     []string // empty: to be found
	keyLine int
	Update  bool     // rows that are there are made what the file says
	Only    []string // the columns of which that is true; empty: all
	Rows    []*Row
	CSV     string // the file with the rows; empty: they are in Rows

	def  *tableDef
	head []keyed // the first rows of CSV, while duplicates are looked for
	// looked says that the first rows of CSV were found in order. Under the lock they are
	// not read for that once more: each row is judged when it is written.
	looked bool
}

// Row is one row.
type Row struct {
	Line   int
	Name   string // by which others refer to it; may be empty
	fields []field

	table   *Table
	at      int // in its table of its file: what a random value depends on when the row has no name
	cells   []cell
	needs   []string        // columns that others refer to
	values  map[string]cell // what they are, when that is known
	here    bool            // it was inserted
	touched bool            // it was updated
}

// field is a value with the name of its column.
type field struct {
	name  string
	line  int
	value *form
}

// label is what a message calls a row.
func (r *Row) label() string {
	if r.Name != "" {
		return r.Name
	}
	return fmt.Sprint(r.at + 1)
}

// nearest is a hint at the known name that is most like a mistyped one, or empty.
func nearest(name string, known []string) string {
	best, distance := "", 3
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance && d < len(k) {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := before
			if a[i] != b[j] {
				change++
			}
			before = row[j+1]
			row[j+1] = min(change, row[j]+1, before+1)
		}
	}
	return row[len(b)]
}
