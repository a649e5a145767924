package portable_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// wide is a table of 200 columns, and a row of it.
func wide() []string {
	var columns, values []string
	for i := range 200 {
		columns, values = append(columns, fmt.Sprintf("c%d VARCHAR(5)", i)), append(values, fmt.Sprintf("'%d'", i))
	}
	return []string{"CREATE TABLE wide (" + strings.Join(columns, ", ") + ")", "INSERT INTO wide VALUES (" + strings.Join(values, ", ") + ")"}
}

// oddities are what only one engine has: schema, and rows.
func oddities(e testdb.Engine) (schema, rows []string) {
	list := wide()
	switch e {
	case testdb.Postgres:
		schema = []string{
			"CREATE SCHEMA audit", "CREATE TYPE mood AS ENUM ('sad', 'it''s')", "CREATE DOMAIN positive AS integer CHECK (VALUE > 0)",
			"CREATE TABLE audit.log (id integer PRIMARY KEY, doc json)",
			`CREATE TABLE odd (id serial PRIMARY KEY, f double precision, r real, n numeric, d date, ts timestamp, tz timestamptz, iv interval, arr text[], m mood, p positive, b bit varying(20), i inet, r4 int4range, c char(5), x xml, t2 timetz)`,
			"CREATE TABLE part (id integer, day date, PRIMARY KEY (id, day)) PARTITION BY RANGE (day)",
			"CREATE TABLE part_a PARTITION OF part FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')", "CREATE TABLE part_rest PARTITION OF part DEFAULT",
			"CREATE TABLE base (id integer)", "CREATE TABLE heir (more text) INHERITS (base)",
			"CREATE TABLE self (id integer PRIMARY KEY, up integer REFERENCES self (id), CONSTRAINT odd_name CHECK (id > 0))", "COMMENT ON CONSTRAINT self_up_fkey ON self IS 'it''s'",
			"CREATE SEQUENCE free START 7 INCREMENT 3", "CREATE MATERIALIZED VIEW mv AS SELECT count(*) AS n FROM part",
			"CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger has fired'; END $$",
		}
		rows = []string{
			`INSERT INTO odd VALUES (1, 'NaN', 'Infinity', 'NaN', 'infinity', '-infinity', '0044-03-15 BC', '1 mon -3 days 04:05:06.7', '{a,NULL,"x\"y"}', 'it''s', 3, B'101', '::1/128', '[1,4)', 'a', '<a/>', '10:00+02')`,
			`INSERT INTO odd (id, f, r, n, d, ts, tz, arr) VALUES (9, '-Infinity', 1e-45, 1e-100, '0001-01-01', '294276-12-31 23:59:59.999999', '2026-03-29 02:30:00 Europe/Berlin', '{}')`,
			"INSERT INTO part SELECT n, date '2026-12-01' + n FROM generate_series(1, 60) n", "INSERT INTO base VALUES (1)", "INSERT INTO heir VALUES (2, 'x')",
			"INSERT INTO self VALUES (1, 2), (2, 1)", `INSERT INTO audit.log VALUES (1, '{"b": 1,  "b": 2}')`, "SELECT nextval('free'), nextval('free')", "SELECT setval('odd_id_seq', 20)",
		}
		schema = append(schema, "CREATE TABLE big (id integer PRIMARY KEY, raw bytea)")
	case testdb.SQLite:
		schema = []string{
			"CREATE TABLE odd (a, b INTEGER, c TEXT, d NUMERIC, e REAL, f BLOB, g DATETIME, h BOOLEAN)", "CREATE TABLE norowid (k TEXT PRIMARY KEY, v ANY) WITHOUT ROWID, STRICT",
			"CREATE TABLE self (id INTEGER PRIMARY KEY, up INTEGER REFERENCES self (id))", "CREATE TABLE big (id INTEGER PRIMARY KEY, raw BLOB)",
		}
		rows = []string{
			"INSERT INTO odd VALUES (1, 'text', x'00', 'word', 'real', 'text', 1700000000, 2)", "INSERT INTO odd VALUES ('1', 1.5, 'nul' || char(0) || 'x', 1.5, 9e999, 1, '2026-11-23T10:46:00Z', 'yes')",
			"INSERT INTO odd VALUES (x'31', -9223372036854775808, '', 1e300, -0.0, x'', 1.5, NULL)", "INSERT INTO odd VALUES (1.0, 2, 3, 123456789012345678901234567890, 1, 2.0, '', 0)",
			"INSERT INTO norowid VALUES ('a', 1), ('b', '1'), ('c', 1.0), ('d', x'31'), ('e', NULL)", "PRAGMA foreign_keys = OFF; INSERT INTO self VALUES (1, 2), (2, 1)",
		}
	default:
		schema = []string{
			"CREATE TABLE odd (id integer PRIMARY KEY, b1 bit(1), b64 bit(64), e enum('a', 'it''s'), s set('x', 'y'), y year, t time(3), u bigint unsigned, d datetime, bin binary(4), vb varbinary(10), l varchar(10) CHARACTER SET latin1, g point, tt tinytext)",
			"CREATE TABLE part (id integer, PRIMARY KEY (id)) PARTITION BY HASH (id) PARTITIONS 3", "CREATE TABLE old (id integer PRIMARY KEY) ENGINE=MyISAM",
			"CREATE TABLE self (id integer PRIMARY KEY, up integer, FOREIGN KEY (up) REFERENCES self (id))", "CREATE TABLE big (id integer PRIMARY KEY, raw longblob)",
			"CREATE TABLE zeros (id integer AUTO_INCREMENT PRIMARY KEY, a integer)", "CREATE TRIGGER second BEFORE INSERT ON zeros FOR EACH ROW SET NEW.a = 0", "CREATE TRIGGER first BEFORE INSERT ON zeros FOR EACH ROW PRECEDES second SET NEW.a = NEW.a + 1",
		}
		rows = []string{
			`INSERT INTO odd VALUES (1, b'1', b'1111111111111111111111111111111111111111111111111111111111111111', 'it''s', 'x,y', 2026, '-838:59:59', 18446744073709551615, '2026-11-23 10:46:00', x'00270a5c', '', 'é', ST_GeomFromText('POINT(1 2)'), '')`,
			"SET sql_mode = ''; INSERT INTO odd (id, d, e, y) VALUES (2, '0000-00-00', '', 0)", "INSERT INTO part VALUES (1), (2), (3), (4)", "INSERT INTO old VALUES (1)",
			"SET foreign_key_checks = 0; INSERT INTO self VALUES (1, 2), (2, 1)", "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'; INSERT INTO zeros VALUES (0, 5); DROP TRIGGER second; UPDATE zeros SET a = 77; CREATE TRIGGER second BEFORE INSERT ON zeros FOR EACH ROW FOLLOWS first SET NEW.a = 0",
		}
		if e == testdb.MariaDB {
			schema = append(schema, "CREATE SEQUENCE free START 7 INCREMENT 3 NOCACHE", "CREATE TABLE newer (id uuid PRIMARY KEY, ip inet6)")
			rows = append(rows, "SELECT NEXTVAL(free)", "INSERT INTO newer VALUES ('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1')")
		}
	}
	return append(schema, list[0]), append(rows, list[1])
}

