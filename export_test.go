package tldwdb

import (
	"context"
	"database/sql"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// PretendSharedLock makes the database's lock one that is granted to everybody,
// as a pooler in transaction mode makes it.
func PretendSharedLock(db *DB) { db.dialect = sharedLockDialect{db.dialect} }

// UntilBeat is how long the next sign of life has time.
var UntilBeat = untilBeat

type sharedLockDialect struct{ dialect.Dialect }

func (d sharedLockDialect) Lock(f dialect.Facts, table string) dialect.Lock {
	return sharedLock{d.Dialect.Lock(f, table)}
}

type sharedLock struct{ dialect.Lock }

func (sharedLock) Excludes(context.Context, *sql.Conn) (bool, error) { return false, nil }

// PretendDeafProof makes the second connection of the proof one that gets no
// answer.
func PretendDeafProof(db *DB) { db.dialect = deafProofDialect{db.dialect} }

type deafProofDialect struct{ dialect.Dialect }

func (d deafProofDialect) Lock(f dialect.Facts, table string) dialect.Lock {
	return deafProof{d.Dialect.Lock(f, table)}
}

type deafProof struct{ dialect.Lock }

func (deafProof) Excludes(ctx context.Context, _ *sql.Conn) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}

// AuditWeights says of each finding of an audit how much it weighs, and whose
// matter it is.
func AuditWeights() map[string]string {
	weights := map[string]string{}
	for id, kind := range auditKinds() {
		weights[id] = string(kind.severity) + " " + string(kind.scope)
	}
	return weights
}

// CertificatesUntil is what the health check is told about certificates.
func CertificatesUntil(db *DB) (server, client time.Time) {
	return db.certificates.Server(), db.certificates.Client()
}

// SaysTheSame reports whether two callers who do not wait share an answer.
func SaysTheSame(ctx context.Context, db *DB) bool {
	first := db.prober.stale(ctx)
	return first == db.prober.stale(ctx)
}

// UnderMigrationLock runs fn while db has the migration lock, as a backup does.
// session is the number that the server knows the lock's session by.
func UnderMigrationLock(ctx context.Context, db *DB, fn func(ctx context.Context, session int64) error) error {
	return db.underMigrationLock(ctx, "test", func(ctx context.Context, r *run) error {
		var session int64
		number := map[string]string{dialect.NameSQLite: "0", dialect.NamePostgres: "pg_backend_pid()", dialect.NameMySQL: "CONNECTION_ID()"}[db.dialectName]
		if err := dialect.QueryRow(ctx, r.conn, "SELECT "+number, nil, &session); err != nil {
			return err
		}
		return r.elsewhere(ctx, func(ctx context.Context) error { return fn(ctx, session) })
	})
}

// RewriteManifest writes the manifest of a backup in a folder anew, as if it had said
// something else from the beginning.
func RewriteManifest(ctx context.Context, b Backup, dir string, edit func(*Backup)) error {
	edit(&b)
	return writeManifest(ctx, DirStore(dir), &b)
}

// MayLose reports whether a migration of such statements may lose rows.
func MayLose(dialectName, text string) (bool, error) {
	d, err := dialect.Offline(dialectName)
	if err != nil {
		return false, err
	}
	statements, err := sqlscan.Split(text, d.ScanOptions())
	if err != nil {
		return false, err
	}
	j := &job{step: step{direction: DirectionUp}, statements: statements}
	for _, st := range statements {
		j.classes = append(j.classes, d.Class(st))
	}
	return j.mayLose(d), nil
}

// NextBackup is when a schedule's backup behind the newest one is due.
func NextBackup(s BackupSchedule, newest, now time.Time) (time.Time, error) {
	t, err := s.times()
	return t.next(newest, now), err
}

// CanBackUp reports why no backup can be made here, such as a program that is missing.
func CanBackUp(ctx context.Context, db *DB) error {
	_, err := db.planBackup(ctx, BackupOptions{})
	return err
}
