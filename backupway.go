package tldwdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
)

// backupWay is a way to make the content of a backup.
type backupWay interface {
	method() BackupMethod
	// dump writes the content of the database that r is connected to.
	dump(ctx context.Context, r *run, p *backupPlan, parts *partSet) (contents, error)
}

// chooseWay finds the way for a method, and makes sure that it can be gone before
// anything is written.
func (db *DB) chooseWay(ctx context.Context, o BackupOptions) (backupWay, error) {
	switch {
	case o.Method == BackupPortable:
		return portableWay{}, nil
	case db.dialectName == dialect.NameSQLite:
		return sqliteWay{}, nil
	}
	return serverWay{o.Jobs}, db.tooled(ctx, o, nil, func(e dump.Engine) error { return e.Check(ctx) })
}

// sqliteWay copies a SQLite file. The copy is what is described, so that the
// description is of the same instant to the last row.
type sqliteWay struct{}

const sqliteContent, sqliteExtension = "sqlite", "db"

func (sqliteWay) method() BackupMethod { return BackupNative }

func (sqliteWay) dump(ctx context.Context, r *run, p *backupPlan, parts *partSet) (in contents, err error) {
	path, err := parts.file(ctx, sqliteExtension)
	if err != nil {
		return in, err
	}
	if err := dump.CopySQLite(ctx, r.conn.Conn, path, parts.keepsFiles(), p.meter.bytes); err != nil {
		return in, fmt.Errorf("copying: %w", parts.room(err))
	}
	info, err := os.Stat(path)
	if err != nil {
		return in, err
	}
	p.meter.enter(phaseCheck)
	part, err := parts.beginFile(ctx, path, sqliteExtension)
	if err != nil {
		return in, err
	}
	// The copy is described while it is stored: it is in memory now. Its pages are those
	// of the database, so that checking them would check the database: that is left to a
	// verification, which reads what was stored.
	err = together(ctx, func(ctx context.Context) error {
		return in.describeSQLite(ctx, r, path)
	}, func(ctx context.Context) error {
		return part.fill(ctx, path, func(done int64) { p.meter.bytes(done, info.Size()) })
	})
	return in, parts.room(err)
}

// describeSQLite says what is in a copy.
func (in *contents) describeSQLite(ctx context.Context, r *run, path string) (err error) {
	in.content = sqliteContent
	in.tool = "SQLite " + dialect.SQLiteVersion()
	copied, err := openSQLiteCopy(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, copied.Close()) }()
	conn, err := copied.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	tables, err := dump.SQLiteTables(ctx, conn)
	if err != nil {
		return err
	}
	in.tables = backupTables(tables)
	return in.describe(ctx, r.db, &store{d: r.d, table: r.d.Qualify("", r.cfg.Table)}, conn, "", dump.Asleep{})
}

// openSQLiteCopy opens a file that nobody writes to, without a lock or a file beside
// it.
func openSQLiteCopy(path string) (*sql.DB, error) {
	connector, err := dialect.Connector(dburl.URL{Dialect: dburl.SQLite, Path: path, Params: map[string]string{"mode": "ro", "immutable": "1"}}, dialect.ConnectOptions{})
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

func backupTables(tables []dump.Table) []BackupTable {
	list := make([]BackupTable, len(tables))
	for i, t := range tables {
		list[i] = BackupTable(t)
	}
	return list
}

// extract writes the content of a backup's only part into a file that this user alone
// can read. Nothing of it is used before all of it is known to be what was stored.
func (p *backupPlan) extract(ctx context.Context, b Backup, keys backupKeys, path string) (err error) {
	content, err := openPart(ctx, p.store, b, b.Parts[0], keys)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	all := b.PlainSize()
	_, err = io.Copy(f, &toldReader{ctx: ctx, r: content, tell: func(done int64) { p.meter.bytes(done, all) }})
	return errors.Join(err, f.Close())
}
