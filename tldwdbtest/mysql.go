package tldwdbtest

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	driverpkg "github.com/go-sql-driver/mysql"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// mysql copies databases of MySQL and MariaDB, which cannot do that themselves: by a
// script of what the template has (SHOW CREATE of each object, INSERT … SELECT for
// its rows) that is read once, kept in the template, and sent in one packet. Fifty
// migrations become one CREATE TABLE for each table, and no journal.
//
// A copy is compared with the template when that is made, by all that the catalogue
// says and a checksum of each table. Where it is not the same, the migrations run
// for each test: slow, and right.
type mysql struct {
	database string // of the server's URL; may be empty
	urlOf    func(name string) (string, error)
	newName  func() string // for a database of this process
	sessions string        // the table of the server's sessions
}

// start finds out which of the two lists of sessions to ask: MySQL's older one fails with
// error 3854 while anybody runs a statement with an emoji or bytes in it, and MariaDB has only that.
func (m *mysql) start(ctx context.Context, c *sql.Conn) error {
	return dialect.QueryRow(ctx, c, "SELECT IF(VERSION() LIKE '%MariaDB%', 'information_schema.processlist', 'performance_schema.processlist')", nil, &m.sessions)
}

const (
	// scriptTable is in every template, and in no copy: the script, in rows. Its
	// comment says when the template was used.
	scriptTable = "tldwdbtest_template"
	// keptTable is in every database that was kept. Its comment says when and for whom.
	keptTable = "tldwdbtest_kept"
)

// script is what a template has, as statements that make it again.
type script struct {
	Before []string // what tables need
	Tables []table
	After  []string // what needs tables, or would change rows
	// Triggers says that there are some among After.
	Triggers bool

	// Copy is what a copy says of itself: MySQL writes the same table in other words
	// when it was made by its own words.
	Copy *script

	text   string   // all of it, for one packet; empty: the migrations have to run
	hashes []string // checksums of the tables' rows; nil: not asked yet
}

// table is one table, with the rows that it has in the template.
type table struct {
	Name   string
	Create string
	Insert string // empty: there are no rows
	Sum    string // of the rows that there are; empty like Insert
}

func (*mysql) lock(ctx context.Context, c *sql.Conn, name string) (bool, error) {
	var got sql.NullInt64
	err := dialect.QueryRow(ctx, c, "SELECT GET_LOCK("+literal(name)+", 0)", nil, &got)
	return got.Int64 == 1, err
}

func (*mysql) unlock(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, "DO RELEASE_LOCK("+literal(name)+")")
	return err
}

func (*mysql) stay(ctx context.Context, c *sql.Conn) error {
	_, err := c.ExecContext(ctx, "SET SESSION wait_timeout = 604800")
	return err
}

func (*mysql) limit(ctx context.Context, c *sql.Conn) (n int, err error) {
	return n, dialect.QueryRow(ctx, c, "SELECT IF(@@max_user_connections > 0, LEAST(@@max_user_connections, @@max_connections), @@max_connections)", nil, &n)
}

func (m *mysql) found(ctx context.Context, c *sql.Conn, prefix string) ([]foundDatabase, error) {
	rows, err := texts(ctx, c, "SELECT s.schema_name, COALESCE(MAX(t.table_name), ''), COALESCE(MAX(t.table_comment), '') FROM information_schema.schemata s"+
		" LEFT JOIN information_schema.tables t ON t.table_schema = s.schema_name AND t.table_name IN ("+literal(scriptTable)+", "+literal(keptTable)+")"+
		" WHERE LEFT(s.schema_name, "+strconv.Itoa(len([]rune(prefix)))+") = "+literal(prefix)+" GROUP BY s.schema_name")
	if err != nil {
		return nil, err
	}
	var list []foundDatabase
	for _, row := range rows {
		d := foundDatabase{name: row[0], kept: row[1] == keptTable}
		at, _, _ := strings.Cut(row[2], " ")
		seconds, err := strconv.ParseInt(at, 10, 64)
		if err == nil {
			d.used = time.Since(time.Unix(seconds, 0))
		}
		d.half = err != nil || row[1] != scriptTable
		list = append(list, d)
	}
	return list, nil
}

