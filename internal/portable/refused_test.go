package portable_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// A row that the target refuses by a rule that only it knows is named by table and
// key, wherever it is in a batch, and not by its value.
func TestRefusedRow(t *testing.T) {
	t.Parallel()
	const rows, bad, secret = 5000, 3777, "sEcret"
	testdb.ForEach(t, func(t *testing.T, b *testdb.Database) {
		for _, rule := range []struct{ name, kind string }{{"check", "VARCHAR(20), CONSTRAINT mood_known CHECK (mood <> '" + secret + "')"}, {"enum", ""}} {
			if rule.name == "enum" {
				switch b.Engine {
				case testdb.SQLite:
					continue
				case testdb.Postgres:
					rule.kind = "mood_type"
				default:
					rule.kind = "ENUM('fine')"
				}
			}
			t.Run(rule.name, func(t *testing.T) {
				a, b := testdb.New(t, testdb.SQLite), testdb.New(t, b.Engine)
				fill(t, a, "CREATE TABLE people (id INTEGER, part TEXT, mood TEXT, PRIMARY KEY (id, part))",
					fmt.Sprintf("INSERT INTO people WITH RECURSIVE n (id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n WHERE id < %d) SELECT id, 'a', CASE id WHEN %d THEN '%s' ELSE 'fine' END FROM n", rows, bad, secret))
				if rule.kind == "mood_type" {
					fill(t, b, "CREATE TYPE mood_type AS ENUM ('fine')")
				}
				fill(t, b, "CREATE TABLE people (id INTEGER, part VARCHAR(5), mood "+rule.kind+", PRIMARY KEY (id, part))")
				_, err := portable.Copy(t.Context(), side(t, a), side(t, b))
				value, ok := errors.AsType[*portable.ValueError](err)
				if !ok || value.Table != "people" || value.Key != fmt.Sprintf("id=%d, part=a", bad) {
					t.Fatalf("%v", err)
				}
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the value is in the error: %v", err)
				}
				if rule.name == "enum" && value.Column != "mood" || rule.name == "check" && !strings.Contains(value.Reason, "mood_known") {
					t.Errorf("%+v", value)
				}
			})
		}
	})
}
