package foreign

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// tool describes one tool's table. All names are compared whatever their case.
type tool struct {
	name      string
	tables    []string // the names that the tool gives it by itself
	ownSchema bool     // on PostgreSQL also looked for in a schema of the table's name
	columns   []string // what is read, ordered by the first; a table without them is another tool's
	alone     bool     // it has no other columns
	beside    string   // a table that tells it from another tool's of the same shape by being there
	without   string   // the same, by not being there
	read      func(rows [][]string) ([]Version, *Fault)

	lock        string // the table in which the tool says that it is running
	lockColumns []string
	readLock    func(rows [][]string) *Fault
}

var tools = []tool{
	{
		name: "alembic", tables: []string{"alembic_version"},
		columns: []string{"version_num"},
		read:    readHeads,
	},
	{
		name: "golang-migrate", tables: []string{"schema_migrations"},
		columns: []string{"version", "dirty"},
		read:    readGolangMigrate,
	},
	{
		name: "dbmate", tables: []string{"schema_migrations"}, without: "ar_internal_metadata",
		columns: []string{"version"}, alone: true,
		read: readVersions,
	},
	{
		name: "rails", tables: []string{"schema_migrations"}, beside: "ar_internal_metadata",
		columns: []string{"version"}, alone: true,
		read: readVersions,
	},
	{
		name: "goose", tables: []string{"goose_db_version"},
		columns: []string{"id", "version_id", "is_applied"},
		read:    readGoose,
		lock:    "goose_lock", lockColumns: []string{"locked", "locked_by", "locked_at"},
		readLock: heldLock("wait until it has ended; after a crash, run goose once: it takes the lease over when that has run out"),
	},
	{
		name: "sql-migrate", tables: []string{"gorp_migrations"},
		columns: []string{"id", "applied_at"},
		read:    readVersions,
	},
	{
		name: "tern", tables: []string{"schema_version"},
		columns: []string{"version"}, alone: true,
		read: readTern,
	},
	{
		name: "atlas", tables: []string{"atlas_schema_revisions"}, ownSchema: true,
		columns: []string{"version", "description", "type", "applied", "total", "error", "hash"},
		read:    readAtlas,
	},
	{
		// schema_version is its name in Flyway before 5, and in what was upgraded from there.
		name: "flyway", tables: []string{"flyway_schema_history", "schema_version"},
		columns: []string{"installed_rank", "version", "description", "type", "checksum", "success"},
		read:    readFlyway,
	},
	{
		name: "liquibase", tables: []string{"databasechangelog"},
		columns: []string{"orderexecuted", "id", "author", "filename", "exectype", "md5sum"},
		read:    readLiquibase,
		lock:    "databasechangeloglock", lockColumns: []string{"locked", "lockedby", "lockgranted"},
		readLock: heldLock("wait until it has ended; after a crash, run `liquibase release-locks`"),
	},
	{
		name: "django", tables: []string{"django_migrations"},
		columns: []string{"id", "app", "name"},
		read:    readDjango,
	},
	{
		name: "prisma", tables: []string{"_prisma_migrations"},
		columns: []string{"started_at", "migration_name", "checksum", "finished_at", "rolled_back_at"},
		read:    readPrisma,
	},
	{
		name: "sqlx", tables: []string{"_sqlx_migrations"},
		columns: []string{"version", "description", "success", "checksum"},
		read:    readSqlx,
	},
	{
		name: "refinery", tables: []string{"refinery_schema_history"},
		columns: []string{"version", "name", "checksum"},
		read:    readRefinery,
	},
}

// heldLock reads a lock table: whether it is held, by whom, and since when.
func heldLock(remedy string) func(rows [][]string) *Fault {
	return func(rows [][]string) *Fault {
		for _, r := range rows {
			if isTrue(r[0]) {
				return &Fault{Reason: fmt.Sprintf("it is locked by %s since %s", r[1], r[2]), Remedy: remedy}
			}
		}
		return nil
	}
}

// ledger keeps what is applied in the order in which it came to be so, for
// tools that write more than one row for a version.
type ledger struct {
	order []string
	at    map[string]Version
}

func (l *ledger) add(key string, v Version) {
	if l.at == nil {
		l.at = map[string]Version{}
	}
	l.drop(key)
	l.order = append(l.order, key)
	l.at[key] = v
}

func (l *ledger) drop(key string) {
	l.order = slices.DeleteFunc(l.order, func(k string) bool { return k == key })
}

func (l *ledger) versions() []Version {
	list := make([]Version, len(l.order))
	for i, key := range l.order {
		list[i] = l.at[key]
	}
	return list
}

// readHeads: Alembic keeps the newest revision of each branch.
func readHeads(rows [][]string) (list []Version, _ *Fault) {
	for _, r := range rows {
		list = append(list, Version{Version: r[0], UpTo: true})
	}
	return list, nil
}

func readVersions(rows [][]string) (list []Version, _ *Fault) {
	for _, r := range rows {
		list = append(list, Version{Version: r[0]})
	}
	return list, nil
}

// single is the row of a tool that keeps one only.
func single(rows [][]string) ([]string, *Fault) {
	switch len(rows) {
	case 0:
		return nil, nil
	case 1:
		return rows[0], nil
	}
	return nil, &Fault{Reason: fmt.Sprintf("its table has %d rows, and the tool keeps one", len(rows)), Remedy: "find out which of them is right, and delete the others"}
}