// drop ends what is still connected, if that is in the way.
func (m *mysql) drop(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, "SET lock_wait_timeout = 5; DROP DATABASE IF EXISTS "+backticked(name))
	if number(err) != 1205 {
		return err
	}
	ids, err := texts(ctx, c, "SELECT id FROM "+m.sessions+" WHERE db = "+literal(name)+" AND id <> CONNECTION_ID()")
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := c.ExecContext(ctx, "KILL "+id[0]); err != nil && number(err) != 1094 { // 1094: it has just gone
			return err
		}
	}
	_, err = c.ExecContext(ctx, "DROP DATABASE IF EXISTS "+backticked(name))
	return err
}

func (m *mysql) has(ctx context.Context, c *sql.Conn, name string) (bool, error) {
	rows, err := texts(ctx, c, "SELECT table_comment FROM information_schema.tables WHERE table_schema = "+literal(name)+" AND table_name = "+literal(scriptTable))
	if err != nil || len(rows) == 0 {
		return false, err
	}
	used, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return false, nil // half of one
	}
	if time.Since(time.Unix(used, 0)) > programAge/4 {
		err = m.use(ctx, c, name)
	}
	return err == nil, err
}

// use notes that the template is used, or that it is whole.
func (*mysql) use(ctx context.Context, c *sql.Conn, name string) error {
	_, err := c.ExecContext(ctx, fmt.Sprintf("ALTER TABLE %s.%s COMMENT = '%d'", backticked(name), scriptTable, time.Now().Unix()))
	return err
}

func (m *mysql) make(ctx context.Context, c *sql.Conn, name string) error {
	var charset, collation string
	err := dialect.QueryRow(ctx, c, "SELECT COALESCE(MAX(default_character_set_name), @@character_set_server), COALESCE(MAX(default_collation_name), @@collation_server)"+
		" FROM information_schema.schemata WHERE schema_name = "+literal(m.database), nil, &charset, &collation)
	if err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("CREATE DATABASE %s CHARACTER SET %s COLLATE %s", backticked(name), charset, collation))
	return err
}

func (m *mysql) seal(ctx context.Context, c *sql.Conn, name string) error {
	s, err := m.read(ctx, c, name)
	if err != nil {
		return err
	}
	s.join(name)
	if s.Copy, err = m.proved(ctx, c, s, name); err != nil {
		return err
	}
	if s.Copy == nil {
		s = &script{}
	}
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("CREATE TABLE %s.%s (n INT PRIMARY KEY, text LONGTEXT NOT NULL) CHARACTER SET utf8mb4", backticked(name), scriptTable)); err != nil {
		return err
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s.%s VALUES (1, ?)", backticked(name), scriptTable), text); err != nil {
		return err
	}
	return m.use(ctx, c, name)
}

// proved makes a copy, compares it and returns what it says of itself; nil if it is
// not the same.
func (m *mysql) proved(ctx context.Context, c *sql.Conn, s *script, name string) (found *script, err error) {
	if s.text == "" { // a server refuses an empty statement, and there is nothing to copy
		return nil, nil
	}
	copied := m.newName()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), housekeeping)
		defer cancel()
		err = errors.Join(err, m.drop(ctx, c, copied))
	}()
	if err := m.run(ctx, c, s, name, copied); err != nil {
		if number(err) != 0 {
			return nil, nil // the server has said that it is not to be done in this way
		}
		return nil, err
	}
	var kinds [2]catalog.Catalog
	for i, of := range []string{name, copied} {
		if _, err := c.ExecContext(ctx, "USE "+backticked(of)); err != nil {
			return nil, err
		}
		d, err := dialect.New(dialect.NameMySQL, true)
		if err != nil {
			return nil, err
		}
		if _, err := d.Inspect(ctx, c, ""); err != nil {
			return nil, err
		}
		if kinds[i], err = catalog.Read(ctx, d, c, catalog.Options{}); err != nil {
			return nil, err
		}
		for k := range kinds[i] {
			kinds[i][k].Text = strings.ReplaceAll(kinds[i][k].Text, backticked(of)+".", "") // as in tables
		}
	}
	if _, err := c.ExecContext(ctx, strings.TrimPrefix(elsewhere, "; ")); err != nil {
		return nil, err
	}
	if len(catalog.Compare(kinds[0], kinds[1])) > 0 {
		return nil, nil
	}
	rows, err := m.checksums(ctx, c, s, copied)
	if err != nil {
		return nil, err
	}
	want, err := m.checksums(ctx, c, s, name)
	if err != nil || !slices.Equal(rows, want) {
		return nil, err
	}
	return m.read(ctx, c, copied)
}

