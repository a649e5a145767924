package tldwdbcli

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/atomicfile"
	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/schemadiff"
	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/structschema"
	"github.com/tldw/tldwdb/internal/versionfs"
)

// This file writes a migration from a wanted schema. Nothing of what a planner says
// is believed: the files are run on a scratch database, forth and back, and both ends
// compared by their catalogues, before they are written.

// differ compares a wanted schema with that of the migrations.
type differ struct {
	app        *app
	settings   *settings
	name       string // of the dialect
	numbers    numbering
	first      string // version of the new migration
	migration  string // its name
	sub        string // folder of the dialect in that of the migrations; empty where there is none
	flags      diffFlags
	facts      dialect.Facts
	notes      []string // of the planner
	lacking    []string // columns on SQLite that rows which are there have no value for
	dialect    dialect.Dialect
	table      string               // of the history
	repeatable []catalog.Difference // what repeatable migrations make
	hints      []schemadiff.Hint
	renames    []schemadiff.Renamed // by the hints that apply
}

// side is one of the two schemas: the database that has it, by a connection that is
// used for nothing else.
type side struct {
	db      *tldwdb.DB
	conn    *sql.Conn
	catalog catalog.Catalog
}

// plan finds the statements, and proves them on a scratch database.
func (d *differ) plan(ctx context.Context, db *tldwdb.DB) (answer diffAnswer, err error) {
	answer = diffAnswer{Dialect: d.name, Texts: map[string]string{}, DryRun: d.flags.dryRun}
	if d.dialect, err = dialect.New(d.name, true); err != nil {
		return answer, err
	}
	effective, err := d.settings.config.Effective()
	if err != nil {
		return answer, err
	}
	d.table = effective.Table
	err = db.Scratch(ctx, d.flags.verification(0), func(ctx context.Context, scratch *tldwdb.DB) error {
		if err := d.migrate(ctx, scratch); err != nil {
			return err
		}
		return d.onSide(ctx, scratch, func(from *side) error {
			return d.wanted(ctx, db, func(to *side) error { return d.between(ctx, from, to, &answer) })
		})
	})
	return answer, err
}

