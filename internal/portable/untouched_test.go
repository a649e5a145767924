package portable_test

import (
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A copy replaces rows of the tables that the source has. Those of others in the same
// database stay, with their triggers and foreign keys, and are named.
func TestOtherTablesStay(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		a := testdb.New(t, testdb.SQLite)
		const mine = "CREATE TABLE mine (id INTEGER PRIMARY KEY)"
		fill(t, a, mine, "INSERT INTO mine VALUES (1), (2)")
		other := "other"
		fill(t, b, mine, "INSERT INTO mine VALUES (7)")
		if b.Engine == testdb.Postgres {
			other = "crm.other"
			fill(t, b, "CREATE SCHEMA crm", "CREATE TABLE crm.parent (id INTEGER PRIMARY KEY)",
				"CREATE TABLE crm.other (id INTEGER PRIMARY KEY, parent INTEGER, CONSTRAINT far FOREIGN KEY (parent) REFERENCES crm.parent (id))",
				"CREATE FUNCTION crm.no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
				"CREATE TRIGGER no BEFORE DELETE ON crm.other FOR EACH ROW EXECUTE FUNCTION crm.no()")
		} else {
			fill(t, b, "CREATE TABLE other (id INTEGER PRIMARY KEY)")
		}
		fill(t, b, "INSERT INTO "+other+" (id) VALUES (1), (2), (3)")
		from, to := side(t, a), side(t, b)
		if is, err := portable.Look(t.Context(), from, to); err != nil || len(is.HasRows) != 1 || is.HasRows[0] != "mine" {
			t.Errorf("in the way are %q (%v), want mine alone", is.HasRows, err)
		}
		catalogue := func() string {
			if b.Engine != testdb.Postgres {
				return ""
			}
			return textOf(t, b, "SELECT (SELECT oid FROM pg_constraint WHERE conname = 'far') || ' ' || (SELECT xmin FROM pg_trigger WHERE tgname = 'no')")
		}
		before := catalogue()
		sum, err := portable.Copy(t.Context(), from, to)
		if err != nil {
			t.Fatal(err)
		}
		if got := textOf(t, b, "SELECT (SELECT COUNT(*) FROM "+other+") * 10 + COUNT(*) FROM mine"); got != "32" {
			t.Errorf("%s rows are in the other table and this one, want 32", got)
		}
		if after := catalogue(); after != before {
			t.Errorf("foreign key and trigger of another table were %s, and are %s", before, after)
		}
		if !strings.Contains(strings.Join(sum.Notes, "\n"), "table "+other+" is not at the source, and stays as it is") {
			t.Errorf("notes: %q", sum.Notes)
		}
	})
}
