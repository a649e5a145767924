package dump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
)

// Swap puts a database that was restored on the same server in the place of the live
// one, which t names, and returns the name that the live one has from then on: its
// own with _before_ and the time behind it. In one step: whatever the instant at
// which it is interrupted, one of the two is whole under the name.
//
// PostgreSQL renames databases, and ends the sessions in both. MySQL cannot rename
// one: tables change places, and that only if all else is the same in both and no
// table has a trigger; the events of the live one stay, and asleep are those of the
// other that do not run. What cannot be done is a [Refusal], and has changed nothing.
func Swap(ctx context.Context, t Target, restored string, asleep Asleep) (kept string, err error) {
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	if t.Dialect.Name() == dialect.NamePostgres {
		return (&postgres{t}).swap(ctx, restored)
	}
	return (&mysql{t}).swap(ctx, restored, asleep)
}

// MaySwap refuses what [Swap] would refuse whatever is restored: what the server cannot
// do, what the account may not, and what in the live database is in the way. It is for
// before the restore, which may take hours.
func MaySwap(ctx context.Context, t Target) error {
	if t.Dialect.Name() == dialect.NamePostgres {
		return (&postgres{t}).mayBeSwapped(ctx)
	}
	return (&mysql{t}).mayBeSwapped(ctx)
}

// cleaning bounds what is done although the caller's context has ended.
const cleaning = 10 * time.Second

// The longest names of databases, in bytes; MySQL counts characters.
const (
	longestPostgres = 63
	longestMySQL    = 64
)

// keptForm is the time in the name of a database that was replaced.
const keptForm = "_before_20060102_150405.000"

// keptName is for a server whose names have at most length bytes.
func keptName(live string, now time.Time, length int) string {
	end := strings.Replace(now.UTC().Format(keptForm), ".", "_", 1)
	for len(live)+len(end) > length {
		runes := []rune(live)
		live = string(runes[:len(runes)-1])
	}
	return live + end
}

// maintenance are the databases from which another one is renamed.
var maintenance = []string{"postgres", "template1"}

func (p *postgres) swap(ctx context.Context, restored string) (kept string, err error) {
	var live string
	if err := dialect.QueryRow(ctx, p.DB, "SELECT current_database()", p.Dialect.QueryArgs(), &live); err != nil {
		return "", err
	}
	pool, err := p.beside(ctx, live, restored)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	if err := p.maySwap(ctx, pool, []string{live, restored}); err != nil {
		return "", err
	}
	settings, err := p.settings(ctx, pool, live, restored)
	if err != nil {
		return "", err
	}
	kept = keptName(live, time.Now(), longestPostgres)
	quote := func(name string) string { return p.Dialect.Identifier(name) }
	// The renames come first: they take the lock that keeps new sessions out.
	statements := append([]string{
		"ALTER DATABASE " + quote(live) + " RENAME TO " + quote(kept),
		"ALTER DATABASE " + quote(restored) + " RENAME TO " + quote(live),
	}, settings...)
	return kept, p.whileEnding(ctx, pool, []string{live, restored}, func(ctx context.Context) error { return transaction(ctx, pool, statements) })
}

func (p *postgres) mayBeSwapped(ctx context.Context) (err error) {
	var live string
	if err := dialect.QueryRow(ctx, p.DB, "SELECT current_database()", p.Dialect.QueryArgs(), &live); err != nil {
		return err
	}
	pool, err := p.beside(ctx, live)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	return p.maySwap(ctx, pool, []string{live})
}

