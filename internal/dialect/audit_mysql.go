package dialect

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// mysqlGrant is a line of SHOW GRANTS.
type mysqlGrant struct {
	rights   []string // in upper case, without the columns that they may be limited to
	database string   // a pattern where object is empty; empty for the whole server
	object   string   // a table or routine; empty for all of a database
	routine  bool     // object is a routine
	role     string   // a role that is granted, as it is written; then the others are empty
	option   bool     // WITH GRANT OPTION, or WITH ADMIN OPTION
}

// what names the object of the grant.
func (g mysqlGrant) what() string {
	switch {
	case g.database == "":
		return "*.*"
	case g.object == "":
		return g.database + ".*"
	}
	return g.database + "." + g.object
}

// readGrant reads a line of SHOW GRANTS. ok is false for one that gives nothing: a
// partial revoke, and MariaDB's SET DEFAULT ROLE.
func readGrant(line string, o sqlscan.Options) (g mysqlGrant, ok bool) {
	tokens := slices.Collect(sqlscan.Tokens(line, o))
	if len(tokens) == 0 || !tokens[0].Is("GRANT") {
		return g, false
	}
	var words []string
	depth, on, to := 0, -1, len(tokens)
	for i, t := range tokens[1:] {
		switch {
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case depth > 0:
		case t.Kind == sqlscan.Word && t.Is("ON") && on < 0:
			on = i + 1
		case t.Kind == sqlscan.Word && t.Is("TO"):
			to = min(to, i+1)
		case on >= 0 || to < len(tokens):
		case t.Text == ",":
			g.rights, words = append(g.rights, strings.Join(words, " ")), nil
		default:
			words = append(words, strings.ToUpper(t.Text))
		}
	}
	g.rights = append(g.rights, strings.Join(words, " "))
	for i := to; i+2 < len(tokens); i++ {
		g.option = g.option || tokens[i].Is("WITH") && (tokens[i+1].Is("GRANT") || tokens[i+1].Is("ADMIN")) && tokens[i+2].Is("OPTION")
	}
	if on < 0 {
		var role strings.Builder
		for _, t := range tokens[1:to] {
			role.WriteString(t.Text)
		}
		return mysqlGrant{role: role.String(), option: g.option}, true
	}
	target := tokens[on+1 : to]
	if len(target) > 0 && target[0].Kind == sqlscan.Word && !target[0].Is("*") && len(target) > 1 && target[1].Text != "." {
		g.routine = !target[0].Is("TABLE")
		target = target[1:]
	}
	if len(target) == 3 && target[0].Text != "*" {
		g.database = target[0].Name(sqlscan.MySQL)
		if target[2].Text != "*" {
			g.object = target[2].Name(sqlscan.MySQL)
		}
	}
	return g, true
}

// The rights that change the schema, and those that write rows. A right of a whole
// server or database that is in neither list, nor reads, is an administrator's.
var (
	mysqlSchemaRights = []string{"CREATE", "ALTER", "DROP", "INDEX", "REFERENCES", "TRIGGER", "CREATE VIEW", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT"}
	mysqlWriteRights  = []string{"INSERT", "UPDATE", "DELETE", "DELETE HISTORY"}
	mysqlHarmless     = []string{"USAGE", "EXECUTE", "SHOW VIEW", "SHOW DATABASES", "CREATE TEMPORARY TABLES", "LOCK TABLES", "SHOW CREATE ROUTINE"}
)

const allRights = "ALL PRIVILEGES"

// has lists what the grant has of some rights.
func (g mysqlGrant) has(of ...string) (list []string) {
	if slices.Contains(g.rights, allRights) {
		return of
	}
	for _, right := range of {
		if slices.Contains(g.rights, right) {
			list = append(list, right)
		}
	}
	return list
}

// mysqlAllowed are the rights that a duty has on the server, on other databases,
// and to the schema of this one.
var mysqlAllowed = map[string]struct{ server, elsewhere, schema []string }{
	DutyMonitor: {
		server:    []string{"PROCESS", "REPLICATION CLIENT", "BINLOG MONITOR", "SLAVE MONITOR", "REPLICA MONITOR"},
		elsewhere: []string{"performance_schema", "sys"},
	},
	DutyBackup: {
		// A dump with tablespaces wants PROCESS, one with the binary log's position RELOAD.
		server:    []string{"PROCESS", "RELOAD", "FLUSH_TABLES", "REPLICATION CLIENT", "BINLOG MONITOR", "SHOW_ROUTINE"},
		elsewhere: []string{"mysql.proc"},
		schema:    []string{"TRIGGER", "EVENT"}, // to see them, and there is no lesser right
	},
}

// likeDatabase matches a name with the pattern of a grant. beyond says that other
// names match too: an underscore that was not escaped is hardly ever meant, and is
// not counted.
func likeDatabase(pattern, name string) (matches, beyond bool) {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		case c == '%':
			beyond = true
			b.WriteString(".*")
		case c == '_':
			b.WriteString(".")
		default:
			b.WriteString(regexp.QuoteMeta(pattern[i : i+1]))
		}
	}
	expression, err := regexp.Compile(`(?is)^` + b.String() + `$`)
	return err == nil && expression.MatchString(name), beyond
}

