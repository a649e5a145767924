package dialect

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/tldw/tldwdb/internal/testdb"
)

func TestPostgresStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text        string
		class       Class
		fingerprint bool
	}{
		{"INSERT INTO t VALUES (1)", ClassData, false},
		{"WITH x AS (SELECT 1) DELETE FROM t", ClassData, false},
		{"SELECT pg_catalog.setval('s', 1)", ClassData, false},
		{"CREATE TABLE t (id int)", ClassSchema, false},
		{"CREATE UNLOGGED TABLE temp (id int)", ClassSchema, false},
		{"CREATE TEMP TABLE t AS SELECT 1", ClassTemporary, false},
		{"create or replace temporary view v as select 1", ClassTemporary, false},
		{"CREATE LOCAL TEMP SEQUENCE s", ClassTemporary, false},
		{"SELECT 1 INTO TEMPORARY t", ClassTemporary, false},
		{"SELECT 1 INTO t", ClassData, false},
		{"CREATE INDEX concurrently_made ON t (id)", ClassSchema, false},
		{"CREATE /* why */ UNIQUE -- no\n INDEX CONCURRENTLY \"a b\" ON s.t (id)", ClassAlone, true},
		{"CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON ONLY t (id)", ClassAlone, true},
		{"CREATE INDEX CONCURRENTLY ON t (id)", ClassAlone, false},
		{"DROP INDEX CONCURRENTLY IF EXISTS s.i", ClassAlone, true},
		{"CREATE DATABASE d", ClassAlone, true},
		{"DROP DATABASE IF EXISTS d", ClassAlone, true},
		{"ALTER TABLE p DETACH PARTITION q CONCURRENTLY", ClassAlone, true},
		{"ALTER TABLE p DETACH PARTITION q", ClassSchema, true},
		{"ALTER TABLE ONLY s.p DETACH PARTITION s.q FINALIZE", ClassAlone, true},
		{"ALTER TABLE p ATTACH PARTITION q DEFAULT", ClassSchema, false},
		{"REINDEX INDEX CONCURRENTLY i", ClassAlone, true},
		{"REINDEX (VERBOSE, CONCURRENTLY) TABLE t", ClassAlone, true},
		{"REINDEX TABLE \"CONCURRENTLY\"", ClassRepeatable, false},
		{"ALTER TYPE mood ADD VALUE 'x'", ClassSchema, false},
		{"DO $$ BEGIN PERFORM 1; END $$", ClassData, false},
		{"DO $$ BEGIN COMMIT; END $$", ClassOpaque, false},
		{"DO $$ BEGIN CALL p(); END $$", ClassOpaque, false},
		{"DO $$ BEGIN UPDATE t SET committed_at = now(); END $$", ClassData, false},
		{"CALL p()", ClassOpaque, false},
		{"SET search_path = ''", ClassSession, false},
		{"VACUUM t", ClassRepeatable, false},
		{"REPACK (CONCURRENTLY) t", ClassRepeatable, false},
		{"ALTER SYSTEM SET work_mem = '1MB'", ClassRepeatable, false},
		{"ALTER DATABASE d SET TABLESPACE t", ClassRepeatable, false},
		{"ALTER DATABASE d RENAME TO e", ClassSchema, false},
		{"BEGIN", ClassTransaction, false},
		{"END", ClassTransaction, false},
		{"PREPARE TRANSACTION 'x'", ClassTransaction, false},
		{"PREPARE x AS SELECT 1", ClassSession, false},
	} {
		d := &postgres{}
		st := one(t, d, c.text)
		if got := d.Class(st); got != c.class {
			t.Errorf("%s: class %d, want %d", c.text, got, c.class)
		}
		if got := d.Fingerprint(st); (got != "") != c.fingerprint {
			t.Errorf("%s: the fingerprint is %q", c.text, got)
		}
	}
}

func TestPostgresRefuses(t *testing.T) {
	t.Parallel()
	d := &postgres{}
	for text, refused := range map[string]bool{
		"CREATE INDEX CONCURRENTLY ON t (id)": true, "create unique index concurrently on only s.t using btree (id)": true,
		"CREATE INDEX CONCURRENTLY i ON t (id)": false, `CREATE INDEX CONCURRENTLY "on" ON t (id)`: false, "CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON t (id)": false,
		"CREATE INDEX ON t (id)": false, "DROP INDEX CONCURRENTLY i": false, "REINDEX TABLE CONCURRENTLY t": false, "CREATE TABLE t (id int)": false,
	} {
		if got := d.Refuse(one(t, d, text)); (got != "") != refused {
			t.Errorf("%s: refused with %q", text, got)
		}
	}
}

