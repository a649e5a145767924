package dump

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

// odd is content that is easily lost on the way.
var odd = map[testdb.Engine][]string{
	testdb.Postgres: {
		`CREATE TABLE nokey (v double precision, w real, t text)`,
		`INSERT INTO nokey VALUES ('NaN', '-Infinity', ''), ('NaN', '-Infinity', ''), ('Infinity', 'NaN', E'\\.'), (0.1::float8 + 0.2, 1e-45, '🦆''"\')`,
		`CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE`,
		`BEGIN; SET CONSTRAINTS ALL DEFERRED; INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); COMMIT`,
		`CREATE TABLE big (id int PRIMARY KEY, data bytea, note text)`,
		`INSERT INTO big SELECT 1, decode(string_agg(md5(i::text), ''), 'hex'), repeat('x''\', 1000) FROM generate_series(1, 655360) i`,
	},
	testdb.MariaDB: mysqlOdd,
	testdb.MySQL:   mysqlOdd,
}

var mysqlOdd = []string{
	"CREATE TABLE nokey (v double, t text)",
	`INSERT INTO nokey VALUES (1e308, ''), (1e308, ''), (-0.1, '🦆''"\\'), (NULL, '),(''')`,
	"CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int, FOREIGN KEY (a) REFERENCES a (id)); INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b (id)",
	"CREATE TABLE big (id int PRIMARY KEY, data longblob, note text)",
	`INSERT INTO big VALUES (1, REPEAT(UNHEX(SHA2('1', 256)), 327680), REPEAT('x''\\', 1000))`,
	"CREATE PROCEDURE trap() BEGIN\nSELECT 'x';\nINSERT INTO `nokey` VALUES (1,'a'),(2,'b');\n-- it's\nEND",
}

// TestRoundTrip: what is loaded is what was dumped, in all of its rows and objects.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]Options{"stream": {Digests: true, Owners: true}, "jobs": {Digests: true, Owners: true, Jobs: 2}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, db *testdb.Database) {
				from := engine(t, db)
				fill(t, db, rich(db.Engine), odd[db.Engine]...)
				var b bytes.Buffer
				d, err := from.Dump(t.Context(), &b, o)
				if err != nil {
					t.Fatalf("%v", err)
				}
				copied := testdb.New(t, db.Engine)
				to := engine(t, copied)
				if err := to.Load(t.Context(), &b, d.Content, o); err != nil {
					t.Fatal(err)
				}
				if got, want := copied.Dump(t), db.Dump(t); got != want {
					t.Errorf("the schema differs:\n%s", difference(got, want))
				}
				got, err := to.Tables(t.Context(), true)
				if err != nil {
					t.Fatal(err)
				}
				same(t, got, d.Tables)
				if got, err = from.Tables(t.Context(), true); err != nil {
					t.Fatal(err)
				}
				same(t, got, d.Tables)
				if got, err = to.Tables(t.Context(), false); err != nil {
					t.Fatal(err)
				}
				for i := range d.Tables {
					d.Tables[i].Digest = ""
				}
				same(t, got, d.Tables)
				if len(d.Tables) < 9 || !strings.Contains(d.Tool, "dump ") {
					t.Errorf("%+v", d)
				}
			})
		})
	}
}

// TestLoadStaysInItsDatabase: a trigger that was made with the name of the database
// before its own is made in the database that is loaded into.
func TestLoadStaysInItsDatabase(t *testing.T) {
	t.Parallel()
	for _, e := range []testdb.Engine{testdb.MariaDB, testdb.MySQL} {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, e)
			from := engine(t, db)
			fill(t, db, nil, "CREATE TABLE `row` (id int)", "CREATE TRIGGER "+db.Name()+".`g ``.g` before insert on `"+db.Name()+"`.`row` for each row SET NEW.id = 2", "create Trigger "+db.Name()+".h after insert on "+db.Name()+" . `row` for each row set @a.b = 1")
			var b bytes.Buffer
			d, err := from.Dump(t.Context(), &b, Options{})
			if err != nil {
				t.Fatal(err)
			}
			run(t, db.AdminDB(t), "DROP TRIGGER `g ``.g`; DROP TRIGGER h")
			copied := testdb.New(t, e)
			if err := engine(t, copied).Load(t.Context(), &b, d.Content, Options{}); err != nil {
				t.Fatal(err)
			}
			for at, want := range map[*testdb.Database]string{db: "0", copied: "2"} {
				if got := value(t, at.AdminDB(t), "SELECT COUNT(*) FROM information_schema.triggers WHERE trigger_schema = DATABASE()"); got != want {
					t.Errorf("%s has %s triggers, and not %s", at.Name(), got, want)
				}
			}
		})
	}
}

