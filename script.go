package tldwdb

import (
	"context"
	"errors"
	"io"
)

// ScriptRequest says which script [Script] writes.
type ScriptRequest struct {
	// Dialect is sqlite, postgres, mysql or mariadb. The last two differ in what they
	// take for a comment, and a script is refused by the other one.
	Dialect string
	// From is the version that the database is at: all files up to it are applied.
	// 0: it is empty, and the script makes the history table too. A script that finds
	// the database elsewhere stops before it has changed anything.
	From int64
	// Request says what the script reaches, as [DB.Migrate] would: the zero Request
	// is everything above From; GoalVersion with a Version below From, GoalDown and
	// GoalBase are ways down.
	Request Request
	// Database is the name of the database, where a file for MySQL or MariaDB changes
	// it with USE; the script then runs in that one only. Empty: any database.
	Database string
}

// Script writes the SQL script that does what [DB.Migrate] would do, for somebody
// who runs it by hand with psql, mysql, mariadb or sqlite3. Afterwards the
// history says the same as if this package had migrated, but for the actor, which
// is "script". It needs no database: what DB.Script reads from one is From here.
// Repeatable migrations are all in it. From cfg it takes the migrations, the
// history table, the timeouts, and the Environment that is stamped into the
// database.
//
// The script takes the migration lock, so that a booting worker waits for it, and
// stops at the first fault. On PostgreSQL and SQLite nothing of the migration that
// failed is left; on MySQL the history says at which statement it stopped, and
// [DB.Up] or [DB.Repair] go on from there. It begins with the command that runs it.
//
// The same files and the same request make the same script. It returns a
// *[LoadError] for faulty files, [ErrUnknownVersion], [ErrIrreversible], and an
// error for Go migrations, which no script can hold, all before it writes
// anything; and the error of w.
func Script(w io.Writer, cfg Config, req ScriptRequest) error {
	return errors.New("not there yet")
}

// Script is the function [Script] for the database as it is: which migrations are
// applied, and which files have to run, it reads from the history. It takes no
// lock and writes nothing to the database; the script checks when it runs that the
// history is still the same. It returns an error where the migration lock is a
// lease, which no script can keep alive, and where a migration is half applied,
// beside the errors of [DB.Plan].
func (db *DB) Script(ctx context.Context, w io.Writer, req Request) error {
	return errors.New("not there yet")
}
