package dialect

import (
	"context"
	"database/sql"
	"fmt"
	"net"
	"slices"
	"strings"
)

// What an account is for, in [AuditQuestion].
const (
	DutyMigrator    = "migrator"
	DutyApplication = "application"
	DutyMonitor     = "monitor"
	DutyBackup      = "backup"
)

// AuditQuestion is what an audit has to know beside the connection.
type AuditQuestion struct {
	Duty  string   // one of the Duty constants
	Books []string // the unqualified names of the history table, and of the lease's beside it
}

// AuditAnswer is what an audit found.
type AuditAnswer struct {
	Account  string // as the server knows it; the file of a SQLite database
	Findings []AuditFinding
	Gaps     []AuditGap
}

// AuditFinding is something that an account could do beyond its duty, or that a
// server lets others do. Its texts name accounts and tables, and never a secret.
type AuditFinding struct{ ID, Subject, Detail, Remedy string }

// AuditGap is a check that could not be made, so that nothing is known.
type AuditGap struct{ ID, Reason string }

// Auditor is the part of [Dialect] that looks at rights.
type Auditor interface {
	// Audit looks, and changes nothing. A check that the account may not make, or
	// that the server has no answer to, is a gap; any other failure is the error.
	Audit(ctx context.Context, c *sql.Conn, q AuditQuestion) (*AuditAnswer, error)
}

// The checks, by what they find. The package above says how much each weighs.
const (
	AuditSuperuser       = "superuser"
	AuditServerRights    = "server-rights"
	AuditPowerfulRole    = "powerful-role"
	AuditOwner           = "owner"
	AuditSchemaChange    = "schema-change"
	AuditTableRights     = "table-rights"
	AuditHistoryWritable = "history-writable"
	AuditWrites          = "writes"
	AuditReadsRows       = "reads-rows"
	AuditGrantOption     = "grant-option"
	AuditOtherDatabases  = "other-databases"
	AuditAnyHost         = "any-host"
	AuditPublicCreate    = "public-create"
	AuditPublicConnect   = "public-connect"
	AuditPublicTables    = "public-tables"
	AuditDefinerFunction = "definer-function"
	AuditNoPassword      = "no-password"
	AuditAnonymous       = "anonymous-account"
	AuditWeakVerifier    = "weak-verifier"
	AuditTrustLogin      = "trust-login"
	AuditPlainLogin      = "plain-login"
	AuditPlainSession    = "plain-session"
	AuditLocalInfile     = "local-infile"
	AuditFilePriv        = "secure-file-priv"
	AuditFileReadable    = "file-readable"
	AuditFileWritable    = "file-writable"
	AuditFolderWritable  = "folder-writable"
	AuditFileOwner       = "file-owner"
	AuditTrustedSchema   = "trusted-schema"
)

// auditCheck is a check that one query makes. Its rows are a subject and an item
// each; the items of a subject become one finding.
type auditCheck struct {
	id     string
	duties []string // whom it is for; nil: everybody
	query  string
	detail string // with %s for the items
	remedy string // with {} for the subject
}

// audit collects what the checks find.
type audit struct {
	AuditAnswer
	c *sql.Conn
	d Dialect
}

// itemsShown is how many tables, roles and so on a finding names.
const itemsShown = 5

func itemList(items []string) string {
	if len(items) <= itemsShown {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:itemsShown], ", "), len(items)-itemsShown)
}

func (a *audit) find(id, subject, detail, remedy string) {
	a.Findings = append(a.Findings, AuditFinding{ID: id, Subject: subject, Detail: detail, Remedy: strings.ReplaceAll(remedy, "{}", subject)})
}

func (a *audit) gap(id, reason string) {
	a.Gaps = append(a.Gaps, AuditGap{ID: id, Reason: reason})
}

// run makes one check.
func (a *audit) run(ctx context.Context, k auditCheck) error {
	subjects, items, err := a.pairs(ctx, k.query)
	if err != nil {
		return a.unknown(ctx, k.id, err)
	}
	for _, subject := range subjects {
		detail := k.detail
		if strings.Contains(detail, "%s") {
			detail = fmt.Sprintf(detail, itemList(items[subject]))
		}
		a.find(k.id, subject, detail, k.remedy)
	}
	return nil
}

// pairs reads subjects, in their order, and the items of each.
func (a *audit) pairs(ctx context.Context, query string) (subjects []string, items map[string][]string, err error) {
	rows, err := a.c.QueryContext(ctx, query, a.d.QueryArgs()...)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if closeErr := rows.Close(); err == nil {
			err = closeErr
		}
	}()
	items = map[string][]string{}
	for rows.Next() {
		var subject, item string
		if err := rows.Scan(&subject, &item); err != nil {
			return nil, nil, err
		}
		if _, known := items[subject]; !known {
			subjects = append(subjects, subject)
		}
		if !slices.Contains(items[subject], item) {
			items[subject] = append(items[subject], item)
		}
	}
	return subjects, items, rows.Err()
}

// unknown makes a gap of an answer that is a refusal.
func (a *audit) unknown(ctx context.Context, id string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	switch {
	case Refused(err):
		a.gap(id, "this account may not look")
	case slices.Contains([]string{"42P01", "42703", "42883", "42704", "0A000"}, pgCode(err)), // no such table, column, function, object, feature
		slices.Contains([]uint16{1054, 1064, 1109, 1146, 1193, 1305}, mysqlNumber(err)):
		a.gap(id, "this server does not have what is asked")
	default:
		return fmt.Errorf("audit, %s: %w", id, err)
	}
	return nil
}

// plainSessions finds, of the peers of sessions without TLS, those on other machines.
func (a *audit) plainSessions(accounts []string, peers map[string][]string, remedy string) {
	for _, account := range accounts {
		if remote := slices.DeleteFunc(slices.Clone(peers[account]), isLocal); len(remote) > 0 {
			a.find(AuditPlainSession, account, "it is signed in without TLS from "+itemList(remote), remedy)
		}
	}
}

// isLocal reports whether a peer is on the server's own machine. An empty host is
// a Unix socket.
func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "" || host == "localhost" || ip != nil && ip.IsLoopback()
}
