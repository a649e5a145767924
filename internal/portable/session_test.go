package portable_test

import (
	"io"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A limit on answers that a session has is there again when a load has ended, with what
// the list of variables has behind it.
func TestSessionIsPutBack(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, e), testdb.New(t, e)
			for _, db := range []*testdb.Database{a, b} {
				fill(t, db, "CREATE TABLE word (id integer PRIMARY KEY)")
			}
			to := side(t, b)
			if _, err := to.Conn.ExecContext(t.Context(), "SET SESSION sql_select_limit = 2, SESSION unique_checks = 1, SESSION time_zone = '+03:00'"); err != nil {
				t.Fatal(err)
			}
			if _, err := portable.Copy(t.Context(), side(t, a), to); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := to.Conn.QueryRowContext(t.Context(), "SELECT CONCAT_WS(' ', @@SESSION.sql_select_limit, @@SESSION.unique_checks + 0, @@SESSION.foreign_key_checks + 0, @@SESSION.time_zone)").Scan(&got); err != nil || got != "2 1 1 +03:00" {
				t.Errorf("the session has %q, want %q (%v)", got, "2 1 1 +03:00", err)
			}
		})
	}
}

// The limit on the length of a transaction, which PostgreSQL has from 17 on, does not end
// a backup.
func TestLengthOfTransaction(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, "CREATE TABLE word (id integer PRIMARY KEY)")
	from := side(t, db)
	const ask = "SELECT coalesce(current_setting('transaction_timeout', true), '')"
	if textOf(t, db, ask) == "" {
		t.Skip("the server does not have it")
	}
	if _, err := from.Conn.ExecContext(t.Context(), "SET transaction_timeout = '10min'"); err != nil {
		t.Fatal(err)
	}
	var got string
	from.Options.Progress = func(p portable.Progress) {
		if p.Table == "word" && p.Tables == 0 {
			if err := from.Conn.QueryRowContext(t.Context(), ask).Scan(&got); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := portable.Dump(t.Context(), from.Dialect, from.Conn, io.Discard, from.Options); err != nil || got != "0" {
		t.Errorf("the limit is %q (%v), want none", got, err)
	}
}

// A temporary table does not stand for the one of the database that has its name.
func TestTemporaryNamesakes(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.SQLite), testdb.New(t, testdb.SQLite)
	for _, db := range []*testdb.Database{a, b} {
		fill(t, db, "CREATE TABLE word (id INTEGER PRIMARY KEY, a TEXT)", "CREATE TABLE seen (id INTEGER PRIMARY KEY)",
			"CREATE TRIGGER see AFTER INSERT ON word BEGIN INSERT INTO seen VALUES (NEW.id); END")
	}
	fill(t, a, "INSERT INTO word VALUES (1, 'real')", "DELETE FROM seen")
	from, to := side(t, a), side(t, b)
	for _, one := range []portable.Side{from, to} {
		if _, err := one.Conn.ExecContext(t.Context(), "CREATE TEMP TABLE word (other TEXT); INSERT INTO temp.word VALUES ('x')"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := portable.Copy(t.Context(), from, to); err != nil {
		t.Fatal(err)
	}
	if got := textOf(t, b, "SELECT group_concat(a) FROM word"); got != "real" {
		t.Errorf("the words are %s", got)
	}
	fill(t, b, "INSERT INTO word VALUES (2, 'new')")
	if got := textOf(t, b, "SELECT group_concat(id) FROM seen"); got != "2" {
		t.Errorf("the trigger has seen %s, want 2", got)
	}
}

// A trigger that is disabled on one partition alone is so afterwards.
func TestTriggerOfOnePartition(t *testing.T) {
	t.Parallel()
	const states = "SELECT string_agg(tgrelid::regclass || tgenabled::text, ' ' ORDER BY tgrelid::regclass::text) FROM pg_trigger WHERE tgname = 'see'"
	b := loaded(t, testdb.Postgres, []string{
		"CREATE TABLE part (id integer PRIMARY KEY) PARTITION BY RANGE (id)", "CREATE TABLE part1 PARTITION OF part FOR VALUES FROM (0) TO (10)", "CREATE TABLE part2 PARTITION OF part FOR VALUES FROM (10) TO (20)",
		"CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'seen'; END $$", "CREATE TRIGGER see BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION see()",
		"ALTER TABLE part1 DISABLE TRIGGER see",
	}, "ALTER TABLE part DISABLE TRIGGER see", "INSERT INTO part VALUES (1), (11)")
	if got := textOf(t, b, states); got != "partO part1D part2O" {
		t.Errorf("the triggers are %s, want partO part1D part2O", got)
	}
}
