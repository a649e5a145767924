// Package tldwdbcli is the command line of tldwdb as a library, so that a
// program can offer it under a name of its own, on its own migrations:
//
//	root.AddCommand(tldwdbcli.New(tldwdbcli.Options{
//		Config: tldwdb.Config{Migrations: migrations.FS},
//	})) // myapp db up, myapp db status, ...
//
// A command never ends the process: it returns an error, which [ExitCode] turns
// into the code to end with. Nothing is kept in package variables, and nothing is
// written but to the command's own writers: the answer to its standard output,
// what goes on meanwhile, and errors, to its standard error.
//
// The command tldwdb, in cmd/tldwdb, is this package with TL;DW's migrations.
package tldwdbcli

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// Options is what a program lends to the commands. The zero value has no
// migrations: they come from --dir.
type Options struct {
	// Use is the name of the command that holds the others. Default: "db".
	Use string

	// Config is what the program would give to [tldwdb.Open]: its migrations, its
	// set, its password callback. Flags, the environment and tldwdb.yaml go before
	// it, field by field. With a Logger, that is told what goes on, instead of
	// standard error.
	Config tldwdb.Config

	// LookupEnv finds a variable of the environment as os.LookupEnv does, which is
	// the default. A function that never finds any keeps the environment out.
	LookupEnv func(name string) (value string, found bool)

	// OpenStore opens a store of backups that is no folder, by what --store or
	// TLDWDB_BACKUP_STORE says, such as tldwdbs3.Open. Default: there are folders
	// only.
	OpenStore func(url string) (tldwdb.BackupStore, error)

	// PlanChanges lists the statements that turn the schema of one PostgreSQL database
	// into that of another, for the command diff: without semicolons, and without what
	// is in ignore, which are patterns as of [tldwdb.Verification]. What it returns is
	// run on a scratch database and compared with what was wanted before anything is
	// written. Default: diff works on the other engines alone, which need no library
	// for it; the command tldwdb has Atlas here.
	PlanChanges func(ctx context.Context, from, to *sql.Conn, ignore []string) ([]string, error)

	// AnyFolder says that the program is a tool for the migrations of any folder, and not
	// those of Config alone: where these do not fit a database, the error says how to name
	// a folder. Default: it does not, as of a service, whose migrations are its own.
	AnyFolder bool
}

// The exit codes.
const (
	ExitDone      = 0 // done, or nothing to do
	ExitFailed    = 1 // failed
	ExitUsage     = 2 // the command line or the configuration is wrong; nothing was touched
	ExitUnhealthy = 3 // migrations are pending, or files and database disagree
	ExitLocked    = 4 // another process had the migration lock for all of the time
)

// ExitCode is the exit code for what a command returned.
func ExitCode(err error) int {
	var usage *usageError
	var history *tldwdb.HistoryError
	switch {
	case err == nil:
		return ExitDone
	case errors.As(err, &usage):
		return ExitUsage
	case errors.Is(err, tldwdb.ErrLockTimeout):
		return ExitLocked
	case errors.Is(err, tldwdb.ErrPending), errors.Is(err, tldwdb.ErrSchemaDiffers), errors.Is(err, tldwdb.ErrSnapshotDiffers), errors.As(err, &history), errors.Is(err, errUnhealthy):
		return ExitUnhealthy
	}
	return ExitFailed
}

// errUnhealthy is the kind of an answer that is printed, and not a good one.
var errUnhealthy = errors.New("not healthy")

// usageError is a command line, or a configuration, that cannot be carried out.
type usageError struct{ err error }

func (e *usageError) Error() string {
	return passwordInURL.ReplaceAllString(e.err.Error(), "$1***@")
}
func (e *usageError) Unwrap() error { return e.err }

