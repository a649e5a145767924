package schemadiff_test

import (
	"slices"
	"testing"

	"github.com/tldw/tldwdb/internal/schemadiff"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

func TestLosses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		d          sqlscan.Dialect
		statements []string
		want       []string
	}{
		{sqlscan.Postgres, []string{`DROP TABLE "a"."t"`, `DROP TABLE u`, `DROP VIEW v`}, []string{"the rows of a.t go", "the rows of u go"}},
		{sqlscan.Postgres, []string{`ALTER TABLE "a"."t" DROP COLUMN "x", DROP CONSTRAINT "y", ADD COLUMN "z" text`}, []string{"the values of a.t.x go"}},
		// Another table's column of that name does not bring the values back.
		{sqlscan.Postgres, []string{`ALTER TABLE "t" DROP COLUMN "x"`, `ALTER TABLE "u" ADD COLUMN "x" text`}, []string{"the values of t.x go"}},
		// One that is computed is made anew.
		{sqlscan.Postgres, []string{`ALTER TABLE "t" DROP COLUMN "x"`, `ALTER TABLE "t" ADD COLUMN "x" int GENERATED ALWAYS AS (1) STORED`}, nil},
		{sqlscan.MySQL, []string{"ALTER TABLE `t`\n  DROP COLUMN `x`,\n  DROP KEY `k`,\n  DROP COLUMN `y`"}, []string{"the values of t.x go", "the values of t.y go"}},
		// What a routine may do one day is not what the migration does.
		{sqlscan.MySQL, []string{"CREATE PROCEDURE p() BEGIN ALTER TABLE t DROP COLUMN x; DROP TABLE t; END"}, nil},
		{sqlscan.SQLite, []string{`ALTER TABLE "t" DROP COLUMN "x"`}, []string{"the values of t.x go"}},
		{sqlscan.SQLite, []string{"-- tldwdb: rebuild \"t\"\n-- tldwdb: column \"n\" = 7\n-- tldwdb: drop \"a \"\"b\"\nCREATE TABLE t (n int)"}, []string{`the values of t.a "b go`}},
		{sqlscan.SQLite, []string{"CREATE TABLE t (n int DEFAULT '\n-- tldwdb: drop x\n')"}, nil},
	} {
		if got := schemadiff.Losses(c.statements, sqlscan.Options{Dialect: c.d}); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.statements, got, c.want)
		}
	}
}
