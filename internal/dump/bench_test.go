package dump

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/testdb"
)

// BenchmarkDump writes a database to nowhere, by the program alone and by this
// package. TLDWDB_BENCH_MB is how large it is.
func BenchmarkDump(b *testing.B) {
	mb, _ := strconv.Atoi(os.Getenv("TLDWDB_BENCH_MB"))
	mb = max(mb, 8)
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB, testdb.MySQL} {
		b.Run(string(e), func(b *testing.B) {
			db := testdb.New(b, e)
			u, err := dburl.Parse(db.URL)
			if err != nil {
				b.Fatal(err)
			}
			d, err := dialect.New(u.Dialect, true)
			if err != nil {
				b.Fatal(err)
			}
			pool := db.AdminDB(b)
			to := Target{URL: u, DB: pool, Dialect: d, ToolDir: toolDir(e)}
			if err := New(to).Check(b.Context()); err != nil {
				b.Skip(err)
			}
			text := "(SELECT string_agg(md5(n::text || i::text), ' ') FROM generate_series(1, 15) i)"
			if e != testdb.Postgres {
				text = "REPEAT(SHA2(n, 256), 8)"
			}
			if _, err := pool.ExecContext(b.Context(), "CREATE TABLE big (id int, part int, at timestamp NULL, price decimal(10,2), note varchar(700))"); err != nil {
				b.Fatal(err)
			}
			for part := range mb {
				if _, err := pool.ExecContext(b.Context(), fmt.Sprintf("INSERT INTO big SELECT n, %d, '2026-11-23 12:00:00', n * 1.25, %s FROM (%s) n", part, text, numbers(e))); err != nil {
					b.Fatal(err)
				}
			}
			var size int64
			counting := writerFunc(func(p []byte) (int, error) {
				size += int64(len(p))
				return len(p), nil
			})
			for _, way := range []struct {
				name string
				dump func(context.Context) error
			}{
				{"program", func(ctx context.Context) error { return alone(ctx, to, counting) }},
				{"ours", func(ctx context.Context) error {
					_, err := New(to).Dump(ctx, counting, Options{})
					return err
				}},
				{"digests", func(ctx context.Context) error {
					_, err := New(to).Dump(ctx, counting, Options{Digests: true})
					return err
				}},
			} {
				b.Run(way.name, func(b *testing.B) {
					for b.Loop() {
						size = 0
						if err := way.dump(b.Context()); err != nil {
							b.Fatal(err)
						}
					}
					b.SetBytes(size)
				})
			}
		})
	}
}

// alone runs the program as somebody would by hand.
func alone(ctx context.Context, to Target, w io.Writer) error {
	if to.Dialect.Name() == dialect.NamePostgres {
		p := &postgres{to}
		dump, _, _, err := p.tools(ctx)
		if err != nil {
			return err
		}
		password, given, err := to.login(ctx)
		if err != nil {
			return err
		}
		a, err := p.open(to.URL, password, given, dump.release)
		if err != nil {
			return err
		}
		defer a.remove()
		_, err = program{path: dump.path, args: []string{"--format=custom", "--compress=0", "--dbname=" + a.conn}, env: a.env, stdout: w}.run(ctx)
		return err
	}
	m := &mysql{to}
	s, dump, err := m.tools(ctx)
	if err != nil {
		return err
	}
	a, err := m.open(ctx, to.URL, s)
	if err != nil {
		return err
	}
	defer a.remove()
	args := []string{"--defaults-file=" + a.file, "--single-transaction", "--quick", "--hex-blob", "--routines", "--events", "--no-tablespaces"}
	if !s.mariaDB {
		args = append(args, "--set-gtid-purged=OFF")
	}
	_, err = program{path: dump.path, args: append(args, to.URL.Database), env: a.env, stdout: w}.run(ctx)
	return err
}