// passwordInURL is for a URL that was written where it does not belong, such as
// behind a command instead of --url: the error repeats what was written.
var passwordInURL = lazyregexp.New(`(://[^\s/:@"]*:)[^\s"]*@`)

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// New returns the tree of commands. Each command prints its own errors, with
// what can be done about them, before it returns them: the program only has to
// end with [ExitCode]. They take the context of the tree that they are part of.
func New(opts Options) *cobra.Command {
	a := &app{opts: opts, lookup: opts.LookupEnv}
	if a.lookup == nil {
		a.lookup = os.LookupEnv
	}
	use := opts.Use
	if use == "" {
		use = "db"
	}
	root := &cobra.Command{
		Use:   use,
		Short: "Migrate the database, and look after it",
		Long: `Migrates the database of this program, and looks after it.

The database is that of the environment (DATABASE_URL, POSTGRES_URL or MYSQL_URL;
a SQLite file tldw.db with none of them), or --url. Any number of processes may
run these commands, and the program itself, at the same time: one migrates, the
others wait for it.

The answer goes to standard output, what goes on meanwhile to standard error.

exit codes: 0 done, 1 failed, 2 wrong usage, 3 migrations are pending or files
and database disagree, 4 the migration lock was not had in time`,
		SuggestionsMinimumDistance: 2,
		Args:                       cobra.ArbitraryArgs,
		SilenceUsage:               true,
		SilenceErrors:              true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return a.complain(cmd, unknownCommand(cmd, args[0]))
			}
			return cmd.Help()
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return a.complain(cmd, &usageError{err}) })
	a.globalFlags(root)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Migrate:"},
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupFiles, Title: "Files:"},
		&cobra.Group{ID: groupCare, Title: "Take over, and mend:"},
	)
	helpAsCalled(root)
	a.migrateCommands(root)
	a.lookCommands(root)
	a.fileCommands(root)
	a.careCommands(root)
	a.backupCommands(root)
	root.PersistentFlags().VisitAll(refuseBlank)
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(refuseBlank)
	}
	return root
}

// The groups in which the help lists the commands.
const (
	groupRun   = "run"
	groupLook  = "look"
	groupFiles = "files"
	groupCare  = "care"
)

// helpAsCalled fills the lines of the text, makes the examples say the name that the
// commands have in this program, and leaves the rest to the help of the program.
func helpAsCalled(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		show := help
		if root.HasParent() {
			show = root.Parent().HelpFunc()
		}
		long, example := cmd.Long, cmd.Example
		defer func() { cmd.Long, cmd.Example = long, example }()
		cmd.Long = wrap(long)
		cmd.Example = strings.ReplaceAll(example, "tldwdb ", root.CommandPath()+" ")
		show(cmd, args)
	})
}

