package dump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/tldw/tldwdb/internal/dialect"
)

// ErrUnsound means that a database's own check found a fault in it.
var ErrUnsound = errors.New("the database is damaged")

// CheckSQLite runs integrity_check. The error [ErrUnsound] has the first findings; it is
// SQLite's own where that could not go on.
func CheckSQLite(ctx context.Context, c *sql.Conn) error {
	const most = 5
	findings, err := texts(ctx, c, fmt.Sprintf("PRAGMA main.integrity_check(%d)", most))
	if err != nil {
		return fmt.Errorf("integrity_check: %w", err)
	}
	if len(findings) == 1 && findings[0] == "ok" {
		return nil
	}
	return fmt.Errorf("%w: integrity_check says: %s", ErrUnsound, strings.Join(findings, "; "))
}

// SQLiteTables counts the rows of every table, by name. Virtual tables are not
// counted, because the module that reads them may not be there; their content is in
// tables of their own, which are.
func SQLiteTables(ctx context.Context, c *sql.Conn) ([]Table, error) {
	names, err := texts(ctx, c, `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema' ORDER BY name`)
	if err != nil {
		return nil, err
	}
	tables := make([]Table, len(names))
	for i, name := range names {
		tables[i].Name = name
		query := `SELECT count(*) FROM main."` + strings.ReplaceAll(name, `"`, `""`) + `"`
		if err := dialect.QueryRow(ctx, c, query, nil, &tables[i].Rows); err != nil {
			return nil, fmt.Errorf("counting the rows of %s: %w", name, err)
		}
	}
	return tables, nil
}
