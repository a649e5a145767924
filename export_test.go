package tldwdb

import (
	"context"
	"database/sql"

	"github.com/tldw/tldwdb/internal/dialect"
)

// PretendSharedLock makes the database's lock one that is granted to everybody,
// as a pooler in transaction mode makes it.
func PretendSharedLock(db *DB) { db.dialect = sharedLockDialect{db.dialect} }

type sharedLockDialect struct{ dialect.Dialect }

func (d sharedLockDialect) Lock(f dialect.Facts, table string) dialect.Lock {
	return sharedLock{d.Dialect.Lock(f, table)}
}

type sharedLock struct{ dialect.Lock }

func (sharedLock) Excludes(context.Context, *sql.Conn) (bool, error) { return false, nil }
