package tldwdbtest

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// postgres copies databases by CREATE DATABASE … TEMPLATE. A template that is whole
// lets nobody connect: it stays as it is, and nobody stands in the way of a copy.
type postgres struct {
	mu      sync.Mutex
	version int  // server_version_num; 0: not asked yet
	noSync  bool // the server does not wait for the disk
	cloning bool // files are copied by the file system's own clones
}

// smallTemplate is the size up to which a copy by way of the log is quicker than one
// of files, where the server waits for the disk: that begins and ends with a checkpoint.
const smallTemplate = 512 << 20

// facts asks once what decides about the way of copying.
func (p *postgres) facts(ctx context.Context, c *sql.Conn) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.version > 0 {
		return nil
	}
	var version, fsync, method string
	err := one(ctx, c, "SELECT current_setting('server_version_num'), current_setting('fsync'), coalesce(current_setting('file_copy_method', true), '')", &version, &fsync, &method)
	if err != nil {
		return err
	}
	p.noSync, p.cloning = fsync == "off", method == "clone"
	p.version, err = strconv.Atoi(version)
	return err
}

// key is the number that advisory locks have for a name.
func (*postgres) key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return strconv.FormatInt(int64(binary.BigEndian.Uint64(sum[:8])), 10) //nolint:gosec // any number will do
}

func (p *postgres) lock(ctx context.Context, c *sql.Conn, name string) (got bool, err error) {
	return got, one(ctx, c, "SELECT pg_try_advisory_lock("+p.key(name)+")", &got)
}

func (p *postgres) unlock(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, "SELECT pg_advisory_unlock("+p.key(name)+")")
	return err
}

// stay asks first: the setting is there from version 14 on.
func (*postgres) stay(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, "SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout'")
	return err
}

func (*postgres) limit(ctx context.Context, c *sql.Conn) (n int, err error) {
	return n, one(ctx, c, `SELECT least(current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
		(SELECT nullif(rolconnlimit, -1) FROM pg_catalog.pg_roles WHERE rolname = current_user))`, &n)
}

// The comment of a database says what it is to us; everybody can read it.
const (
	commentUsed = "tldwdbtest: template, used " // and when, in seconds since 1970
	commentKept = "tldwdbtest: kept for "
)

func (*postgres) found(ctx context.Context, c *sql.Conn, prefix string) (list []foundDatabase, err error) {
	rows, err := c.QueryContext(ctx, `SELECT datname, coalesce(shobj_description(oid, 'pg_database'), ''),
		EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE a.datid = pg_database.oid) FROM pg_catalog.pg_database
		WHERE starts_with(datname, `+literal(prefix)+`) AND pg_has_role(datdba, 'USAGE')`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var d foundDatabase
		var comment string
		if err := rows.Scan(&d.name, &comment, &d.busy); err != nil {
			return nil, err
		}
		d.kept = strings.HasPrefix(comment, commentKept)
		at, _ := strings.CutPrefix(comment, commentUsed)
		seconds, err := strconv.ParseInt(at, 10, 64)
		if d.half = err != nil; !d.half {
			d.used = time.Since(time.Unix(seconds, 0))
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// drop ends what is still connected. FORCE does it by the way, but fails at a worker of
// autovacuum, which is another role's; DROP DATABASE by itself sends that one away.
func (p *postgres) drop(ctx context.Context, c *sql.Conn, name string) error {
	if err := p.facts(ctx, c); err != nil {
		return err
	}
	statement := "DROP DATABASE IF EXISTS " + quoted(name)
	if p.version >= 130000 {
		if _, err := c.ExecContext(ctx, statement+" WITH (FORCE)"); code(err) != "42501" {
			return err
		}
	}
	if err := p.disconnect(ctx, c, name); err != nil {
		return err
	}
	_, err := c.ExecContext(ctx, statement)
	return err
}

// disconnect ends the sessions of this role.
func (*postgres) disconnect(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, "SELECT pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE usename = current_user AND datname = "+literal(name))
	return err
}

func (p *postgres) has(ctx context.Context, c *sql.Conn, name string) (bool, error) {
	if err := p.facts(ctx, c); err != nil {
		return false, err
	}
	var open bool
	err := one(ctx, c, "SELECT datallowconn FROM pg_catalog.pg_database WHERE datname = "+literal(name), &open)
	if errors.Is(err, dialect.ErrNoRow) || err == nil && open {
		return false, nil
	}
	if err == nil {
		err = p.use(ctx, c, name)
	}
	if code(err) == "XX000" || code(err) == "40001" { // two at once: either will do
		err = nil
	}
	return err == nil, err
}

// use notes that the template is used.
func (*postgres) use(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, "COMMENT ON DATABASE "+quoted(name)+" IS "+literal(commentUsed+strconv.FormatInt(time.Now().Unix(), 10)))
	return err
}

// make copies the encoding and the locale of the server's database. template1 may
// have what that was made without, and cannot be copied while anybody is connected to it.
func (p *postgres) make(ctx context.Context, c *sql.Conn, name string) error {
	var encoding, collate, ctype string
	err := one(ctx, c, "SELECT pg_encoding_to_char(encoding), datcollate, datctype FROM pg_catalog.pg_database WHERE datname = current_database()", &encoding, &collate, &ctype)
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("CREATE DATABASE %s TEMPLATE template0 ENCODING %s LC_COLLATE %s LC_CTYPE %s", quoted(name), literal(encoding), literal(collate), literal(ctype)))
	return err
}