func TestPostgresFingerprints(t *testing.T) {
	t.Parallel()
	pool := testdb.New(t, testdb.Postgres).AdminDB(t)
	if _, err := pool.ExecContext(t.Context(), `CREATE SCHEMA s; CREATE TABLE s."T" (id int); INSERT INTO s."T" VALUES (1), (1);
		CREATE TABLE s.p (id int) PARTITION BY LIST (id); CREATE TABLE s.q PARTITION OF s.p FOR VALUES IN (1)`); err != nil {
		t.Fatal(err)
	}
	d := &postgres{}
	for _, text := range []string{
		`CREATE INDEX CONCURRENTLY "a b" ON s."T" (id)`, `DROP INDEX CONCURRENTLY s."a b"`,
		"ALTER TABLE s.p DETACH PARTITION s.q",
	} {
		if before, after, err := fingerprintAround(t, pool, d, text); err != nil || before == after {
			t.Errorf("%s: before %s, after %s, %v", text, before, after, err)
		}
	}
	unique := `CREATE UNIQUE INDEX CONCURRENTLY u ON s."T" (id)`
	if before, after, err := fingerprintAround(t, pool, d, unique); err == nil || before != "absent" || after != FingerprintInvalid {
		t.Errorf("%s failed: before %s, after %s, %v", unique, before, after, err)
	}
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if done, err := d.Rerun(t.Context(), conn, one(t, d, unique)); err != nil || done {
		t.Errorf("cleaning up the invalid index: %v, %v", done, err)
	}
	// The names that REINDEX CONCURRENTLY gives, here of a build that failed.
	leftover := `CREATE UNIQUE INDEX CONCURRENTLY "a b_ccnew1" ON s."T" (id)`
	for text, reaches := range map[string]bool{
		`REINDEX TABLE CONCURRENTLY s."T"`: true, `REINDEX (VERBOSE, CONCURRENTLY) INDEX s."a b"`: true, "REINDEX SCHEMA CONCURRENTLY s": true, "REINDEX DATABASE CONCURRENTLY x": true,
		"REINDEX TABLE CONCURRENTLY s.p": false, "REINDEX TABLE CONCURRENTLY nope": false, "REINDEX TABLE CONCURRENTLY": false,
	} {
		if _, err := conn.ExecContext(t.Context(), `CREATE INDEX IF NOT EXISTS "a b" ON s."T" (id)`); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.ExecContext(t.Context(), leftover); err == nil {
			t.Fatal("the leftover is valid")
		}
		if done, err := d.Rerun(t.Context(), conn, one(t, d, text)); err != nil || done {
			t.Errorf("%s: %v, %v", text, done, err)
		}
		var left int
		if err := QueryRow(t.Context(), conn, "SELECT count(*) FROM pg_index WHERE NOT indisvalid", nil, &left); err != nil || (left == 0) != reaches {
			t.Errorf("%s: %d left, %v", text, left, err)
		}
		if _, err := conn.ExecContext(t.Context(), `DROP INDEX IF EXISTS s."a b_ccnew1"`); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{"DROP INDEX CONCURRENTLY nope", "CREATE INDEX CONCURRENTLY i ON nope (id)", "CREATE DATABASE postgres"} {
		if before, after, err := fingerprintAround(t, pool, d, text); err == nil || before != after {
			t.Errorf("%s failed: before %s, after %s, %v", text, before, after, err)
		}
	}
}

// unwatched makes the server refuse client_connection_check_interval, as one
// does whose system cannot tell it of a client that has gone.
type unwatched struct{ net.Conn }

func (u unwatched) Write(b []byte) (int, error) {
	return u.Conn.Write(bytes.ReplaceAll(b, []byte("check_interval = 250"), []byte("check_interval = -99")))
}

func TestPostgresPreparesAnywhere(t *testing.T) {
	t.Parallel()
	cfg, err := pgx.ParseConfig(testdb.New(t, testdb.Postgres).URL)
	if err != nil {
		t.Fatal(err)
	}
	dial := cfg.DialFunc
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return unwatched{conn}, err
	}
	pool := stdlib.OpenDB(*cfg)
	defer func() { _ = pool.Close() }()
	conn, err := pool.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	d := &postgres{native: true}
	s := Session{LockTimeout: 7 * time.Second}
	if s.Facts, err = d.Inspect(t.Context(), conn, "t"); err != nil {
		t.Fatal(err)
	}
	watches := func(text string) bool { return strings.Contains(text, "check_interval") }
	if s.Facts.Version >= 140000 && !slices.ContainsFunc(d.Restore(s), watches) {
		t.Error("Restore leaves the check of the client out")
	}
	if err := d.Prepare(t.Context(), conn, s); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(d.Restore(s), watches) {
		t.Error("Restore sets what the server cannot do")
	}
	var wait string
	if err := QueryRow(t.Context(), conn, "SHOW lock_timeout", d.QueryArgs(), &wait); err != nil || wait != "7s" {
		t.Errorf("the lock timeout is %s, %v", wait, err)
	}
}

// TestWordsOfTheServer: what only the text of an error tells.
func TestWordsOfTheServer(t *testing.T) {
	t.Parallel()
	p := &postgres{}
	statementPool := &pgconn.PgError{Code: "08P01", Message: "transaction blocks not allowed in statement pooling mode"}
	gaveUp := &pgconn.PgError{Code: "08P01", Message: "query_wait_timeout"}
	raced := &pgconn.PgError{Code: "XX000", Message: "tuple concurrently updated"}
	broken := &pgconn.PgError{Code: "XX000", Message: "could not open relation with OID 1"}
	if !strings.Contains(p.Hint(statementPool), "TLDWDB_MIGRATE_URL") || p.Hint(gaveUp) != "" {
		t.Errorf("the hints are %q and %q", p.Hint(statementPool), p.Hint(gaveUp))
	}
	if !PoolerGaveUp(gaveUp) || PoolerGaveUp(statementPool) {
		t.Error("which pooler gave up is mistaken")
	}
	if !p.IsLockTimeout(raced) || p.IsLockTimeout(broken) {
		t.Error("which race was lost is mistaken")
	}
}
