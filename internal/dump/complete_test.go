package dump

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/testdb"
)

// TestWriterMeanwhile: with somebody who writes all the time, the counted rows are
// exactly those of the dump, and of one moment: two tables are written together.
func TestWriterMeanwhile(t *testing.T) {
	t.Parallel()
	for _, jobs := range []int{1, 2} {
		t.Run(strconv.Itoa(jobs), func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, db *testdb.Database) {
				from := engine(t, db)
				fill(t, db, nil, "CREATE TABLE a (id int PRIMARY KEY, v varchar(2000))", "CREATE TABLE b (id int PRIMARY KEY)", "CREATE TABLE z (id int PRIMARY KEY)")
				pool := db.AdminDB(t)
				run(t, pool, "INSERT INTO a SELECT n, REPEAT('x', 1000) FROM ("+numbers(db.Engine)+") n")
				ctx, stop := context.WithCancel(t.Context())
				var writer sync.WaitGroup
				begun := make(chan struct{})
				writer.Go(func() {
					for i := 100000; ctx.Err() == nil; i++ {
						err := both(pool, i)
						if err != nil {
							t.Error(err)
							return
						}
						if i == 100003 {
							close(begun)
						}
					}
				})
				<-begun
				var b bytes.Buffer
				d, err := from.Dump(t.Context(), &b, Options{Jobs: jobs, Digests: true})
				stop()
				writer.Wait()
				if err != nil {
					t.Fatal(err)
				}
				to := engine(t, testdb.New(t, db.Engine))
				if err := to.Load(t.Context(), &b, d.Content, Options{Jobs: jobs}); err != nil {
					t.Fatal(err)
				}
				got, err := to.Tables(t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, d.Tables)
				rows := map[string]int64{}
				for _, table := range d.Tables {
					rows[table.Name] = table.Rows
				}
				if rows["b"] == 0 || rows["b"] != rows["z"] || rows["a"] != 2000 {
					t.Errorf("%v", rows)
				}
			})
		})
	}
}

// both writes a row to two tables at once.
func both(pool *sql.DB, id int) error {
	tx, err := pool.Begin() //nolint:noctx // the writer ends between two of these
	if err != nil {
		return err
	}
	for _, table := range []string{"b", "z"} {
		if _, err := tx.Exec(fmt.Sprintf("INSERT INTO %s VALUES (%d)", table, id)); err != nil { //nolint:noctx // as above
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

// numbers is a query for 2000 numbers.
func numbers(e testdb.Engine) string {
	if e == testdb.Postgres {
		return "SELECT generate_series(1, 2000) n"
	}
	digits := "(SELECT 0 d UNION SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5 UNION SELECT 6 UNION SELECT 7 UNION SELECT 8 UNION SELECT 9)"
	return "SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d AS n FROM " + digits + " a, " + digits + " b, " + digits + " c, (SELECT 0 d UNION SELECT 1) e"
}

// TestRightsMySQL: an account that does not see everything is refused before a byte
// is written, and is told which rights it lacks. With the rights of docs/roles it is
// enough.
func TestRightsMySQL(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			engine(t, db) // or skip
			admin := db.AsAdmin(t).AdminDB(t)
			fill(t, db, nil, "CREATE TABLE t (id int)", "CREATE PROCEDURE p() SELECT 1", "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.id = 1",
				"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1", "CREATE VIEW v AS SELECT id FROM t")
			account := db.Name() + "@'127.0.0.1'"
			run(t, admin, "CREATE USER "+account+" IDENTIFIED BY 'Long-enough.7'")
			t.Cleanup(func() {
				pool, err := testdb.Open(db.Engine, db.AsAdmin(t).URL)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = pool.Close() }()
				if _, err := pool.ExecContext(context.WithoutCancel(t.Context()), "DROP USER "+account); err != nil {
					t.Error(err)
				}
			})
			there := *db
			there.URL = strings.Replace(db.URL, "tldw:tldw@", db.Name()+":Long-enough.7@", 1)
			if u, err := dburl.Parse(db.URL); err != nil {
				t.Fatal(err)
			} else if password, _ := u.Password(); password != "tldw" {
				there.URL = strings.Replace(db.URL, "tldw:"+password+"@", db.Name()+":Long-enough.7@", 1)
			}
			on := " ON " + db.Name() + ".* TO " + account
			routines := "SELECT ON mysql.proc"
			if e == testdb.MySQL {
				routines = "SHOW_ROUTINE ON *.*"
			}
			run(t, admin, "GRANT SELECT"+on)
			for _, step := range []struct{ grant, lacks string }{
				{"", "SHOW VIEW"}, {"GRANT SHOW VIEW" + on, "TRIGGER"}, {"GRANT TRIGGER" + on, "EVENT"}, {"GRANT EVENT" + on, routines},
			} {
				if step.grant != "" {
					run(t, admin, step.grant)
				}
				var b bytes.Buffer
				_, err := engine(t, &there).Dump(t.Context(), &b, Options{})
				refusal, ok := errors.AsType[*Refusal](err)
				if !ok || !strings.Contains(refusal.Hint, step.lacks) || b.Len() > 0 {
					t.Fatalf("behind %q: %v, %d bytes", step.grant, err, b.Len())
				}
			}
			run(t, admin, "GRANT "+routines+" TO "+account)
			var b bytes.Buffer
			if _, err := engine(t, &there).Dump(t.Context(), &b, Options{}); err != nil {
				t.Fatal(err)
			}
			// Who may run a routine sees that it is there, and must not lose it.
			run(t, admin, "REVOKE "+routines+" FROM "+account+"; GRANT EXECUTE"+on)
			if _, err := engine(t, &there).Dump(t.Context(), io.Discard, Options{}); err == nil {
				t.Error("a routine whose text cannot be read is in no dump, and nobody says so")
			}
		})
	}
}

