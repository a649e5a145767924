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
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

type mysql struct{ Target }

// MySQL works with mariadb-dump and mariadb on MariaDB, and with Oracle's mysqldump
// and mysql on MySQL. One product's programs do not do for the other's server:
// mariadb-dump writes values of generated columns that MySQL does not take back, and
// Oracle's programs cannot sign in to MariaDB any more.
func MySQL(t Target) Engine {
	if t.Log == nil {
		t.Log = slog.New(slog.DiscardHandler)
	}
	return &mysql{t}
}

// mysqlServer is what there is to know of a server.
type mysqlServer struct {
	version string
	release release
	mariaDB bool
	tls     bool // the pool's session has it
}

var serverVersion = regexp.MustCompile(`^(?:5\.5\.5-)?(\d+)\.(\d+)`)

func (m *mysql) server(ctx context.Context) (s mysqlServer, err error) {
	conn, err := m.DB.Conn(ctx)
	if err != nil {
		return s, err
	}
	defer func() { _ = conn.Close() }()
	if err := dialect.QueryRow(ctx, conn, "SELECT VERSION()", nil, &s.version); err != nil {
		return s, err
	}
	v := serverVersion.FindStringSubmatch(s.version)
	if v == nil {
		return s, fmt.Errorf("the server's version %q cannot be read", s.version)
	}
	s.release.major, _ = strconv.Atoi(v[1]) // they are digits
	s.release.minor, _ = strconv.Atoi(v[2])
	s.mariaDB = strings.Contains(s.version, "MariaDB")
	var name, cipher string
	err = dialect.QueryRow(ctx, conn, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", nil, &name, &cipher)
	s.tls = cipher != ""
	return s, err
}

// tool finds one of the programs, by the names of both products.
func (m *mysql) tool(ctx context.Context, s mysqlServer, mariaDB, oracle string) (tool, error) {
	from, names := mysqlProduct, []string{oracle}
	if s.mariaDB {
		from, names = mariaDBProduct, []string{mariaDB, oracle} // the old name
	}
	found, others := from.find(ctx, m.ToolDir, s.release, names...)
	t, ok := choose(found, s.release)
	if !ok {
		return t, from.missing(s.version, names[0], m.ToolDir, s.release, found, others)
	}
	return t, nil
}

func (m *mysql) tools(ctx context.Context) (s mysqlServer, dump tool, err error) {
	if m.URL.Database == "" {
		return s, dump, errors.New("the URL names no database")
	}
	if s, err = m.server(ctx); err != nil {
		return s, dump, err
	}
	if dump, err = m.tool(ctx, s, "mariadb-dump", "mysqldump"); err != nil {
		return s, dump, err
	}
	_, err = m.tool(ctx, s, "mariadb", "mysql")
	return s, dump, err
}

func (m *mysql) Check(ctx context.Context) error {
	_, _, err := m.tools(ctx)
	return err
}

// bundles are where systems have the certificates of the authorities that they
// trust, which Oracle's programs have to be told.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem",
}

// open writes an option file, which is the only one that the programs read.
func (m *mysql) open(ctx context.Context, u dburl.URL, s mysqlServer) (_ *access, err error) {
	password, given, err := m.login(ctx)
	if err != nil {
		return nil, err
	}
	dir, remove, err := privateDir()
	if err != nil {
		return nil, err
	}
	a := &access{dir: dir, file: filepath.Join(dir, "my.cnf"), remove: remove, secrets: append(u.Secrets(), password)}
	var b strings.Builder
	b.WriteString("[client]\n")
	set := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=\"" + optionText.Replace(value) + "\"\n")
		}
	}
	e := dburl.Endpoint{}
	if len(u.Endpoints) > 0 {
		e = u.Endpoints[0]
	}
	if e.Socket != "" {
		set("socket", e.Socket)
		set("protocol", "socket")
	} else {
		set("host", cmp.Or(e.Host, "127.0.0.1"))
		set("port", strconv.Itoa(cmp.Or(e.Port, 3306)))
		set("protocol", "tcp")
	}
	set("user", u.User)
	if given {
		b.WriteString("password=\"" + optionText.Replace(password) + "\"\n")
	}
	set("default-character-set", "utf8mb4")
	set("max-allowed-packet", "1G")
	m.tlsOptions(u, s, set)
	if err := os.WriteFile(a.file, []byte(b.String()), 0o600); err != nil {
		remove()
		return nil, err
	}
	// Oracle's programs read a log-in from the home folder too, behind all else.
	a.env = environment(nil, "MYSQL_TEST_LOGIN_FILE="+filepath.Join(dir, "none"), "HOME="+dir)
	return a, nil
}