// beside connects to a database of the server that is none of these.
func (p *postgres) beside(ctx context.Context, these ...string) (*sql.DB, error) {
	var failed error
	for _, name := range maintenance {
		if slices.Contains(these, name) {
			continue
		}
		pool, _, _, _, err := p.dial(ctx, name)
		if err == nil {
			return pool, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, &Refusal{
		Err:  fmt.Errorf("a database is renamed from another one, and the account cannot connect to %s: %w", strings.Join(maintenance, " or "), failed),
		Hint: "GRANT CONNECT ON DATABASE postgres TO the account, or restore into a new database and let the URL name that",
	}
}

// maySwap looks whether the account has the rights, so that nobody's session is
// ended for nothing.
func (p *postgres) maySwap(ctx context.Context, pool *sql.DB, databases []string) error {
	var account string
	var create, owner, ends bool
	var found int
	err := dialect.QueryRow(ctx, pool, `SELECT current_user, r.rolcreatedb OR r.rolsuper, coalesce(bool_and(pg_has_role(d.datdba, 'USAGE')), false), count(d.oid),
			r.rolsuper OR pg_has_role('pg_signal_backend', 'USAGE') OR NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datname = ANY($1) AND a.backend_type = 'client backend' AND NOT pg_has_role(a.usesysid, 'USAGE'))
		FROM pg_roles r LEFT JOIN pg_database d ON d.datname = ANY($1) WHERE r.rolname = current_user GROUP BY r.rolname, r.rolcreatedb, r.rolsuper`,
		[]any{databases}, &account, &create, &owner, &found, &ends)
	if err != nil {
		return err
	}
	const other = "; or restore into a new database and let the URL name that"
	switch {
	case found != len(databases):
		return fmt.Errorf("of the databases %s only %d are there", strings.Join(databases, " and "), found)
	case !create:
		return refuse("ALTER ROLE "+p.Dialect.Identifier(account)+" CREATEDB"+other, "%s may not rename databases: that takes the right to create them", account)
	case !owner:
		return refuse("restore by the owner of the database, or by a member of that role"+other, "%s does not own %s", account, strings.Join(databases, " and "))
	case !ends:
		return refuse("GRANT pg_signal_backend TO "+p.Dialect.Identifier(account)+", or stop the services"+other, "other accounts have sessions in the database, which %s may not end", account)
	}
	return nil
}

// settings are the statements that give the restored database, under its new name,
// what belongs to the live one and is in no dump: owner, rights, parameters, limit,
// comment.
func (p *postgres) settings(ctx context.Context, pool *sql.DB, live, restored string) (list []string, err error) {
	add := func(query string, args ...any) error {
		more, err := texts(ctx, pool, query, args...)
		list = append(list, more...)
		return err
	}
	err = errors.Join(
		add(`SELECT format('ALTER DATABASE %I CONNECTION LIMIT %s', datname, datconnlimit) FROM pg_database WHERE datname = $1 AND datconnlimit <> -1`, live),
		add(`SELECT format('COMMENT ON DATABASE %I IS %L', d.datname, s.description) FROM pg_database d JOIN pg_shdescription s ON s.classoid = 'pg_database'::regclass AND s.objoid = d.oid WHERE d.datname = $1`, live),
		// Every parameter of the database, for all roles and for one.
		add(`SELECT CASE s.setrole WHEN 0 THEN format('ALTER DATABASE %I', d.datname) ELSE format('ALTER ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), d.datname) END
				|| format(' SET %s TO ', split_part(c, '=', 1))
				|| CASE WHEN split_part(c, '=', 1) IN ('search_path', 'temp_tablespaces', 'session_preload_libraries', 'local_preload_libraries') THEN substr(c, strpos(c, '=') + 1) ELSE quote_literal(substr(c, strpos(c, '=') + 1)) END
			FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c WHERE d.datname = $1`, live),
		// The rights as a whole: what is there is taken away first.
		add(`SELECT format('REVOKE ALL ON DATABASE %I FROM %s', $1::text, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
			FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = $2 GROUP BY a.grantee`, live, restored),
		add(`SELECT format('GRANT %s ON DATABASE %I TO %s%s', a.privilege_type, d.datname, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END, CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
			FROM pg_database d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a WHERE d.datname = $1`, live),
		// Last: whoever gives a database away has no more rights on it.
		add(`SELECT format('ALTER DATABASE %I OWNER TO %I', l.datname, pg_get_userbyid(l.datdba)) FROM pg_database l, pg_database r WHERE l.datname = $1 AND r.datname = $2 AND l.datdba <> r.datdba`, live, restored),
	)
	return list, err
}

func texts(ctx context.Context, q dialect.Queryer, query string, args ...any) (list []string, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		list = append(list, text)
	}
	return list, rows.Err()
}

// transaction runs statements as one.
func transaction(ctx context.Context, pool *sql.DB, statements []string) error {
	tx, err := pool.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	for _, statement := range statements {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", statement, err), rolledBack(tx))
		}
	}
	return tx.Commit()
}

