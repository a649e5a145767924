package tldwdbcli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb"
)

// This file has the commands that make backups, prove them, bring them back and clear
// them away.

// variableStore names the store of the backups, where that is no folder.
const variableStore = "TLDWDB_BACKUP_STORE"

// backupFlags are the flags of the commands about backups.
type backupFlags struct {
	dir, store, migrations                      string
	recipients, identities                      []string
	recipientsFile, passphraseFile, compression string
	method                                      string
	jobs                                        int
	digests                                     bool
	skip                                        []string
}

func (a *app) backupCommands(root *cobra.Command) {
	group := &cobra.Command{
		Use: "backup", GroupID: groupCare, Short: "Make backups, prove that they can be restored, restore them",
		Long: strings.TrimSpace(`
Makes backups of the database, proves them by restoring them on trial, brings
them back, and clears old ones away.

They are in the folder backups, or --dir, or --store, each with a manifest beside
it. What is stored can be read without this program: with age where it is
encrypted, zstd, and then sqlite3, pg_restore, mariadb or mysql. In these
commands --migrations names the folder of migration files.`),
		Args: cobra.ArbitraryArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.complain(cmd, unknownCommand(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	root.AddCommand(group)
	f := group.PersistentFlags()
	f.StringVar(&a.backup.dir, "dir", "", "`folder` of the backups (default: backups)")
	f.StringVar(&a.backup.store, "store", "", "`URL` of another store, such as s3://bucket/prefix")
	f.StringVar(&a.backup.migrations, "migrations", "", "`folder` of migration files (default: built in)")
	f.StringSliceVar(&a.backup.identities, "identity-file", nil, "`file` with an age identity, to read encrypted ones")
	f.StringVar(&a.backup.passphraseFile, "passphrase-file", "", "`file` with a passphrase, in place of age keys")
	f.VisitAll(refuseBlank)
	a.backupCreateCommand(group)
	a.backupListCommand(group)
	a.backupVerifyCommand(group)
	a.backupRestoreCommand(group)
	a.backupPruneCommand(group)
	a.backupKeptCommand(group)
	a.backupScheduleCommand(group)
	for _, cmd := range group.Commands() {
		cmd.Flags().VisitAll(refuseBlank)
	}
}

// makingFlags are of commands that make a backup.
func (a *app) makingFlags(cmd *cobra.Command) {
	f, b := cmd.Flags(), &a.backup
	f.StringVar(&b.method, "method", "", "`how`: native (default) or portable")
	f.StringVar(&b.compression, "compression", "", "`how`: zstd (default) or none")
	f.StringSliceVar(&b.recipients, "recipient", nil, "age public `key` to encrypt for, or several")
	f.StringVar(&b.recipientsFile, "recipients-file", "", "`file` with such keys, one a line")
	f.IntVar(&b.jobs, "jobs", 0, "`connections` of pg_dump")
	f.StringSliceVar(&b.skip, "skip", nil, "`tables` to leave out of a portable one")
	f.BoolVar(&b.digests, "digests", false, "note a digest of each table's rows")
}

// backupSettings are the settings, with what the flags say about backups.
func (a *app) backupSettings() (*settings, error) {
	b := a.backup
	a.flags.dir = b.migrations // in these commands --dir is the folder of the backups
	s, err := a.settings()
	if err != nil {
		return nil, err
	}
	o := &s.config.Backup
	store := s.store
	switch {
	case b.dir != "" && b.store != "":
		return nil, usagef("--dir and --store are two places: give one of them")
	case b.dir != "":
		o.Dir, o.Store, store = b.dir, nil, ""
	case b.store != "":
		store = b.store
	}
	if store != "" {
		if a.opts.OpenStore == nil {
			return nil, usagef("--store (%s): this program keeps backups in folders alone", variableStore)
		}
		if o.Store, err = a.opts.OpenStore(store); err != nil {
			return nil, &usageError{fmt.Errorf("the store of the backups: %w", err)}
		}
	}
	if len(b.recipients) > 0 || b.recipientsFile != "" || b.passphraseFile != "" {
		o.Recipients, o.RecipientsFile, o.PassphraseFile = b.recipients, b.recipientsFile, b.passphraseFile
	}
	if len(b.identities) > 0 {
		o.IdentityFiles = b.identities
	}
	o.Method, o.Compression = cmp.Or(tldwdb.BackupMethod(b.method), o.Method), cmp.Or(b.compression, o.Compression)
	o.Jobs, o.Digests = cmp.Or(b.jobs, o.Jobs), o.Digests || b.digests
	if len(b.skip) > 0 {
		o.Skip = b.skip
	}
	if o.Store == nil {
		o.Store = tldwdb.DirStore(cmp.Or(o.Dir, "backups"))
	}
	if _, err := s.config.Effective(); err != nil {
		return nil, &usageError{err}
	}
	return s, nil
}

// withBackups opens the database, and has f do something with its backups.
func (a *app) withBackups(cmd *cobra.Command, f func(ctx context.Context, db *tldwdb.DB, store tldwdb.BackupStore) (texter, error), edits ...func(*tldwdb.Config)) error {
	s, err := a.backupSettings()
	if err != nil {
		return err
	}
	data, err := a.onDB(cmd, s.config, func(ctx context.Context, db *tldwdb.DB) (texter, error) {
		return f(ctx, db, s.config.Backup.Store)
	}, edits)
	if data == nil {
		return err
	}
	return a.answer(cmd, data, err)
}

// backupAnswer is one backup.
type backupAnswer struct {
	tldwdb.Backup
	Store    string                     `json:"store"`              // where it is
	Size     int64                      `json:"size"`               // stored bytes
	Verified *tldwdb.BackupVerification `json:"verified,omitempty"` // newest restore on trial
	Fault    string                     `json:"fault,omitempty"`    // why there is no more than the name
}

func newBackupAnswer(b tldwdb.Backup, store tldwdb.BackupStore) backupAnswer {
	answer := backupAnswer{Backup: b, Store: store.String(), Size: b.Size(), Verified: b.Verified}
	if b.Err != nil {
		answer.Fault = b.Err.Error()
	}
	return answer
}

func (backupAnswer) answers() string { return "backup-create" }

func (b backupAnswer) text(p *printer) {
	p.linef("%s %s", p.paint(colorGreen, "made"), b.Name)
	p.linef("  in %s", b.Store)
	var rows int64
	for _, t := range b.Tables {
		rows += t.Rows
	}
	p.linef("  %s, %s of content, %s stored, %s, in %s", b.Content, size(b.PlainSize()), size(b.Size), b.encryption(), took(b.Finished.Sub(b.Started)))
	p.linef("  %s with %s, %s", plural(len(b.Tables), "table"), plural(int(rows), "row"), plural(len(b.Migrations), "migration"))
	if len(b.Skipped) > 0 {
		p.linef("  %s %s", p.paint(colorYellow, "without"), strings.Join(b.Skipped, ", "))
	}
	for _, note := range b.Notes {
		p.linef("%s %s", p.paint(colorYellow, "note:"), note)
	}
	if b.Verified != nil {
		p.linef("%s on trial in %s", p.paint(colorGreen, "restored"), took(time.Duration(b.Verified.Duration)*time.Millisecond))
	}
}

func (b backupAnswer) encryption() string {
	switch len(b.Recipients) {
	case 0:
		return "not encrypted"
	case 1:
		return "encrypted"
	}
	return fmt.Sprintf("encrypted for %d", len(b.Recipients))
}

func (a *app) backupCreateCommand(group *cobra.Command) {
	var verify bool
	cmd := a.add(group, command{
		use: "create [flags]", short: "Make a backup",
		long: `
Makes a backup of one instant of the database, while others read and write it. No
migration runs meanwhile. It has a name only when it is complete.

native is the engine's own form, with all that is in the database: a SQLite file,
or what pg_dump, mysqldump or mariadb-dump writes, which have to be installed.
portable is the rows of every table, with no program needed; the migrations make
the schema when it is restored, also on another engine.

With --recipient it is encrypted, and this machine cannot read it again: the
identities of its recipients can.`,
		example: `
tldwdb backup create
tldwdb backup create --verify --dir copies
tldwdb backup create --method portable --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			return a.withBackups(cmd, func(ctx context.Context, db *tldwdb.DB, store tldwdb.BackupStore) (texter, error) {
				b, err := db.Backup(ctx, tldwdb.BackupOptions{})
				if err != nil {
					return nil, err
				}
				if verify {
					v, err := db.VerifyBackup(ctx, b.Name, tldwdb.VerifyOptions{})
					if err != nil {
						return nil, err
					}
					b.Verified = &v
				}
				return newBackupAnswer(b, store), nil
			}, withoutMaking)
		},
	})
	a.makingFlags(cmd)
	cmd.Flags().BoolVar(&verify, "verify", false, "restore it on trial")
}

// backupListAnswer is what is in a store.
type backupListAnswer struct {
	Store      string         `json:"store"`
	Backups    []backupAnswer `json:"backups"`    // the newest first
	Incomplete []string       `json:"incomplete"` // objects of no backup, such as a killed process leaves
}

func (backupListAnswer) answers() string { return "backup-list" }

func (l backupListAnswer) text(p *printer) {
	if len(l.Backups) == 0 {
		p.linef("no backups in %s", l.Store)
	} else {
		t := p.table("NAME", "MADE", "DATABASE", "FORM", "VERSION", "SIZE", "WHY", "RESTORED ON TRIAL")
		for _, b := range l.Backups {
			if b.Fault != "" {
				t.row(b.Name, p.ago(b.Started), "-", "-", "-", "-", "-", p.paint(colorRed, oneLine(b.Fault, 120)))
				continue
			}
			t.row(b.Name, p.ago(b.Finished), b.Database, b.form(), b.version(), size(b.Size), b.Reason, p.verified(b.Verified))
		}
		t.end()
	}
	if n := len(l.Incomplete); n > 0 {
		p.linef("%s, which 'backup prune' removes when old enough", plural(n, "object")+" of no complete backup")
	}
}

// form is the content of a backup, and whether it is all that there was.
func (b backupAnswer) form() string {
	if n := len(b.Skipped); n > 0 {
		return fmt.Sprintf("%s, %d left out", b.Content, n)
	}
	return b.Content
}

// version is the highest migration that is applied in a backup.
func (b backupAnswer) version() string {
	var highest int64
	for _, m := range b.Migrations {
		highest = max(highest, m.Version)
	}
	return fmt.Sprint(highest)
}

func (p *printer) verified(v *tldwdb.BackupVerification) string {
	switch {
	case v == nil:
		return p.faint("never")
	case !v.OK:
		return p.paint(colorRed, "bad: "+oneLine(v.Error, 120))
	}
	return p.paint(colorGreen, p.ago(v.Time))
}

func (a *app) backupListCommand(group *cobra.Command) {
	a.add(group, command{
		use: "list [flags]", short: "List the backups, and which were restored on trial",
		long: `
Lists the backups that are in the store, the newest first, whichever database they
are of. It asks no database and reads no key. It ends with exit code 3 when one is
damaged, or was found bad.`,
		example: `
tldwdb backup list
tldwdb backup list --dir copies --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.backupSettings()
			if err != nil {
				return err
			}
			ctx, cancel, err := a.context(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			store := s.config.Backup.Store
			list, err := tldwdb.ListBackups(ctx, store)
			if err != nil {
				return timedOut(ctx, err)
			}
			leftovers, err := tldwdb.IncompleteBackups(ctx, store)
			if err != nil {
				return timedOut(ctx, err)
			}
			answer := backupListAnswer{Store: store.String()}
			for _, b := range list {
				if b.Err != nil || b.Verified != nil && !b.Verified.OK {
					err = errUnhealthy
				}
				answer.Backups = append(answer.Backups, newBackupAnswer(b, store))
			}
			for _, object := range leftovers {
				answer.Incomplete = append(answer.Incomplete, object.Name)
			}
			return a.answer(cmd, answer, err)
		},
	})
}

// backupVerifyAnswer is what a restore on trial has shown.
type backupVerifyAnswer struct{ tldwdb.BackupVerification }

func (backupVerifyAnswer) answers() string { return "backup-verify" }

func (v backupVerifyAnswer) text(p *printer) {
	if v.OK {
		p.linef("%s %s was restored on trial in %s, and is what was backed up", p.paint(colorGreen, "good:"), v.Backup, took(time.Duration(v.Duration)*time.Millisecond))
	} else {
		p.linef("%s %s: %s", p.paint(colorRed, "bad:"), v.Backup, v.Error)
	}
	for _, note := range v.Notes {
		p.linef("%s %s", p.paint(colorYellow, "note:"), note)
	}
}

func (a *app) backupVerifyCommand(group *cobra.Command) {
	var scratch string
	cmd := a.add(group, command{
		use: "verify [name] [flags]", short: "Restore a backup on trial, and compare it with its manifest", args: atMost(1),
		long: `
Restores a backup (the newest one, or that of the name) into a scratch database and
compares it with its manifest: every stored byte, the engine's own check, the rows of
each table, the schema, the migrations. Then the scratch database is dropped, and the
outcome kept beside the backup. The database itself is not touched. It ends with exit
code 3 when the backup is not good.

The scratch database is a temporary file for SQLite; elsewhere one beside the
database, which the account has to be allowed to make, or --scratch-url.`,
		example: `
tldwdb backup verify
tldwdb backup verify latest --json`,
		run: func(cmd *cobra.Command, args []string) error {
			return a.withBackups(cmd, func(ctx context.Context, db *tldwdb.DB, _ tldwdb.BackupStore) (texter, error) {
				v, err := db.VerifyBackup(ctx, first(args), tldwdb.VerifyOptions{ScratchURL: scratch})
				switch {
				case errors.Is(err, tldwdb.ErrBackupDamaged) && !v.Time.IsZero():
					return backupVerifyAnswer{v}, errUnhealthy
				case err != nil:
					return nil, err
				}
				return backupVerifyAnswer{v}, nil
			}, withoutMaking)
		},
	})
	cmd.Flags().StringVar(&scratch, "scratch-url", "", "`URL` of an empty database to restore into")
}

// backupRestoreAnswer is what a restore has done.
type backupRestoreAnswer struct{ tldwdb.Restored }

func (backupRestoreAnswer) answers() string { return "backup-restore" }

func (r backupRestoreAnswer) text(p *printer) {
	p.linef("%s %s of %s in %s", p.paint(colorGreen, "restored"), r.Backup.Name, r.Backup.Started.Local().Format(time.DateTime), took(r.Duration))
	if r.Replaced != nil {
		p.linef("  what was there is in the backup %s", r.Replaced.Name)
	}
	if r.Kept != "" {
		p.linef("  what was there is kept as the database %s: tldwdb backup kept --drop when it is not needed", r.Kept)
	}
	for _, note := range r.Notes {
		p.linef("%s %s", p.paint(colorYellow, "note:"), note)
	}
	if r.Result != nil {
		resultAnswer{Result: r.Result}.text(p)
	}
}

func (a *app) backupRestoreCommand(group *cobra.Command) {
	var o tldwdb.RestoreOptions
	cmd := a.add(group, command{
		use: "restore [name] [flags]", short: "Bring a backup back", args: atMost(1),
		long: `
Restores a backup (the newest good one of this database, or that of the name) into
the database, which has to be empty, or be named with --over. It is restored beside
the database and looked at first, what is there is backed up, and then the one takes
the other's place in one step. Whatever ends this command before, the old content is
there.

A production database has to be named with --yes-on too.`,
		example: `
tldwdb backup restore
tldwdb backup restore latest --over tldw.db --no-backup
tldwdb backup restore --over tldw.db --up`,
		run: func(cmd *cobra.Command, args []string) error {
			o.Name = first(args)
			return a.withBackups(cmd, func(ctx context.Context, db *tldwdb.DB, _ tldwdb.BackupStore) (texter, error) {
				done, err := db.Restore(ctx, o)
				if err != nil && done.Result == nil { // it is not what failed behind the restore
					return nil, err
				}
				return backupRestoreAnswer{done}, err
			})
		},
	})
	a.makingFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Over, "over", "", "`name` of the database that may be replaced")
	f.BoolVar(&o.WithoutBackup, "no-backup", false, "do not back up what is replaced")
	f.BoolVar(&o.Up, "up", false, "apply what is pending afterwards")
	f.StringVar(&o.ScratchURL, "scratch-url", "", "`URL` of an empty database to restore into first")
}

// keepFlags say which backups are kept.
type keepFlags struct {
	policy tldwdb.RetentionPolicy
	within string
}

func (k *keepFlags) add(cmd *cobra.Command) {
	f, p := cmd.Flags(), &k.policy
	f.IntVar(&p.Last, "keep-last", 0, "so many of the newest")
	f.IntVar(&p.Hourly, "keep-hourly", 0, "the newest of so many hours")
	f.IntVar(&p.Daily, "keep-daily", 0, "the newest of so many days")
	f.IntVar(&p.Weekly, "keep-weekly", 0, "the newest of so many weeks")
	f.IntVar(&p.Monthly, "keep-monthly", 0, "the newest of so many months")
	f.IntVar(&p.Yearly, "keep-yearly", 0, "the newest of so many years")
	f.StringVar(&k.within, "keep-within", "", "what is no older than that `time`, from the newest")
}

func (k *keepFlags) read() (tldwdb.RetentionPolicy, error) {
	if k.within != "" {
		within, err := duration("--keep-within", k.within)
		if err != nil {
			return tldwdb.RetentionPolicy{}, err
		}
		k.policy.Within = within
	}
	for _, n := range []int{k.policy.Last, k.policy.Hourly, k.policy.Daily, k.policy.Weekly, k.policy.Monthly, k.policy.Yearly} {
		if n < 0 {
			return tldwdb.RetentionPolicy{}, usagef("a --keep flag is %d: accepted is a number of backups", n)
		}
	}
	return k.policy, nil
}

// backupPruneAnswer is which backups were deleted, or would be.
type backupPruneAnswer struct {
	tldwdb.Pruned
	DryRun bool `json:"dry_run"`
}

func (backupPruneAnswer) answers() string { return "backup-prune" }

func (r backupPruneAnswer) text(p *printer) {
	t := p.table("NAME", "KEPT BECAUSE")
	for _, kept := range r.Kept {
		t.row(kept.Name, strings.Join(kept.Reasons, ", "))
	}
	t.end()
	verb := "removed"
	if r.DryRun {
		verb = "would remove"
	}
	for _, name := range r.Removed {
		p.linef("%s %s", p.paint(colorYellow, verb), name)
	}
	for _, name := range r.Leftovers {
		p.linef("%s %s, which is of no complete backup", p.paint(colorYellow, verb), name)
	}
	p.linef("%s kept, %s %s, %s", plural(len(r.Kept), "backup"), verb, plural(len(r.Removed), "backup"), size(r.Freed))
}

func (a *app) backupPruneCommand(group *cobra.Command) {
	var keep keepFlags
	var o tldwdb.PruneOptions
	cmd := a.add(group, command{
		use: "prune [flags]", short: "Delete the backups that are not to be kept",
		long: `
Deletes the backups that no --keep flag keeps, of each database by itself, and what
killed processes left behind. Periods are those of the calendar, in UTC; only those
with a backup count. The newest backup is kept whatever the flags say, and so is the
newest that was restored on trial with success, and what is newer than that. Without
a --keep flag nothing is deleted.`,
		example: `
tldwdb backup prune --keep-last 3 --keep-daily 7 --keep-weekly 5 --dry-run
tldwdb backup prune --keep-daily 14 --keep-monthly 12 --keep-yearly 3
tldwdb backup prune --keep-within 720h --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.backupSettings()
			if err != nil {
				return err
			}
			policy, err := keep.read()
			if err != nil {
				return err
			}
			if policy == (tldwdb.RetentionPolicy{}) {
				return usagef("nothing says what is to be kept: give a --keep flag")
			}
			ctx, cancel, err := a.context(cmd)
			if err != nil {
				return err
			}
			defer cancel()
			done, err := tldwdb.PruneBackups(ctx, s.config.Backup.Store, policy, o)
			return a.answer(cmd, backupPruneAnswer{done, o.DryRun}, timedOut(ctx, err))
		},
	})
	keep.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.Database, "database", "", "look at the backups of this `name` alone")
	f.BoolVar(&o.DryRun, "dry-run", false, "delete nothing, and say what would be deleted")
}

// backupKeptAnswer is which databases restores have replaced.
type backupKeptAnswer struct {
	Databases []tldwdb.KeptDatabase `json:"databases"` // the newest first
	DryRun    bool                  `json:"dry_run"`
}

func (backupKeptAnswer) answers() string { return "backup-kept" }

func (r backupKeptAnswer) text(p *printer) {
	verb := "dropped"
	if r.DryRun {
		verb = "would be dropped"
	}
	t := p.table("NAME", "REPLACED", "")
	for _, k := range r.Databases {
		said := ""
		if k.Dropped {
			said = verb
		}
		t.row(k.Name, k.Replaced.Local().Format(time.DateTime), said)
	}
	t.end()
	p.linef("%s kept by restores", plural(len(r.Databases), "database"))
}

func (a *app) backupKeptCommand(group *cobra.Command) {
	var drop bool
	var older string
	var o tldwdb.DropKeptOptions
	cmd := a.add(group, command{
		use: "kept [flags]", short: "List the databases that restores have replaced, or drop them",
		long: `
Lists the databases that restores of this one have replaced: a server keeps each of
them whole, under its name with _before_ and the time behind it. With --drop they
go, or those that were replaced --older-than ago. Nothing with another name is ever
dropped. SQLite keeps none: there the backup of what was replaced is all there is.

A production database has to be named with --yes-on for --drop.`,
		example: `
tldwdb backup kept
tldwdb backup kept --drop --older-than 168h --dry-run`,
		run: func(cmd *cobra.Command, _ []string) error {
			if !drop && (older != "" || o.DryRun) {
				return usagef("--older-than and --dry-run belong to --drop")
			}
			if older != "" {
				var err error
				if o.OlderThan, err = duration("--older-than", older); err != nil {
					return err
				}
			}
			return a.withBackups(cmd, func(ctx context.Context, db *tldwdb.DB, _ tldwdb.BackupStore) (texter, error) {
				answer := backupKeptAnswer{DryRun: o.DryRun}
				var err error
				if drop {
					answer.Databases, err = db.DropKept(ctx, o)
				} else {
					answer.Databases, err = db.KeptDatabases(ctx)
				}
				return answer, err
			}, withoutMaking)
		},
	})
	f := cmd.Flags()
	f.BoolVar(&drop, "drop", false, "drop them")
	f.StringVar(&older, "older-than", "", "drop those replaced that `time` ago, such as 168h")
	f.BoolVar(&o.DryRun, "dry-run", false, "drop nothing, and say what would be dropped")
}

// backupScheduleAnswer is one backup of the schedule.
type backupScheduleAnswer struct {
	Backup       *backupAnswer              `json:"backup,omitempty"`       // missing where none was made
	Verification *tldwdb.BackupVerification `json:"verification,omitempty"` // missing where it was not verified now
	Pruned       tldwdb.Pruned              `json:"pruned"`
	Failures     int                        `json:"failures"` // in a row
	Next         time.Time                  `json:"next"`     // when the next one is tried
}

func (backupScheduleAnswer) answers() string { return "backup-schedule" }

func (s backupScheduleAnswer) text(p *printer) {
	if s.Backup != nil {
		line := fmt.Sprintf("%s %s, %s", p.paint(colorGreen, "made"), s.Backup.Name, size(s.Backup.Size))
		if s.Verification != nil && s.Verification.OK {
			line += ", restored on trial"
		}
		if n := len(s.Pruned.Removed); n > 0 {
			line += fmt.Sprintf(", removed %s", plural(n, "older one"))
		}
		p.line(line)
	}
	p.linef("  the next one: %s", s.Next.Local().Format(time.DateTime))
}

func (a *app) backupScheduleCommand(group *cobra.Command) {
	var every, jitter, verifyEvery string
	var keep keepFlags
	var count int
	var schedule tldwdb.BackupSchedule
	cmd := a.add(group, command{
		use: "schedule [flags]", short: "Go on making backups, and verify and clear them away",
		long: `
Makes a backup whenever one is due, until it is interrupted: what a service does by
itself with DB.ScheduleBackups. It may run on several machines: one of them makes the
backup, the others see that it is there. What was missed is made up for at once, by
one backup. One that fails is tried again after a minute, then two, up to an hour.

The new backup is restored on trial when the last such proof is older than
--verify-every. Then the --keep flags, if there are any, decide which older ones go.
With --json every backup is an answer of its own.`,
		example: `
tldwdb backup schedule --every 6h --jitter 0 --keep-daily 7 --count 1
tldwdb backup schedule --at 03:30 --verify-every 24h & sleep 1; kill $!`,
		run: func(cmd *cobra.Command, _ []string) error {
			for _, f := range []struct {
				name, text string
				to         *time.Duration
			}{{"--every", every, &schedule.Every}, {"--jitter", jitter, &schedule.Jitter}, {"--verify-every", verifyEvery, &schedule.VerifyEvery}} {
				switch {
				case f.text == "0" || f.text == "never":
					*f.to = -1
				case f.text != "":
					d, err := duration(f.name, f.text)
					if err != nil {
						return err
					}
					*f.to = d
				}
			}
			var err error
			if schedule.Keep, err = keep.read(); err != nil {
				return err
			}
			return a.withBackups(cmd, func(ctx context.Context, db *tldwdb.DB, store tldwdb.BackupStore) (texter, error) {
				ctx, stop := context.WithCancel(ctx)
				defer stop()
				made, failed := 0, error(nil)
				schedule.OnResult = func(_ context.Context, done tldwdb.ScheduledBackup) {
					answer := backupScheduleAnswer{Verification: done.Verification, Pruned: done.Pruned, Failures: done.Failures, Next: done.Next}
					if done.Backup.Name != "" {
						b := newBackupAnswer(done.Backup, store)
						answer.Backup = &b
					}
					failed = a.answer(cmd, answer, done.Err)
					if made++; made == count {
						stop()
					}
				}
				err := db.ScheduleBackups(ctx, schedule)
				if err == nil && made == count {
					err = failed
				}
				return nil, err
			})
		},
	})
	a.makingFlags(cmd)
	keep.add(cmd)
	f := cmd.Flags()
	f.StringVar(&every, "every", "", "`time` from one to the next (default: 24h)")
	f.StringSliceVar(&schedule.At, "at", nil, "`time` of day in UTC, such as 03:30, or several")
	f.StringVar(&jitter, "jitter", "", "`time` that one may be late by chance, or 0")
	f.StringVar(&verifyEvery, "verify-every", "", "`time` between two proofs, or never (default 168h)")
	f.StringVar(&schedule.ScratchURL, "scratch-url", "", "`URL` of an empty database to restore into")
	f.IntVar(&count, "count", 0, "end after so `many`")
}