// optionText writes a value between double quotes in an option file.
var optionText = strings.NewReplacer("\\", "\\\\", "\"", "\\\"", "\n", "\\n", "\r", "\\r", "\t", "\\t", "\b", "\\b")

// tlsOptions asks for what the pool has. Where a program knows nothing that is the
// same, it is asked for more.
func (m *mysql) tlsOptions(u dburl.URL, s mysqlServer, set func(key, value string)) {
	mode := cmp.Or(u.Params["tls"], dburl.TLSOff)
	authority := u.Params["ssl_ca"]
	set("ssl-cert", u.Params["ssl_cert"])
	set("ssl-key", u.Params["ssl_key"])
	if s.mariaDB {
		on := mode != dburl.TLSOff && (mode != dburl.TLSPreferred || s.tls)
		verify := mode == dburl.TLSVerifyCA || mode == dburl.TLSVerifyIdentity
		set("ssl", strconv.Itoa(number(on)))
		set("ssl-verify-server-cert", strconv.Itoa(number(verify)))
		if verify {
			set("ssl-ca", authority)
		}
		return
	}
	verify := mode == dburl.TLSVerifyCA || mode == dburl.TLSVerifyIdentity
	if verify && authority == "" {
		for _, file := range bundles {
			if _, err := os.Stat(file); err == nil {
				authority = file
				break
			}
		}
	}
	set("ssl-mode", map[string]string{
		dburl.TLSOff: "DISABLED", dburl.TLSPreferred: "PREFERRED", dburl.TLSSkipVerify: "REQUIRED", dburl.TLSVerifyCA: "VERIFY_CA", dburl.TLSVerifyIdentity: "VERIFY_IDENTITY",
	}[mode])
	if verify {
		set("ssl-ca", authority)
	}
	if mode == dburl.TLSOff || mode == dburl.TLSPreferred {
		set("get-server-public-key", "1") // as the driver does, to hide the password
	}
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}

// options asks a program what it knows.
func options(ctx context.Context, t tool) (func(option string) bool, error) {
	var help bytes.Buffer
	if _, err := (program{path: t.path, args: []string{"--no-defaults", "--help"}, env: environment(nil), stdout: &help}).run(ctx); err != nil {
		return nil, err
	}
	text := help.String()
	return func(option string) bool {
		return regexp.MustCompile(`(?m)--`+regexp.QuoteMeta(option)+`\b`).MatchString(text) || regexp.MustCompile(`(?m)^`+regexp.QuoteMeta(option)+` `).MatchString(text)
	}, nil
}

// mysqlInventory lists what a dump makes, in the words of its statements.
const mysqlInventory = `SELECT CASE table_type WHEN 'VIEW' THEN 'view' WHEN 'SEQUENCE' THEN 'sequence' ELSE 'table' END AS kind, CONVERT(table_name USING utf8mb4) COLLATE utf8mb4_bin AS name,
		COALESCE(CONVERT(engine USING utf8mb4) COLLATE utf8mb4_bin, '') AS engine, table_type = 'SYSTEM VERSIONED' AS versioned, COALESCE(data_length, 0) AS size
	FROM information_schema.tables WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED', 'VIEW', 'SEQUENCE')
UNION ALL SELECT LOWER(CONVERT(routine_type USING utf8mb4)) COLLATE utf8mb4_bin, CONVERT(routine_name USING utf8mb4) COLLATE utf8mb4_bin, '', 0, 0 FROM information_schema.routines WHERE routine_schema = DATABASE()
UNION ALL SELECT 'trigger', CONVERT(trigger_name USING utf8mb4) COLLATE utf8mb4_bin, '', 0, 0 FROM information_schema.triggers WHERE trigger_schema = DATABASE()
UNION ALL SELECT 'event', CONVERT(event_name USING utf8mb4) COLLATE utf8mb4_bin, '', 0, 0 FROM information_schema.events WHERE event_schema = DATABASE()`

