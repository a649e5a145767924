package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// pgReach are the roles that the account is or may become, with SET ROLE where it
// does not inherit: a stolen password is worth all of them. What it signed in as
// counts, not what a setting made of it.
const pgReach = `reach AS (SELECT oid, rolname, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls
	FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(session_user, oid, 'MEMBER'))`

// pgRelations are the tables and views of users. What an extension brought is the
// extension's.
const pgRelations = `relations AS (SELECT c.oid, c.relowner, c.relacl, c.relname, format('%I.%I', n.nspname, c.relname) AS name
	FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'))`

const pgSchemas = `schemas AS (SELECT oid, nspname, nspowner, nspacl FROM pg_catalog.pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')`

// pgAllowed are the server's own roles that a duty may have. A backup has none:
// pg_read_all_data reads other databases too, and the verifiers of passwords.
var pgAllowed = map[string][]string{
	DutyMonitor: {"pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"},
}

var pgOutsiders = []string{DutyApplication, DutyMonitor, DutyBackup} // whoever does not migrate

// Audit asks PostgreSQL.
func (p *postgres) Audit(ctx context.Context, c *sql.Conn, q AuditQuestion) (*AuditAnswer, error) {
	a := &audit{c: c, d: p}
	var super bool
	err := QueryRow(ctx, c, "SELECT session_user, EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolsuper AND pg_catalog.pg_has_role(session_user, oid, 'MEMBER'))", p.QueryArgs(), &a.Account, &super)
	if err != nil {
		return nil, err
	}
	checks := slices.Concat(p.auditAccount(q), p.auditDatabase(), p.auditServer())
	if super {
		// It may do everything, so that the other checks of it would find everything.
		a.find(AuditSuperuser, a.Account, "it is a superuser, or may become one: no right of this database binds it",
			"sign in as a role of docs/roles; keep {} for the administrator")
		checks = slices.Concat(p.auditDatabase(), p.auditServer())
	}
	for _, check := range checks {
		if check.duties != nil && !slices.Contains(check.duties, q.Duty) {
			continue
		}
		if err := a.run(ctx, check); err != nil {
			return nil, err
		}
	}
	return &a.AuditAnswer, p.auditSessions(ctx, a)
}

// list writes names as the inside of an IN.
func (p *postgres) list(names []string) string {
	quoted := []string{"''"}
	for _, name := range names {
		quoted = append(quoted, p.Literal(name))
	}
	return strings.Join(quoted, ", ")
}