// Audit asks MySQL or MariaDB.
func (d *mysqlDialect) Audit(ctx context.Context, c *sql.Conn, q AuditQuestion) (*AuditAnswer, error) {
	a := &audit{c: c, d: d}
	facts, err := d.Inspect(ctx, c, "")
	if err != nil {
		return nil, err
	}
	var client string
	if err := QueryRow(ctx, c, "SELECT CURRENT_USER(), USER()", nil, &a.Account, &client); err != nil {
		return nil, err
	}
	grants, err := d.grants(ctx, a)
	if err != nil {
		return nil, err
	}
	d.auditGrants(a, grants, facts.Database, q)
	if err := d.auditOwnLogin(ctx, a); err != nil {
		return nil, err
	}
	for _, check := range d.auditServer() {
		if err := a.run(ctx, check); err != nil {
			return nil, err
		}
	}
	return &a.AuditAnswer, d.auditSessions(ctx, a, client)
}

// grants reads the account's rights, and those of every role that it may take on.
func (d *mysqlDialect) grants(ctx context.Context, a *audit) ([]mysqlGrant, error) {
	grants, err := d.showGrants(ctx, a, "")
	if err != nil {
		return nil, err
	}
	var roles []string
	for _, g := range grants {
		if g.role != "" && !slices.Contains(roles, g.role) {
			roles = append(roles, g.role)
		}
	}
	switch {
	case len(roles) == 0:
		return grants, nil
	case !d.mariaDB.Load():
		return d.showGrants(ctx, a, " FOR CURRENT_USER() USING "+strings.Join(roles, ", "))
	}
	return d.grantsOfRoles(ctx, a, grants, roles)
}

// showGrants reads what SHOW GRANTS says.
func (d *mysqlDialect) showGrants(ctx context.Context, a *audit, of string) (grants []mysqlGrant, err error) {
	lines, err := queryTexts(ctx, a.c, "SHOW GRANTS"+of, nil)
	for _, line := range lines {
		if g, ok := readGrant(line, d.ScanOptions()); ok {
			grants = append(grants, g)
		}
	}
	return grants, err
}

// grantsOfRoles takes on one role after the other, which is the only way in which
// MariaDB shows the rights of a role to somebody else than an administrator, and
// goes back to the one that was active.
func (d *mysqlDialect) grantsOfRoles(ctx context.Context, a *audit, grants []mysqlGrant, roles []string) (_ []mysqlGrant, err error) {
	var before sql.NullString
	if err := QueryRow(ctx, a.c, "SELECT CURRENT_ROLE()", nil, &before); err != nil {
		return nil, err
	}
	back := "NONE"
	if before.Valid {
		back = backtick(before.String)
	}
	defer func() {
		if _, backErr := a.c.ExecContext(ctx, "SET ROLE "+back); backErr != nil {
			// Nobody else may get the connection as it is.
			err = errors.Join(err, backErr, a.c.Raw(func(any) error { return driver.ErrBadConn }))
		}
	}()
	const notGranted = 1959 // to the account itself: the role that has it shows what it gives
	for _, role := range roles {
		if _, err := a.c.ExecContext(ctx, "SET ROLE "+role); mysqlNumber(err) == notGranted {
			continue
		} else if err != nil {
			return nil, err
		}
		more, err := d.showGrants(ctx, a, "")
		if err != nil {
			return nil, err
		}
		grants = append(grants, more...)
	}
	return grants, nil
}