type mysqlEntry struct {
	mysqlObject
	engine    string
	versioned bool
	size      int64
}

// list reads the inventory, by kind and name.
func (m *mysql) list(ctx context.Context, conn *sql.Conn) (list []mysqlEntry, err error) {
	rows, err := conn.QueryContext(ctx, mysqlInventory)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var e mysqlEntry
		if err := rows.Scan(&e.kind, &e.name, &e.engine, &e.versioned, &e.size); err != nil {
			return nil, err
		}
		if e.kind != "table" || m.Lease == "" || e.name != m.Lease {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b mysqlEntry) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
	})
	return list, rows.Err()
}

// look asks what must be in the dump, whether the account sees all of it, where the
// log is, and how long a statement may be.
func (m *mysql) look(ctx context.Context, s mysqlServer) (list []mysqlEntry, position string, packet int64, err error) {
	conn, err := m.DB.Conn(ctx)
	if err != nil {
		return nil, "", 0, err
	}
	defer func() { _ = conn.Close() }()
	if _, err := m.Dialect.Inspect(ctx, conn, "tldwdb_history"); err != nil { // which product it is
		return nil, "", 0, err
	}
	if rights, ok := m.Dialect.(dialect.BackupRights); ok {
		missing, err := rights.MissingForBackup(ctx, conn, m.URL.Database)
		if err != nil {
			return nil, "", 0, err
		}
		if len(missing) > 0 {
			return nil, "", 0, refuse("GRANT "+strings.Join(missing, ", and ")+" (docs/roles)",
				"the dump would not be complete, and nothing would show it: the account lacks the right to see everything")
		}
	}
	if list, err = m.list(ctx, conn); err != nil {
		return nil, "", 0, err
	}
	query := "SELECT @@GLOBAL.gtid_executed, @@GLOBAL.max_allowed_packet"
	if s.mariaDB {
		query = "SELECT @@GLOBAL.gtid_current_pos, @@GLOBAL.max_allowed_packet"
	}
	var gtid sql.NullString
	if err := dialect.QueryRow(ctx, conn, query, nil, &gtid, &packet); err != nil {
		return nil, "", 0, err
	}
	return list, strings.ReplaceAll(gtid.String, "\n", ""), packet, nil
}

// large reports whether a value can be so large that it must not be written in
// hexadecimal digits: twice its size may be more than the server takes in one
// statement, and then nothing loads the dump. A binary string of the usual kind is
// hardly longer than the value.
func (m *mysql) large(ctx context.Context) (large bool, err error) {
	err = dialect.QueryRow(ctx, m.DB, `SELECT COUNT(*) > 0 FROM information_schema.columns WHERE table_schema = DATABASE() AND data_type IN
		('mediumblob', 'longblob', 'geometry', 'linestring', 'polygon', 'multipoint', 'multilinestring', 'multipolygon', 'geometrycollection', 'geomcollection')`, nil, &large)
	return large, err
}

