package tldwdb_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/testdb"
)

// shop has one text for all engines where that works, and a folder for each where it
// does not. A migration brings rows, one a trigger that would count what is loaded.
var shop = files{
	"0001_customer.up.sql":          "CREATE TABLE customer (id INTEGER PRIMARY KEY, name VARCHAR(40) NOT NULL, boss INTEGER REFERENCES customer (id));",
	"sqlite/0002_purchase.up.sql":   "CREATE TABLE purchase (id INTEGER PRIMARY KEY AUTOINCREMENT, customer INTEGER NOT NULL REFERENCES customer (id), at DATETIME NOT NULL, paid BOOLEAN NOT NULL, total TEXT NOT NULL, note TEXT);",
	"postgres/0002_purchase.up.sql": "CREATE TABLE purchase (id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer (id), at TIMESTAMPTZ NOT NULL, paid BOOLEAN NOT NULL, total NUMERIC(12,2) NOT NULL, note VARCHAR(20));",
	"mysql/0002_purchase.up.sql":    "CREATE TABLE purchase (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer INTEGER NOT NULL REFERENCES customer (id), at DATETIME(6) NOT NULL, paid BOOLEAN NOT NULL, total DECIMAL(12,2) NOT NULL, note VARCHAR(20)) CHARACTER SET utf8mb4;",
	"0003_counted.up.sql":           "CREATE TABLE counted (what VARCHAR(20) PRIMARY KEY, n INTEGER NOT NULL);\nINSERT INTO counted VALUES ('purchases', 0);\nINSERT INTO customer VALUES (1, 'the first', NULL);",
	"sqlite/0004_count.up.sql":      "CREATE TRIGGER count_purchases AFTER INSERT ON purchase BEGIN UPDATE counted SET n = n + 1; END;",
	"postgres/0004_count.up.sql": `CREATE FUNCTION count_purchase() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE counted SET n = n + 1; RETURN NEW; END $$;
CREATE TRIGGER count_purchases AFTER INSERT ON purchase FOR EACH ROW EXECUTE FUNCTION count_purchase();`,
	"mysql/0004_count.up.sql": "CREATE TRIGGER count_purchases AFTER INSERT ON purchase FOR EACH ROW UPDATE counted SET n = n + 1;",
	"R__paid.sql":             "DROP VIEW IF EXISTS paid_purchase;\nCREATE VIEW paid_purchase AS SELECT id FROM purchase WHERE paid;",
}

// openShop opens a database with the shop's migrations, which are not applied.
func openShop(t *testing.T, db *testdb.Database, edits ...func(*tldwdb.Config)) *tldwdb.DB {
	t.Helper()
	return open(t, db, shop, edits...)
}