// auditGrants judges the account's rights.
func (d *mysqlDialect) auditGrants(a *audit, grants []mysqlGrant, database string, q AuditQuestion) {
	const revoke = "REVOKE it FROM {} (docs/roles has the rights that its duty needs)"
	found := map[string][]string{}
	add := func(id string, rights []string, what string) {
		for _, right := range rights {
			if item := right + " on " + what; !slices.Contains(found[id], item) {
				found[id] = append(found[id], item)
			}
		}
	}
	allowed, outsider := mysqlAllowed[q.Duty], q.Duty != DutyMigrator
	for _, g := range grants {
		if g.option {
			what := g.what()
			if g.role != "" {
				what = "the role " + g.role
			}
			add(AuditGrantOption, []string{"GRANT OPTION"}, what)
		}
		if g.role != "" {
			continue
		}
		changes := g.has(mysqlSchemaRights...)
		writes := g.has(mysqlWriteRights...)
		reads := g.has("SELECT")
		if g.database == "" {
			if len(g.has("SUPER")) > 0 {
				a.find(AuditSuperuser, a.Account, "it may do everything on the server: no right of this database binds it", "sign in as an account of docs/roles; keep {} for the administrator")
				return // it may do all that the other checks look for
			}
			add(AuditOtherDatabases, slices.Concat(reads, writes, changes), g.what())
			for _, right := range g.rights {
				if !slices.Contains(slices.Concat(mysqlSchemaRights, mysqlWriteRights, mysqlHarmless, allowed.server), right) && right != "SELECT" {
					add(AuditServerRights, []string{right}, g.what())
				}
			}
		}
		ours, beyond := likeDatabase(g.database, database)
		if g.object != "" {
			ours, beyond = strings.EqualFold(g.database, database), false
		}
		if g.database == "" {
			ours, beyond = true, false
		}
		if (!ours || beyond) && !g.routine && !slices.Contains(allowed.elsewhere, g.database) && !slices.Contains(allowed.elsewhere, g.what()) {
			add(AuditOtherDatabases, slices.Concat(reads, writes, changes), g.what())
		}
		if !ours || g.routine || !outsider {
			continue
		}
		changes = slices.DeleteFunc(slices.Clone(changes), func(right string) bool { return slices.Contains(allowed.schema, right) })
		add(AuditSchemaChange, changes, g.what())
		book := slices.Contains(q.Books, g.object)
		if book || g.object == "" {
			add(AuditHistoryWritable, slices.Concat(writes, g.has("DROP", "ALTER")), g.what())
		}
		if !book && q.Duty != DutyApplication {
			add(AuditWrites, writes, g.what())
		}
		if !book && q.Duty == DutyMonitor {
			add(AuditReadsRows, reads, g.what())
		}
	}
	for _, kind := range []struct{ id, detail string }{
		{AuditServerRights, "it has "}, {AuditOtherDatabases, "it has rights beyond this database: "}, {AuditSchemaChange, "it has "},
		{AuditHistoryWritable, "it can make a migration run again, or never: it has "}, {AuditWrites, "it has "}, {AuditReadsRows, "it has "}, {AuditGrantOption, "it may hand on what it has: "},
	} {
		if items := found[kind.id]; len(items) > 0 {
			a.find(kind.id, a.Account, kind.detail+itemList(items), revoke)
		}
	}
}

// noTLS is what SHOW CREATE USER says of an account that need not use TLS; MariaDB
// says nothing then.
var noTLS = regexp.MustCompile(`\sREQUIRE (SSL|X509|ISSUER|SUBJECT|CIPHER)\b`)

// auditOwnLogin looks at how the account signs in, which it may see of itself.
func (d *mysqlDialect) auditOwnLogin(ctx context.Context, a *audit) error {
	i := strings.LastIndex(a.Account, "@")
	user, host := a.Account[:max(i, 0)], a.Account[i+1:]
	if user == "" {
		a.find(AuditAnonymous, a.Account, "the account has no name: whoever gives any name gets it", "DROP USER ''@"+d.Literal(host))
	}
	if host == "%" {
		a.find(AuditAnyHost, a.Account, "it may sign in from any address", "RENAME USER to the network that its service is in, such as '10.%'")
	}
	if isLocal(host) {
		return nil
	}
	// The text has the password's hash in it, and goes no further.
	text, err := queryTexts(ctx, a.c, "SHOW CREATE USER CURRENT_USER()", nil)
	if err != nil {
		return a.unknown(ctx, AuditPlainLogin, err)
	}
	if len(text) == 1 && !noTLS.MatchString(text[0]) {
		a.find(AuditPlainLogin, a.Account, "it may sign in from another machine without TLS", "ALTER USER {} REQUIRE SSL")
	}
	return nil
}

