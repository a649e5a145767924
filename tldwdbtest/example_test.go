package tldwdbtest_test

import (
	"testing"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/migrations"
	"github.com/tldw/tldwdb/tldwdbtest"
)

var t *testing.T // of a test function

func ExampleNew() {
	db := tldwdbtest.New(t, tldwdbtest.Config{Migrations: migrations.FS})

	var users int
	if err := db.Pool().GetContext(t.Context(), &users, `SELECT count(*) FROM "user"`); err != nil {
		t.Fatal(err)
	}
}

func ExampleForEach() {
	cfg := tldwdbtest.Config{
		Migrations: migrations.FS,
		Engines:    []tldwdbtest.Engine{tldwdbtest.SQLite, tldwdbtest.Postgres},
	}
	tldwdbtest.ForEach(t, cfg, func(t *testing.T, db *tldwdb.DB) {
		if err := db.Check(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func ExampleGolden() {
	db := tldwdbtest.New(t, tldwdbtest.Config{Migrations: migrations.FS})
	// ... the code under test
	tldwdbtest.Golden(t, db, "after-signup", `"user" (id, username)`)
}