// sell fills a shop: n customers, and two purchases of each.
func sell(t *testing.T, db *testdb.Database, n int) {
	t.Helper()
	pool := db.AdminDB(t)
	yes := "1"
	if db.Engine == testdb.Postgres {
		yes = "true"
	}
	for i := 2; i < n+2; i++ {
		for _, s := range []string{
			fmt.Sprintf("INSERT INTO customer VALUES (%d, 'é😀 %[1]d', %d)", i, i/2),
			fmt.Sprintf("INSERT INTO purchase (customer, at, paid, total, note) VALUES (%d, '2026-11-23 10:46:00.25', %s, '%d.50', '')", i, yes, i),
			fmt.Sprintf("INSERT INTO purchase (customer, at, paid, total, note) VALUES (%d, '1999-12-31 23:59:59', %s, '0', NULL)", i, yes),
		} {
			if _, err := pool.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestCopyMovesAService(t *testing.T) {
	t.Parallel()
	for _, from := range testdb.Engines() {
		for _, to := range testdb.Engines() {
			t.Run(fmt.Sprintf("%s to %s", from, to), func(t *testing.T) {
				t.Parallel()
				a, b := testdb.New(t, from), testdb.New(t, to)
				source, target := openShop(t, a), openShop(t, b)
				if _, err := source.Up(t.Context()); err != nil {
					t.Fatal(err)
				}
				sell(t, a, 20)
				got, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got.Version != 4 || got.Rows != 21+40+1 {
					t.Errorf("version %d with %d rows, want 4 with 62", got.Version, got.Rows)
				}
				if err := target.Check(t.Context()); err != nil {
					t.Errorf("the target is not as its migrations want it: %v", err)
				}
				pool := b.AdminDB(t)
				// The trigger has not counted what was loaded, and counts what comes.
				sell1 := "INSERT INTO purchase (customer, at, paid, total) VALUES (21, '2026-11-23 10:46:00', %s, '1')"
				if _, err := pool.ExecContext(t.Context(), fmt.Sprintf(sell1, map[bool]string{true: "true", false: "1"}[to == testdb.Postgres])); err != nil {
					t.Fatal(err)
				}
				var counted, last int64
				if err := pool.QueryRowContext(t.Context(), "SELECT n, (SELECT max(id) FROM purchase) FROM counted").Scan(&counted, &last); err != nil {
					t.Fatal(err)
				}
				if counted != 41 || last != 41 {
					t.Errorf("the trigger has counted %d, and the newest purchase is %d, want 41 and 41", counted, last)
				}
				if _, err := pool.ExecContext(t.Context(), "INSERT INTO customer VALUES (999, 'x', 998)"); err == nil && to != testdb.MySQL && to != testdb.MariaDB {
					t.Error("the foreign key is not there any more") // REFERENCES of a column says nothing to MySQL
				}
			})
		}
	}
}

func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	shops := func(t *testing.T, edits ...func(*tldwdb.Config)) (source, target *tldwdb.DB, a, b *testdb.Database) {
		a, b = testdb.New(t, testdb.SQLite), testdb.New(t, testdb.Postgres)
		source, target = openShop(t, a), openShop(t, b, edits...)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		return source, target, a, b
	}
	exec := func(t *testing.T, db *testdb.Database, statement string) {
		t.Helper()
		if _, err := db.AdminDB(t).ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("a target with rows", func(t *testing.T) {
		t.Parallel()
		source, target, _, b := shops(t)
		if _, err := target.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, b, 1)
		if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{}); !errors.Is(err, tldwdb.ErrNotEmpty) {
			t.Fatalf("got %v, want ErrNotEmpty", err)
		}
		if n := count(t, b, "customer"); n != 2 {
			t.Errorf("%d customers are left, want 2", n)
		}
		if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{Replace: true}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, b, "customer"); n != 1 {
			t.Errorf("%d customers were copied, want 1", n)
		}
	})
	t.Run("a production target that is not named", func(t *testing.T) {
		t.Parallel()
		source, target, _, b := shops(t, func(cfg *tldwdb.Config) { cfg.Environment = tldwdb.Production })
		if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{}); !errors.Is(err, tldwdb.ErrProtected) {
			t.Fatalf("got %v, want ErrProtected", err)
		}
		var tables int
		if err := b.AdminDB(t).QueryRowContext(t.Context(), "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'").Scan(&tables); err != nil || tables != 0 {
			t.Errorf("%d tables were made (%v), want none", tables, err)
		}
	})
	t.Run("a value, and goes on when it is mended", func(t *testing.T) {
		t.Parallel()
		source, target, a, b := shops(t)
		sell(t, a, 3)
		exec(t, a, "UPDATE purchase SET note = 'this note is too long for it' WHERE id = 4")
		want := "table purchase, column note, id=4: it has 28 characters, and the target has room for 20"
		dry, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{DryRun: true, Check: true})
		if err != nil || len(dry.Problems) != 1 || dry.Problems[0].String() != want {
			t.Errorf("the dry run finds %v (%v), want %s", dry.Problems, err, want)
		}
		_, err = tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
		if !errors.Is(err, tldwdb.ErrCopyValue) || !strings.Contains(err.Error(), want) {
			t.Fatalf("got %v, want %s", err, want)
		}
		exec(t, a, "UPDATE purchase SET note = 'short' WHERE id = 4")
		got, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		resumed := map[string]bool{}
		for _, table := range got.Tables {
			resumed[table.Name] = table.Resumed
		}
		if want := map[string]bool{"counted": true, "customer": true, "purchase": false}; fmt.Sprint(resumed) != fmt.Sprint(want) {
			t.Errorf("resumed %v, want %v", resumed, want)
		}
		if n := count(t, b, "purchase"); n != 6 {
			t.Errorf("%d purchases, want 6", n)
		}
	})
	t.Run("other migrations", func(t *testing.T) {
		t.Parallel()
		source, _, _, b := shops(t)
		other := open(t, b, shop.with(files{"0001_customer.up.sql": "", "0001_client.up.sql": "CREATE TABLE client (id INTEGER);"}))
		_, err := tldwdb.Copy(t.Context(), source, other, tldwdb.CopyOptions{})
		if !errors.Is(err, tldwdb.ErrCopyUnfit) || !strings.Contains(err.Error(), "version 1 is 0001_customer at the source, and 0001_client in the target's files") {
			t.Fatalf("got %v", err)
		}
	})
	t.Run("a table that the target does not have", func(t *testing.T) {
		t.Parallel()
		source, target, a, b := shops(t)
		exec(t, a, "CREATE TABLE extra (id INTEGER)")
		_, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
		if !errors.Is(err, tldwdb.ErrCopyUnfit) || !strings.Contains(err.Error(), "table extra: the target has no such table") {
			t.Fatalf("got %v", err)
		}
		if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{Skip: []string{"ext*"}}); err != nil {
			t.Fatal(err)
		}
		if n := count(t, b, "customer"); n != 1 {
			t.Errorf("%d customers, want 1", n)
		}
	})
}

