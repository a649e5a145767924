package tldwdbtest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/migrations"
)

// BenchmarkNew compares the time of a fresh database, once there is a template, with
// what nobody can do without: on SQLite copying a closed file and opening it; on
// PostgreSQL a bare CREATE DATABASE … TEMPLATE, by each strategy, and that with a
// connection to it; on MySQL and MariaDB with running 50 migrations. The rounds take
// turns, so that a busy machine is busy for all.
func BenchmarkNew(b *testing.B) {
	for _, e := range Engines() {
		b.Run(string(e), func(b *testing.B) {
			cfg := benchConfig(e)
			at, err := cfg.target(os.Getenv, e)
			if err != nil {
				b.Skip(err)
			}
			ways := map[string]func(i int) time.Duration{"new": func(int) time.Duration { return benchNew(b, cfg, at) }}
			benchNew(b, cfg, at) // the template
			h, err := houseOf(b.Context(), at)
			if err != nil {
				b.Fatal(err)
			}
			tpl, err := h.template(cfg, at)
			if err != nil {
				b.Fatal(err)
			}
			switch h := h.(type) {
			case *folder:
				ways["bare"] = func(i int) time.Duration { return benchCopy(b, h.file(tpl), i) }
			case *server:
				if at.engine == Postgres {
					benchPostgres(b, h, tpl, ways)
				} else {
					benchMySQL(b, h, tpl, cfg, at, ways)
				}
			}
			times := map[string][]time.Duration{}
			for i := 0; b.Loop(); i++ {
				for way, run := range ways {
					times[way] = append(times[way], run(i))
				}
			}
			b.ReportMetric(0, "ns/op")
			for way, list := range times {
				slices.Sort(list)
				median := list[len(list)/2]
				b.ReportMetric(float64(median.Microseconds())/1000, way+"-ms")
				if strings.HasPrefix(way, "new") {
					continue
				}
				slices.Sort(times["new"])
				ours := times["new"][len(list)/2]
				if e == MySQL || e == MariaDB {
					b.ReportMetric(float64(median)/float64(ours), "times-faster-than-"+way)
				} else {
					b.ReportMetric(float64(ours)/float64(median), "ratio-to-"+way)
				}
			}
		})
	}
}

