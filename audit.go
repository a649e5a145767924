package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dialect"
)

// Duty is what a database account is for. docs/roles has the rights that each
// needs.
type Duty string

// The duties.
const (
	DutyMigrator    Duty = dialect.DutyMigrator    // applies migrations
	DutyApplication Duty = dialect.DutyApplication // reads and writes rows
	DutyMonitor     Duty = dialect.DutyMonitor     // asks how the database is, and reads no rows
	DutyBackup      Duty = dialect.DutyBackup      // reads everything, and writes nothing
)

// Duties are all of them.
func Duties() []Duty { return []Duty{DutyMigrator, DutyApplication, DutyMonitor, DutyBackup} }

// Severity says how much a finding of an audit weighs.
type Severity string

// The severities.
const (
	SeverityLow    Severity = "low"    // a habit that keeps the next mistake small
	SeverityMedium Severity = "medium" // more than the duty needs: a stolen password is worth more than it has to be
	SeverityHigh   Severity = "high"   // somebody gets in, or may do everything
)

// Severities are all of them, the least first.
func Severities() []Severity { return []Severity{SeverityLow, SeverityMedium, SeverityHigh} }

// AtLeast reports whether s weighs as much as other, or more.
func (s Severity) AtLeast(other Severity) bool {
	return slices.Index(Severities(), s) >= slices.Index(Severities(), other)
}

// Scope says whose matter a finding is.
type Scope string

// The scopes.
const (
	ScopeAccount  Scope = "account"  // the rights of the account that the audit was made with
	ScopeDatabase Scope = "database" // what others may do in this database; the file of a SQLite database
	ScopeServer   Scope = "server"   // settings and accounts of the whole server
)

// AuditOptions say what an audit compares with.
type AuditOptions struct {
	// As is the account's duty. With [DutyMigrator] the account of
	// Config.MigrateURL is looked at, with [DutyMonitor] that of Config.MonitorURL,
	// where that is set; otherwise it is the pool's.
	// Default: [DutyApplication].
	As Duty
}

// AuditReport is what [DB.Audit] found.
type AuditReport struct {
	Account    string         `json:"account"` // that was looked at, as the server knows it; the file of a SQLite database
	As         Duty           `json:"as"`
	Findings   []AuditFinding `json:"findings"`    // the heaviest first
	NotChecked []AuditGap     `json:"not_checked"` // of these nothing is known: no finding does not mean that it is fine
}

// AuditFinding is a right, an account or a setting that should not be. docs/security.md
// has every ID. The texts are for operators: they name accounts, tables and files,
// and no secret.
type AuditFinding struct {
	ID       string   `json:"id"` // stable, such as schema-change
	Severity Severity `json:"severity"`
	Scope    Scope    `json:"scope"`
	Subject  string   `json:"subject"` // the account, role, setting or file that it is about
	Detail   string   `json:"detail"`
	Remedy   string   `json:"remedy"`
}

// AuditGap is a check that could not be made.
type AuditGap struct {
	ID     string `json:"id"` // of the findings that it would have made
	Reason string `json:"reason"`
}

// auditKind is how much the findings of one ID weigh, and whose matter they are.
type auditKind struct {
	severity Severity
	scope    Scope
}