// TestHiddenRows: where row-level security hides rows, the dump fails.
func TestHiddenRows(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, nil, "CREATE TABLE t (id int); INSERT INTO t VALUES (1); ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (false)")
	_, err := engine(t, db).Dump(t.Context(), io.Discard, Options{})
	if refusal, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(refusal.Hint, "BYPASSRLS") {
		t.Errorf("%v", err)
	}
}

// TestDifferenceIsSeen: the digests differ where one value does.
func TestDifferenceIsSeen(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *testdb.Database) {
		e := engine(t, db)
		fill(t, db, nil, "CREATE TABLE t (id int, v varchar(20))", "INSERT INTO t VALUES (1, 'a'), (2, NULL), (3, '')")
		pool := db.AdminDB(t)
		seen := map[string]string{}
		for _, change := range []string{"", "UPDATE t SET v = 'b' WHERE id = 1", "UPDATE t SET v = '' WHERE id = 2", "UPDATE t SET id = 4 WHERE id = 3", "INSERT INTO t VALUES (1, 'b')", "INSERT INTO t VALUES (1, 'b')"} {
			if change != "" {
				run(t, pool, change)
			}
			tables, err := e.Tables(t.Context(), true)
			if err != nil || len(tables) != 1 {
				t.Fatal(tables, err)
			}
			if before, there := seen[tables[0].Digest]; there {
				t.Errorf("%q is not told from %q", change, before)
			}
			seen[tables[0].Digest] = change
		}
	})
}

// TestServerDies: a server that is killed in the middle ends the dump with an error.
func TestServerDies(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.Postgres, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("starts a server")
			}
			server, err := testdb.StartDurable(t.Context(), e)
			if missing, ok := errors.AsType[*testdb.MissingError](err); ok {
				t.Skip(missing)
			} else if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := server.Stop(); err != nil {
					t.Error(err)
				}
			})
			db := server.New(t)
			from := engine(t, db)
			fill(t, db, nil, "CREATE TABLE t (id int PRIMARY KEY, v varchar(2000))", "INSERT INTO t SELECT n, REPEAT('x', 2000) FROM ("+numbers(e)+") n")
			killed := false
			_, err = from.Dump(t.Context(), writerFunc(func(b []byte) (int, error) {
				if !killed {
					killed = true
					if err := server.Crash(context.WithoutCancel(t.Context())); err != nil {
						return 0, err
					}
				}
				return len(b), nil
			}), Options{Digests: true})
			if err == nil || !killed {
				t.Errorf("%v, killed %t", err, killed)
			}
		})
	}
}

// TestBrokenDumps: a dump that is not whole, or not of this server, is refused, and
// what it says of itself does not matter.
func TestBrokenDumps(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *testdb.Database) {
		from := engine(t, db)
		fill(t, db, nil, "CREATE TABLE t (id int PRIMARY KEY, v varchar(2000))", "INSERT INTO t SELECT n, REPEAT('x', 2000) FROM ("+numbers(db.Engine)+") n")
		var b bytes.Buffer
		d, err := from.Dump(t.Context(), &b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range [][]byte{nil, b.Bytes()[:5], b.Bytes()[:b.Len()/2], b.Bytes()[:b.Len()-30], []byte("PGDMP rubbish, and more of it"), []byte("DROP TABLE t;")} {
			to := engine(t, testdb.New(t, db.Engine))
			if err := to.Load(t.Context(), bytes.NewReader(text), d.Content, Options{}); err == nil {
				t.Errorf("%d of %d bytes were loaded", len(text), b.Len())
			}
		}
		if err := from.Load(t.Context(), bytes.NewReader(b.Bytes()), "sqlite", Options{}); err == nil {
			t.Error("another engine's dump is loaded")
		}
		err = from.Load(t.Context(), bytes.NewReader(b.Bytes()), d.Content, Options{})
		if err == nil || !strings.Contains(err.Error(), "already exists") || db.Engine != testdb.Postgres && !strings.Contains(err.Error(), "(in: CREATE TABLE `t`") {
			t.Errorf("into a database that has the table: %v", err)
		}
	})
}