// benchConfig has 50 tables of 50 rows. Migrations are embedded, as a service's are;
// where running them is what New is compared with, there are 50.
func benchConfig(e Engine) Config {
	if e.dialect() == dburl.MySQL {
		return Config{Migrations: files(50)}
	}
	cfg := Config{Migrations: migrations.FS, SetupKey: "bench"}
	cfg.Setup = func(ctx context.Context, db *tldwdb.DB) error {
		for i := range 50 {
			if _, err := db.Pool().ExecContext(ctx, fmt.Sprintf("CREATE TABLE t%d (id bigint PRIMARY KEY, name varchar(100) NOT NULL, v int, parent bigint REFERENCES t%[1]d (id)); CREATE INDEX t%[1]d_name ON t%[1]d (name)", i)); err != nil {
				return err
			}
			for k := range 50 {
				if _, err := db.Pool().ExecContext(ctx, fmt.Sprintf("INSERT INTO t%d (id, name) VALUES (%d, 'a row with some text in it')", i, 100+k)); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return cfg
}

func benchNew(b *testing.B, cfg Config, at target) time.Duration {
	began := time.Now()
	db, p, err := open(b.Context(), b, cfg, at)
	took := time.Since(began)
	if err == nil {
		err = errors.Join(db.Close(), p.undo(b.Context()))
	}
	if err != nil {
		b.Fatal(err)
	}
	return took
}

func benchCopy(b *testing.B, file string, i int) time.Duration {
	path := filepath.Join(b.TempDir(), fmt.Sprintf("%d.db", i))
	began := time.Now()
	if err := copyFile(file, path); err != nil {
		b.Fatal(err)
	}
	u, err := dburl.Parse(fileURL(path))
	if err != nil {
		b.Fatal(err)
	}
	connector, err := dialect.Connector(u, dialect.ConnectOptions{BusyTimeout: time.Second})
	if err != nil {
		b.Fatal(err)
	}
	pool := sql.OpenDB(connector)
	if err := pool.PingContext(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(began)
	if err := pool.Close(); err != nil {
		b.Fatal(err)
	}
	return took
}

func benchPostgres(b *testing.B, s *server, tpl *template, ways map[string]func(int) time.Duration) {
	ctx := b.Context()
	strategies := []string{"wal_log", "file_copy"}
	if s.engine.(*postgres).version < 150000 {
		strategies = []string{""}
	}
	for _, strategy := range strategies {
		for _, connect := range []bool{false, true} {
			how, way := "", "bare"
			if strategy != "" {
				how, way = " STRATEGY "+strategy, "bare-"+strategy
			}
			if connect {
				way += "-connected"
			}
			ways[way] = func(i int) (took time.Duration) {
				name := fmt.Sprintf("%s%s_0_%d", s.prefix, s.run, i)
				err := s.on(ctx, func(c *sql.Conn) error {
					began := time.Now()
					if _, err := c.ExecContext(ctx, "CREATE DATABASE "+quoted(name)+" TEMPLATE "+quoted(s.templateName(tpl))+how); err != nil {
						return err
					}
					var db *tldwdb.DB
					if connect {
						cfg := tldwdb.Config{}
						var err error
						if cfg.URL, err = s.urlOf(name); err == nil {
							db, err = tldwdb.Open(ctx, cfg)
						}
						if err != nil {
							return err
						}
					}
					took = time.Since(began)
					if db != nil {
						if err := db.Close(); err != nil {
							return err
						}
					}
					return s.engine.drop(ctx, c, name)
				})
				if err != nil {
					b.Fatal(err)
				}
				return took
			}
		}
	}
}

// benchMySQL adds what a test costs whose database has to be made, what one costs that
// takes over what another process has left, and what a database costs with its end,
// where two tables were written to.
func benchMySQL(b *testing.B, s *server, tpl *template, cfg Config, at target, ways map[string]func(int) time.Duration) {
	ctx := b.Context()
	ways["replay"] = func(i int) time.Duration { return benchReplay(b, s, cfg, i) }
	ways["new"] = func(int) time.Duration {
		benchNew(b, cfg, at) // the test before
		return benchNew(b, cfg, at)
	}
	ways["new-made"] = func(i int) (took time.Duration) {
		name := fmt.Sprintf("%s%s_0_%d", s.prefix, s.run, i)
		err := s.on(ctx, func(c *sql.Conn) error {
			began := time.Now()
			err := s.engine.clone(ctx, c, tpl, s.templateName(tpl), name)
			took = time.Since(began)
			return errors.Join(err, s.engine.drop(ctx, c, name))
		})
		if err != nil {
			b.Fatal(err)
		}
		return took
	}
	ways["new-of-next-process"] = func(int) time.Duration {
		if err := s.dropSpare(); err != nil {
			b.Fatal(err)
		}
		return benchNew(b, cfg, at)
	}
	ways["new-and-end"] = func(int) time.Duration {
		began := time.Now()
		db, p, err := open(ctx, b, cfg, at)
		if err == nil {
			_, err = db.Pool().ExecContext(ctx, "INSERT INTO t0 (id, name) VALUES (100, 'x')")
		}
		if err == nil {
			_, err = db.Pool().ExecContext(ctx, "INSERT INTO t1 (name, parent) VALUES ('x', 100)")
		}
		if err == nil {
			err = errors.Join(db.Close(), p.undo(ctx))
		}
		if err != nil {
			b.Fatal(err)
		}
		return time.Since(began)
	}
}

func benchReplay(b *testing.B, s *server, cfg Config, i int) (took time.Duration) {
	ctx := b.Context()
	name := fmt.Sprintf("%s%s_0_%d", s.prefix, s.run, i)
	err := s.on(ctx, func(c *sql.Conn) error {
		began := time.Now()
		if err := s.make(ctx, c, name); err != nil {
			return err
		}
		base := cfg.templateBase()
		var err error
		if base.URL, err = s.urlOf(name); err != nil {
			return err
		}
		db, err := tldwdb.Open(ctx, base)
		if err != nil {
			return err
		}
		if _, err := db.Up(ctx); err != nil {
			return err
		}
		took = time.Since(began)
		return errors.Join(db.Close(), s.engine.drop(ctx, c, name))
	})
	if err != nil {
		b.Fatal(err)
	}
	return took
}
