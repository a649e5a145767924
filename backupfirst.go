package tldwdb

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/sqlscan"
)

// This file makes the backup before a migration.

// BackupWhen says before which migrations a backup is made.
type BackupWhen string

const (
	// BackupNever makes none.
	BackupNever BackupWhen = "never"
	// BackupDestructive makes one before what may lose rows: taking a migration back, a
	// migration written in Go, and every statement that is not known to be harmless.
	// Harmless are CREATE without OR REPLACE, but of an event or a rule, ALTER TABLE that only adds, INSERT that
	// replaces nothing, COMMENT, GRANT, and what sets the session.
	BackupDestructive BackupWhen = "destructive"
	// BackupAlways makes one before each run that has something to do.
	BackupAlways BackupWhen = "always"
)

// backupFirst makes the backup that Config.BackupBeforeMigrate asks for, once in a
// run.
func (r *run) backupFirst(ctx context.Context, hist *history, jobs []*job) error {
	when := r.cfg.BackupBeforeMigrate
	if when == BackupNever || r.result.Backup != "" {
		return nil
	}
	if when == BackupDestructive && !slices.ContainsFunc(jobs, func(j *job) bool { return j.mayLose(r.d) }) {
		return nil
	}
	if hist.done() == 0 {
		objects, err := catalog.Read(ctx, r.d, r.conn.Conn, r.db.comparing(Verification{}))
		if err != nil {
			return err
		}
		if objects.Empty() {
			return nil
		}
	}
	r.log.LogAttrs(ctx, slog.LevelInfo, "backing up before migrating", slog.String("when", string(when)))
	p, err := r.db.planBackup(ctx, BackupOptions{Reason: ReasonMigration})
	var b Backup
	if err == nil {
		b, err = r.backup(ctx, p)
	}
	if err != nil {
		return hinted(fmt.Errorf("the backup before the migration: %w", err), "nothing was migrated; to migrate without a backup, set Config.BackupBeforeMigrate (TLDWDB_BACKUP_BEFORE_MIGRATE) to never")
	}
	r.result.Backup = b.Name
	return nil
}

// mayLose reports whether rows may be gone behind the job. What is not known to be
// harmless is taken for harmful.
func (j *job) mayLose(d dialect.Dialect) bool {
	if j.direction == DirectionDown || j.code != nil {
		return true
	}
	for k, st := range j.statements {
		if j.classes[k] != dialect.ClassSession && j.classes[k] != dialect.ClassTransaction && !harmless(st, d.ScanOptions()) {
			return true
		}
	}
	return false
}

// harmless reports whether a statement is known to lose nothing.
func harmless(st sqlscan.Statement, o sqlscan.Options) bool {
	tokens := slices.Collect(sqlscan.Tokens(st.Text, o))
	has := func(words ...string) bool {
		return slices.ContainsFunc(tokens, func(t sqlscan.Token) bool { return slices.ContainsFunc(words, t.Is) })
	}
	switch strings.ToUpper(st.Verb) {
	case "CREATE":
		return !has("REPLACE", "EVENT", "RULE") // which do something by and by
	case "INSERT":
		return !has("REPLACE", "CONFLICT", "DUPLICATE", "DELETE", "UPDATE")
	case "COMMENT", "GRANT":
		return true
	case "ALTER":
		return onlyAdds(tokens)
	}
	return false
}

// onlyAdds reports whether ALTER TABLE does nothing but add.
func onlyAdds(tokens []sqlscan.Token) bool {
	if len(tokens) < 2 || !tokens[1].Is("TABLE") {
		return false
	}
	i := 2
	for i < len(tokens) && (tokens[i].Is("IF") || tokens[i].Is("EXISTS") || tokens[i].Is("ONLY")) {
		i++
	}
	i++ // the name
	for i+1 < len(tokens) && tokens[i].Text == "." {
		i += 2
	}
	depth, first := 0, true
	for ; i < len(tokens); i++ {
		switch t := tokens[i]; {
		case depth == 0 && first:
			if !t.Is("ADD") {
				return false
			}
			first = false
		case t.Text == "(":
			depth++
		case t.Text == ")":
			depth--
		case t.Text == "," && depth == 0:
			first = true
		}
	}
	return !first
}