func (p *postgres) seal(ctx context.Context, c *sql.Conn, name string) error {
	if err := p.use(ctx, c, name); err != nil {
		return err
	}
	// Only a template that is whole lets nobody in.
	_, err := c.ExecContext(ctx, "ALTER DATABASE "+quoted(name)+" WITH ALLOW_CONNECTIONS false")
	if err != nil {
		return err
	}
	return p.disconnect(ctx, c, name)
}

// strategy is the quickest way of copying that the server has, as measured: see
// BenchmarkNew.
func (p *postgres) strategy(size int64) string {
	switch {
	case p.version < 150000:
		return "" // it has one
	case p.noSync || p.cloning || size > smallTemplate:
		return " STRATEGY file_copy"
	}
	return " STRATEGY wal_log"
}

func (p *postgres) clone(ctx context.Context, c *sql.Conn, t *template, from, name string) error {
	way, err := p.way(ctx, c, t, from)
	if err != nil {
		return err
	}
	// Whoever looks at all databases, such as a monitoring agent, is in the way for a
	// moment.
	for again := 0; ; again++ {
		_, err := c.ExecContext(ctx, "CREATE DATABASE "+quoted(name)+" TEMPLATE "+quoted(from)+way.strategy)
		switch {
		case code(err) == "3D000":
			return errNoTemplate
		case code(err) == "55006" && again < 3:
			continue
		}
		return err
	}
}

func (p *postgres) prepare(ctx context.Context, c *sql.Conn, t *template, from, name string) error {
	way, err := p.way(ctx, c, t, from)
	if err != nil || way.large {
		return err
	}
	_, err = c.ExecContext(ctx, "CREATE DATABASE "+quoted(name)+" TEMPLATE "+quoted(from)+" ALLOW_CONNECTIONS false"+way.strategy)
	return err
}

func (*postgres) prepared(ctx context.Context, c *sql.Conn, prefix string) ([]string, error) {
	rows, err := texts(ctx, c, "SELECT datname FROM pg_catalog.pg_database WHERE NOT datallowconn AND starts_with(datname, "+literal(prefix)+")", pgx.QueryExecModeExec)
	names := make([]string, len(rows))
	for i, row := range rows {
		names[i] = row[0]
	}
	return names, err
}

// admit renames: of two processes one can. Both statements are one transaction.
func (*postgres) admit(ctx context.Context, c *sql.Conn, name, to string) (bool, error) {
	_, err := c.ExecContext(ctx, "ALTER DATABASE "+quoted(name)+" RENAME TO "+quoted(to)+"; ALTER DATABASE "+quoted(to)+" WITH ALLOW_CONNECTIONS true", pgx.QueryExecModeSimpleProtocol)
	if code(err) == "3D000" || code(err) == "55006" || code(err) == "XX000" { // it is gone, is going, or a worker of autovacuum is in it
		return false, nil
	}
	return err == nil, err
}

// copying is what a template's size decides.
type copying struct {
	strategy string
	large    bool
}

// way asks for the size of the template, once.
func (p *postgres) way(ctx context.Context, c *sql.Conn, t *template, from string) (copying, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if way, ok := t.note.(copying); ok {
		return way, nil
	}
	var size int64
	err := one(ctx, c, "SELECT pg_database_size("+literal(from)+")", &size)
	if code(err) == "3D000" {
		return copying{}, errNoTemplate
	}
	if err != nil {
		return copying{}, err
	}
	way := copying{p.strategy(size), size > smallTemplate}
	t.note = way
	return way, nil
}

// restore makes the database anew under the pool, whose idle connections are given
// up before.
func (p *postgres) restore(ctx context.Context, c *sql.Conn, db *tldwdb.DB, t *template, from, name string) error {
	return renew(db, func() error {
		if err := p.drop(ctx, c, name); err != nil {
			return err
		}
		return p.clone(ctx, c, t, from, name)
	})
}

func (*postgres) keep(ctx context.Context, c *sql.Conn, name, test string) error {
	_, err := c.ExecContext(ctx, "COMMENT ON DATABASE "+quoted(name)+" IS "+literal(commentKept+test))
	return err
}

func (*postgres) noRight(err error) bool { return code(err) == "42501" }

func (*postgres) grant(user, _ string) string { return "ALTER ROLE " + quoted(user) + " CREATEDB" }

func (*postgres) tool(u dburl.URL) string {
	return "psql " + address(u, "-h", "-p", "-U") + " -d " + u.Database
}

func code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// literal writes a text for both kinds of server: none of ours has a backslash in it.
func literal(text string) string {
	return "'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, "/"), "'", "''") + "'"
}

// one reads a single row, in one round trip.
func one(ctx context.Context, c *sql.Conn, query string, dest ...any) error {
	return dialect.QueryRow(ctx, c, query, []any{pgx.QueryExecModeExec}, dest...)
}

// address writes where a server is for its command-line program.
func address(u dburl.URL, host, port, user string) string {
	var words []string
	if len(u.Endpoints) > 0 {
		if e := u.Endpoints[0]; e.Socket == "" {
			words = append(words, host, e.Host)
			if e.Port != 0 {
				words = append(words, port, strconv.Itoa(e.Port))
			}
		} else {
			words = append(words, host, e.Socket)
		}
	}
	if u.User != "" {
		words = append(words, user, u.User)
	}
	return strings.Join(words, " ")
}

// renew calls again, which drops the database and makes it, while no connection of
// the pools is open.
func renew(db *tldwdb.DB, again func() error) error {
	pool := db.Pool()
	size := pool.Stats().MaxOpenConnections
	pool.SetMaxIdleConns(0)
	defer pool.SetMaxIdleConns(size)
	if n := pool.Stats().InUse; n > 0 {
		return fmt.Errorf("%d connections of the pool are in use: close the rows, transactions and connections of the test first", n)
	}
	return again()
}