// migrate applies all migrations, and finds out what only repeatable ones make: that
// is theirs, and none of the new migration's.
func (d *differ) migrate(ctx context.Context, scratch *tldwdb.DB) error {
	plan, err := scratch.Plan(ctx, tldwdb.Request{})
	if err != nil {
		return err
	}
	if len(plan.Steps) == 0 { // Up would warn of it, and a first migration has none before it
		return nil
	}
	if !slices.ContainsFunc(plan.Steps, func(s tldwdb.PlanStep) bool { return s.Migration.Repeatable }) {
		_, err := scratch.Up(ctx)
		return err
	}
	cfg := d.settings.config
	err = d.attached(ctx, scratch, tldwdb.Config{Migrations: versionfs.New(cfg.Migrations), MigrationsDir: cfg.MigrationsDir, GoMigrations: cfg.GoMigrations, Set: cfg.Set},
		func(db *tldwdb.DB) error {
			_, err := db.Up(ctx)
			return err
		})
	if err != nil {
		return err
	}
	var versions catalog.Catalog
	err = d.onSide(ctx, scratch, func(s *side) error {
		versions = s.catalog
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := scratch.Up(ctx); err != nil {
		return err
	}
	return d.onSide(ctx, scratch, func(s *side) error {
		d.repeatable = catalog.Compare(versions, s.catalog)
		return nil
	})
}

// attached lends use a DB with other migrations on a scratch database.
func (d *differ) attached(ctx context.Context, scratch *tldwdb.DB, cfg tldwdb.Config, use func(*tldwdb.DB) error) (err error) {
	cfg.Table, cfg.Environment, cfg.Logger = d.table, tldwdb.Test, slog.New(slog.DiscardHandler)
	db, err := tldwdb.Attach(ctx, scratch.Pool(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return use(db)
}

// onSide opens a side.
func (d *differ) onSide(ctx context.Context, db *tldwdb.DB, use func(*side) error) (err error) {
	c, err := db.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	if d.facts, err = d.dialect.Inspect(ctx, c.Conn, d.table); err != nil {
		return err
	}
	s := &side{db: db, conn: c.Conn}
	if err := d.read(ctx, s); err != nil {
		return err
	}
	return use(s)
}

// read reads the side's catalogue. PostgreSQL cannot put a column between others, and
// so the order of columns does not count there. What a database is called, and what its
// new tables would inherit, is the installation's.
func (d *differ) read(ctx context.Context, s *side) (err error) {
	s.catalog, err = catalog.Read(ctx, d.dialect, s.conn, catalog.Options{Ignore: d.ignored(), AnyColumnOrder: d.name == dialect.NamePostgres})
	s.catalog = slices.DeleteFunc(s.catalog.Without(d.repeatable), func(o catalog.Object) bool { return o.Kind == "database" })
	return err
}

// ignored are the objects that are none of the schema's.
func (d *differ) ignored() []string {
	return append([]string{d.table, d.table + "_lease"}, d.flags.ignore...)
}

// wanted opens the side of the wanted schema.
func (d *differ) wanted(ctx context.Context, db *tldwdb.DB, use func(*side) error) (err error) {
	if d.flags.toURL != "" {
		u, err := dburl.Parse(d.flags.toURL)
		switch {
		case err != nil:
			return usagef("--to-url: %w", err)
		case u.Dialect != d.name:
			return usagef("--to-url is a database of %s, and the migrations are compared on %s: say which with --url", u.Dialect, d.name)
		case missing(d.flags.toURL):
			return usagef("--to-url: there is no file %s", u.Path)
		}
		cfg := tldwdb.Config{URL: d.flags.toURL, Logger: slog.New(slog.DiscardHandler), ConnectWait: lookingWait}
		other, err := tldwdb.Open(ctx, cfg)
		if err != nil {
			return fmt.Errorf("--to-url: %w", err)
		}
		defer func() { err = errors.Join(err, other.Close()) }()
		return d.onSide(ctx, other, use)
	}
	text, file, err := d.wantedText()
	if err != nil {
		return err
	}
	rules := d.dialect.ScanOptions()
	hints, statements, err := schemadiff.Hints(text, rules)
	if err != nil {
		return fmt.Errorf("%s:%w", file, err)
	}
	d.hints = hints
	return db.Scratch(ctx, d.flags.verification(1), func(ctx context.Context, scratch *tldwdb.DB) error {
		if err := d.load(ctx, scratch, file, statements); err != nil {
			return err
		}
		return d.onSide(ctx, scratch, use)
	})
}

// wantedText is the wanted schema as statements, and where it comes from.
func (d *differ) wantedText() (text, from string, err error) {
	if d.flags.structs != "" {
		text, err = structschema.Read(d.flags.structs, d.name)
		return text, d.flags.structs, err
	}
	content, err := os.ReadFile(d.flags.to)
	return string(content), filepath.ToSlash(d.flags.to), err
}

// load makes the wanted schema. Its statements may leave settings behind, as a dump's
// do: the connection is not used again.
func (d *differ) load(ctx context.Context, scratch *tldwdb.DB, file string, statements []sqlscan.Statement) (err error) {
	if err := d.confine(ctx, scratch, file, statements); err != nil {
		return err
	}
	c, err := scratch.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		_ = c.Raw(func(any) error { return driver.ErrBadConn }) // this is how database/sql is told to close it
		_ = c.Close()                                           // sql.ErrConnDone after the line above
	}()
	if _, err := d.dialect.Inspect(ctx, c.Conn, d.table); err != nil {
		return err
	}
	for i, st := range statements {
		if d.dialect.Class(st) == dialect.ClassTransaction {
			continue
		}
		if _, err := d.dialect.ExecScript(ctx, c.Conn, statements[i:i+1], 0); err != nil {
			if d.flags.structs != "" { // the lines are nobody's
				return fmt.Errorf("%s: %s …: %w", file, strings.TrimRight(firstLine(st.Text), " ("), err)
			}
			return fmt.Errorf("%s:%d: %w", file, st.Line, err)
		}
	}
	return nil
}

// confine refuses a schema that would reach beyond the scratch database.
func (d *differ) confine(ctx context.Context, scratch *tldwdb.DB, file string, statements []sqlscan.Statement) error {
	confiner, can := d.dialect.(dialect.Confiner)
	server, is := d.dialect.(dialect.ScratchServer)
	if !can || !is {
		return nil
	}
	others, err := server.Databases(ctx, scratch.Pool().DB)
	if err != nil {
		return err
	}
	for _, st := range statements {
		if what := confiner.Beyond(st.Text, others); what != "" {
			return fmt.Errorf("%s:%d: %s; the wanted schema is made in a scratch database, and may not reach beyond it", file, st.Line, what)
		}
	}
	return nil
}

// between finds the statements from one side to the other and back, and runs them.
func (d *differ) between(ctx context.Context, from, to *side, answer *diffAnswer) error {
	before := from.catalog
	if err := d.addValues(ctx, from, to, answer); err != nil {
		return err
	}
	if err := d.rename(ctx, from, to); err != nil {
		return err
	}
	if len(catalog.Compare(to.catalog, from.catalog)) == 0 && len(d.renames) == 0 {
		return nil
	}
	up, upLast, err := d.statements(ctx, from, to)
	if err != nil {
		return err
	}
	for _, column := range d.lacking {
		answer.Warnings = append(answer.Warnings, "a table with rows has no value for "+column+": give the column a default, or put -- tldwdb: column NAME = EXPRESSION below the line with rebuild")
	}
	answer.Warnings = append(answer.Warnings, d.notes...)
	down, downLast, backErr := d.statements(ctx, to, from)
	if err := d.renameBack(ctx, from); err != nil {
		return err
	}
	for _, statement := range answer.values.down {
		if err := d.exec(ctx, from, statement); err != nil {
			return fmt.Errorf("taking values of enums back: %w", err)
		}
	}
	for _, r := range d.renames {
		answer.Up = append(answer.Up, r.Up)
	}
	answer.Up = slices.Concat(answer.Up, up, upLast)
	answer.Down = down
	for _, r := range slices.Backward(d.renames) {
		answer.Down = append(answer.Down, r.Down)
	}
	answer.Down = append(answer.Down, downLast...)
	answer.Warnings = append(answer.Warnings, schemadiff.Losses(answer.Up, d.dialect.ScanOptions())...)
	if backErr != nil {
		answer.Irreversible, answer.Down = firstLine(backErr.Error()), nil
	}
	if len(answer.Up) == 0 {
		return d.unwritten(catalog.Compare(to.catalog, before))
	}
	if err := d.fix(answer); err != nil {
		return err
	}
	if err := d.prove(ctx, from, before, to.catalog, answer); err != nil {
		return err
	}
	if err := d.judge(answer); err != nil {
		return err
	}
	answer.Up = slices.Concat(answer.values.up, answer.Up)
	if answer.Irreversible == "" {
		answer.Down = slices.Concat(answer.Down, answer.values.down)
	}
	return nil
}

// addValues adds the values of enums on the side of the migrations that the rest of the
// migration names.
func (d *differ) addValues(ctx context.Context, from, to *side, answer *diffAnswer) error {
	if d.name != dialect.NamePostgres {
		return nil
	}
	was, err := schemadiff.ReadPostgres(ctx, from.conn, from.catalog)
	if err != nil {
		return err
	}
	wanted, err := schemadiff.ReadPostgres(ctx, to.conn, to.catalog)
	if err != nil {
		return err
	}
	differences := catalog.Compare(to.catalog, from.catalog)
	answer.values.up = schemadiff.AddedValues(was, wanted, func(label string) bool {
		return slices.ContainsFunc(differences, func(c catalog.Difference) bool { return c.Kind != "type" && strings.Contains(c.Want, label) })
	})
	if len(answer.values.up) == 0 {
		return nil
	}
	for _, statement := range answer.values.up {
		if err := d.exec(ctx, from, statement); err != nil {
			return err
		}
	}
	if err := d.read(ctx, from); err != nil {
		return err
	}
	is, err := schemadiff.ReadPostgres(ctx, from.conn, from.catalog)
	if err != nil {
		return err
	}
	answer.values.down = schemadiff.Postgres(is, was).Around(nil)
	return nil
}

// statements asks the planner of the engine. last are those that have to come behind
// every rename: MySQL's views and triggers do not follow one.
func (d *differ) statements(ctx context.Context, from, to *side) (list, last []string, err error) {
	switch d.name {
	case dialect.NamePostgres:
		if d.app.opts.PlanChanges == nil {
			return nil, nil, errors.New("this program does not plan changes on PostgreSQL: the command tldwdb does")
		}
		a, err := schemadiff.ReadPostgres(ctx, from.conn, from.catalog)
		if err != nil {
			return nil, nil, err
		}
		b, err := schemadiff.ReadPostgres(ctx, to.conn, to.catalog)
		if err != nil {
			return nil, nil, err
		}
		tables, err := d.app.opts.PlanChanges(ctx, from.conn, to.conn, d.ignored())
		if err != nil {
			return nil, nil, err
		}
		plan := schemadiff.Postgres(a, b)
		d.notes = plan.Notes
		return plan.Around(tables), nil, nil
	case dialect.NameMySQL:
		a, err := schemadiff.ReadMySQL(ctx, from.conn, from.catalog)
		if err != nil {
			return nil, nil, err
		}
		b, err := schemadiff.ReadMySQL(ctx, to.conn, to.catalog)
		if err != nil {
			return nil, nil, err
		}
		tables, err := schemadiff.MySQL(a, b)
		if err != nil {
			return nil, nil, err
		}
		is, err := schemadiff.ReadMySQLAround(ctx, from.conn, from.catalog, d.dialect.ScanOptions())
		if err != nil {
			return nil, nil, err
		}
		wanted, err := schemadiff.ReadMySQLAround(ctx, to.conn, to.catalog, d.dialect.ScanOptions())
		if err != nil {
			return nil, nil, err
		}
		before, after := schemadiff.MySQLObjects(is, wanted)
		return slices.Concat(before, tables), after, nil
	}
	a, err := schemadiff.ReadSQLite(ctx, from.conn, from.catalog)
	if err != nil {
		return nil, nil, err
	}
	b, err := schemadiff.ReadSQLite(ctx, to.conn, to.catalog)
	if err != nil {
		return nil, nil, err
	}
	d.lacking = b.Lacking(a)
	list, err = schemadiff.SQLite(a, b)
	return list, nil, err
}

// rename carries out the hints that are new on the side of the migrations. A hint may
// stay in the schema for good: where the new name is there already it says nothing.
func (d *differ) rename(ctx context.Context, from, to *side) error {
	for _, h := range d.hints {
		name := d.dialect.Identifier
		schema := ""
		if h.Schema != "" {
			schema = name(h.Schema) + "."
		}
		table := schema + name(h.Table)
		r := schemadiff.Renamed{
			Up:   "ALTER TABLE " + table + " RENAME COLUMN " + name(h.From) + " TO " + name(h.Column),
			Down: "ALTER TABLE " + table + " RENAME COLUMN " + name(h.Column) + " TO " + name(h.From),
		}
		newer, older := "x."+name(h.Column)+" FROM "+table, "x."+name(h.From)+" FROM "+table
		if h.Column == "" {
			r.Up = "ALTER TABLE " + schema + name(h.From) + " RENAME TO " + name(h.Table)
			r.Down = "ALTER TABLE " + table + " RENAME TO " + name(h.From)
			newer, older = "1 FROM "+table, "1 FROM "+schema+name(h.From)
		}
		switch {
		case d.there(ctx, from, newer):
			continue
		case !d.there(ctx, from, older):
			return fmt.Errorf("%s: the migrations make neither of the two", h)
		}
		steps := []schemadiff.Renamed{r}
		if d.name == dialect.NameMySQL && h.Column != "" {
			away, err := schemadiff.MySQLInTheWay(ctx, from.conn, h.Table, h.From)
			if err != nil {
				return fmt.Errorf("%s: %w", h, err)
			}
			if away.Up != "" {
				steps = slices.Insert(steps, 0, away)
			}
		}
		for _, step := range steps {
			if err := d.exec(ctx, from, step.Up); err != nil {
				return fmt.Errorf("%s: %w", h, err)
			}
		}
		d.renames = append(d.renames, steps...)
		if d.name != dialect.NamePostgres {
			continue
		}
		follow, err := schemadiff.PostgresNames(ctx, from.conn, to.conn, schema, table, h, d.hints)
		if err != nil {
			return fmt.Errorf("%s: %w", h, err)
		}
		for _, r := range follow {
			if err := d.exec(ctx, from, r.Up); err != nil {
				return fmt.Errorf("%s: %w", h, err)
			}
		}
		d.renames = append(d.renames, follow...)
	}
	if len(d.renames) == 0 {
		return nil
	}
	return d.read(ctx, from)
}

// there asks for a table or column. An error is a no: what cannot be read cannot be
// renamed, and that is then told.
func (d *differ) there(ctx context.Context, s *side, what string) bool {
	return d.exec(ctx, s, "SELECT "+what+" AS x WHERE 1 = 0") == nil
}

func (d *differ) exec(ctx context.Context, s *side, statement string) error {
	_, err := d.dialect.ExecScript(ctx, s.conn, []sqlscan.Statement{{Text: statement}}, 0)
	return err
}

func (d *differ) renameBack(ctx context.Context, from *side) error {
	for _, r := range slices.Backward(d.renames) {
		if err := d.exec(ctx, from, r.Down); err != nil {
			return fmt.Errorf("taking a rename back: %w", err)
		}
	}
	return nil
}

// proofSet is the set of migrations in which a scratch database keeps the proof.
const proofSet = "tldwdb_diff"

// prove runs the migration on the side that it is for, as a service would, and back,
// and compares both outcomes.
func (d *differ) prove(ctx context.Context, from *side, before, want catalog.Catalog, answer *diffAnswer) (err error) {
	dir, remove, err := atomicfile.TempDir("tldwdb-diff-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	pieces := d.pieces(*answer)
	if _, err := writeNew(dir, d.files(pieces)); err != nil {
		return err
	}
	return d.attached(ctx, from.db, tldwdb.Config{Migrations: os.DirFS(filepath.Join(dir, d.sub)), Set: proofSet}, func(db *tldwdb.DB) error {
		if _, err := db.Up(ctx); err != nil {
			without := ""
			if len(answer.fixed) > 0 {
				without = " (try it without --fix)"
			}
			return fmt.Errorf("the migration to the wanted schema fails on a scratch database%s: %w", without, err)
		}
		if err := d.read(ctx, from); err != nil {
			return err
		}
		if err := d.unwritten(catalog.Compare(want, from.catalog)); err != nil || answer.Irreversible != "" {
			return err
		}
		if _, err := db.Down(ctx, len(pieces)); err != nil {
			answer.Irreversible, answer.Down = "the way back fails: "+firstLine(err.Error()), nil
			return ctx.Err()
		}
		if err := d.read(ctx, from); err != nil {
			return err
		}
		if left := catalog.Compare(before, from.catalog); len(left) > 0 {
			answer.Irreversible, answer.Down = "the way back would not be complete: "+left[0].Summary(), nil
		}
		return nil
	})
}

// unwritten is what the migration would leave undone.
func (d *differ) unwritten(left []catalog.Difference) error {
	if len(left) == 0 {
		return nil
	}
	lines := make([]string, len(left))
	for i, difference := range left {
		lines[i] = "\n  " + strings.ReplaceAll(difference.String(), "\n", "\n  ")
	}
	return fmt.Errorf("%s: what is wanted cannot be written in full, and nothing was written; write a migration for these by hand (- is wanted, + is what it would be):%s", plural(len(left), "difference"), strings.Join(lines, ""))
}