func count(t *testing.T, db *testdb.Database, table string) (n int64) {
	t.Helper()
	if err := db.AdminDB(t).QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// A dry run shows the way of every column, and leaves both databases as they were.
func TestCopyDryRun(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		a := testdb.New(t, testdb.SQLite)
		source, target := openShop(t, a), openShop(t, b)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, a, 3)
		got, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{DryRun: true, Check: true})
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Problems) > 0 || len(got.Tables) != 3 || len(got.Tables[2].Columns) != 6 {
			t.Errorf("got %+v", got)
		}
		if status, err := target.Status(t.Context()); err != nil || status.Current != 0 {
			t.Errorf("the target is at version %d (%v), want 0", status.Current, err)
		}
	})
}

// While the source is written to without a pause, what is copied is one instant of
// it: as many purchases as the trigger has counted.
func TestCopyIsOneInstant(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, a *testdb.Database) {
		b := testdb.New(t, testdb.SQLite)
		source, target := openShop(t, a), openShop(t, b)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, a, 5)
		pool := a.AdminDB(t)
		var written atomic.Int64
		stop, done := make(chan struct{}), make(chan error, 1)
		go func() {
			statement := "INSERT INTO purchase (customer, at, paid, total) VALUES (2, '2026-11-23 10:46:00', " + map[bool]string{true: "true", false: "1"}[a.Engine == testdb.Postgres] + ", '1')"
			for {
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
				if _, err := pool.ExecContext(t.Context(), statement); err != nil {
					done <- err
					return
				}
				written.Add(1)
			}
		}()
		var seen bool
		_, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{Progress: func(p tldwdb.BackupProgress) {
			// The snapshot is there when rows are read: from here on others are not in it.
			if p.Phase == "load" && !seen {
				seen = true
				for before := written.Load(); written.Load() < before+3 && len(done) == 0; {
					continue
				}
			}
		}})
		close(stop)
		if writeErr := <-done; writeErr != nil {
			t.Fatal(writeErr)
		}
		if err != nil {
			t.Fatal(err)
		}
		var rows, counted int64
		if err := b.AdminDB(t).QueryRowContext(t.Context(), "SELECT count(*), (SELECT n FROM counted) FROM purchase").Scan(&rows, &counted); err != nil {
			t.Fatal(err)
		}
		if rows != counted || rows >= count(t, a, "purchase") {
			t.Errorf("%d purchases and a count of %d, while the source has %d", rows, counted, count(t, a, "purchase"))
		}
	})
}

// copyVariable holds what a child process is to copy, as JSON.
const copyVariable = "TLDWDB_TEST_COPY"

type copyJob struct {
	From, To string
	Halt     int // at which word about the progress it stops for ever
}