// rolledBack has nothing to say where the end of the context has done it.
func rolledBack(tx *sql.Tx) error {
	if err := tx.Rollback(); !errors.Is(err, sql.ErrTxDone) {
		return err
	}
	return nil
}

// whileEnding runs f, and ends the sessions in some databases until it is done. A
// rename waits for them up to five seconds, and has taken a lock by then that new
// ones wait for: so nothing has to be forbidden that would have to be allowed again.
func (p *postgres) whileEnding(ctx context.Context, pool *sql.DB, databases []string, f func(context.Context) error) error {
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(done)
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			// Never cut short: the server would go on with it, and end sessions that are
			// begun when all is done.
			_, err := pool.ExecContext(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
				WHERE datname = ANY($1) AND backend_type = 'client backend' AND pid <> pg_backend_pid()`, databases)
			if err != nil {
				done <- err
				return
			}
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	err := f(ctx)
	close(stop)
	if ending := <-done; err != nil && ending != nil {
		err = errors.Join(err, fmt.Errorf("ending the sessions in the database: %w", ending))
	}
	return err
}

// renameWait is how long the tables' users may keep a RENAME waiting.
const renameWait = 15 * time.Second

// instead is what to do where tables cannot change places.
const instead = "restore into a new database, and let the URL name that"

// renames refuses a server whose RENAME TABLE is no single step.
func (m *mysql) renames(ctx context.Context) error {
	s, err := m.server(ctx)
	if err != nil {
		return err
	}
	if oldest := (release{10, 6}); s.mariaDB && s.release.compare(oldest) < 0 || !s.mariaDB && s.release.major < 8 {
		return refuse(instead, "a crash of this server (%s) in the middle of a RENAME TABLE would leave some tables in one database and some in the other: MariaDB 10.6 and MySQL 8.0 are the first that do not", s.version)
	}
	return nil
}

func (m *mysql) mayBeSwapped(ctx context.Context) error {
	if err := m.renames(ctx); err != nil {
		return err
	}
	triggers, err := texts(ctx, m.DB, "SELECT CONCAT(event_object_table, ' has a trigger, ', trigger_name) FROM information_schema.triggers WHERE trigger_schema = ? ORDER BY 1 LIMIT 1", m.URL.Database)
	if err != nil || len(triggers) == 0 {
		return err
	}
	return inTheWay(triggers[0])
}

// inTheWay refuses a table that has a trigger.
func inTheWay(table string) error {
	return refuse(instead, "table %s: MySQL does not let it change its database", table)
}

func (m *mysql) swap(ctx context.Context, restored string, asleep Asleep) (kept string, err error) {
	live := m.URL.Database
	if err := m.renames(ctx); err != nil {
		return "", err
	}
	// Not a connection of the pool: it gets another database and a limit.
	pool, _, _, _, err := m.dial(ctx, "")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, pool.Close()) }()
	conn, err := pool.Conn(ctx)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if _, err := m.Dialect.Inspect(ctx, conn, "tldwdb_history"); err != nil { // which product it is
		return "", err
	}
	before, err := m.describe(ctx, conn, live, live)
	if err != nil {
		return "", err
	}
	after, err := m.describe(ctx, conn, restored, live)
	if err != nil {
		return "", err
	}
	asleep.Awake(after.catalog)
	if err := sameRest(before.catalog, after.catalog); err != nil {
		return "", err
	}
	kept = keptName(live, time.Now(), longestMySQL)
	var moves []string
	name := func(database, table string) string {
		return m.Dialect.Identifier(database) + "." + m.Dialect.Identifier(table)
	}
	for _, table := range before.tables {
		moves = append(moves, name(live, table)+" TO "+name(kept, table))
	}
	for _, table := range after.tables {
		moves = append(moves, name(restored, table)+" TO "+name(live, table))
	}
	if len(moves) == 0 {
		return "", errors.New("neither database has a table")
	}
	if _, err := conn.ExecContext(ctx, "CREATE DATABASE "+m.Dialect.Identifier(kept)+" CHARACTER SET "+before.charset+" COLLATE "+before.collation); err != nil {
		return "", refuse("GRANT ALL ON `"+strings.ReplaceAll(live, "_", `\_`)+"\\_before\\_%`.* TO the account; or "+instead, "the old tables need a database to go to: %w", err)
	}
	_, err = conn.ExecContext(ctx, fmt.Sprintf("SET SESSION lock_wait_timeout = %d", int(renameWait.Seconds())))
	if err == nil {
		_, err = conn.ExecContext(ctx, "RENAME TABLE "+strings.Join(moves, ", "))
	}
	if err == nil {
		return kept, nil
	}
	return "", errors.Join(fmt.Errorf("changing the tables' places: %w", err), m.forget(ctx, kept))
}

// forget drops the database that was to get the old tables, if none is in it: where
// the answer of the server was lost, they may be.
func (m *mysql) forget(ctx context.Context, kept string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
	defer cancel()
	var tables int
	err := dialect.QueryRow(ctx, m.DB, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?", []any{kept}, &tables)
	if err != nil {
		return err
	}
	if tables > 0 {
		return fmt.Errorf("the server's answer was lost: the old tables are in %s, and the restored ones in their place", kept)
	}
	_, err = m.DB.ExecContext(ctx, "DROP DATABASE "+m.Dialect.Identifier(kept))
	return err
}

// described is one database as a swap sees it.
type described struct {
	catalog            catalog.Catalog
	tables             []string
	charset, collation string
}

// describe takes names of the database live for the database's own: they will be.
func (m *mysql) describe(ctx context.Context, conn *sql.Conn, database, live string) (d described, err error) {
	if _, err := conn.ExecContext(ctx, "USE "+m.Dialect.Identifier(database)); err != nil {
		return d, err
	}
	if err := dialect.QueryRow(ctx, conn, "SELECT @@character_set_database, @@collation_database", nil, &d.charset, &d.collation); err != nil {
		return d, err
	}
	list, err := m.list(ctx, conn)
	if err != nil {
		return d, err
	}
	for _, e := range list {
		if e.kind == "table" || e.kind == "sequence" {
			d.tables = append(d.tables, e.name)
		}
	}
	d.catalog, err = catalog.Read(ctx, m.Dialect, conn, catalog.Options{Database: live})
	return d, err
}

// moved are the kinds of object that a RENAME TABLE takes along.
var moved = []string{"table", "sequence"}

// sameRest refuses databases that differ in what does not move.
func sameRest(live, restored catalog.Catalog) error {
	rest := func(c catalog.Catalog) catalog.Catalog {
		return slices.DeleteFunc(slices.Clone(c), func(o catalog.Object) bool {
			return slices.Contains(moved, o.Kind) || o.Of != "" && o.Kind != "trigger"
		})
	}
	for _, side := range []catalog.Catalog{live, restored} {
		for _, o := range side {
			if o.Kind == "trigger" {
				return inTheWay(o.Of + " has a trigger, " + o.Name)
			}
		}
	}
	differences := catalog.Compare(rest(live), rest(restored))
	if len(differences) == 0 {
		return nil
	}
	first := differences[0]
	return refuse(instead, "MySQL lets tables change places and nothing else, and %d other objects are not the same in both databases, the first of them: %s %s", len(differences), first.Kind, first.Name)
}