// run makes a database of a script.
func (m *mysql) run(ctx context.Context, c *sql.Conn, s *script, from, name string) error {
	rows, err := texts(ctx, c, "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name = "+literal(from))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return errNoTemplate
	}
	text := fmt.Sprintf("CREATE DATABASE %s CHARACTER SET %s COLLATE %s;\nUSE %[1]s;\n", backticked(name), rows[0][0], rows[0][1]) + s.text + elsewhere
	_, err = c.ExecContext(ctx, text)
	if n := number(err); (n == 1146 || n == 1049) && strings.Contains(err.Error(), "'"+from) {
		err = fmt.Errorf("%w: %w", errNoTemplate, err) // it was dropped meanwhile
	}
	return ended(c, err)
}

// ended gives up a session whose script has failed: it is somewhere in the middle.
func ended(c *sql.Conn, err error) error {
	if err != nil {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // it always fails, as asked for
	}
	return err
}

func (m *mysql) clone(ctx context.Context, c *sql.Conn, t *template, from, name string) error {
	s, err := m.script(ctx, c, t, from)
	if err != nil {
		return err
	}
	if s.text == "" {
		if err := m.make(ctx, c, name); err != nil {
			return err
		}
		url, err := m.urlOf(name)
		if err != nil {
			return err
		}
		return t.fillIn(ctx, url)
	}
	return m.run(ctx, c, s, from, name)
}

// script reads the template's, once.
func (m *mysql) script(ctx context.Context, c *sql.Conn, t *template, from string) (*script, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s, ok := t.note.(*script); ok {
		return s, nil
	}
	rows, err := texts(ctx, c, fmt.Sprintf("SELECT text FROM %s.%s WHERE n = 1", backticked(from), scriptTable))
	if n := number(err); n == 1146 || n == 1049 || n == 1044 || err == nil && len(rows) == 0 {
		return nil, errNoTemplate
	}
	if err != nil {
		return nil, err
	}
	s := &script{}
	if err := json.Unmarshal([]byte(rows[0][0]), s); err != nil {
		return nil, err
	}
	s.join(from)
	t.note = s
	return s, nil
}

