package dump

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// lockWait is how long a dump waits for a table that somebody changes.
const lockWait = time.Minute

type postgres struct{ Target }

// Postgres works with pg_dump and pg_restore. Subscriptions are left out: they hold
// a password, and belong to the installation.
func Postgres(t Target) Engine {
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	return &postgres{t}
}

// server asks for the server's version.
func (p *postgres) server(ctx context.Context) (release, string, error) {
	var number int
	var text string
	err := dialect.QueryRow(ctx, p.DB, "SELECT current_setting('server_version_num')::int, current_setting('server_version')", p.Dialect.QueryArgs(), &number, &text)
	return release{number / 10000, -1}, text, err
}

// tools finds pg_dump, and the pg_restore that reads what it writes.
func (p *postgres) tools(ctx context.Context) (dump, restore tool, server release, err error) {
	server, says, err := p.server(ctx)
	if err != nil {
		return dump, restore, server, err
	}
	found, others := postgresProduct.find(ctx, p.ToolDir, server, "pg_dump")
	dump, ok := choose(found, server)
	if !ok {
		return dump, restore, server, postgresProduct.missing(says, "pg_dump", p.ToolDir, server, found, others)
	}
	found, others = postgresProduct.find(ctx, p.ToolDir, dump.release, "pg_restore")
	if restore, ok = choose(found, dump.release); !ok {
		return dump, restore, server, postgresProduct.missing(says, "pg_restore", p.ToolDir, dump.release, found, others)
	}
	return dump, restore, server, nil
}

func (p *postgres) Check(ctx context.Context) error {
	_, _, _, err := p.tools(ctx)
	return err
}

// libpq are the parameters of a URL that libpq knows and that say how to connect.
// What else is in a URL sets up sessions of the pool, or is the driver's.
var libpq = []string{
	"sslmode", "sslrootcert", "sslcert", "sslkey", "sslnegotiation", "sslcertmode", "sslsni", "channel_binding", "require_auth",
	"target_session_attrs", "krbsrvname", "krbspn", "options", "service", "servicefile", "connect_timeout",
}

// sinceLibpq are those of libpq's parameters that older programs do not know.
var sinceLibpq = map[string]int{"sslsni": 14, "sslcertmode": 16, "require_auth": 16, "sslnegotiation": 17}

// open writes the credentials for programs that go to u.
func (p *postgres) open(u dburl.URL, password string, given bool, version release) (_ *access, err error) {
	dir, remove, err := privateDir()
	if err != nil {
		return nil, err
	}
	a := &access{dir: dir, remove: remove, secrets: u.Secrets()}
	defer func() {
		if err != nil {
			remove()
		}
	}()
	var conn strings.Builder
	quote := strings.NewReplacer(`\`, `\\`, `'`, `\'`)
	add := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&conn, "%s='%s' ", key, quote.Replace(value))
		}
	}
	for _, e := range u.Endpoints { // dial leaves one
		add("host", cmp.Or(e.Socket, e.Host))
		if e.Port != 0 {
			add("port", strconv.Itoa(e.Port))
		}
	}
	add("user", u.User)
	add("dbname", u.Database)
	for _, key := range libpq {
		if since := sinceLibpq[key]; since <= version.major {
			add(key, u.Params[key])
		} else if u.Params[key] != "" && key != "sslsni" {
			return nil, refuse("install a newer client, or take a portable backup", "the URL's parameter %s needs PostgreSQL's programs of version %d; here is %s", key, since, version)
		}
	}
	if u.Params["connect_timeout"] == "" {
		add("connect_timeout", strconv.Itoa(int(connectWait.Seconds())))
	}
	add("application_name", "tldwdb backup")
	if !given {
		// pgx reads these, and so does libpq; but an environment has no secret here.
		password, given = os.LookupEnv("PGPASSWORD")
	}
	if given {
		if strings.ContainsAny(password, "\r\n\x00") {
			return nil, refuse("change the password, or take a portable backup", "the password has a line break, which PostgreSQL's programs cannot be given")
		}
		a.secrets = append(a.secrets, password)
		file := filepath.Join(dir, "pgpass")
		line := "*:*:*:*:" + strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(password) + "\n"
		if err := os.WriteFile(file, []byte(line), 0o600); err != nil {
			return nil, err
		}
		add("passfile", file)
	} else {
		add("passfile", u.Params["passfile"])
	}
	var set []string
	if keyPassword, ok := u.Param("sslpassword"); ok {
		// libpq takes it from the connection's text or from a service file.
		if u.Params["service"] != "" || strings.ContainsAny(keyPassword, "\r\n") {
			return nil, refuse("write what the service says into the URL", "a password of the client's key cannot be given to PostgreSQL's programs together with a service")
		}
		file := filepath.Join(dir, "service")
		if err := os.WriteFile(file, []byte("[tldwdb]\nsslpassword="+keyPassword+"\n"), 0o600); err != nil {
			return nil, err
		}
		set = append(set, "PGSERVICEFILE="+file)
		add("service", "tldwdb")
	}
	a.conn = conn.String()
	a.env = environment(func(name string) bool {
		return name == "HOME" || strings.HasPrefix(name, "PG") && name != "PGPASSWORD" && name != "PGOPTIONS" &&
			!slices.ContainsFunc(set, func(entry string) bool { return strings.HasPrefix(entry, name+"=") })
	}, set...)
	return a, nil
}

