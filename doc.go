// Package tldwdb opens a service's database and brings its schema up to date,
// however many workers of the service start at the same moment: exactly one
// applies the pending migrations, the others wait for it and then serve.
//
// The main job is four calls:
//
//	cfg, err := tldwdb.ConfigFromEnv() // DATABASE_URL, POSTGRES_URL, MYSQL_URL
//	cfg.Migrations = migrations.FS     // //go:embed *.sql
//	db, err := tldwdb.Open(ctx, cfg)   // the pool; no schema is touched
//	res, err := db.Up(ctx)             // look, lock, look again, apply
//
// # What Up does
//
// It first looks, with one SELECT on a pooled connection. If every known
// migration is applied it is done: no lock, no DDL, no write. Otherwise it
// takes a lock that only one process can have (a file lock beside a SQLite
// database, an advisory lock on PostgreSQL, GET_LOCK on MySQL and MariaDB),
// looks again, and applies what is pending in order. While it waits for the
// lock it keeps looking, and leaves as soon as another process has done the
// work.
//
// On PostgreSQL and SQLite a migration and its row in the history table are
// committed together: a failed or killed run leaves nothing behind. MySQL and
// MariaDB commit at every DDL statement; there a journal in the history table
// records each statement before it runs, and the next boot goes on from the
// statement that was interrupted.
//
// # Other doors
//
// [Attach] borrows a pool that a program already has. [DB.Plan] shows the
// statements that would run, and [DB.Apply] runs exactly that plan.
// [DB.Status], [DB.Check] and [DB.Wait] read without a lock. [DB.Down],
// [DB.MigrateTo] and [DB.Redo] go back. [DB.Adopt] takes over a database that
// another migration tool has kept, [DB.Baseline] one that nothing has kept, and
// [DB.Repair] resolves what a crash on MySQL left in doubt.
//
// Errors say where, what and what now: see [MigrationError], [LoadError],
// [HistoryError] and [Hint]. None ever contains a credential.
package tldwdb
