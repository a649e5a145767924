package tldwdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"testing/fstest"

	"github.com/jmoiron/sqlx"
	_ "github.com/mattn/go-sqlite3" // the driver of the pool that ExampleAttach lends

	"github.com/tldw/tldwdb"
)

// exampleFiles stands for the embed.FS of a real program.
var exampleFiles = fstest.MapFS{
	"0001_create_note.up.sql":   {Data: []byte("CREATE TABLE note (id integer PRIMARY KEY, title varchar(200) NOT NULL);\n")},
	"0001_create_note.down.sql": {Data: []byte("DROP TABLE note;\n")},
	"0002_add_body.up.sql":      {Data: []byte("ALTER TABLE note ADD COLUMN body text;\n")},
	"0002_add_body.down.sql":    {Data: []byte("ALTER TABLE note DROP COLUMN body;\n")},
}

// openExample opens a SQLite database in memory.
func openExample(ctx context.Context, cfg tldwdb.Config) (*tldwdb.DB, func()) {
	cfg.URL = "sqlite://"
	if cfg.Migrations == nil {
		cfg.Migrations = exampleFiles
	}
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	return db, func() {
		if err := db.Close(); err != nil {
			log.Fatal(err)
		}
	}
}

// A service opens its database and brings it up to date. A second start finds
// nothing to do.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder harms nobody

	for range 2 {
		db, err := tldwdb.Open(ctx, tldwdb.Config{
			URL:        "sqlite:///" + filepath.ToSlash(filepath.Join(dir, "notes.db")),
			Migrations: exampleFiles,
		})
		if err != nil {
			log.Fatal(err)
		}
		res, err := db.Up(ctx)
		if err != nil {
			log.Fatal(err, tldwdb.Hint(err))
		}
		fmt.Printf("%d applied, version %d, locked %t\n", len(res.Applied), res.After, res.Locked)
		if err := db.Close(); err != nil {
			log.Fatal(err)
		}
	}
	// Output:
	// 2 applied, version 2, locked true
	// 0 applied, version 2, locked false
}

// A plan is shown, approved, and then run exactly as it was shown.
func ExampleDB_Plan() {
	ctx := context.Background()
	db, done := openExample(ctx, tldwdb.Config{})
	defer done()

	plan, err := db.Plan(ctx, tldwdb.Request{Steps: 1})
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range plan.Steps {
		fmt.Println(step.Migration, step.Direction, step.Reason)
		for _, statement := range step.Statements {
			fmt.Println("  " + statement.SQL)
		}
	}
	if _, err := db.Apply(ctx, plan); err != nil {
		log.Fatal(err)
	}
	_, err = db.Apply(ctx, plan)
	fmt.Println("again:", errors.Is(err, tldwdb.ErrPlanChanged))
	// Output:
	// 0001_create_note up pending
	//   CREATE TABLE note (id integer PRIMARY KEY, title varchar(200) NOT NULL)
	// again: true
}

// A database that another tool made has the tables of version 1 and no history.
func ExampleDB_Baseline() {
	ctx := context.Background()
	db, done := openExample(ctx, tldwdb.Config{})
	defer done()
	db.Pool().MustExecContext(ctx, "CREATE TABLE note (id integer PRIMARY KEY, title varchar(200) NOT NULL)")
	db.Pool().MustExecContext(ctx, "INSERT INTO note VALUES (1, 'kept')")

	if _, err := db.Baseline(ctx, 1); err != nil {
		log.Fatal(err)
	}
	res, err := db.Up(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, a := range res.Applied {
		fmt.Println("applied", a.Migration)
	}
	var title string
	if err := db.Pool().GetContext(ctx, &title, "SELECT title FROM note"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(title)
	// Output:
	// applied 0002_add_body
	// kept
}

// A program that has a pool lends it.
func ExampleAttach() {
	ctx := context.Background()
	pool, err := sqlx.Open("sqlite3", ":memory:")
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := pool.Close(); err != nil {
			log.Fatal(err)
		}
	}()
	pool.SetMaxOpenConns(1) // each connection to :memory: would be a database of its own

	db, err := tldwdb.Attach(ctx, pool, tldwdb.Config{Migrations: exampleFiles, Set: "notes"})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Up(ctx); err != nil {
		log.Fatal(err)
	}
	if err := db.Close(); err != nil { // leaves the pool open
		log.Fatal(err)
	}
	fmt.Println(pool.PingContext(ctx))
	// Output: <nil>
}

// A migration in Go stands between two files of the sequence.
func ExampleGoMigration() {
	ctx := context.Background()
	db, done := openExample(ctx, tldwdb.Config{
		GoMigrations: []tldwdb.GoMigration{{
			Version: 3,
			Name:    "first_note",
			Up: func(ctx context.Context, conn tldwdb.Conn) error {
				_, err := conn.ExecContext(ctx, conn.Rebind("INSERT INTO note (title, body) VALUES (?, ?)"), "hello", "made in Go")
				return err
			},
		}},
	})
	defer done()
	if _, err := db.Up(ctx); err != nil {
		log.Fatal(err)
	}
	var body sql.NullString
	if err := db.Pool().GetContext(ctx, &body, "SELECT body FROM note WHERE title = 'hello'"); err != nil {
		log.Fatal(err)
	}
	fmt.Println(body.String)
	// Output: made in Go
}

// Status says where the database stands, with one SELECT.
func ExampleDB_Status() {
	ctx := context.Background()
	db, done := openExample(ctx, tldwdb.Config{})
	defer done()
	if _, err := db.MigrateTo(ctx, 1); err != nil {
		log.Fatal(err)
	}
	status, err := db.Status(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("at %d of %d\n", status.Current, status.Head)
	for _, m := range status.Migrations {
		fmt.Println(m.Migration, m.State)
	}
	err = db.Check(ctx)
	fmt.Println(errors.Is(err, tldwdb.ErrPending), "-", tldwdb.Hint(err))
	// Output:
	// at 1 of 2
	// 0001_create_note applied
	// 0002_add_body pending
	// true - call DB.Up, or run the init step of the deployment
}

// A database that golang-migrate has kept is taken over: what it has applied is
// taken as applied, and the next Up goes on from there.
func ExampleDB_Adopt() {
	ctx := context.Background()
	db, closeDB := openExample(ctx, tldwdb.Config{})
	defer closeDB()
	db.Pool().MustExecContext(ctx, `CREATE TABLE note (id integer PRIMARY KEY, title varchar(200) NOT NULL);
		CREATE TABLE schema_migrations (version bigint, dirty bool);
		INSERT INTO schema_migrations VALUES (1, false)`)

	adoption, err := db.Adopt(ctx, tldwdb.AdoptRequest{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("from", adoption.Tool, "we have", adoption.Mapped[0])
	res, err := db.Up(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("applied", res.Applied[0].Migration)
	// Output:
	// from golang-migrate we have 0001_create_note
	// applied 0002_add_body
}
