package testdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A server learns that a client has gone a moment after the client knows it, so what only time
// may clear away is looked at again until patience ends.
const (
	patience = 5 * time.Second
	recheck  = 20 * time.Millisecond
)

func (db *Database) create(ctx context.Context) error {
	statement := "CREATE DATABASE " + db.name + " CHARACTER SET utf8mb4"
	if db.Engine == Postgres {
		// template0 and not template1: nobody can be connected to it, which would block us.
		statement = "CREATE DATABASE " + db.name + " TEMPLATE template0 ENCODING 'UTF8'"
	}
	return db.onServer(ctx, statement)
}

func (db *Database) drop(ctx context.Context) error {
	if db.Engine == SQLite {
		return os.RemoveAll(filepath.Dir(db.name))
	}
	if db.Engine == Postgres {
		// DROP DATABASE … WITH (FORCE) does this too, from version 13 on.
		if err := db.onServer(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = '"+db.name+"'"); err != nil {
			return err
		}
	}
	statement := "DROP DATABASE " + db.name
	if db.Engine != Postgres {
		statement = "SET lock_wait_timeout = 5; " + statement // an error, and not a hang
	}
	return db.onServer(ctx, statement)
}

func (db *Database) onServer(ctx context.Context, statement string) error {
	return withPool(ctx, db.Engine, db.server, func(ctx context.Context, pool *sql.DB) error {
		_, err := pool.ExecContext(ctx, statement)
		return err
	})
}

// findings returns what a careful program does not leave behind, one line each.
func (db *Database) findings(ctx context.Context) (all []string, err error) {
	if db.Engine == SQLite {
		if _, err := os.Stat(db.name); errors.Is(err, fs.ErrNotExist) {
			return nil, nil // the test never opened it, and a check must not create it
		}
	}
	err = withPool(ctx, db.Engine, db.URL, func(ctx context.Context, pool *sql.DB) error {
		switch db.Engine {
		case SQLite:
			all, err = sqliteFindings(ctx, pool)
		case Postgres:
			all, err = postgresFindings(ctx, pool, db.pooled)
		default:
			all, err = mysqlFindings(ctx, pool, db.name, db.Processlist())
		}
		return err
	})
	return all, err
}

func sqliteFindings(ctx context.Context, pool *sql.DB) ([]string, error) {
	all, err := texts(ctx, pool, "SELECT 'integrity_check: ' || integrity_check FROM pragma_integrity_check WHERE integrity_check <> 'ok'")
	if err != nil {
		return nil, err
	}
	orphans, err := texts(ctx, pool, `SELECT 'foreign_key_check: row ' || coalesce(rowid, '?') || ' of ' || "table" || ' has no parent in ' || parent FROM pragma_foreign_key_check`)
	return append(all, orphans...), err
}

func postgresFindings(ctx context.Context, pool *sql.DB, pooled bool) ([]string, error) {
	all, err := texts(ctx, pool, "SELECT 'invalid index '||indexrelid::regclass FROM pg_index WHERE NOT indisvalid ORDER BY 1")
	if err != nil {
		return nil, err
	}
	left, err := settle(ctx, func() ([]string, error) {
		if pooled { // again and again: the pooler may be in the middle of making another one
			if _, err := pool.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state = 'idle'
				AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')`); err != nil {
				return nil, err
			}
		}
		return texts(ctx, pool, `
			SELECT 'advisory lock ('||classid||', '||objid||', '||objsubid||') held by backend '||pid
			FROM pg_locks WHERE locktype = 'advisory' AND granted
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			UNION ALL
			SELECT 'open connection, backend '||pid||', '||coalesce(state, '?')||', last statement: '||left(coalesce(query, ''), 200)
			FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
			ORDER BY 1`)
	})
	return append(all, left...), err
}

func mysqlFindings(ctx context.Context, pool *sql.DB, name, processlist string) ([]string, error) {
	all, err := settle(ctx, func() ([]string, error) {
		return texts(ctx, pool, `
			SELECT CONCAT('open connection, id ', id, ', ', command, ' for ', time, ' s')
			FROM `+processlist+` WHERE db = ? AND id <> CONNECTION_ID() ORDER BY id`, name)
	})
	if err != nil || len(all) > 0 {
		return all, err // CHECK TABLE would only wait for what they have locked
	}
	// A session that has another database as its own may still hold a lock here, invisible to an
	// ordinary account: a short wait turns the hang it would cause into an error.
	if _, err := pool.ExecContext(ctx, "SET lock_wait_timeout = 5"); err != nil {
		return nil, err
	}
	tables, err := texts(ctx, pool, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE' ORDER BY 1")
	if err != nil {
		return nil, err
	}
	for _, t := range tables {
		found, err := checkTable(ctx, pool, t)
		if err != nil {
			return nil, fmt.Errorf("CHECK TABLE %s: %w", t, err)
		}
		all = append(all, found...)
		// A write lock is refused while anybody still has a metadata lock, which CHECK TABLE's
		// read lock is not.
		if _, err := pool.ExecContext(ctx, "LOCK TABLES "+backtick(t)+" WRITE"); err != nil {
			all = append(all, fmt.Sprintf("table %s is locked: %v", t, err))
		}
		if _, err := pool.ExecContext(ctx, "UNLOCK TABLES"); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func checkTable(ctx context.Context, pool *sql.DB, table string) (all []string, err error) {
	rows, err := pool.QueryContext(ctx, "CHECK TABLE "+backtick(table))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name, op, kind, text string
		if err := rows.Scan(&name, &op, &kind, &text); err != nil {
			return nil, err
		}
		if kind == "error" || kind == "warning" || (kind == "status" && text != "OK") {
			all = append(all, "CHECK TABLE "+table+": "+kind+": "+text)
		}
	}
	return all, rows.Err()
}

// settle asks again until there is nothing to find or patience ends.
func settle(ctx context.Context, find func() ([]string, error)) ([]string, error) {
	end := time.Now().Add(patience)
	tick := time.NewTicker(recheck)
	defer tick.Stop()
	for {
		found, err := find()
		if err != nil || len(found) == 0 || time.Now().After(end) {
			return found, err
		}
		select {
		case <-ctx.Done():
			return found, ctx.Err()
		case <-tick.C:
		}
	}
}

func backtick(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