// write runs the program, with the scanner beside w.
func (m *mysql) write(ctx context.Context, w io.Writer, o Options) (d Dumped, err error) {
	s, dump, err := m.tools(ctx)
	if err != nil {
		return d, err
	}
	knows, err := options(ctx, dump)
	if err != nil {
		return d, err
	}
	list, position, packet, err := m.look(ctx, s)
	if err != nil {
		return d, err
	}
	notes, err := m.lost(ctx, s.mariaDB)
	if err != nil {
		return d, err
	}
	a, err := m.open(ctx, m.URL, s)
	if err != nil {
		return d, err
	}
	defer a.remove()
	args := []string{
		"--defaults-file=" + a.file, "--single-transaction", "--quick", "--skip-lock-tables", "--skip-add-drop-table", "--routines", "--triggers", "--events",
		"--tz-utc", "--no-tablespaces", "--comments", "--set-charset", "--extended-insert",
	}
	if large, err := m.large(ctx); err != nil {
		return d, err
	} else if !large {
		args = append(args, "--hex-blob")
	}
	// Of these no version of the two products knows all.
	for _, o := range []struct{ name, argument string }{
		{"set-gtid-purged", "--set-gtid-purged=OFF"}, {"column-statistics", "--column-statistics=0"}, {"masking-policies", "--skip-masking-policies"},
	} {
		if knows(o.name) {
			args = append(args, o.argument)
		}
	}
	if m.Lease != "" {
		args = append(args, "--ignore-table="+m.URL.Database+"."+m.Lease)
	}
	versioned, outside := false, []string{}
	scan := newDumpScanner(o.Digests)
	to := &meteredWriter{w: w, meter: meter{tell: m.Progress}}
	for _, e := range list {
		versioned = versioned || e.versioned
		to.all += e.size
		if e.engine != "" && e.kind == "table" && !slices.Contains([]string{"innodb", "rocksdb", "tokudb"}, strings.ToLower(e.engine)) {
			outside = append(outside, e.name)
		}
	}
	if versioned {
		if !knows("dump-history") {
			return d, refuse("install mariadb-client 10.11 or newer"+withoutProgram, "%s leaves out the history of system-versioned tables", dump)
		}
		args = append(args, "--dump-history")
	}
	if len(outside) > 0 {
		m.Log.WarnContext(ctx, "tables without transactions are not of the dump's one moment if somebody writes to them meanwhile", "table", strings.Join(outside, ", "))
	}
	scan.onTable = func(name string) { to.table = name }
	content := "mysqldump"
	if s.mariaDB {
		content = "mariadb-dump"
	}
	complaints, err := program{path: dump.path, args: append(args, m.URL.Database), env: a.env, secrets: a.secrets, file: o.File, stdout: writerFunc(func(b []byte) (int, error) {
		_, _ = scan.Write(b) // it only looks
		return to.Write(b)
	})}.run(ctx)
	if err != nil {
		return d, mysqlAdvice(err)
	}
	for line := range strings.Lines(complaints) {
		if strings.Contains(line, "Error") || strings.Contains(line, "error") {
			return d, dialect.Redact(fmt.Errorf("%s ended well and complained: %s", content, strings.TrimSpace(line)), a.secrets...)
		}
	}
	if !scan.whole() {
		return d, fmt.Errorf("%s ended well, and the last line of the dump is missing", content)
	}
	d = Dumped{Content: content, Extension: "sql", Tool: dump.String(), Position: position, Notes: append(notes, longRows(scan.tables, packet)...)}
	var lacks []string
	for _, e := range list {
		if !scan.objects[e.mysqlObject] {
			lacks = append(lacks, e.kind+" "+e.name)
		}
		if e.kind != "table" {
			continue
		}
		t := Table{Name: e.name}
		found := scan.tables[e.name]
		if found == nil {
			found = &scanned{}
		}
		t.Rows = found.rows
		if o.Digests {
			t.Digest = found.digest()
		}
		d.Tables = append(d.Tables, t)
	}
	if len(lacks) > 0 {
		return d, incomplete(lacks, "somebody has changed the schema meanwhile, or the account lacks a right: docs/roles has those that it needs")
	}
	return d, nil
}

// Dump runs the program. The rows are counted in what it writes.
func (m *mysql) Dump(ctx context.Context, w io.Writer, o Options) (Dumped, error) {
	return m.write(ctx, w, o)
}

// Tables counts in one snapshot. Digests are of the text that the program writes: no
// other session sees a database as a dump has it.
func (m *mysql) Tables(ctx context.Context, digests bool) (tables []Table, err error) {
	if digests {
		d, err := m.write(ctx, io.Discard, Options{Digests: true})
		return d.Tables, err
	}
	conn, err := m.DB.Conn(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	list, err := m.list(ctx, conn)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback() }() // it has read
	for _, e := range list {
		if e.kind != "table" {
			continue
		}
		t := Table{Name: e.name}
		query := "SELECT COUNT(*) FROM " + m.Dialect.Identifier(e.name)
		if e.versioned {
			query += " FOR SYSTEM_TIME ALL"
		}
		if err := dialect.QueryRow(ctx, tx, query, nil, &t.Rows); err != nil {
			return nil, fmt.Errorf("table %s: %w", e.name, err)
		}
		tables = append(tables, t)
	}
	return tables, nil
}

