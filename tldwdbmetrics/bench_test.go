package tldwdbmetrics_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdbmetrics"
)

// BenchmarkQuery is the price of being watched: the same queries on a pool with
// the metrics and on one without, in turns, so that both meet the same noise. What
// counts is the ratio of the medians. docs/benchmarks.md has results.
func BenchmarkQuery(b *testing.B) {
	const turn = 20 // queries before the other pool has its turn
	for _, e := range testdb.Engines() {
		b.Run("engine="+string(e), func(b *testing.B) {
			tdb := testdb.New(b, e)
			cfg := tldwdb.Config{URL: tdb.URL, Migrations: notes, PoolSize: 1, SlowQuery: time.Minute}
			watched := open(b, tldwdbmetrics.New(tldwdbmetrics.Options{}), cfg)
			if _, err := watched.Up(b.Context()); err != nil {
				b.Fatal(err)
			}
			cfg.SlowQuery = 0
			bare, err := tldwdb.Open(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() {
				if err := bare.Close(); err != nil {
					b.Error(err)
				}
			})
			if _, err := bare.Pool().ExecContext(b.Context(), "CREATE TABLE many (id integer PRIMARY KEY, title varchar(40))"); err != nil {
				b.Fatal(err)
			}
			for i := range 100 {
				if _, err := bare.Pool().ExecContext(b.Context(), fmt.Sprintf("INSERT INTO many VALUES (%d, 'the title of a note')", i)); err != nil {
					b.Fatal(err)
				}
			}
			id := "?"
			if e == testdb.Postgres {
				id = "$1"
			}
			for name, query := range map[string]func(context.Context, *sqlx.DB) error{
				"row": func(ctx context.Context, db *sqlx.DB) error {
					var title string
					return db.QueryRowContext(ctx, "SELECT title FROM many WHERE id = "+id, 7).Scan(&title)
				},
				"rows": func(ctx context.Context, db *sqlx.DB) error {
					var list []struct {
						ID    int    `db:"id"`
						Title string `db:"title"`
					}
					return db.SelectContext(ctx, &list, "SELECT id, title FROM many ORDER BY id")
				},
				"transaction": func(ctx context.Context, db *sqlx.DB) error {
					tx, err := db.BeginTx(ctx, nil)
					if err != nil {
						return err
					}
					if _, err := tx.ExecContext(ctx, "UPDATE many SET title = 'another' WHERE id = "+id, 9); err != nil {
						return err
					}
					return tx.Commit()
				},
			} {
				b.Run("query="+name, func(b *testing.B) {
					var times [2][]time.Duration
					for b.Loop() {
						for i, db := range []*sqlx.DB{bare.Pool(), watched.Pool()} {
							start := time.Now()
							for range turn {
								if err := query(b.Context(), db); err != nil {
									b.Fatal(err)
								}
							}
							times[i] = append(times[i], time.Since(start)/turn)
						}
					}
					for i := range times {
						slices.Sort(times[i])
					}
					without, with := times[0][len(times[0])/2], times[1][len(times[1])/2]
					b.ReportMetric(0, "ns/op") // of both
					b.ReportMetric(float64(without.Nanoseconds()), "ns/bare")
					b.ReportMetric(float64(with.Nanoseconds()), "ns/watched")
					b.ReportMetric(100*(float64(with)/float64(without)-1), "%more")
				})
			}
		})
	}
}