// snapshot is a transaction that sees the database as the dump does.
type snapshot struct {
	pool     *sql.DB
	tx       *sql.Tx
	url      dburl.URL // of the one host that it is on
	id       string
	position string
	password string
	given    bool
}

// snap begins the transaction and exports its snapshot.
func (p *postgres) snap(ctx context.Context) (_ *snapshot, err error) {
	s := &snapshot{}
	if s.pool, s.url, s.password, s.given, err = p.dial(ctx, ""); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if s.tx, err = p.begin(ctx, s.pool); err != nil {
		return nil, err
	}
	var position sql.NullString
	err = dialect.QueryRow(ctx, s.tx, "SELECT pg_export_snapshot(), CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text",
		p.Dialect.QueryArgs(), &s.id, &position)
	s.position = position.String
	return s, err
}

func (s *snapshot) end() error {
	var err error
	if s.tx != nil {
		err = s.tx.Rollback()
		if errors.Is(err, sql.ErrTxDone) { // the context has ended it
			err = nil
		}
	}
	return errors.Join(err, s.pool.Close())
}

// begin opens a transaction in which a row has the same text in every session, and
// no limit of the role's own applies.
func (p *postgres) begin(ctx context.Context, pool *sql.DB) (*sql.Tx, error) {
	tx, err := pool.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	_, err = tx.ExecContext(ctx, `SELECT set_config(name, value, true) FROM (VALUES ('statement_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
		('lock_timeout', '`+strconv.FormatInt(lockWait.Milliseconds(), 10)+`'), ('row_security', 'off'), ('search_path', 'pg_catalog'), ('TimeZone', 'UTC'), ('DateStyle', 'ISO, YMD'),
		('IntervalStyle', 'postgres'), ('extra_float_digits', '3'), ('bytea_output', 'hex'), ('lc_monetary', 'C'), ('xmloption', 'content')) s (name, value)`)
	if err != nil {
		return nil, errors.Join(err, tx.Rollback())
	}
	return tx, nil
}

// pgOurs leaves out the schemas that no dump has, and what extensions made: that comes
// with the extension.
const pgOurs = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'`

func pgNoMember(class string) string {
	return `NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = '` + class + `'::regclass AND x.objid = o.oid AND x.deptype IN ('e', 'i')) AND ` + pgOurs
}

