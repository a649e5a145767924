// Package tldwdbtest gives each test a database of its own, migrated and set up, on
// SQLite, PostgreSQL, MySQL or MariaDB, in milliseconds.
//
//	func TestUsers(t *testing.T) {
//		db := tldwdbtest.New(t, tldwdbtest.Config{Migrations: migrations.FS})
//		users := db.Pool() // *sqlx.DB
//		...
//	}
//
// That is a SQLite file. [ForEach] runs a test on every engine that is there.
//
// The migrations run once: what they make is a template, of which each database is a
// copy. Whoever comes first makes it, under a lock; all packages that go test runs at once
// share it, and the next runs do, until a migration changes. A template that nobody has used for a
// day is dropped by the next run.
//
// # Servers
//
// TLDWDB_TEST_POSTGRES_URL, TLDWDB_TEST_MYSQL_URL and TLDWDB_TEST_MARIADB_URL name the
// server of an engine, TLDWDB_TEST_URL the one for tests that do not say which: an
// account that may create databases, and a database that is only connected to. What is
// made has the name of that database and _tldwdbtest_ in its own; nothing else is ever
// dropped.
//
// A process holds a lock on the server for as long as it lives. The databases of one
// that was killed are dropped by the next run. A few that are as good as new stay, up to
// four for each template, and are dropped by the first run after nobody has used it for
// an hour. How many databases there are at a time follows from how many connections the
// server takes; tests wait for each other.
//
// # The variables
//
//	TLDWDB_TEST_ENGINES=sqlite,postgres  tests of other engines are skipped
//	TLDWDB_TEST_REQUIRE=postgres         a missing engine is a failure, not a skip
//	CI=true                              the same for what the test itself asks for
//	TLDWDBTEST_KEEP=1                    databases are kept, as after a failed test
//	TLDWDBTEST_UPDATE=1                  Golden writes its files
package tldwdbtest