// TestHistoryMariaDB: what a system-versioned table had before is in the dump.
func TestHistoryMariaDB(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.MariaDB)
	from := engine(t, db)
	fill(t, db, nil, "CREATE TABLE v (id int PRIMARY KEY, a text) WITH SYSTEM VERSIONING", "INSERT INTO v VALUES (1, 'one'), (2, 'two')", "UPDATE v SET a = 'uno' WHERE id = 1", "DELETE FROM v WHERE id = 2")
	var b bytes.Buffer
	d, err := from.Dump(t.Context(), &b, Options{})
	if err != nil {
		if _, ok := errors.AsType[*Refusal](err); ok && strings.Contains(err.Error(), "leaves out the history") {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	same(t, d.Tables, []Table{{Name: "v", Rows: 3}})
	to := engine(t, testdb.New(t, testdb.MariaDB))
	if err := to.Load(t.Context(), &b, d.Content, Options{}); err != nil {
		t.Fatal(err)
	}
	got, err := to.Tables(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, d.Tables)
}

func same(t *testing.T, got, want []Table) {
	t.Helper()
	all := map[string]Table{}
	for _, w := range want {
		all[w.Name] = w
	}
	for _, g := range got {
		if w := all[g.Name]; w != g {
			t.Errorf("table %s: %+v, and not %+v", g.Name, g, w)
		}
		delete(all, g.Name)
	}
	for name := range all {
		t.Errorf("table %s is missing", name)
	}
}

// difference lists the lines that only one of two texts has.
func difference(got, want string) string {
	var b strings.Builder
	for _, side := range []struct{ sign, text, other string }{{"-", want, got}, {"+", got, want}} {
		there := map[string]bool{}
		for line := range strings.Lines(side.other) {
			there[line] = true
		}
		for line := range strings.Lines(side.text) {
			if !there[line] {
				b.WriteString(side.sign + line)
			}
		}
	}
	return b.String()
}

// TestGiveBack: rights of a role that is not here are told and keep nothing from being
// loaded; no text in quotes is taken for a statement.
func TestGiveBack(t *testing.T) {
	t.Parallel()
	db := testdb.New(t, testdb.Postgres)
	fill(t, db, nil, "CREATE TABLE a (id int)")
	p := &postgres{engine(t, db).(*postgres).Target}
	var notes []string
	err := p.giveBack(t.Context(), `CREATE FUNCTION f() RETURNS text LANGUAGE sql AS $$
GRANT ALL ON TABLE public.a TO nobody_1;
$$;
ALTER TABLE public.a OWNER TO nobody_2;
GRANT SELECT ON TABLE public.a TO nobody_2;
ALTER TABLE public.a ALTER COLUMN id SET DEFAULT ' OWNER TO x';
GRANT SELECT ON TABLE public.a TO PUBLIC;`, func(text string) { notes = append(notes, text) })
	if err != nil || len(notes) != 1 || !strings.HasPrefix(notes[0], "2 ") || !strings.Contains(notes[0], "nobody_2") {
		t.Errorf("%q, %v", notes, err)
	}
	var readable bool
	if err := p.DB.QueryRowContext(t.Context(), "SELECT relacl::text LIKE '%=r/%' FROM pg_class WHERE relname = 'a'").Scan(&readable); err != nil || !readable {
		t.Errorf("%v, %v", readable, err)
	}
}