// pgTables are the tables with rows of their own: the parents of partitions have none.
const pgTables = `SELECT o.oid, format('%I.%I', n.nspname, o.relname), CASE n.nspname WHEN 'public' THEN '' ELSE n.nspname || '.' END || o.relname, pg_table_size(o.oid)
	FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
	WHERE o.relkind = 'r' AND o.relname <> $1 AND o.relpersistence <> 't' AND ` + pgOurs + ` AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_class'::regclass AND x.objid = o.oid AND x.deptype = 'e')
	ORDER BY 3`

type pgTable struct {
	oid    int64
	quoted string
	name   string
	size   int64
}

func (p *postgres) list(ctx context.Context, q dialect.Queryer) (list []pgTable, err error) {
	rows, err := q.QueryContext(ctx, pgTables, p.Lease)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var t pgTable
		if err := rows.Scan(&t.oid, &t.quoted, &t.name, &t.size); err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, rows.Err()
}

// count reads the tables. A digest is a sum over the rows, so that their order does
// not matter, of two hashes of a row's text, so that equal sums of other rows are
// out of the question.
func (p *postgres) count(ctx context.Context, q dialect.Queryer, list []pgTable, digests bool) ([]Table, error) {
	tables := make([]Table, 0, len(list))
	for _, t := range list {
		row := Table{Name: t.name}
		if !digests {
			if err := dialect.QueryRow(ctx, q, "SELECT count(*) FROM ONLY "+t.quoted, nil, &row.Rows); err != nil {
				return nil, fmt.Errorf("table %s: %w", t.name, pgAdvice(err))
			}
			tables = append(tables, row)
			continue
		}
		var a, b string
		err := dialect.QueryRow(ctx, q, `SELECT count(*), coalesce(sum(hashtextextended(r, 0)), 0)::text, coalesce(sum(hashtextextended(r, 1)), 0)::text
			FROM (SELECT t::text COLLATE "C" AS r FROM ONLY `+t.quoted+` t) rows_of_it`, nil, &row.Rows, &a, &b)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t.name, pgAdvice(err))
		}
		high, err := modulo64(a)
		if err != nil {
			return nil, err
		}
		low, err := modulo64(b)
		if err != nil {
			return nil, err
		}
		row.Digest = fmt.Sprintf("pg:%016x%016x", high, low)
		tables = append(tables, row)
	}
	return tables, nil
}

// modulo64 is the rest of a decimal number by 2^64.
func modulo64(text string) (uint64, error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return 0, fmt.Errorf("the server's sum %q is no number", text)
	}
	return n.And(n, new(big.Int).SetUint64(^uint64(0))).Uint64(), nil
}

// Tables counts in one snapshot.
func (p *postgres) Tables(ctx context.Context, digests bool) (tables []Table, err error) {
	tx, err := p.begin(ctx, p.DB)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it has read
	list, err := p.list(ctx, tx)
	if err != nil {
		return nil, err
	}
	return p.count(ctx, tx, list, digests)
}