// What only one engine has comes back from an archive as it was: the archive of the
// outcome is the same text.
func TestOddities(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, a *testdb.Database) {
		b := testdb.New(t, a.Engine)
		if a.Engine == testdb.SQLite {
			a.ExpectFindings("numbers stand in columns of text")
			b.ExpectFindings("numbers stand in columns of text")
		}
		schema, rows := oddities(a.Engine)
		fill(t, a, append(schema, rows...)...)
		fill(t, b, schema...)
		if a.Engine == testdb.Postgres {
			for _, name := range []string{"odd", "self", "part", "audit.log"} {
				fill(t, b, "CREATE TRIGGER no BEFORE INSERT ON "+name+" FOR EACH ROW EXECUTE FUNCTION no()")
			}
			fill(t, b, "ALTER TABLE self ENABLE ALWAYS TRIGGER no")
		}
		blob := make([]byte, 10<<20)
		for i := range blob {
			blob[i] = byte(rand.Uint32())
		}
		placeholder := "?"
		if a.Engine == testdb.Postgres {
			placeholder = "$1"
		}
		if _, err := a.AdminDB(t).ExecContext(t.Context(), "INSERT INTO big VALUES (1, "+placeholder+")", blob); err != nil {
			t.Fatal(err)
		}
		first, _ := dump(t, side(t, a))
		o := side(t, b)
		archive, err := portable.Open(bytes.NewReader(first))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Load(t.Context(), o.Dialect, o.Conn, portable.Options{}); err != nil {
			t.Fatal(err)
		}
		second, _ := dump(t, side(t, b))
		compareArchives(t, second, first)
		switch a.Engine {
		case testdb.Postgres:
			var n int
			var enabled string
			if err := b.AdminDB(t).QueryRowContext(t.Context(), "SELECT n, (SELECT tgenabled FROM pg_trigger WHERE tgrelid = 'self'::regclass AND tgname = 'no') FROM mv").Scan(&n, &enabled); err != nil || n != 60 || enabled != "A" {
				t.Errorf("the materialized view counts %d rows, the trigger is %q (%v), want 60 and A", n, enabled, err)
			}
			if id := nextOf(t, b, "SELECT nextval('free')"); id != 13 {
				t.Errorf("the free sequence goes on with %d, want 13", id)
			}
		case testdb.MariaDB:
			if id := nextOf(t, b, "SELECT NEXTVAL(free)"); id != 10 {
				t.Errorf("the free sequence goes on with %d, want 10", id)
			}
			fallthrough
		case testdb.MySQL:
			var order string
			if err := b.AdminDB(t).QueryRowContext(t.Context(), "SELECT GROUP_CONCAT(trigger_name ORDER BY action_order) FROM information_schema.triggers WHERE trigger_schema = DATABASE()").Scan(&order); err != nil || order != "first,second" {
				t.Errorf("the triggers are %q (%v)", order, err)
			}
		}
	})
}