func unknownCommand(cmd *cobra.Command, name string) error {
	text := fmt.Sprintf("unknown command %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		text += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("%s", text)
}

// Run is the main function of a program that is nothing but these commands, up
// to the exit code. The first interrupt (Ctrl-C, SIGTERM) ends what is running in
// order: a statement is cancelled, its transaction rolled back, the lock given
// back, and the answer says what was done until then. The second one ends the
// process at once. A pipe whose reader has gone ends nothing.
func Run(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	// Whoever reads what goes on may go away in the middle ('tldwdb up 2>&1 | head'):
	// that must not end the process between two statements. A write fails instead.
	gone := make(chan os.Signal, 1)
	signal.Notify(gone, syscall.SIGPIPE)
	defer signal.Stop(gone)
	done := context.AfterFunc(ctx, func() {
		// From here on a signal has its usual effect.
		stop()
		_, _ = fmt.Fprintln(stderr, "interrupted: ending in order; once more ends at once") // a terminal that is gone reads nothing
	})
	defer done()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !errors.As(err, new(*toldError)) { // of a command that is not ours: completion, or the program's own
		_, _ = fmt.Fprintln(stderr, "error:", err) // the exit code says it too
	}
	return ExitCode(err)
}

// app is one tree of commands, and what its flags were set to.
type app struct {
	opts   Options
	lookup func(string) (string, bool)
	flags  globalFlags
	backup backupFlags

	builtIn bool // the migrations are those of a program that is for any folder
}

// globalFlags are the flags of every command.
type globalFlags struct {
	url, migrateURL, environment, set, table, dir, config string
	yesOn                                                 string
	lockWait, timeout                                     string
	json, quiet, noColor                                  bool
	verbose                                               int
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVar(&a.flags.url, "url", "", "database `URL`; goes before every variable")
	f.StringVar(&a.flags.migrateURL, "migrate-url", "", "another `URL` of the same database, for migrating")
	f.StringVar(&a.flags.dir, "dir", "", "`folder` of migration files (default: built in)")
	f.StringVar(&a.flags.environment, "env", "", "`name`: development, test or production")
	f.StringVar(&a.flags.set, "set", "", "`name` of this sequence of migrations")
	f.StringVar(&a.flags.table, "table", "", "`name` of the history table")
	f.StringVar(&a.flags.config, "config", "", "settings `file` (default: tldwdb.yaml, if there)")
	f.StringVar(&a.flags.lockWait, "lock-wait", "", "`time` to wait for another process, such as 90s")
	f.StringVar(&a.flags.timeout, "timeout", "", "`time` that the command may take in all")
	f.StringVar(&a.flags.yesOn, "yes-on", "", "`name` of the production database to go back on")
	f.BoolVar(&a.flags.json, "json", false, "print JSON, as 'schema' describes it")
	f.BoolVarP(&a.flags.quiet, "quiet", "q", false, "say nothing on standard error but errors")
	f.CountVarP(&a.flags.verbose, "verbose", "v", "say more; twice: everything")
	f.BoolVar(&a.flags.noColor, "no-color", false, "no colours on a terminal, as with NO_COLOR")
}

// refuseBlank makes a flag with an empty value, as of --url "$UNSET", an error: as
// if it were left out, the command would go to another database, or run another
// plan, than was meant.
func refuseBlank(f *pflag.Flag) {
	if f.Value.Type() == "string" {
		f.Value = notBlank{f.Value}
	}
}

type notBlank struct{ pflag.Value }

func (v notBlank) Set(text string) error {
	if strings.TrimSpace(text) == "" {
		return errors.New("there is nothing in it; leave the flag out for the value from elsewhere")
	}
	return v.Value.Set(text)
}

// command is a cobra.Command in the terms of this package.
type command struct {
	use, group, short, long, example string
	args                             cobra.PositionalArgs
	run                              func(cmd *cobra.Command, args []string) error
}

// add makes the command. What goes wrong in it is printed where it can be seen
// that JSON was asked for, and once.
func (a *app) add(root *cobra.Command, c command) *cobra.Command {
	if c.args == nil {
		c.args = cobra.NoArgs
	}
	cmd := &cobra.Command{
		Use: c.use, GroupID: c.group, Short: c.short, Long: strings.TrimSpace(c.long), Example: indent(c.example),
		DisableFlagsInUseLine: true, SilenceUsage: true, SilenceErrors: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := c.args(cmd, args); err != nil {
				return a.complain(cmd, &usageError{err})
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			err := checkIgnored(cmd)
			if err == nil {
				err = c.run(cmd, args)
			}
			return a.complain(cmd, err)
		},
	}
	root.AddCommand(cmd)
	return cmd
}

// terminalWidth is what help fits into.
const terminalWidth = 80

// wrap fills the lines of a text's paragraphs. Indented lines stay as they are.
func wrap(text string) string {
	var lines []string
	open := false // the last line is one to be filled
	for line := range strings.Lines(strings.TrimSpace(text)) {
		line = strings.TrimRight(line, "\n")
		if line == "" || strings.HasPrefix(line, " ") {
			lines, open = append(lines, line), false
			continue
		}
		for _, word := range strings.Fields(line) {
			last := len(lines) - 1
			if open && len(lines[last])+1+len(word) <= terminalWidth {
				lines[last] += " " + word
				continue
			}
			lines, open = append(lines, word), true
		}
	}
	return strings.Join(lines, "\n")
}

func indent(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for i, line := range lines {
		lines[i] = "  " + strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}

// complain prints an error that no answer has told of.
func (a *app) complain(cmd *cobra.Command, err error) error {
	var told *toldError
	if err == nil || errors.As(err, &told) {
		return err
	}
	err = a.ofBuiltIn(cmd, err)
	usage := errors.As(err, new(*usageError))
	if a.flags.json && (!usage || slices.Contains(schemaNames(), answerName(cmd))) {
		return a.answerJSON(cmd, nil, err)
	}
	p := a.printer(cmd.ErrOrStderr())
	p.failure(err)
	if usage {
		p.linef("%s --help shows how it is used", cmd.CommandPath())
	}
	return &toldError{err}
}

// builtInError is a disagreement of a database with the migrations of the program itself:
// who has forgotten to name a folder has never seen those files.
type builtInError struct {
	err   error
	whose string
}

// ofBuiltIn makes an error say so where it is about the program's own migrations.
func (a *app) ofBuiltIn(cmd *cobra.Command, err error) error {
	disagrees := errors.As(err, new(*tldwdb.HistoryError)) || errors.Is(err, tldwdb.ErrUnknownVersion) && cmd.Name() != "repair" // which asks the history
	if !disagrees || !a.builtIn || errors.As(err, new(*builtInError)) {
		return err
	}
	return &builtInError{err, builtInNote(cmd)}
}

func builtInNote(cmd *cobra.Command) string {
	flag := ""
	if cmd.InheritedFlags().Lookup("dir") != nil { // else it is the command's own, of another folder
		flag = "--dir or "
	}
	return "the files are those that are built into " + cmd.Root().Name() + ": " + flag + variableDir + " names a folder with others"
}

func (e *builtInError) Error() string { return e.err.Error() }
func (e *builtInError) Unwrap() error { return e.err }

// toldError is an error that has been printed.
type toldError struct{ err error }

func (e *toldError) Error() string { return e.err.Error() }
func (e *toldError) Unwrap() error { return e.err }

// context is the command's own, with --timeout.
func (a *app) context(cmd *cobra.Command) (context.Context, context.CancelFunc, error) {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	if a.flags.timeout == "" {
		ctx, cancel := context.WithCancel(ctx)
		return ctx, cancel, nil
	}
	limit, err := duration("--timeout", a.flags.timeout)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the command took longer than --timeout %s", limit))
	return ctx, cancel, nil
}

// withDB opens the database, runs f on it, and prints its answer. An answer may
// stand beside an error: it says what was done before that.
func (a *app) withDB(cmd *cobra.Command, f func(ctx context.Context, db *tldwdb.DB) (texter, error), edits ...func(*tldwdb.Config)) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	data, err := a.onDB(cmd, s.config, f, edits)
	if data == nil {
		return err
	}
	return a.answer(cmd, data, err)
}

func (a *app) onDB(cmd *cobra.Command, cfg tldwdb.Config, f func(ctx context.Context, db *tldwdb.DB) (texter, error), edits []func(*tldwdb.Config)) (data texter, err error) {
	ctx, cancel, err := a.context(cmd)
	if err != nil {
		return nil, err
	}
	defer cancel()
	talk := a.talk(cmd.ErrOrStderr())
	defer talk.end()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(talk)
	}
	if cfg.Progress == nil {
		cfg.Progress = talk.progress
	}
	if cfg.Backup.Progress == nil {
		cfg.Backup.Progress = talk.backup
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return nil, timedOut(ctx, err)
	}
	defer func() {
		if closeErr := db.Close(); err == nil {
			err = closeErr
		}
	}()
	data, err = f(ctx, db)
	return data, timedOut(ctx, err)
}

