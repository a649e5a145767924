package tldwdb

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/dialect"
)

// noRoom says which of the disks is full that a backup or a restore writes to. What the
// system says of it names a file among many, and what SQLite says names none.
type noRoom struct {
	where string
	err   error
}

func (n *noRoom) Error() string { return "there is no room in " + n.where + ": " + n.err.Error() }

func (n *noRoom) Unwrap() error { return n.err }

// noSpace is how the system says it, and so the programs of servers do in their words.
const noSpace = "No space left on device"

// roomIn names the place where err came up, if it is for want of room and nobody has
// named one yet.
func roomIn(err error, hint, where string, args ...any) error {
	if _, named := errors.AsType[*noRoom](err); err == nil || named || ClassOf(err) != ErrorClass(dialect.FaultDiskFull) && !strings.Contains(err.Error(), noSpace) {
		return err
	}
	return hinted(&noRoom{fmt.Sprintf(where, args...), err}, hint)
}

// roomInTemp is for what is written where temporary files are.
func roomInTemp(err error) error {
	return roomIn(err, "make room there, or let TMPDIR name a folder that has it: a copy of the database takes as much as the database", "the folder for temporary files, %s", os.TempDir())
}

// roomInDatabase is for what a database itself writes.
func (db *DB) roomInDatabase(err error) error {
	if db.dialectName == dialect.NameSQLite {
		return roomIn(err, "make room there: to replace the content takes as much as the new one, beside the old one", "the folder of the database, %s", filepath.Dir(db.file.knownPath()))
	}
	if err != nil && strings.Contains(err.Error(), noSpace) && !strings.Contains(err.Error(), "ERROR:") {
		return roomInTemp(err) // it is a program's of this machine
	}
	return roomIn(err, "make room there: a restore beside the database takes as much as the database", "the server of the database")
}

// room names the folder that has the files of a backup while they are made.
func (s *partSet) room(err error) error {
	if dir, ok := s.store.(dirStore); ok {
		return dir.room(err)
	}
	return roomInTemp(err)
}

func (d dirStore) room(err error) error {
	return roomIn(err, "make room there, with PruneBackups (tldwdb backup prune) or by hand, or name another folder (TLDWDB_BACKUP_DIR)", "the folder of backups, %s", string(d))
}

// roomyFile is an object of a folder.
type roomyFile struct {
	*atomicfile.File
	dir dirStore
}

func (f roomyFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.dir.room(err)
}

func (f roomyFile) Commit() error { return f.dir.room(f.File.Commit()) }