// auditAccount are the checks of the account's own rights.
func (p *postgres) auditAccount(q AuditQuestion) []auditCheck {
	books := p.list(q.Books)
	// rights are rows of a right on a relation that the account has and an owner has
	// by nature.
	rights := func(condition, of string) string {
		return fmt.Sprintf(`WITH %s, %s SELECT DISTINCT session_user::text, w || ' on ' || t.name FROM relations t, reach r, unnest(ARRAY[%s]) w
			WHERE %s AND CASE WHEN w IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN pg_catalog.has_table_privilege(r.oid, t.oid, w) ELSE pg_catalog.has_any_column_privilege(r.oid, t.oid, w) END ORDER BY 2`,
			pgReach, pgRelations, of, condition) // a right on any column is a right
	}
	const notOwned = "NOT pg_catalog.pg_has_role(session_user, t.relowner, 'MEMBER')"
	attributes, without := "('CREATEROLE', rolcreaterole), ('CREATEDB', rolcreatedb), ('REPLICATION', rolreplication)", "ALTER ROLE {} NOCREATEROLE NOCREATEDB NOREPLICATION"
	if q.Duty != DutyBackup { // row-level security would hide rows from a dump, or end it
		attributes += ", ('BYPASSRLS', rolbypassrls)"
		without += " NOBYPASSRLS"
	}
	return []auditCheck{
		{
			id:     AuditServerRights,
			query:  `WITH ` + pgReach + ` SELECT rolname::text, w FROM reach, LATERAL (VALUES ` + attributes + `) v(w, has) WHERE has ORDER BY 1, 2`,
			detail: "it has %s", remedy: without,
		},
		{
			id:     AuditPowerfulRole,
			query:  `WITH ` + pgReach + ` SELECT session_user::text, rolname::text FROM reach WHERE rolname LIKE 'pg\_%' AND rolname NOT IN ('pg_database_owner', ` + p.list(pgAllowed[q.Duty]) + `) ORDER BY 2`,
			detail: "it is a member of %s", remedy: "REVOKE that role FROM {}",
		},
		{
			id: AuditOwner, duties: pgOutsiders,
			query: `WITH ` + pgReach + `, ` + pgRelations + `, ` + pgSchemas + ` SELECT r.rolname::text, o.what FROM reach r JOIN (
				SELECT datdba AS owner, 'database ' || datname AS what FROM pg_catalog.pg_database WHERE datname = current_database()
				UNION ALL SELECT nspowner, 'schema ' || nspname FROM schemas
				UNION ALL SELECT relowner, name FROM relations) o ON o.owner = r.oid WHERE r.rolname <> 'pg_database_owner' ORDER BY 1, 2`, // that is the database's owner again
			detail: "it owns, or may act for the owner of, %s: it can change and drop that", remedy: "give it to a role that cannot sign in (docs/security.md): REASSIGN OWNED BY {} TO that, in this database",
		},
		{
			id: AuditSchemaChange, duties: pgOutsiders,
			query: `WITH ` + pgReach + `, ` + pgSchemas + ` SELECT DISTINCT session_user::text, 'CREATE on schema ' || s.nspname FROM schemas s, reach r
				WHERE pg_catalog.has_schema_privilege(r.oid, s.oid, 'CREATE') AND NOT pg_catalog.pg_has_role(session_user, s.nspowner, 'MEMBER')
				UNION SELECT session_user::text, 'CREATE on database ' || d.datname FROM pg_catalog.pg_database d, reach r
				WHERE d.datname = current_database() AND pg_catalog.has_database_privilege(r.oid, d.oid, 'CREATE') AND NOT pg_catalog.pg_has_role(session_user, d.datdba, 'MEMBER') ORDER BY 2`,
			detail: "it has %s", remedy: "REVOKE it FROM {}, or from PUBLIC if that has it; migrate as another role (Config.MigrateURL)",
		},
		{
			id: AuditTableRights, duties: []string{DutyApplication},
			query:  rights(notOwned, "'TRUNCATE', 'REFERENCES', 'TRIGGER'"),
			detail: "it has %s, which rows do not need", remedy: "REVOKE TRUNCATE, REFERENCES, TRIGGER ON ALL TABLES IN SCHEMA public FROM {}, or from the role that it has them by",
		},
		{
			id: AuditHistoryWritable, duties: pgOutsiders,
			query:  rights("t.relname IN ("+books+")", "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'"),
			detail: "it has %s: it can make a migration run again, or never", remedy: "REVOKE INSERT, UPDATE, DELETE, TRUNCATE on it FROM {}, or from the role that it has them by",
		},
		{
			id: AuditWrites, duties: []string{DutyMonitor, DutyBackup},
			query:  rights("t.relname NOT IN ("+books+")", "'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE'"),
			detail: "it has %s", remedy: "REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public FROM {}, or from the role that it has them by",
		},
		{
			id: AuditReadsRows, duties: []string{DutyMonitor},
			query:  rights("t.relname NOT IN ("+books+")", "'SELECT'"),
			detail: "it has %s", remedy: "REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM {}, or from the role that it has it by",
		},
		{
			id: AuditGrantOption,
			query: `WITH ` + pgReach + `, ` + pgRelations + `, ` + pgSchemas + `, acls AS (
				SELECT relowner AS owner, name AS what, relacl AS acl FROM relations
				UNION ALL SELECT nspowner, 'schema ' || nspname, nspacl FROM schemas
				UNION ALL SELECT datdba, 'database ' || datname, datacl FROM pg_catalog.pg_database WHERE datname = current_database())
				SELECT r.rolname::text, e.privilege_type || ' on ' || what FROM acls, pg_catalog.aclexplode(acl) e, reach r WHERE e.is_grantable AND e.grantee = r.oid AND e.grantee <> owner
				UNION SELECT r.rolname::text, 'membership in ' || g.rolname FROM pg_catalog.pg_auth_members m JOIN reach r ON r.oid = m.member JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.admin_option ORDER BY 1, 2`,
			detail: "it may hand on %s", remedy: "REVOKE GRANT OPTION FOR it (for a membership ADMIN OPTION FOR it) FROM {}",
		},
	}
}