// looking is for commands that only look. A person waits for the answer: for a
// server that is not there, no longer than it takes to restart one, unless a longer
// wait was asked for.
func looking(cfg *tldwdb.Config) {
	if cfg.ConnectWait == 0 {
		cfg.ConnectWait = lookingWait
	}
	withoutMaking(cfg)
}

const lookingWait = 5 * time.Second

// withoutMaking is for commands that have nothing to do in an empty database: a
// SQLite file that is not there is one, and is not made by a question.
func withoutMaking(cfg *tldwdb.Config) {
	effective, err := cfg.Effective()
	if err != nil {
		return // Open has the same to say
	}
	if missing(effective.URL) {
		cfg.URL, cfg.MigrateURL = "sqlite://", ""
	}
}

// missing reports whether a URL is that of a SQLite file that is not there.
func missing(url string) bool {
	u, err := dburl.Parse(url)
	if err != nil || u.Dialect != dburl.SQLite || u.Memory {
		return false
	}
	_, err = os.Stat(u.Path)
	return errors.Is(err, fs.ErrNotExist)
}

// timedOut says what ended the command, instead of "context deadline exceeded" alone.
func timedOut(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() == nil || errors.As(err, new(*toldError)):
		return err
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("interrupted: %w", err)
	case errors.Is(err, context.Cause(ctx)):
		return err // it says so already
	}
	return fmt.Errorf("%w: %w", context.Cause(ctx), err)
}
