package catalog

import (
	"context"
	"database/sql"
	"errors"

	"github.com/tldw/tldwdb/internal/dialect"
)

func readSQLite(context.Context, *sql.Conn, *builder) error { return errors.ErrUnsupported }
func readPostgres(context.Context, dialect.Dialect, *sql.Conn, *builder) error {
	return errors.ErrUnsupported
}
func readMySQL(context.Context, dialect.Dialect, *sql.Conn, *builder) error {
	return errors.ErrUnsupported
}
