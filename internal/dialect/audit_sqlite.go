package dialect

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// sqliteCompanions are the ends of the names of the files beside a database that
// hold rows of it.
var sqliteCompanions = []string{"", "-wal", "-shm", "-journal"}

// Audit looks at the files: SQLite has no accounts, and whoever may open the file
// has every right on it. It opens none of them.
func (s *sqlite) Audit(ctx context.Context, c *sql.Conn, _ AuditQuestion) (*AuditAnswer, error) {
	a := &audit{c: c, d: s}
	var trusted bool
	if err := QueryRow(ctx, c, "SELECT file FROM pragma_database_list WHERE name = 'main'", nil, &a.Account); err != nil {
		return nil, err
	}
	if err := QueryRow(ctx, c, "SELECT trusted_schema FROM pragma_trusted_schema", nil, &trusted); err != nil {
		return nil, err
	}
	if trusted {
		a.find(AuditTrustedSchema, "trusted_schema", "a file that somebody else has written can call every function of the program from a view or trigger",
			"PRAGMA trusted_schema = OFF on the connections that open such a file")
	}
	if a.Account == "" { // in memory
		return &a.AuditAnswer, nil
	}
	if runtime.GOOS == "windows" {
		for _, id := range []string{AuditFileReadable, AuditFileWritable, AuditFolderWritable, AuditFileOwner} {
			a.gap(id, "Windows keeps rights in another way: icacls shows them")
		}
		return &a.AuditAnswer, nil
	}
	return &a.AuditAnswer, auditFiles(a, a.Account, os.Geteuid())
}

// auditFiles looks at modes and owners, for a process of the account me.
func auditFiles(a *audit, file string, me int) error {
	const others = 0o007 // a group is what an operator makes on purpose
	for _, end := range sqliteCompanions {
		info, err := os.Stat(file + end)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		mode := info.Mode().Perm()
		switch {
		case mode&others&0o002 != 0:
			a.find(AuditFileWritable, file+end, fmt.Sprintf("its mode is %04o: every account of this machine may write it", mode), "chmod o= {}")
		case mode&others&0o004 != 0:
			a.find(AuditFileReadable, file+end, fmt.Sprintf("its mode is %04o: every account of this machine may read it", mode), "chmod o= {}, and umask 0027 for the service")
		}
		auditOwner(a, file+end, info, me, "may read, write and replace it")
	}
	folder := filepath.Dir(file)
	info, err := os.Stat(folder)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	// In a folder with the sticky bit only the owner of a file may replace it, and
	// yet anybody may put a journal beside a database that has none just now.
	if info.Mode().Perm()&others&0o002 != 0 {
		a.find(AuditFolderWritable, folder, fmt.Sprintf("its mode is %04o: every account of this machine may put files beside the database, which SQLite then reads as its journal", info.Mode().Perm()),
			"move the database into a folder of its own, with mode 0750")
	}
	auditOwner(a, folder, info, me, "may replace the database in it")
	return nil
}

// auditOwner finds what belongs to another account than the process's. Root may do
// everything anyway, as owner and as process.
func auditOwner(a *audit, name string, info fs.FileInfo, me int, power string) {
	owner, known := fileOwner(info)
	if known && owner != 0 && me != 0 && owner != me {
		a.find(AuditFileOwner, name, fmt.Sprintf("it belongs to the account with number %d, and this process has %d: that account %s", owner, me, power), "chown it to the account of the service")
	}
}