// auditDatabase are the checks of what everybody may do in this database.
func (p *postgres) auditDatabase() []auditCheck {
	return []auditCheck{
		{
			id: AuditPublicCreate,
			query: `WITH ` + pgSchemas + ` SELECT 'PUBLIC', nspname::text FROM schemas, pg_catalog.aclexplode(coalesce(nspacl, pg_catalog.acldefault('n', nspowner))) e
				WHERE e.grantee = 0 AND e.privilege_type = 'CREATE' ORDER BY 2`,
			detail: "every role of the server may create objects in schema %s", remedy: "REVOKE CREATE ON SCHEMA public FROM PUBLIC, and so for the others",
		},
		{
			id: AuditPublicConnect,
			query: `SELECT 'PUBLIC', e.privilege_type FROM pg_catalog.pg_database d, pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) e
				WHERE d.datname = current_database() AND e.grantee = 0 ORDER BY 2`,
			detail: "every role of the server has %s on this database", remedy: "REVOKE ALL ON DATABASE … FROM PUBLIC, and GRANT CONNECT to those who need it",
		},
		{
			id: AuditPublicTables,
			query: `WITH ` + pgRelations + ` SELECT 'PUBLIC', e.privilege_type || ' on ' || name FROM relations, pg_catalog.aclexplode(relacl) e WHERE e.grantee = 0
				UNION SELECT 'PUBLIC', e.privilege_type || ' on ' || t.name || '.' || c.attname FROM relations t JOIN pg_catalog.pg_attribute c ON c.attrelid = t.oid, pg_catalog.aclexplode(c.attacl) e WHERE e.grantee = 0 ORDER BY 2`,
			detail: "every role of the server that gets in has %s", remedy: "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM PUBLIC",
		},
		{
			id: AuditDefinerFunction,
			query: `SELECT o.rolname::text, p.oid::pg_catalog.regprocedure::text FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace JOIN pg_catalog.pg_roles o ON o.oid = p.proowner
				WHERE p.prosecdef AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
				AND NOT EXISTS (SELECT FROM unnest(p.proconfig) s WHERE s LIKE 'search\_path=%')
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e') ORDER BY 1, 2`,
			detail: "%s runs with the rights of this role and with the caller's search_path: a caller can put objects of his own under its names",
			remedy: "ALTER FUNCTION … SET search_path = pg_catalog, the function's schema, pg_temp",
		},
	}
}

// auditServer are the checks of the server as a whole.
func (p *postgres) auditServer() []auditCheck {
	const local = "'127.0.0.1', '::1', 'localhost', 'samehost'"
	const line = "'line ' || line_number || ': ' || concat_ws(' ', type, array_to_string(database, ','), array_to_string(user_name, ','), address, netmask, auth_method)"
	return []auditCheck{
		{
			id:     AuditWeakVerifier,
			query:  "SELECT 'password_encryption', setting FROM pg_catalog.pg_settings WHERE name = 'password_encryption' AND setting <> 'scram-sha-256'",
			detail: "new passwords are kept as %s, which can be used to sign in without the password", remedy: "set password_encryption = 'scram-sha-256', and then the passwords again",
		},
		{
			id:     AuditWeakVerifier,
			query:  "SELECT rolname::text, '' FROM pg_catalog.pg_authid WHERE rolcanlogin AND rolpassword LIKE 'md5%' ORDER BY 1",
			detail: "its password is kept as md5, which can be used to sign in without the password", remedy: "set the password of {} again, with password_encryption = 'scram-sha-256'",
		},
		{
			id:     AuditTrustLogin,
			query:  "SELECT 'pg_hba.conf', " + line + " FROM pg_catalog.pg_hba_file_rules WHERE auth_method = 'trust' ORDER BY line_number",
			detail: "sessions are let in without a password: %s", remedy: "write scram-sha-256 instead of trust, and reload",
		},
		{
			id: AuditPlainLogin,
			query: "SELECT 'pg_hba.conf', " + line + " FROM pg_catalog.pg_hba_file_rules WHERE type IN ('host', 'hostnossl') AND auth_method <> 'reject' AND coalesce(address, '') NOT IN (" + local +
				") ORDER BY line_number",
			detail: "sessions from other machines are let in without TLS: %s", remedy: "write hostssl instead of host, and reload",
		},
	}
}

// auditSessions looks for sessions of other machines without TLS. Whose address
// the server does not show is not counted as local.
func (p *postgres) auditSessions(ctx context.Context, a *audit) error {
	subjects, items, err := a.pairs(ctx, `SELECT coalesce(a.usename::text, ''), coalesce(host(a.client_addr), '') FROM pg_catalog.pg_stat_ssl s JOIN pg_catalog.pg_stat_activity a USING (pid)
		WHERE NOT s.ssl AND a.client_addr IS NOT NULL ORDER BY 1, 2`)
	if err != nil {
		return a.unknown(ctx, AuditPlainSession, err)
	}
	a.plainSessions(subjects, items, "set sslmode=verify-full in the URL of {}, and hostssl in pg_hba.conf")
	var all bool
	err = QueryRow(ctx, a.c, "SELECT pg_catalog.pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')", p.QueryArgs(), &all)
	if err != nil {
		return a.unknown(ctx, AuditPlainSession, err)
	}
	if !all {
		a.gap(AuditPlainSession, "of the other accounts' sessions: this account may not look")
	}
	return nil
}
