// Package dump makes and reads backups in an engine's own form: a SQLite file, or
// what pg_dump, mysqldump and mariadb-dump write.
package dump

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// Target is a database.
type Target struct {
	URL      dburl.URL                             // where it is, and who signs in
	Password func(context.Context) (string, error) // nil: what URL says
	DB       *sql.DB                               // for questions; of a SQLite file as of a server
	Dialect  dialect.Dialect
	Log      *slog.Logger // nil: nothing is logged
	ToolDir  string       // folder of the server's programs; empty: the usual places
	// Lease is the name of a table that says who works on the database just now. It is
	// no content: it is neither dumped nor counted, and stays where it is in a swap.
	// Empty: there is none.
	Lease string
	// Progress is told how many bytes are done, of how many if that is known.
	Progress func(table string, done, all int64)
}

// Options say how a dump is made.
type Options struct {
	Jobs    int  // connections of pg_dump and pg_restore; 0 is 1
	Digests bool // of every table's content
	// File is where what is dumped stays. A program that writes from the beginning to the
	// end writes to it itself, and what goes to w is read from there: that is half of the
	// copying, and nobody waits for the other. Nil: all goes to w alone.
	File *os.File
	// Owners gives every object its owner and rights back when it is loaded, as far as
	// their roles are there and the account may. Without it all belongs to who loads it.
	// It is PostgreSQL's alone: MySQL's dumps keep their definers.
	Owners bool
	// Note is told of what Owners could not give back. Nil: nobody is.
	Note func(string)
	// Asleep is where Load says which events it has made that do not run before Wake.
	// Nil: they run. PostgreSQL has none.
	Asleep *Asleep
}

// Dumped is what was written.
type Dumped struct {
	Content   string // sqlite, pg_dump, mysqldump or mariadb-dump
	Extension string // of a file with it: db, dump, tar or sql
	Tool      string // program and version
	// Position is where the server's log was when the snapshot was taken, or a
	// moment before: an LSN, or the transactions of a GTID set. It is empty where the
	// server keeps no such log, or does not tell.
	Position string
	Tables   []Table  // by name
	Notes    []string // what a restore has to mind, and no error is
}

// Table is a table of the dump.
type Table struct {
	Name   string // with its schema where that is not the default one
	Rows   int64
	Digest string
}

// Refusal is an error with its remedy: the database cannot be dumped, loaded or
// switched as it is, or by this account, or with the programs that are here.
type Refusal struct {
	Err  error
	Hint string
}

// Error says what is wrong.
func (r *Refusal) Error() string { return r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

func refuse(hint, format string, args ...any) error {
	return &Refusal{Err: fmt.Errorf(format, args...), Hint: hint}
}

// Engine works on one database.
type Engine interface {
	// Check says whether Dump and Load can work, before anything is written: that
	// the program is there and new enough for the server, and what to install.
	Check(ctx context.Context) error
	// Dump writes the database to w. What is not complete is an error.
	Dump(ctx context.Context, w io.Writer, o Options) (Dumped, error)
	// Load reads what Dump wrote into a database that is empty. It stops at the first
	// error.
	Load(ctx context.Context, r io.Reader, content string, o Options) error
	// Wake has the events run that Load has made.
	Wake(ctx context.Context, a Asleep) error
	// Tables counts the rows, and takes the digests, of what is there now, as Dump
	// does.
	Tables(ctx context.Context, digests bool) ([]Table, error)
}
