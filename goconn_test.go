package tldwdb_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestRowsLeftOpen: a Go migration that returns with an open result has failed, and
// says so at once. Nothing of it is left, and the connection, the lock and the next
// run are as after any other failure.
func TestRowsLeftOpen(t *testing.T) {
	t.Parallel()
	const few = "SELECT 1 UNION ALL SELECT 2"
	endless := func(tdb *testdb.Database) string { // more than anybody waits for
		switch tdb.Engine {
		case testdb.Postgres:
			return "SELECT repeat('x', 1000), generate_series(1, 1000000000)"
		case testdb.MariaDB:
			return "SELECT repeat('x', 1000) FROM seq_1_to_1000000000"
		case testdb.MySQL:
			return "SELECT repeat('x', 1000) FROM information_schema.COLUMNS a, information_schema.COLUMNS b"
		}
		return "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
	}
	for name, leave := range map[string]func(context.Context, *testdb.Database, tldwdb.Conn) error{
		"rows": func(ctx context.Context, _ *testdb.Database, conn tldwdb.Conn) error {
			rows, err := conn.QueryContext(ctx, few)
			if err == nil {
				rows.Next()
				err = rows.Err()
			}
			return err
		},
		"rows of another context": func(ctx context.Context, _ *testdb.Database, conn tldwdb.Conn) error {
			_, err := conn.QueryxContext(context.WithoutCancel(ctx), few)
			return err
		},
		"row": func(ctx context.Context, _ *testdb.Database, conn tldwdb.Conn) error {
			return conn.QueryRowxContext(ctx, few).Err()
		},
		"a long result": func(ctx context.Context, tdb *testdb.Database, conn tldwdb.Conn) error {
			_, err := conn.QueryContext(ctx, endless(tdb)) //nolint:rowserrcheck // that is the point
			return err
		},
		"panic": func(ctx context.Context, _ *testdb.Database, conn tldwdb.Conn) error {
			if _, err := conn.QueryContext(ctx, few); err != nil { //nolint:rowserrcheck // that is the point
				return err
			}
			panic("closing the rows of nothing")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
				for _, alone := range []bool{false, true} {
					version := int64(1)
					if alone {
						version = 2
					}
					migration := tldwdb.GoMigration{Version: version, Name: "open", NoTransaction: alone, Idempotent: true}
					up := func(code func(context.Context, tldwdb.Conn) error) (*tldwdb.Result, error) {
						migration.Up = func(ctx context.Context, conn tldwdb.Conn) error {
							if _, err := conn.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS made (id integer)"); err != nil {
								return err
							}
							return code(ctx, conn)
						}
						done := tldwdb.GoMigration{Version: 1, Name: "open", Idempotent: true, Up: migration.Up}
						return open(t, tdb, files{}, func(cfg *tldwdb.Config) {
							cfg.PoolSize = 1
							if cfg.GoMigrations = []tldwdb.GoMigration{migration}; alone {
								cfg.GoMigrations = append(cfg.GoMigrations, done)
							}
						}).Up(t.Context())
					}
					_, err := up(func(ctx context.Context, conn tldwdb.Conn) error { return leave(ctx, tdb, conn) })
					var failed *tldwdb.MigrationError
					if !errors.As(err, &failed) || failed.Migration.Version != version || !strings.Contains(err.Error(), "closing the rows of") {
						t.Fatalf("alone %v: %v", alone, err)
					}
					if name != "panic" && tldwdb.Hint(err) == "" {
						t.Errorf("alone %v: no hint", alone)
					}
					if made := strings.Contains(tdb.Dump(t), "made"); made && !alone && (tdb.Engine == testdb.Postgres || tdb.Engine == testdb.SQLite) {
						t.Error("a part of it is left")
					}
					res, err := up(func(ctx context.Context, conn tldwdb.Conn) error {
						var list []int
						return conn.SelectContext(ctx, &list, few)
					})
					if err != nil || len(res.Applied) != 1 {
						t.Errorf("alone %v: the next run: %+v, %v", alone, res, err)
					}
				}
			})
		})
	}
}

// TestRowsClosed: what a Go migration has read to its end, or closed, is no fault,
// however often it asks.
func TestRowsClosed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, tdb *testdb.Database) {
		db := open(t, tdb, files{}, func(cfg *tldwdb.Config) {
			cfg.GoMigrations = []tldwdb.GoMigration{{Version: 1, Name: "reads", Up: func(ctx context.Context, conn tldwdb.Conn) error {
				for i := range 100 {
					rows, err := conn.QueryxContext(ctx, "SELECT 1 UNION ALL SELECT 2")
					if err != nil {
						return err
					}
					for i%2 == 0 && rows.Next() { // to the end, which closes them
						continue
					}
					if err := errors.Join(rows.Err(), rows.Close()); err != nil {
						return err
					}
					var n int
					if err := conn.QueryRowxContext(ctx, "SELECT 1").Scan(&n); err != nil {
						return err
					}
				}
				return nil
			}}}
		})
		succeed(t, "up 0001_reads; 0 → 1")(db.Up(t.Context()))
	})
}