func nextOf(t *testing.T, db *testdb.Database, query string) (n int64) {
	t.Helper()
	if err := db.AdminDB(t).QueryRowContext(t.Context(), query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// compareArchives compares what is in them: the headers differ in time, and the
// tables' sizes do not stand there.
func compareArchives(t *testing.T, got, want []byte) {
	t.Helper()
	a, b := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	if len(a) != len(b) {
		t.Fatalf("%d lines, want %d", len(a), len(b))
	}
	for i := 1; i < len(a)-2; i++ {
		if a[i] != b[i] {
			t.Errorf("line %d:\n%.300s\nwant\n%.300s", i+1, a[i], b[i])
		}
	}
}

// An archive that is cut or changed anywhere is damaged, or means the same.
func TestDamage(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.SQLite)
	fill(t, db, schemaOf(testdb.SQLite))
	fill(t, db, kindRows(testdb.SQLite)...)
	fill(t, db, otherRows(testdb.SQLite)...)
	text, sum := dump(t, side(t, db))
	other := testdb.New(t, testdb.SQLite)
	fill(t, other, schemaOf(testdb.SQLite))
	o := side(t, other)
	load := func(text []byte) (portable.Summary, error) {
		a, err := portable.Open(bytes.NewReader(text))
		if err != nil {
			return portable.Summary{}, err
		}
		return a.Load(t.Context(), o.Dialect, o.Conn, portable.Options{})
	}
	header := bytes.IndexByte(text, '\n')
	for i := range 100 {
		at := i * len(text) / 100
		if _, err := load(text[:at]); !errors.Is(err, portable.ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
		}
		if at <= header { // what it says about itself is proved by who stores it, when it is read
			continue
		}
		changed := bytes.Clone(text)
		changed[at] ^= 1
		got, err := load(changed)
		if err == nil && fmt.Sprint(got.Tables) != fmt.Sprint(sum.Tables) {
			t.Errorf("byte %d (%q) was changed, and nobody saw it", at, text[max(0, at-20):min(len(text), at+20)])
		}
	}
	if _, err := load(text); err != nil {
		t.Errorf("the archive as it was: %v", err)
	}
}

// A run that was killed while it brought MySQL's triggers back goes on: the triggers
// that are back do not see the rows that are loaded then.
func TestTriggersThatAreBack(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, e), testdb.New(t, e)
			for _, db := range []*testdb.Database{a, b} {
				fill(t, db, "CREATE TABLE one (id integer PRIMARY KEY)", "CREATE TABLE two (id integer PRIMARY KEY)", "CREATE TABLE seen (id integer PRIMARY KEY)")
			}
			const trigger = "CREATE TRIGGER see BEFORE INSERT ON two FOR EACH ROW INSERT INTO seen VALUES (NEW.id)"
			fill(t, b, trigger)
			fill(t, a, "INSERT INTO one VALUES (1)", "INSERT INTO two VALUES (1), (2)")
			source, target := side(t, a), side(t, b)
			// Somebody else's row ends the first run behind the journal, as a kill would.
			target.Options.Progress = func(p portable.Progress) {
				if p.Phase == "load" && p.Tables == p.TablesAll {
					fill(t, b, "INSERT INTO two VALUES (3)", trigger)
				}
			}
			if _, err := portable.Copy(t.Context(), source, target); err == nil {
				t.Fatal("nobody saw the other row")
			}
			target.Options.Progress = nil
			if _, err := portable.Copy(t.Context(), source, target); err != nil {
				t.Fatal(err)
			}
			pool := b.AdminDB(t)
			var seen, two int
			if err := pool.QueryRowContext(t.Context(), "SELECT (SELECT COUNT(*) FROM seen), (SELECT COUNT(*) FROM two)").Scan(&seen, &two); err != nil || seen != 0 || two != 2 {
				t.Errorf("the trigger has seen %d rows of %d (%v), want 0 of 2", seen, two, err)
			}
			fill(t, b, "INSERT INTO two VALUES (9)")
			if err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM seen").Scan(&seen); err != nil || seen != 1 {
				t.Errorf("the trigger is not back: it has seen %d rows (%v)", seen, err)
			}
		})
	}
}