// auditServer are the checks of the server as a whole. The accounts of MariaDB are
// in a table of JSON, and in a view that lacks half of it.
func (d *mysqlDialect) auditServer() []auditCheck {
	const local = "'localhost', '127.0.0.1', '::1'"
	const account = "CONCAT(user, '@', host), ''"
	open, table, weak := "account_locked = 'N'", "mysql.user", "'mysql_native_password', 'mysql_old_password'"
	empty, plugin := "authentication_string = '' AND plugin IN ('mysql_native_password', 'caching_sha2_password', 'sha256_password', 'mysql_old_password')", "plugin"
	plain, folder := "ssl_type = ''", "@@secure_file_priv"
	if d.mariaDB.Load() {
		table, weak, plugin = "mysql.global_priv", "'mysql_old_password'", "JSON_VALUE(priv, '$.plugin')"
		open = "COALESCE(JSON_VALUE(priv, '$.is_role'), 0) = 0 AND COALESCE(JSON_VALUE(priv, '$.account_locked'), 0) = 0"
		empty = "COALESCE(JSON_VALUE(priv, '$.authentication_string'), '') = '' AND COALESCE(" + plugin + ", '') IN ('', 'mysql_native_password', 'mysql_old_password')"
		folder = "COALESCE(@@secure_file_priv, '')" // NULL is no limit there, and no folder at all on MySQL
		plain = "COALESCE(JSON_VALUE(priv, '$.ssl_type'), 0) = 0"
	}
	from := " FROM " + table + " WHERE " + open + " AND "
	return []auditCheck{
		{
			id: AuditNoPassword, query: "SELECT " + account + from + empty + " ORDER BY 1",
			detail: "it signs in without a password", remedy: "ALTER USER {} IDENTIFIED BY a password, or ACCOUNT LOCK",
		},
		{
			id: AuditAnonymous, query: "SELECT " + account + from + "user = '' ORDER BY 1",
			detail: "the account has no name: whoever gives any name gets it", remedy: "DROP USER ''@ that host",
		},
		{
			id: AuditWeakVerifier, query: "SELECT " + account + from + plugin + " IN (" + weak + ") ORDER BY 1",
			detail: "its password is kept as an unsalted hash", remedy: "ALTER USER {} IDENTIFIED WITH caching_sha2_password (MariaDB: VIA ed25519)",
		},
		{
			id: AuditAnyHost, query: "SELECT " + account + from + "host = '%' ORDER BY 1",
			detail: "it may sign in from any address", remedy: "RENAME USER to the network that its service is in, such as '10.%'",
		},
		{
			id: AuditPlainLogin, query: "SELECT " + account + from + plain + " AND host NOT IN (" + local + ") AND NOT @@require_secure_transport ORDER BY 1",
			detail: "it may sign in from another machine without TLS", remedy: "ALTER USER {} REQUIRE SSL, or require_secure_transport=ON for all",
		},
		{
			id: AuditLocalInfile, query: "SELECT 'local_infile', '' FROM (SELECT 1) one WHERE @@local_infile",
			detail: "a client that allows it can be made to send its own files: whoever may answer for the server reads them", remedy: "local_infile=OFF",
		},
		{
			id: AuditFilePriv, query: "SELECT 'secure_file_priv', '' FROM (SELECT 1) one WHERE " + folder + " = ''",
			detail: "accounts with FILE read and write in every folder of the server", remedy: "secure_file_priv = a folder for that alone",
		},
	}
}

// auditSessions looks for sessions of other machines without TLS.
func (d *mysqlDialect) auditSessions(ctx context.Context, a *audit, client string) error {
	const remedy = "set tls=true in the URL of {}, and REQUIRE SSL for the account"
	var name, cipher string
	if err := QueryRow(ctx, a.c, "SHOW SESSION STATUS LIKE 'Ssl_cipher'", nil, &name, &cipher); err != nil {
		return a.unknown(ctx, AuditPlainSession, err)
	}
	if cipher == "" {
		a.plainSessions([]string{a.Account}, map[string][]string{a.Account: {client[strings.LastIndex(client, "@")+1:]}}, remedy)
	}
	var watched bool
	if err := QueryRow(ctx, a.c, "SELECT @@performance_schema", nil, &watched); err != nil {
		return a.unknown(ctx, AuditPlainSession, err)
	}
	if d.mariaDB.Load() || !watched {
		a.gap(AuditPlainSession, "of the other accounts' sessions: this server does not show it")
		return nil
	}
	subjects, items, err := a.pairs(ctx, "SELECT COALESCE(processlist_user, ''), COALESCE(processlist_host, '') FROM performance_schema.threads WHERE type = 'FOREGROUND' AND connection_type = 'TCP/IP' ORDER BY 1, 2")
	if err != nil {
		return a.unknown(ctx, AuditPlainSession, err)
	}
	a.plainSessions(subjects, items, remedy)
	return nil
}
