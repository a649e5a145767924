package dump

import (
	"context"
	"fmt"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Kept is a database that [Swap] has given another name.
type Kept struct {
	Name     string
	Replaced time.Time
}

// KeptOf lists the databases that [Swap] has put aside for the one that t names, in no
// order. A name has to be exactly what Swap makes.
func KeptOf(ctx context.Context, t Target) (list []Kept, err error) {
	names := "SELECT schema_name, DATABASE() FROM information_schema.schemata"
	length := longestMySQL
	if t.Dialect.Name() == dialect.NamePostgres {
		names = "SELECT datname::text, current_database()::text FROM pg_catalog.pg_database"
		length = longestPostgres
	}
	rows, err := t.DB.QueryContext(ctx, names, t.Dialect.QueryArgs()...)
	if err != nil {
		return nil, fmt.Errorf("listing the server's databases: %w", err)
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	for rows.Next() {
		var name, live string
		if err := rows.Scan(&name, &live); err != nil {
			return nil, err
		}
		if at, ok := keptSince(live, name, length); ok {
			list = append(list, Kept{name, at})
		}
	}
	return list, rows.Err()
}

// keptSince says when a database got that name in the place of live, and whether it
// did.
func keptSince(live, name string, length int) (at time.Time, ok bool) {
	i := len(name) - len(keptForm)
	if i < 0 {
		return at, false
	}
	end := []byte(name[i:])
	end[len(end)-4] = '.'
	at, err := time.Parse(keptForm, string(end))
	return at, err == nil && name != live && keptName(live, at, length) == name
}

// DropKept drops one of them. Where somebody is connected to it, PostgreSQL refuses.
func DropKept(ctx context.Context, t Target, k Kept) error {
	if _, err := t.DB.ExecContext(ctx, "DROP DATABASE "+t.Dialect.Identifier(k.Name)); err != nil {
		return fmt.Errorf("dropping %s: %w", k.Name, err)
	}
	return nil
}