// TestMissingPrograms: the error says what is needed, what is there and what to
// install.
func TestMissingPrograms(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *testdb.Database) {
		to := target(t, db)
		to.ToolDir = t.TempDir()
		var b bytes.Buffer
		_, err := New(to).Dump(t.Context(), &b, Options{})
		refusal, ok := errors.AsType[*Refusal](err)
		if !ok || !strings.Contains(refusal.Hint, "install ") || !strings.Contains(refusal.Hint, "portable") || !strings.Contains(err.Error(), to.ToolDir) || b.Len() > 0 {
			t.Errorf("%v", err)
		}
	})
}

func TestChoose(t *testing.T) {
	t.Parallel()
	of := func(list ...string) (tools []tool) {
		for _, text := range list {
			var r release
			if _, err := fmt.Sscanf(text, "%d.%d", &r.major, &r.minor); err != nil {
				t.Fatal(err)
			}
			tools = append(tools, tool{path: text, release: r})
		}
		return tools
	}
	for _, c := range []struct {
		tools  []tool
		wanted release
		want   string
	}{
		{of("15.0", "18.0", "16.0"), release{16, 0}, "16.0"}, {of("15.0", "18.0", "17.0"), release{16, 0}, "17.0"}, {of("10.5", "10.11"), release{10, 6}, "10.11"},
		{of("10.5"), release{10, 6}, ""}, {nil, release{10, 6}, ""}, {of("11.8"), release{10, 11}, "11.8"},
	} {
		if got, _ := choose(c.tools, c.wanted); got.path != c.want {
			t.Errorf("of %v for %s: %q, and not %q", c.tools, c.wanted, got.path, c.want)
		}
	}
	for text, want := range map[string]struct {
		p product
		r string
	}{
		"mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)": {mariaDBProduct, "10 11"}, "mariadb-dump from 11.8.6-MariaDB, client 10.19 for debian": {mariaDBProduct, "11 8"},
		"mysqldump  Ver 9.7.4-2 for Linux on x86_64 ((Debian))": {mysqlProduct, "9 7"}, "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)": {mysqlProduct, "5 7"},
		"pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)": {postgresProduct, "15 "}, "pg_dump (PostgreSQL) 18beta1": {postgresProduct, "18 "},
	} {
		if m := want.p.version.FindStringSubmatch(text); m == nil || m[1]+" "+m[2] != want.r {
			t.Errorf("%s: %q", text, m)
		}
	}
}

// TestOnlyTransactionTimeout: a newer pg_restore may complain of its own setting, and
// of nothing else.
func TestOnlyTransactionTimeout(t *testing.T) {
	t.Parallel()
	const own = "pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"\nCommand was: SET transaction_timeout = 0;\n"
	const end = "pg_restore: warning: errors ignored on restore: 2\n"
	for text, want := range map[string]bool{
		own + own + end: true, own + end: true, end: false, "": false, own + "pg_restore: error: could not execute query: ERROR:  relation \"t\" already exists\n" + end: false,
		"pg_restore: error: connection to server failed\n": false,
	} {
		if got := onlyTransactionTimeout(text); got != want {
			t.Errorf("%t for %s", got, text)
		}
	}
}

// TestInventory: an object that pg_restore does not list is missing.
func TestInventory(t *testing.T) {
	t.Parallel()
	of := func() pgInventory {
		return pgInventory{{1259, 16781}: "table a", {0, 16781}: "the rows of a", {1255, 7}: "routine f"}
	}
	list := ";\n; 1255 7 is a comment\n235; 1259 16781 TABLE public a tldw\n3378; 0 16781 TABLE DATA public a tldw\n"
	if err := of().missing([]byte(list + "9; 1255 7 FUNCTION public f() tldw\n")); err != nil {
		t.Error(err)
	}
	if err := of().missing([]byte(list)); err == nil || !strings.Contains(err.Error(), "lacks routine f") {
		t.Errorf("%v", err)
	}
}