func (*mysql) keep(ctx context.Context, c *sql.Conn, name, test string) error {
	_, err := c.ExecContext(ctx, fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s.%s (test VARCHAR(200)) COMMENT %s", backticked(name), keptTable, literal(fmt.Sprintf("%d kept for %s", time.Now().Unix(), test))))
	return err
}

func (*mysql) noRight(err error) bool { n := number(err); return n == 1044 || n == 1227 }

func (*mysql) grant(user, prefix string) string {
	pattern := strings.NewReplacer(`_`, `\_`, `%`, `\%`, "`", "``").Replace(prefix)
	return "GRANT ALL ON `" + pattern + "%`.* TO " + literal(user)
}

func (*mysql) tool(u dburl.URL) string {
	return "mysql " + address(u, "-h", "-P", "-u") + " -p " + u.Database
}

// number is the server's number of an error; 0 for an error of another kind.
func number(err error) uint16 {
	if my, ok := errors.AsType[*driverpkg.MySQLError](err); ok {
		return my.Number
	}
	return 0
}

func backticked(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }

// texts reads rows as text; NULL is empty.
func texts(ctx context.Context, c *sql.Conn, query string, args ...any) (list [][]string, err error) {
	rows, err := c.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for more := true; more; more = rows.NextResultSet() {
		columns, err := rows.Columns()
		if err != nil {
			return nil, err
		}
		for rows.Next() {
			row := make([]sql.NullString, len(columns))
			dest := make([]any, len(columns))
			for i := range row {
				dest[i] = &row[i]
			}
			if err := rows.Scan(dest...); err != nil {
				return nil, err
			}
			line := make([]string, len(row))
			for i := range row {
				line[i] = row[i].String
			}
			list = append(list, line)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	return list, rows.Err()
}

// checksums has one for the rows of each table. CHECKSUM TABLE does not see where a value
// ends and the next one begins: ('ab', 'c') has that of ('a', 'bc'). It tells whether there
// are rows; those of the template are summed up by their values as well.
func (m *mysql) checksums(ctx context.Context, c *sql.Conn, s *script, of string) ([]string, error) {
	if len(s.Tables) == 0 {
		return nil, nil
	}
	var names, filled []string
	for _, t := range s.Tables {
		name := backticked(of) + "." + backticked(t.Name)
		names = append(names, name)
		if t.Sum != "" {
			filled = append(filled, "SELECT "+t.Sum+" FROM "+name)
		}
	}
	rows, err := texts(ctx, c, "CHECKSUM TABLE "+strings.Join(names, ", "))
	if err != nil {
		return nil, err
	}
	if len(rows) != len(names) {
		return nil, fmt.Errorf("CHECKSUM TABLE gave %d answers for %d tables", len(rows), len(names))
	}
	sums := make([]string, len(rows))
	for i, row := range rows {
		sums[i] = row[1]
	}
	if len(filled) == 0 {
		return sums, nil
	}
	if rows, err = texts(ctx, c, strings.Join(filled, "; ")); err != nil {
		return nil, err
	}
	if len(rows) != len(filled) {
		return nil, fmt.Errorf("the rows of %d tables gave %d sums", len(filled), len(rows))
	}
	for i, t := range s.Tables {
		if t.Sum != "" {
			sums[i] += " " + rows[0][0]
			rows = rows[1:]
		}
	}
	return sums, nil
}

// read makes the script. Its order: what tables need, tables, their rows, and then
// what would change rows, or what needs tables.
func (m *mysql) read(ctx context.Context, c *sql.Conn, from string) (*script, error) {
	if _, err := c.ExecContext(ctx, "SET sql_mode = ''; SET NAMES utf8mb4; USE "+backticked(from)); err != nil {
		return nil, err
	}
	tables, err := texts(ctx, c, "SELECT table_name, table_type FROM information_schema.tables WHERE table_schema = "+literal(from)+" ORDER BY 1")
	if err != nil {
		return nil, err
	}
	r := &scriptReader{c: c, from: from}
	s := &script{}
	for _, t := range tables {
		if t[1] == "SEQUENCE" {
			r.sequence(ctx, t[0])
		}
	}
	s.Before = r.take()
	var views []view
	var names []string
	for _, t := range tables {
		switch {
		case t[0] == scriptTable:
		case t[1] == "BASE TABLE" || t[1] == "SYSTEM VERSIONED":
			names = append(names, t[0])
		case t[1] == "VIEW":
			views = append(views, r.view(ctx, t[0]))
		}
	}
	s.Tables = r.tables(ctx, names)
	r.routines(ctx)
	for _, v := range inOrder(views) {
		r.settings("", v.charset, v.collation)
		r.add(v.text)
	}
	before := len(r.statements)
	r.code(ctx, "TRIGGER", "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = "+literal(from)+" ORDER BY event_object_table, action_order, 1", 1, 2, 3, 4)
	s.Triggers = len(r.statements) > before
	r.code(ctx, "EVENT", "SELECT event_name FROM information_schema.events WHERE event_schema = "+literal(from)+" ORDER BY 1", 1, 3, 4, 5)
	s.After = r.take()
	if r.err == nil {
		_, r.err = c.ExecContext(ctx, strings.TrimPrefix(elsewhere, "; "))
	}
	return s, r.err
}

// join makes one text of it. It leaves the session as a pool gives it.
func (s *script) join(from string) {
	if len(s.Tables) == 0 {
		return // there is a history at least, or the template could not be copied
	}
	list := append([]string{"SET foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"}, s.Before...)
	for _, t := range s.Tables {
		list = append(list, t.Create)
	}
	list = append(list, "START TRANSACTION") // one commit for all rows
	for _, t := range s.Tables {
		if t.Insert != "" {
			list = append(list, t.Insert+" FROM "+backticked(from)+"."+backticked(t.Name))
		}
	}
	list = append(append(list, "COMMIT"), s.After...)
	s.text = strings.Join(append(list, sessionDefaults), ";\n")
}

// elsewhere takes a session out of a database, where it would be taken for a test's.
const elsewhere = "; USE information_schema"

const sessionDefaults = "SET foreign_key_checks = DEFAULT, unique_checks = DEFAULT, sql_mode = DEFAULT; SET NAMES utf8mb4"

// scriptReader collects statements until the first error.
type scriptReader struct {
	c          *sql.Conn
	from       string
	statements []string
	last       string // settings that were added last
	err        error
}

func (r *scriptReader) add(statement string) { r.statements = append(r.statements, statement) }

// take returns what was added since the last call.
func (r *scriptReader) take() []string {
	list := r.statements
	r.statements, r.last = nil, ""
	return list
}

// ask reads rows; none after an error.
func (r *scriptReader) ask(ctx context.Context, query string) [][]string {
	if r.err != nil {
		return nil
	}
	rows, err := texts(ctx, r.c, query)
	r.err = err
	return rows
}

// show reads the one row that SHOW CREATE gives.
func (r *scriptReader) show(ctx context.Context, kind, name string, columns int) []string {
	rows := r.ask(ctx, "SHOW CREATE "+kind+" "+backticked(name))
	if r.err == nil && (len(rows) != 1 || len(rows[0]) < columns) {
		r.err = fmt.Errorf("SHOW CREATE %s %s gave no answer", kind, name)
	}
	if r.err != nil {
		return make([]string, columns)
	}
	return rows[0]
}

func (r *scriptReader) sequence(ctx context.Context, name string) {
	r.add(r.show(ctx, "SEQUENCE", name, 2)[1])
	for _, row := range r.ask(ctx, "SELECT next_not_cached_value FROM "+backticked(name)) {
		r.add(fmt.Sprintf("DO SETVAL(%s, %s, 0)", backticked(name), row[0]))
	}
}

// tables reads all tables in one round trip each: their texts, which of them have rows, and which
// columns do not make themselves.
func (r *scriptReader) tables(ctx context.Context, names []string) []table {
	if len(names) == 0 {
		return nil
	}
	var shows, filled []string
	for _, name := range names {
		shows = append(shows, "SHOW CREATE TABLE "+backticked(name))
		filled = append(filled, "SELECT "+literal(name)+" FROM DUAL WHERE EXISTS (SELECT 1 FROM "+backticked(name)+")")
	}
	texts := r.ask(ctx, strings.Join(shows, "; "))
	if r.err == nil && len(texts) != len(names) {
		r.err = fmt.Errorf("SHOW CREATE TABLE gave %d answers for %d tables", len(texts), len(names))
	}
	columns := map[string][]string{}
	for _, row := range r.ask(ctx, "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = "+literal(r.from)+
		" AND COALESCE(generation_expression, '') = '' ORDER BY table_name, ordinal_position") {
		columns[row[0]] = append(columns[row[0]], backticked(row[1]))
	}
	inserts, sums := map[string]string{}, map[string]string{}
	for _, row := range r.ask(ctx, strings.Join(filled, "; ")) {
		list := strings.Join(columns[row[0]], ", ")
		inserts[row[0]] = fmt.Sprintf("INSERT INTO %s (%s) SELECT %s", backticked(row[0]), list, list)
		// QUOTE says of each value where it ends, and NULL by a word without quotes.
		sums[row[0]] = "SUM(CRC32(CONCAT_WS(',', QUOTE(" + strings.Join(columns[row[0]], "), QUOTE(") + "))))"
	}
	if r.err != nil {
		return nil
	}
	list := make([]table, len(names))
	for i, name := range names {
		// MariaDB names the database of a sequence in a default.
		list[i] = table{name, strings.ReplaceAll(texts[i][1], backticked(r.from)+".", ""), inserts[name], sums[name]}
	}
	return list
}

// settings are those under which an object's text was written, and means what it
// means.
func (r *scriptReader) settings(mode, charset, collation string) {
	text := fmt.Sprintf("SET sql_mode = %s, character_set_client = %s, collation_connection = %s", literal(mode), literal(charset), literal(collation))
	if text != r.last {
		r.add(text)
	}
	r.last = text
}

// code adds what has a body: the columns of its SHOW CREATE are where the mode, the
// text, the character set and the collation stand.
func (r *scriptReader) code(ctx context.Context, kind, names string, mode, text, charset, collation int) {
	for _, row := range r.ask(ctx, names) {
		shown := r.show(ctx, kind, row[0], collation+1)
		if r.err == nil && shown[text] == "" {
			r.err = fmt.Errorf("the account may not see the text of %s %s", kind, row[0])
		}
		r.settings(shown[mode], shown[charset], shown[collation])
		r.add(shown[text])
	}
}

// routines come in the order in which they can be made: a package before its body.
func (r *scriptReader) routines(ctx context.Context) {
	for _, kind := range []string{"FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY"} {
		r.code(ctx, kind, "SELECT routine_name FROM information_schema.routines WHERE routine_schema = "+literal(r.from)+" AND routine_type = "+literal(kind)+" ORDER BY 1", 1, 2, 3, 4)
	}
}

// view is a view as the server writes it: every name in it stands in backticks.
type view struct{ name, text, charset, collation string }

func (r *scriptReader) view(ctx context.Context, name string) view {
	shown := r.show(ctx, "VIEW", name, 4)
	return view{name, shown[1], shown[2], shown[3]}
}

// inOrder puts views behind those that they name. A name may mean a column: then the
// order is stricter than need be, and a circle that is none is cut somewhere.
func inOrder(views []view) []view {
	var list []view
	done := map[string]bool{}
	var put func(v view)
	put = func(v view) {
		if done[v.name] {
			return
		}
		done[v.name] = true
		for _, other := range views {
			if other.name != v.name && strings.Contains(v.text, backticked(other.name)) {
				put(other)
			}
		}
		list = append(list, v)
	}
	for _, v := range views {
		put(v)
	}
	return list
}

// restore puts back what differs, and makes the database anew where it is more than
// rows.
func (m *mysql) restore(ctx context.Context, c *sql.Conn, db *tldwdb.DB, t *template, from, name string) error {
	return renew(db, func() error {
		same, err := m.reset(ctx, c, t, from, name)
		if err != nil || same {
			return err
		}
		if err := m.drop(ctx, c, name); err != nil {
			return err
		}
		return m.clone(ctx, c, t, from, name)
	})
}

// recycle waits a moment for connections that have just been closed.
func (m *mysql) recycle(ctx context.Context, c *sql.Conn, t *template, from, name string) (bool, error) {
	for end := time.Now().Add(200 * time.Millisecond); ; {
		rows, err := texts(ctx, c, "SELECT id FROM "+m.sessions+" WHERE db = "+literal(name))
		if err != nil {
			return false, err
		}
		if len(rows) == 0 {
			return m.reset(ctx, c, t, from, name)
		}
		if time.Now().After(end) {
			return false, nil
		}
		if err := pause(ctx); err != nil {
			return false, err
		}
	}
}

// takeOver leaves alone what somebody is connected to: a process may have lost the session
// with its locks, and not have noticed.
func (m *mysql) takeOver(ctx context.Context, c *sql.Conn, t *template, from, name string) (clean, free bool, err error) {
	rows, err := texts(ctx, c, "SELECT (SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = "+literal(name)+")"+
		", (SELECT COUNT(*) FROM "+m.sessions+" WHERE db = "+literal(name)+")"+
		", (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = "+literal(name)+" AND table_name = "+literal(keptTable)+")")
	switch {
	case err != nil:
		return false, false, err
	case rows[0][0] == "0":
		return false, true, nil
	case rows[0][1] != "0" || rows[0][2] != "0":
		return false, false, nil
	}
	clean, err = m.reset(ctx, c, t, from, name)
	if clean || errors.Is(err, errNoTemplate) || ctx.Err() != nil {
		return clean, true, err
	}
	// What keeps it from being cleaned, half of a table for instance, does not stand in the way of another.
	return false, true, m.drop(ctx, c, name)
}

// counter is where a table's AUTO_INCREMENT stands.
var counter = regexp.MustCompile(` AUTO_INCREMENT=(\d+)`)

// reset puts back the rows and counters that differ from the template's. It reports
// false, and has changed nothing, where more than rows differ, or where it cannot be done.
func (m *mysql) reset(ctx context.Context, c *sql.Conn, t *template, from, name string) (bool, error) {
	s, err := m.script(ctx, c, t, from)
	if err != nil || s.text == "" {
		return false, err
	}
	is, err := m.read(ctx, c, name)
	if err != nil {
		return false, ended(c, err)
	}
	if len(is.Tables) != len(s.Tables) || !slices.Equal(is.Before, s.Copy.Before) || !slices.Equal(is.After, s.Copy.After) {
		return false, nil
	}
	for i, t := range s.Tables {
		now, was := is.Tables[i], s.Copy.Tables[i]
		if now.Name != t.Name || counter.ReplaceAllString(now.Create, "") != counter.ReplaceAllString(was.Create, "") {
			return false, nil
		}
	}
	defaults, err := texts(ctx, c, "SELECT DISTINCT default_character_set_name, default_collation_name FROM information_schema.schemata WHERE schema_name IN ("+literal(from)+", "+literal(name)+")")
	if err != nil || len(defaults) != 1 {
		return false, err
	}
	want, err := m.templateSums(ctx, c, t, s, from)
	if err != nil {
		return false, err
	}
	sums, err := m.checksums(ctx, c, s, name)
	if err != nil {
		return false, err
	}
	list := []string{"USE " + backticked(name), "SET lock_wait_timeout = 5, foreign_key_checks = 0, unique_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"}
	for i, t := range s.Tables {
		now, was := is.Tables[i], s.Copy.Tables[i]
		if sums[i] == want[i] && now.Create == was.Create {
			continue
		}
		if t.Insert != "" && s.Triggers {
			return false, nil // one would see the rows come again
		}
		list = append(list, "TRUNCATE TABLE "+backticked(t.Name))
		if t.Insert != "" {
			list = append(list, t.Insert+" FROM "+backticked(from)+"."+backticked(t.Name))
		}
		if at := counter.FindStringSubmatch(was.Create); at != nil {
			list = append(list, "ALTER TABLE "+backticked(t.Name)+" AUTO_INCREMENT = "+at[1])
		}
	}
	if len(list) > 2 {
		_, err = c.ExecContext(ctx, strings.Join(append(list, sessionDefaults), ";\n")+elsewhere)
	}
	return err == nil, ended(c, err)
}

// templateSums asks for the template's checksums, once.
func (m *mysql) templateSums(ctx context.Context, c *sql.Conn, t *template, s *script, from string) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s.hashes == nil {
		sums, err := m.checksums(ctx, c, s, from)
		if err != nil {
			return nil, err
		}
		s.hashes = sums
	}
	return s.hashes, nil
}