// An event of MySQL's that is on does not write between the rows, and is what it was
// behind them.
func TestEventsOfTheTarget(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			a, b := testdb.New(t, e), testdb.New(t, e)
			for _, db := range []*testdb.Database{a, b} {
				fill(t, db, "CREATE TABLE one (id integer PRIMARY KEY)")
			}
			fill(t, a, "INSERT INTO one VALUES (1)")
			fill(t, b, "SET time_zone = '+05:00', sql_mode = 'ANSI_QUOTES'; CREATE EVENT `it's` ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' ON COMPLETION PRESERVE COMMENT 'é' DO INSERT INTO \"one\" VALUES (7)",
				"CREATE EVENT off ON SCHEDULE EVERY 1 SECOND DISABLE DO INSERT INTO one VALUES (8)")
			events := func() string {
				return textOf(t, b, "SELECT GROUP_CONCAT(CONCAT_WS('|', event_name, status, time_zone, sql_mode, starts, on_completion, definer, event_comment, event_definition) ORDER BY event_name SEPARATOR '; ') FROM information_schema.events WHERE event_schema = DATABASE()")
			}
			before := events()
			source, target := side(t, a), side(t, b)
			looked := false
			target.Options.Progress = func(p portable.Progress) {
				if p.Phase == "load" && !looked {
					looked = true
					if got := events(); !strings.HasPrefix(got, "off|DISABLED|") {
						t.Errorf("during the load there are %s", got)
					}
				}
			}
			if _, err := portable.Copy(t.Context(), source, target); err != nil {
				t.Fatal(err)
			}
			if got := events(); got != before || !looked {
				t.Errorf("events: got\n%s\nwant\n%s", got, before)
			}
		})
	}
}

// Without a word about it, the default schema is the session's, when rows are read
// and when they are loaded.
func TestDefaultSchema(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, "CREATE SCHEMA app", "CREATE TABLE app.t (id integer PRIMARY KEY)", "CREATE TABLE public.u (id integer PRIMARY KEY)", "INSERT INTO app.t VALUES (1)")
	s := side(t, db)
	if _, err := s.Conn.ExecContext(t.Context(), "SET search_path = app"); err != nil {
		t.Fatal(err)
	}
	text, sum := dump(t, s)
	if len(sum.Tables) != 2 || sum.Tables[0].Name != "public.u" || sum.Tables[1].Name != "t" {
		t.Errorf("tables %v, want public.u and t", sum.Tables)
	}
	archive, err := portable.Open(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := archive.Load(t.Context(), s.Dialect, s.Conn, portable.Options{}); err != nil {
		t.Fatal(err)
	}
}