// TestCopyChild is the process that TestCopyIsResumed kills.
func TestCopyChild(t *testing.T) {
	t.Parallel()
	text, ok := os.LookupEnv(copyVariable)
	if !ok {
		t.Skip("it is run by TestCopyIsResumed")
	}
	var j copyJob
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		t.Fatal(err)
	}
	var opened []*tldwdb.DB
	for _, url := range []string{j.From, j.To} {
		db, err := tldwdb.Open(t.Context(), tldwdb.Config{URL: url, Migrations: shop.fs(), PoolSize: 4})
		if err != nil {
			t.Fatal(err)
		}
		opened = append(opened, db)
	}
	words := 0
	_, err := tldwdb.Copy(t.Context(), opened[0], opened[1], tldwdb.CopyOptions{Progress: func(tldwdb.BackupProgress) {
		if words++; words == j.Halt {
			fmt.Println(sayHalt)
			select {}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
}

// A copy that is killed at any point goes on, also when the source was written to in
// between; what is there at the end has its triggers and foreign keys.
func TestCopyIsResumed(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		a := testdb.New(t, testdb.SQLite)
		source, target := openShop(t, a), openShop(t, b)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, a, 10)
		for halt := 1; halt <= 12; halt++ { // two words for each of three tables, in two phases
			job, err := json.Marshal(copyJob{From: a.URL, To: b.URL, Halt: halt})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCopyChild$", "-test.count=1")
			cmd.Env = append(os.Environ(), copyVariable+"="+string(job))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			halted := false
			var said []string
			for lines := bufio.NewScanner(out); lines.Scan(); {
				said = append(said, lines.Text())
				if lines.Text() == sayHalt {
					halted = true
					if err := cmd.Process.Kill(); err != nil {
						t.Error(err)
					}
				}
			}
			if err := cmd.Wait(); err == nil || !halted {
				t.Fatalf("the process did not stop at word %d (%v): %s", halt, err, strings.Join(said, "\n"))
			}
			if halt%4 == 0 {
				if _, err := a.AdminDB(t).ExecContext(t.Context(), "UPDATE customer SET name = name || '!'"); err != nil {
					t.Fatal(err)
				}
			}
		}
		// Until then nobody takes half of it for all.
		_, upErr := target.Up(t.Context())
		_, backupErr := target.Backup(t.Context(), tldwdb.BackupOptions{Dir: filepath.Join(t.TempDir(), "kept"), Method: tldwdb.BackupPortable})
		for what, err := range map[string]error{"Up": upErr, "Check": target.Check(t.Context()), "Backup": backupErr} {
			if !errors.Is(err, tldwdb.ErrHalfLoaded) || !strings.Contains(tldwdb.Hint(err), "tldwdb copy") {
				t.Errorf("%s: %v (%s)", what, err, tldwdb.Hint(err))
			}
		}
		if h := target.Health(t.Context()); h.Status == tldwdb.StatusHealthy {
			t.Errorf("health: %+v", h)
		}
		got, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got.Rows != 11+20+1 {
			t.Errorf("%d rows, want 32", got.Rows)
		}
		if err := target.Check(t.Context()); err != nil {
			t.Error(err)
		}
		pool := b.AdminDB(t)
		var name string
		var counted int64
		if err := pool.QueryRowContext(t.Context(), "SELECT name, (SELECT n FROM counted) FROM customer WHERE id = 1").Scan(&name, &counted); err != nil || name != "the first!!!" || counted != 20 {
			t.Errorf("the first customer is %q, the count %d (%v), want three marks and 20", name, counted, err)
		}
		yes := map[bool]string{true: "true", false: "1"}[b.Engine == testdb.Postgres]
		if _, err := pool.ExecContext(t.Context(), "INSERT INTO purchase (customer, at, paid, total) VALUES (1, '2026-11-23 10:46:00', "+yes+", '1')"); err != nil {
			t.Fatal(err)
		}
		if err := pool.QueryRowContext(t.Context(), "SELECT n FROM counted").Scan(&counted); err != nil || counted != 21 {
			t.Errorf("the trigger has counted %d (%v), want 21", counted, err)
		}
		if status, err := target.Status(t.Context()); err != nil || len(status.Problems) > 0 {
			t.Errorf("status %+v, %v", status, err)
		}
		var left int
		if err := pool.QueryRowContext(t.Context(), "SELECT count(*) FROM tldwdb_copy").Scan(&left); err == nil {
			t.Error("the journal is still there")
		}
	})
}

// Nothing is copied onto itself, by whichever name.
func TestCopyOntoItself(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		source, again := openShop(t, db), openShop(t, db)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, db, 2)
		before := db.Dump(t)
		targets := []*tldwdb.DB{source, again}
		if db.Engine == testdb.SQLite {
			link := filepath.Join(t.TempDir(), "link.db")
			if err := os.Symlink(db.Path(), link); err != nil {
				t.Fatal(err)
			}
			targets = append(targets, openShop(t, db, func(cfg *tldwdb.Config) { cfg.URL = "sqlite:///" + link }))
		}
		for i, target := range targets {
			if _, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{Replace: true}); !errors.Is(err, tldwdb.ErrCopyUnfit) {
				t.Errorf("target %d: %v", i, err)
			}
		}
		if after := db.Dump(t); after != before {
			t.Errorf("it has changed:\n%s", after)
		}
	})
}

// What somebody else writes into the target while it is copied is found at the end,
// and the next copy puts it right.
func TestCopyFindsAnotherWriter(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		a := testdb.New(t, testdb.SQLite)
		source, target := openShop(t, a), openShop(t, b)
		if _, err := source.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		sell(t, a, 3)
		pool := b.AdminDB(t)
		_, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{Progress: func(p tldwdb.BackupProgress) {
			if p.Phase == "load" && p.Tables == p.TablesAll {
				if _, err := pool.ExecContext(t.Context(), "UPDATE customer SET name = 'another' WHERE id = 2"); err != nil {
					t.Error(err)
				}
			}
		}})
		if !errors.Is(err, tldwdb.ErrCopyDiffers) || !strings.Contains(err.Error(), "table customer") {
			t.Fatalf("got %v, want ErrCopyDiffers for table customer", err)
		}
		got, err := tldwdb.Copy(t.Context(), source, target, tldwdb.CopyOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range got.Tables {
			if table.Resumed != (table.Name != "customer") {
				t.Errorf("table %s: resumed %v", table.Name, table.Resumed)
			}
		}
	})
}