// readGolangMigrate: -1 is what is left of a first migration that failed, or of
// a last one whose way back did.
func readGolangMigrate(rows [][]string) ([]Version, *Fault) {
	row, fault := single(rows)
	if row == nil || fault != nil {
		return nil, fault
	}
	if isTrue(row[1]) {
		return nil, &Fault{Reason: fmt.Sprintf("version %s is dirty: a migration failed, or its process died", row[0]),
			Remedy: fmt.Sprintf("look at what of it is there and mend the schema; then `migrate force %s` if all of it is, or `migrate force` with the version before it", row[0])}
	}
	if strings.HasPrefix(row[0], "-") {
		return nil, nil
	}
	return []Version{{Version: row[0], UpTo: true}}, nil
}

// readTern: 0 is a database whose migrations were all taken back.
func readTern(rows [][]string) ([]Version, *Fault) {
	row, fault := single(rows)
	if row == nil || fault != nil || row[0] == "0" {
		return nil, fault
	}
	return []Version{{Version: row[0], UpTo: true}}, nil
}

// readGoose: older versions write a row for each way back as well, and the last
// row of a version counts. Version 0 is that of the table itself.
func readGoose(rows [][]string) ([]Version, *Fault) {
	var l ledger
	for _, r := range rows {
		switch version := r[1]; {
		case version == "0":
		case isTrue(r[2]):
			l.add(version, Version{Version: version})
		default:
			l.drop(version)
		}
	}
	return l.versions(), nil
}

// The flags of a row of Atlas.
const (
	atlasBaseline = 1 << iota
	_             // executed
	atlasResolved
)

func readAtlas(rows [][]string) (list []Version, fault *Fault) {
	for _, r := range rows {
		if strings.HasPrefix(r[0], ".") { // Atlas's own notes
			continue
		}
		kind, err := strconv.Atoi(r[2])
		if err != nil {
			return nil, &Fault{Reason: fmt.Sprintf("version %s is of type %q, which is not a number", r[0], r[2]), Remedy: "look with `atlas migrate status`"}
		}
		partial := r[3] != r[4] || r[5] != ""
		if partial && kind&atlasResolved == 0 {
			fault = &Fault{Reason: strings.TrimSpace(fmt.Sprintf("version %s is applied in part, %s of %s statements %s", r[0], r[3], r[4], r[5])),
				Remedy: "bring it to its end with `atlas migrate apply`, or mend the schema and run `atlas migrate set`"}
			continue
		}
		list = append(list, Version{Version: r[0], Name: r[1], Checksum: r[6], UpTo: kind&atlasBaseline != 0})
	}
	return list, fault
}

// readFlyway: what was taken back or deleted has a row of its own that says so,
// behind the one that it cancels. A row without a version is a repeatable
// migration's, or the note that Flyway made the schema: the first runs again
// by itself, the second is nothing.
func readFlyway(rows [][]string) ([]Version, *Fault) {
	var (
		l     ledger
		fault *Fault
	)
	for _, r := range rows {
		version, name, kind := r[1], r[2], strings.ToUpper(r[3])
		switch {
		case !isTrue(r[5]):
			if version == "" {
				version = name
			}
			fault = &Fault{Reason: fmt.Sprintf("version %s has failed (%s)", version, name), Remedy: "mend the schema, then run `flyway repair`"}
		case version == "":
		case strings.HasPrefix(kind, "UNDO"), kind == "DELETE":
			l.drop(version)
		default:
			l.add(version, Version{Version: version, Name: name, Checksum: r[4], UpTo: strings.HasSuffix(kind, "BASELINE")})
		}
	}
	return l.versions(), fault
}

// readLiquibase names a changeset by its id, and in full, as Liquibase does,
// where others have the same one.
func readLiquibase(rows [][]string) (list []Version, fault *Fault) {
	count := map[string]int{}
	for _, r := range rows {
		count[r[1]]++
	}
	for _, r := range rows {
		id, author, file := r[1], r[2], r[3]
		v := Version{Version: id, Name: file + "::" + author, Checksum: r[5], Label: true, Full: file + "::" + id + "::" + author}
		if count[id] > 1 {
			v.Version = v.Full
		}
		switch r[4] {
		case "SKIPPED":
		case "FAILED":
			fault = &Fault{Reason: fmt.Sprintf("changeset %s has failed", v.Version), Remedy: "mend it, and run `liquibase update` until it is done"}
		default:
			list = append(list, v)
		}
	}
	return list, fault
}

func readDjango(rows [][]string) (list []Version, _ *Fault) {
	for _, r := range rows {
		list = append(list, Version{Version: r[1] + "." + r[2], Label: true})
	}
	return list, nil
}

// readPrisma: a migration that failed and was resolved has a row that says so,
// and perhaps another one of a later try.
func readPrisma(rows [][]string) (list []Version, fault *Fault) {
	for _, r := range rows {
		name, finished, rolledBack := r[1], r[3], r[4]
		switch {
		case rolledBack != "":
		case finished == "":
			fault = &Fault{Reason: fmt.Sprintf("%s has failed, or is running", name),
				Remedy: fmt.Sprintf("mend the schema, then run `prisma migrate resolve --applied %s` or `--rolled-back %[1]s`", name)}
		default:
			list = append(list, Version{Version: name, Checksum: r[2]})
		}
	}
	return list, fault
}

func readSqlx(rows [][]string) (list []Version, fault *Fault) {
	for _, r := range rows {
		if !isTrue(r[2]) {
			fault = &Fault{Reason: fmt.Sprintf("version %s has failed half-way (%s)", r[0], r[1]), Remedy: "mend the schema, then delete that row of _sqlx_migrations, or set its success to true if all of it is there"}
			continue
		}
		list = append(list, Version{Version: r[0], Name: r[1], Checksum: r[3]})
	}
	return list, fault
}

func readRefinery(rows [][]string) (list []Version, _ *Fault) {
	for _, r := range rows {
		list = append(list, Version{Version: r[0], Name: r[1], Checksum: r[2]})
	}
	return list, nil
}