// auditKinds has every ID.
func auditKinds() map[string]auditKind {
	return map[string]auditKind{
		dialect.AuditSuperuser:       {SeverityHigh, ScopeAccount},
		dialect.AuditServerRights:    {SeverityHigh, ScopeAccount},
		dialect.AuditPowerfulRole:    {SeverityHigh, ScopeAccount},
		dialect.AuditOwner:           {SeverityMedium, ScopeAccount},
		dialect.AuditSchemaChange:    {SeverityMedium, ScopeAccount},
		dialect.AuditTableRights:     {SeverityMedium, ScopeAccount},
		dialect.AuditHistoryWritable: {SeverityMedium, ScopeAccount},
		dialect.AuditWrites:          {SeverityMedium, ScopeAccount},
		dialect.AuditReadsRows:       {SeverityMedium, ScopeAccount},
		dialect.AuditGrantOption:     {SeverityMedium, ScopeAccount},
		dialect.AuditOtherDatabases:  {SeverityMedium, ScopeAccount},
		dialect.AuditPublicCreate:    {SeverityMedium, ScopeDatabase},
		dialect.AuditPublicConnect:   {SeverityLow, ScopeDatabase},
		dialect.AuditPublicTables:    {SeverityMedium, ScopeDatabase},
		dialect.AuditDefinerFunction: {SeverityMedium, ScopeDatabase},
		dialect.AuditFileReadable:    {SeverityMedium, ScopeDatabase},
		dialect.AuditFileWritable:    {SeverityHigh, ScopeDatabase},
		dialect.AuditFolderWritable:  {SeverityHigh, ScopeDatabase},
		dialect.AuditFileOwner:       {SeverityMedium, ScopeDatabase},
		dialect.AuditTrustedSchema:   {SeverityLow, ScopeDatabase},
		dialect.AuditNoPassword:      {SeverityHigh, ScopeServer},
		dialect.AuditAnonymous:       {SeverityHigh, ScopeServer},
		dialect.AuditTrustLogin:      {SeverityHigh, ScopeServer},
		dialect.AuditPlainSession:    {SeverityHigh, ScopeServer},
		dialect.AuditPlainLogin:      {SeverityMedium, ScopeServer},
		dialect.AuditWeakVerifier:    {SeverityMedium, ScopeServer},
		dialect.AuditAnyHost:         {SeverityLow, ScopeServer},
		dialect.AuditLocalInfile:     {SeverityLow, ScopeServer},
		dialect.AuditFilePriv:        {SeverityLow, ScopeServer},
	}
}

// Audit lists what the connected account could do beyond its duty, and what the
// database and the server let others do. It reads the server's catalogue and changes
// nothing. A check that the account may not make is listed as not checked: for a
// whole picture, make a second audit as an administrator.
//
// It returns an error when opts.As is no duty, and when the database cannot be asked.
func (db *DB) Audit(ctx context.Context, opts AuditOptions) (_ *AuditReport, err error) {
	if opts.As == "" {
		opts.As = DutyApplication
	}
	if !slices.Contains(Duties(), opts.As) {
		return nil, fmt.Errorf("%q is no duty: known are migrator, application, monitor and backup", opts.As)
	}
	conn, done, err := db.auditConnection(ctx, opts.As)
	if err != nil {
		return nil, ended(ctx, err)
	}
	defer func() { err = errors.Join(err, done()) }()
	answer, err := db.dialect.Audit(ctx, conn.Conn, dialect.AuditQuestion{Duty: string(opts.As), Books: []string{db.cfg.Table, db.leaseTable()}})
	if err != nil {
		return nil, ended(ctx, err)
	}
	return reportOf(opts.As, answer), nil
}

// auditConnection is one of the account that has the duty.
func (db *DB) auditConnection(ctx context.Context, as Duty) (conn *sqlx.Conn, done func() error, err error) {
	var side *sqlx.DB
	switch {
	case as == DutyMigrator && db.migrateURL.Dialect != "":
		side, err = db.openSide(ctx)
	case as == DutyMonitor && db.cfg.monitorURL.Dialect != "":
		side, err = db.openMonitor(ctx)
	default:
		if conn, err = db.Acquire(ctx); err != nil {
			return nil, nil, err
		}
		return conn, conn.Close, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("connecting as the %s: %w", as, err)
	}
	if conn, err = side.Connx(ctx); err != nil {
		return nil, nil, errors.Join(err, side.Close())
	}
	return conn, func() error { return errors.Join(conn.Close(), side.Close()) }, nil
}

// reportOf weighs what the engine found. Two checks may find one thing.
func reportOf(as Duty, answer *dialect.AuditAnswer) *AuditReport {
	report := &AuditReport{Account: answer.Account, As: as, Findings: []AuditFinding{}, NotChecked: []AuditGap{}}
	kinds := auditKinds()
	for _, f := range answer.Findings {
		if slices.ContainsFunc(report.Findings, func(g AuditFinding) bool { return g.ID == f.ID && g.Subject == f.Subject }) {
			continue
		}
		kind := kinds[f.ID]
		report.Findings = append(report.Findings, AuditFinding{ID: f.ID, Severity: kind.severity, Scope: kind.scope, Subject: f.Subject, Detail: f.Detail, Remedy: f.Remedy})
	}
	slices.SortStableFunc(report.Findings, func(a, b AuditFinding) int {
		if a.Severity != b.Severity {
			return slices.Index(Severities(), b.Severity) - slices.Index(Severities(), a.Severity)
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, g := range answer.Gaps {
		report.NotChecked = append(report.NotChecked, AuditGap(g))
	}
	return report
}