// sandbox is the first line of what newer versions of mariadb-dump write. It keeps
// the client from running commands of its own, and is unknown to older clients and
// to Oracle's. --binary-mode does the same with all of them.
var sandbox = []byte(`/*M!999999\- enable the sandbox mode */`)

// client is the client program with what it needs to reach the database.
type client struct {
	Target
	program
	*access
}

func (m *mysql) client(ctx context.Context) (*client, error) {
	s, err := m.server(ctx)
	if err != nil {
		return nil, err
	}
	t, err := m.tool(ctx, s, "mariadb", "mysql")
	if err != nil {
		return nil, err
	}
	a, err := m.open(ctx, m.URL, s)
	if err != nil {
		return nil, err
	}
	args := []string{"--defaults-file=" + a.file, "--batch", "--binary-mode", "--no-auto-rehash", "--database=" + m.URL.Database}
	if s.mariaDB {
		// Comments in routines are left out otherwise. Oracle's client keeps them, and
		// with the option it trips over a trigger that was made with a semicolon.
		args = append(args, "--comments")
	}
	return &client{m.Target, program{path: t.path, args: args, env: a.env, secrets: a.secrets}, a}, nil
}

// run has the program read statements. It stops at the first error. at, which may be
// nil, finds the statement that it complains of.
func (c *client) run(ctx context.Context, r io.Reader, at func(complaints string) string) error {
	c.stdin = r
	complaints, err := c.program.run(ctx)
	if err == nil {
		return nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		err = dialect.Redact(fmt.Errorf("%s: %w: %s", baseName(c.path), exit, errorLines(complaints)), c.program.secrets...)
	}
	if at != nil {
		if head := at(complaints); head != "" {
			err = fmt.Errorf("%w (in: %s)", err, head)
		}
	}
	return c.judge(ctx, mysqlAdvice(err), outsideMySQL(complaints))
}

// Load has the client program read the stream, and then the events that were in it.
func (m *mysql) Load(ctx context.Context, r io.Reader, content string, o Options) (err error) {
	s, err := m.server(ctx)
	if err != nil {
		return err
	}
	own := "mysqldump"
	if s.mariaDB {
		own = "mariadb-dump"
	}
	if content != own {
		return refuse("load it into the server's own kind, or take a portable backup", "a dump by %s cannot be loaded into %s", content, s.version)
	}
	c, err := m.client(ctx)
	if err != nil {
		return err
	}
	defer c.remove()
	scan := newDumpScanner(false)
	scan.mend = true
	var latest statements
	scan.onStatement = latest.add
	from := &meteredReader{r: newSandboxFilter(r), meter: meter{tell: m.Progress}}
	scan.onTable = func(name string) { from.table = name }
	if err := c.run(ctx, &scannedReader{r: from, scan: scan}, latest.at); err != nil {
		return err
	}
	script := string(scan.events)
	disabled, events, err := asleep(script, scan.objects)
	if err != nil || len(events.names) == 0 {
		return err
	}
	if o.Asleep != nil {
		*o.Asleep, script = events, disabled
	}
	return c.run(ctx, strings.NewReader(script), nil)
}

// scannedReader is a dump on its way to the client.
type scannedReader struct {
	r     io.Reader
	scan  *dumpScanner
	buf   []byte
	ready []byte // of buf, to be given out
	held  []byte // of buf, which scan wants to see again
	err   error
}

func (s *scannedReader) Read(b []byte) (int, error) {
	for len(s.ready) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.fill()
	}
	n := copy(b, s.ready)
	s.ready = s.ready[n:]
	return n, nil
}