// TestLabelsBeyondTheDump: a value whose label the server does not show is no backup, and
// an honest question mark is one.
func TestLabelsBeyondTheDump(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			fill(t, db, nil, "CREATE TABLE `t?` (id int PRIMARY KEY, `mood ?` enum('a?', 'müde', '🎉') CHARACTER SET utf8mb4, s set('?', '🦊') CHARACTER SET utf8mb4)",
				"INSERT INTO `t?` VALUES (1, 'a?', '?'), (2, 'müde', ''), (3, NULL, NULL)")
			m := &mysql{target(t, db)}
			if notes, err := m.lost(t.Context(), e == testdb.MariaDB); err != nil || len(notes) > 0 {
				t.Fatal(notes, err)
			}
			run(t, db.AdminDB(t), "UPDATE `t?` SET s = '?,🦊' WHERE id = 1")
			_, err := m.Dump(t.Context(), io.Discard, Options{})
			if refusal, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), "the column s of the table t?") || !strings.Contains(refusal.Hint, "portable") {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestDefinitionsBeyondTheDump: what the server does not show of a table's definition is
// noted, and what it shows in a dump as it is, is not.
func TestDefinitionsBeyondTheDump(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			ctx := t.Context()
			fill(t, db, nil, "CREATE TABLE fine (id int PRIMARY KEY, a varchar(9) DEFAULT 'what?', b varchar(9) DEFAULT 'müde€', c varchar(20) GENERATED ALWAYS AS (concat(a, 'é?')) STORED, d varchar(9) CHECK (d <> 'ü?')) CHARACTER SET utf8mb4",
				"CREATE TABLE `o dd` (id int PRIMARY KEY, `a b` varchar(9) DEFAULT '🎉', c varchar(9) DEFAULT (concat('x', '🎉')), d varchar(20) GENERATED ALWAYS AS (concat(c, '🎉')) STORED, e varchar(9) DEFAULT 'e', CHECK (e <> '🎉')) CHARACTER SET utf8mb4", "CREATE VIEW seen AS SELECT '🎉' AS e", "INSERT INTO `o dd` (id) VALUES (1)")
			var text bytes.Buffer
			d, err := engine(t, db).Dump(ctx, &text, Options{})
			if err != nil {
				t.Fatal(err)
			}
			other := testdb.New(t, e)
			if err := engine(t, other).Load(ctx, &text, d.Content, Options{}); err != nil {
				t.Fatal(err)
			}
			// The notes are of those defaults that are others now.
			var changed []string
			for _, column := range []string{"a b", "c", "d"} {
				run(t, other.AdminDB(t), "INSERT INTO `o dd` (id) VALUES (2) ON DUPLICATE KEY UPDATE id = 2")
				if value(t, other.AdminDB(t), "SELECT `"+column+"` = (SELECT `"+column+"` FROM `o dd` WHERE id = 1) FROM `o dd` WHERE id = 2") != "1" {
					changed = append(changed, defaultNote("o dd", column))
				}
			}
			if !slices.Equal(d.Notes, changed) || len(changed) > 0 != (e == testdb.MariaDB) {
				t.Errorf("%q, and changed are %q", d.Notes, changed)
			}
			if _, err := other.AdminDB(t).ExecContext(ctx, "INSERT INTO `o dd` (id, e) VALUES (3, '🎉')"); err == nil {
				t.Error("the constraint has lost it")
			}
			if got := value(t, other.AdminDB(t), "SELECT e = '🎉' FROM seen"); got != "1" {
				t.Error("the view has lost it")
			}
		})
	}
}

// TestRowsBeyondThePacket: a row that a server set up as this one would not take back in
// a statement is noted.
func TestRowsBeyondThePacket(t *testing.T) {
	t.Parallel()
	for _, digests := range []bool{false, true} {
		s := newDumpScanner(digests)
		for _, part := range []string{"INSERT INTO `a` VALUES (1,'x'),(2,'", strings.Repeat("y", 5000), "'),(3,'z');\n", "INSERT INTO `b` VALUES (1);\n"} {
			_, _ = s.Write([]byte(part))
		}
		if got := longRows(s.tables, 6030); len(got) > 0 {
			t.Error(got)
		}
		if got := longRows(s.tables, 6029); len(got) != 1 || !strings.Contains(got[0], "table a: a row takes 6030 bytes") {
			t.Error(got)
		}
	}
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			packet, err := strconv.Atoi(value(t, db.AdminDB(t), "SELECT @@GLOBAL.max_allowed_packet"))
			if err != nil {
				t.Fatal(err)
			}
			if packet > 64<<20 {
				t.Skipf("max_allowed_packet is %d", packet)
			}
			// Half a packet of what is twice as long between quotes.
			fill(t, db, nil, "CREATE TABLE big (id int PRIMARY KEY, body longtext)", "INSERT INTO big VALUES (1, REPEAT(CHAR(39), (@@GLOBAL.max_allowed_packet DIV 2) - 512))")
			d, err := engine(t, db).Dump(t.Context(), io.Discard, Options{})
			if err != nil || len(d.Notes) != 1 || !strings.Contains(d.Notes[0], fmt.Sprintf("max_allowed_packet is %d", packet)) {
				t.Errorf("%q, %v", d.Notes, err)
			}
		})
	}
}