// Dump runs pg_dump in a snapshot of ours, in which the rows are counted meanwhile.
func (p *postgres) Dump(ctx context.Context, w io.Writer, o Options) (_ Dumped, err error) {
	dump, restore, _, err := p.tools(ctx)
	if err != nil {
		return Dumped{}, err
	}
	s, err := p.snap(ctx)
	if err != nil {
		return Dumped{}, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	a, err := p.open(s.url, s.password, s.given, dump.release)
	if err != nil {
		return Dumped{}, err
	}
	defer a.remove()
	list, err := p.list(ctx, s.tx)
	if err != nil {
		return Dumped{}, err
	}
	wanted, err := p.inventory(ctx, s.tx)
	if err != nil {
		return Dumped{}, err
	}
	var expected int64
	for _, t := range list {
		expected += t.size
	}

	// The rows are counted while the dump is written. Whoever fails ends the other.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	counted := make(chan []Table, 1)
	go func() {
		tables, err := p.count(ctx, s.tx, list, o.Digests)
		if err != nil {
			cancel(err)
		}
		counted <- tables
	}()
	d := Dumped{Content: "pg_dump", Extension: "dump", Tool: dump.String(), Position: s.position}
	args := []string{
		"--compress=0", "--no-password", "--lock-wait-timeout=" + strconv.FormatInt(lockWait.Milliseconds(), 10), "--snapshot=" + s.id,
		"--no-subscriptions", "--dbname=" + a.conn,
	}
	if p.Lease != "" {
		args = append(args, "--exclude-table=*."+p.Dialect.Identifier(p.Lease))
	}
	if role := s.url.Params["role"]; role != "" {
		args = append(args, "--role="+role)
	}
	var contents []byte
	if o.Jobs > 1 {
		d.Extension = "tar"
		contents, err = p.dumpFolder(ctx, w, dump, restore, a, args, o.Jobs, expected)
	} else {
		contents, err = p.dumpStream(ctx, w, dump, restore, a, args, expected)
	}
	if err != nil {
		cancel(err)
		<-counted
		return Dumped{}, pgAdvice(err)
	}
	d.Tables = <-counted
	if err := context.Cause(ctx); err != nil {
		return Dumped{}, err
	}
	return d, wanted.missing(contents)
}

// dumpStream has pg_dump write to w, and pg_restore list what is in it: that stands
// at the beginning.
func (p *postgres) dumpStream(ctx context.Context, w io.Writer, dump, restore tool, a *access, args []string, expected int64) ([]byte, error) {
	read, write := io.Pipe()
	listed := make(chan error, 1)
	var contents bytes.Buffer
	go func() {
		_, err := program{path: restore.path, args: []string{"--list"}, env: a.env, stdin: read, stdout: &contents, secrets: a.secrets}.run(ctx)
		_ = read.Close() // nobody reads on: what is written from here is not for it
		listed <- err
	}()
	to := &meteredWriter{w: w, meter: meter{all: expected, tell: p.Progress}}
	reading := true
	_, err := program{path: dump.path, args: append([]string{"--format=custom"}, args...), env: a.env, secrets: a.secrets, stdout: writerFunc(func(b []byte) (int, error) {
		if reading {
			if _, err := write.Write(b); err != nil {
				reading = false
			}
		}
		return to.Write(b)
	})}.run(ctx)
	_ = write.Close()
	listErr := <-listed
	if err != nil {
		return nil, err
	}
	return contents.Bytes(), listErr
}

// dumpFolder has pg_dump write a folder with several connections, and packs it.
func (p *postgres) dumpFolder(ctx context.Context, w io.Writer, dump, restore tool, a *access, args []string, jobs int, expected int64) ([]byte, error) {
	folder := filepath.Join(a.dir, "dump")
	_, err := program{path: dump.path, args: append([]string{"--format=directory", "--no-sync", "--jobs=" + strconv.Itoa(jobs), "--file=" + folder}, args...), env: a.env, secrets: a.secrets}.run(ctx)
	if err != nil {
		return nil, err
	}
	var contents bytes.Buffer
	if _, err := (program{path: restore.path, args: []string{"--list", folder}, env: a.env, stdout: &contents, secrets: a.secrets}).run(ctx); err != nil {
		return nil, err
	}
	return contents.Bytes(), pack(ctx, &meteredWriter{w: w, meter: meter{all: expected, tell: p.Progress}}, folder)
}

// pgObject is an object by which PostgreSQL knows it: its catalogue, and its number
// there. pg_restore --list has both, so that no name has to be read.
type pgObject struct{ class, oid int64 }

// pgInventory is what has to be in a dump, with the words for it.
type pgInventory map[pgObject]string

// inventory lists what pg_dump writes by itself. Rows of a table are an entry of
// their own, of class 0.
func (p *postgres) inventory(ctx context.Context, q dialect.Queryer) (_ pgInventory, err error) {
	rows, err := q.QueryContext(ctx, `
		SELECT 'pg_class'::regclass::oid, o.oid, format('%s %I.%I', CASE o.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' WHEN 'f' THEN 'foreign table' ELSE 'table' END, n.nspname, o.relname)
			FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND o.relname <> $1 AND o.relpersistence <> 't' AND `+pgNoMember("pg_class")+`
		UNION ALL SELECT 0, o.oid, format('the rows of %I.%I', n.nspname, o.relname)
			FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace WHERE o.relkind = 'r' AND o.relname <> $1 AND o.relpersistence <> 't' AND `+pgNoMember("pg_class")+`
		UNION ALL SELECT 'pg_proc'::regclass::oid, o.oid, format('routine %I.%I', n.nspname, o.proname) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE `+pgNoMember("pg_proc")+`
		UNION ALL SELECT 'pg_type'::regclass::oid, o.oid, format('type %I.%I', n.nspname, o.typname) FROM pg_type o JOIN pg_namespace n ON n.oid = o.typnamespace
			WHERE o.typtype IN ('d', 'e', 'r') AND `+pgNoMember("pg_type")+`
		UNION ALL SELECT 'pg_trigger'::regclass::oid, g.oid, format('trigger %I on %I.%I', g.tgname, n.nspname, o.relname)
			FROM pg_trigger g JOIN pg_class o ON o.oid = g.tgrelid JOIN pg_namespace n ON n.oid = o.relnamespace
			WHERE NOT g.tgisinternal AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = 'pg_trigger'::regclass AND x.objid = g.oid AND x.deptype IN ('P', 'S', 'I', 'i', 'e')) AND `+pgNoMember("pg_class"), p.Lease)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	list := pgInventory{}
	for rows.Next() {
		var o pgObject
		var words string
		if err := rows.Scan(&o.class, &o.oid, &words); err != nil {
			return nil, err
		}
		list[o] = words
	}
	return list, rows.Err()
}

// pgEntry is a line of pg_restore --list: its number, the object's class and number,
// and what it is.
var pgEntry = regexp.MustCompile(`(?m)^\d+; (\d+) (\d+) `)

// missing takes out what is in the list, and complains of what is left.
func (l pgInventory) missing(contents []byte) error {
	for _, m := range pgEntry.FindAllSubmatch(contents, -1) {
		class, _ := strconv.ParseInt(string(m[1]), 10, 64) // they are digits
		oid, _ := strconv.ParseInt(string(m[2]), 10, 64)
		delete(l, pgObject{class, oid})
	}
	if len(l) == 0 {
		return nil
	}
	return incomplete(slices.Collect(maps.Values(l)), "the account must own these objects or have the right to read them")
}

// incomplete is the error for a dump that lacks something although its program says
// that all is well.
func incomplete(words []string, hint string) error {
	const shown = 10
	slices.Sort(words)
	more := ""
	if n := len(words) - shown; n > 0 {
		words, more = words[:shown], fmt.Sprintf(" and %d more", n)
	}
	return refuse(hint, "the dump is not complete: it lacks %s%s", strings.Join(words, ", "), more)
}

// pgAdvice adds what to do to the complaints that have a usual remedy.
func pgAdvice(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	hint := ""
	switch {
	case strings.Contains(text, "row-level security"):
		hint = "row-level security hides rows from this account: use the tables' owner, or an account with BYPASSRLS (docs/roles)"
	case strings.Contains(text, "permission denied for large object"):
		hint = "large objects are read by their owner, or by whom the owner lets: GRANT SELECT ON LARGE OBJECT … TO the account"
	case strings.Contains(text, "permission denied"):
		hint = "the account that takes backups reads everything: docs/roles/postgres.sql has its rights"
	case strings.Contains(text, "server version mismatch"):
		hint = "install PostgreSQL's client programs of the server's version" + withoutProgram
	}
	if _, ok := errors.AsType[*Refusal](err); ok || hint == "" {
		return err
	}
	return &Refusal{Err: err, Hint: hint}
}