func (s *scannedReader) fill() {
	if len(s.held) == len(s.buf) {
		s.buf = append(make([]byte, 0, 2*len(s.buf)+64<<10), s.held...)
		s.buf = s.buf[:cap(s.buf)]
	}
	held := copy(s.buf, s.held)
	n, err := s.r.Read(s.buf[held:])
	n += held
	left := s.scan.scan(s.buf[:n])
	if err != nil {
		left, s.err = 0, err
		if errors.Is(err, io.EOF) && !s.scan.whole() {
			// What the client has in hand at the end it would run.
			s.err = errors.New("the dump ends before its last line")
		}
	}
	s.ready, s.held = s.buf[:n-left], s.buf[n-left:n]
}

// errorLines leaves out the statement that some clients show with an error: it may
// be long, and has rows in it.
func errorLines(complaints string) string {
	var list []string
	for line := range strings.Lines(complaints) {
		if strings.HasPrefix(line, "ERROR") {
			list = append(list, strings.TrimSpace(line))
		}
	}
	if len(list) == 0 {
		return strings.TrimSpace(complaints)
	}
	return strings.Join(list, "; ")
}

// newSandboxFilter leaves out the first line if it is that of the sandbox.
func newSandboxFilter(r io.Reader) io.Reader {
	head := make([]byte, len(sandbox))
	n, err := io.ReadFull(r, head)
	head = head[:n]
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return io.MultiReader(bytes.NewReader(head), readerFunc(func([]byte) (int, error) { return 0, err }))
	}
	if bytes.Equal(head, sandbox) {
		return r
	}
	return io.MultiReader(bytes.NewReader(head), r)
}

// statements are the beginnings of those that a client may be at.
type statements struct {
	list []struct {
		line int
		head string
	}
}

const (
	statementsKept = 512
	statementShown = 160
)

func (s *statements) add(line int, head string) {
	if len(s.list) == statementsKept {
		s.list = slices.Delete(s.list, 0, statementsKept/2)
	}
	if len(head) > statementShown {
		head = strings.ToValidUTF8(head[:statementShown], "") + "…"
	}
	s.list = append(s.list, struct {
		line int
		head string
	}{line, head})
}

var atLine = regexp.MustCompile(`at line (\d+)`)

// at finds the statement that a client complains of.
func (s *statements) at(complaints string) string {
	m := atLine.FindStringSubmatch(complaints)
	if m == nil {
		return ""
	}
	line, _ := strconv.Atoi(m[1]) // they are digits
	for _, st := range slices.Backward(s.list) {
		if st.line <= line {
			return st.head
		}
	}
	return ""
}

// mysqlAdvice adds what to do to the complaints that have a usual remedy.
func mysqlAdvice(err error) error {
	text := err.Error()
	hint := ""
	switch {
	case strings.Contains(text, "1412"):
		hint = "somebody has changed a table meanwhile: migrations wait for a backup, other programs do not"
	case strings.Contains(text, "insufficient privileges to SHOW CREATE"):
		hint = "the account may not read the text of routines: GRANT SHOW_ROUTINE ON *.* (MariaDB: SELECT ON mysql.proc); docs/roles has its rights"
	case strings.Contains(text, "command denied"), strings.Contains(text, "1044"), strings.Contains(text, "1045"):
		hint = "the account that takes backups reads everything: docs/roles has its rights"
	case strings.Contains(text, "ERROR 1153"), strings.Contains(text, "ERROR 2006"):
		hint = "a statement may be longer than the server takes: raise its max_allowed_packet above the size of the largest row"
	case strings.Contains(text, "SET_USER_ID"), strings.Contains(text, "SET_ANY_DEFINER"), strings.Contains(text, "SET USER"), strings.Contains(text, "SUPER"):
		hint = "the dump has views or routines of other accounts (DEFINER): load it by their account, or by one that may set definers"
	case strings.Contains(text, "1419"):
		hint = "with the binary log on, MySQL takes functions and triggers from administrators only: set log_bin_trust_function_creators=ON, or load by an administrator"
	}
	if _, ok := errors.AsType[*Refusal](err); ok || hint == "" {
		return err
	}
	return &Refusal{Err: err, Hint: hint}
}
