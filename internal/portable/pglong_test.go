package portable_test

import (
	"bytes"
	"testing"

	"github.com/tldw/tldwdb/internal/portable"
	"github.com/tldw/tldwdb/internal/testdb"
)

// Values that are too long to come with their rows come in pieces, and are what they
// were: in every type that may be long, cut between two bytes of a letter, beside short
// ones and NULL, in partitions and behind odd names. The digest is the same as that of
// the rows that come whole.
func TestLongValues(t *testing.T) {
	t.Parallel()
	a, b := testdb.New(t, testdb.Postgres), testdb.New(t, testdb.Postgres)
	schema := []string{
		"CREATE DOMAIN scan AS bytea", "CREATE EXTENSION IF NOT EXISTS citext",
		`CREATE TABLE "o dd\.name" (id integer PRIMARY KEY, "a b" bytea, words text, label varchar(100), code char(2000000), doc jsonb, plain json, list text[], x xml, s scan, ci citext, up text GENERATED ALWAYS AS (upper(words)) STORED)`,
		`ALTER TABLE "o dd\.name" ALTER plain SET STORAGE EXTERNAL, ALTER list SET STORAGE EXTERNAL, ALTER x SET STORAGE EXTERNAL, ALTER ci SET STORAGE EXTERNAL`, // as long there as they are
		"CREATE TABLE part (id integer, body text) PARTITION BY LIST (id)", "CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1)", "CREATE TABLE part_rest (body text, id integer)",
		"ALTER TABLE part ATTACH PARTITION part_rest DEFAULT",
	}
	fill(t, a, schema...)
	fill(t, b, schema...)
	fill(t, a,
		`INSERT INTO "o dd\.name" VALUES (1, 'short', E'a\tb\\c\n', 'x', 'y', '{}', '[1]', '{}', '<a/>', '', 'Q')`, `INSERT INTO "o dd\.name" (id) VALUES (2)`,
		`INSERT INTO "o dd\.name" SELECT 3, convert_to(repeat('abcdefg', 400000), 'UTF8'), repeat(E'ü🦊\t\\', 300000), repeat('l', 100), repeat('c', 1500000),
			jsonb_build_object('k', (SELECT jsonb_agg(md5(n::text)) FROM generate_series(1, 30000) n)), to_json(repeat('j', 300000)), ARRAY[repeat('a"', 150000), NULL, E'\\'], xmlelement(name a, repeat('x', 300000)), repeat('s', 1100001)::bytea, repeat('I', 300000)`,
		`INSERT INTO "o dd\.name" (id, "a b") VALUES (4, NULL), (5, repeat('z', 1048576)::bytea), (6, repeat('z', 1048577)::bytea)`,
		"INSERT INTO part VALUES (1, 'short'), (1, repeat('p', 1500000)), (2, repeat('é', 1500000)), (3, NULL)",
	)
	const all = `SELECT string_agg(md5(t), ' ' ORDER BY t) FROM (SELECT o::text COLLATE "C" FROM "o dd\.name" o UNION ALL SELECT p::text FROM part p) AS rows (t)`
	want := ""
	if err := a.AdminDB(t).QueryRowContext(t.Context(), all).Scan(&want); err != nil {
		t.Fatal(err)
	}
	from, to := side(t, a), side(t, b)
	var archive bytes.Buffer
	dumped, err := portable.Dump(t.Context(), from.Dialect, from.Conn, &archive, from.Options)
	if err != nil {
		t.Fatal(err)
	}
	load := func() {
		t.Helper()
		got := ""
		if err := b.AdminDB(t).QueryRowContext(t.Context(), all).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("rows are %s, and were %s", got, want)
		}
	}
	in, err := portable.Open(&archive)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := in.Load(t.Context(), to.Dialect, to.Conn, to.Options); err != nil {
		t.Fatal(err)
	}
	load()
	copied, err := portable.Copy(t.Context(), from, to)
	if err != nil {
		t.Fatal(err)
	}
	load()
	for i, table := range dumped.Tables {
		if copied.Tables[i].Digest != table.Digest || copied.Tables[i].Rows != table.Rows {
			t.Errorf("%+v was copied as %+v", table, copied.Tables[i])
		}
	}
}
