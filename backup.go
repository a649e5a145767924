package tldwdb

import (
	"context"
	"io"
	"time"
)

// BackupMethod is how a backup is made.
type BackupMethod string

const (
	// BackupNative is in the engine's own form: a SQLite file, pg_dump's custom
	// format, mysqldump's or mariadb-dump's SQL. It holds everything that is in the
	// database. Servers need their program on this machine.
	BackupNative BackupMethod = "native"

	// BackupPortable holds the rows of every table, and the migrations' versions and
	// checksums; the migrations make the schema when it is restored. It needs no
	// program and can be restored on another engine.
	BackupPortable BackupMethod = "portable"
)

// Why a backup was made, in [Backup].Reason.
const (
	ReasonManual    = "manual"    // somebody asked for it
	ReasonScheduled = "scheduled" // [DB.ScheduleBackups]
	ReasonMigration = "migration" // before a migration: Config.BackupBeforeMigrate
	ReasonRestore   = "restore"   // what a restore was about to replace
)

// Backup says what is in a backup, how it was made and whether it was ever
// restored. It is the manifest, which lies beside the backup as JSON, is written
// last, and without which there is no backup. It holds no credential and no row.
type Backup struct {
	Format int    `json:"format"` // of the manifest: 1, or 2 where older versions of tldwdb cannot read the rows of a portable one, or a part has a PieceSize
	Name   string `json:"name"`   // tldw_backup_20261123_104600_k3x9: when it was begun, in UTC, and four random characters
	Reason string `json:"reason"` // one of [ReasonManual] and its like

	Method        BackupMethod `json:"method"`
	Content       string       `json:"content"`            // sqlite, pg_dump, mysqldump, mariadb-dump or rows
	Engine        string       `json:"engine"`             // sqlite, postgres or mysql
	EngineVersion string       `json:"engine_version"`     // as the server says it
	Database      string       `json:"database"`           // the database's name; for SQLite the file's, without its folder
	Identity      string       `json:"identity,omitempty"` // what tells it from others of that name: the run that made its history table, which a restore keeps; empty where it had none
	Tool          string       `json:"tool,omitempty"`     // program that wrote it, with its version
	Writer        string       `json:"writer"`             // tldwdb and its version
	Position      string       `json:"position,omitempty"` // in the server's log, LSN or GTID: of the snapshot, or of a portable one at most a moment behind it

	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Migrations []BackupMigration `json:"migrations"`        // applied ones, in the order of set and version
	Seeds      map[string]string `json:"seeds,omitempty"`   // of a portable one: seeds that had run once, with their checksums
	Tables     []BackupTable     `json:"tables"`            // by name
	Skipped    []string          `json:"skipped,omitempty"` // tables and sequences that a portable one does not have: BackupOptions.Skip, or no migration makes them
	Objects    map[string]int    `json:"objects"`           // how many there are of each kind that the catalogue lists: table, view, trigger …
	Schema     string            `json:"schema"`            // SHA-256 of the description of all objects

	Parts       []BackupPart `json:"parts"`
	Compression string       `json:"compression"`          // zstd or none
	Recipients  []string     `json:"recipients,omitempty"` // for whom it is encrypted: public keys, or "passphrase"

	// Notes are what a person should know about the content, and no error is, such as
	// tables without transactions, whose rows may be of another instant.
	Notes []string `json:"notes,omitempty"`

	// Verified is the newest proof that the backup can be restored. It is kept in a
	// file of its own. Nil: there is none.
	Verified *BackupVerification `json:"-"`

	// Err says why [ListBackups] cannot say more than the name and the time it was
	// begun: the manifest cannot be read, is damaged or newer than this binary, or a
	// part is missing. Nil: there is nothing wrong that a look from outside shows.
	Err error `json:"-"`

	// digest is of the manifest as it was read or written. A verification names it, so
	// that it does not speak for a backup that took the name later.
	digest string
}

// BackupMigration is a migration that was applied when the backup was made.
type BackupMigration struct {
	Set      string `json:"set"`
	Version  int64  `json:"version"` // 0 for a repeatable one
	Name     string `json:"name"`
	Checksum string `json:"checksum"`
	State    State  `json:"state"`
}

// BackupTable is a table of a backup.
type BackupTable struct {
	Name   string `json:"name"` // with its schema where that is not the default one
	Rows   int64  `json:"rows"`
	Digest string `json:"digest,omitempty"` // of the content, whatever the order of the rows; empty where it was not taken
}

// BackupPart is one object in the store.
type BackupPart struct {
	Name        string `json:"name"`
	Size        int64  `json:"size"`   // stored bytes
	SHA256      string `json:"sha256"` // of the stored bytes, in hexadecimal digits
	PlainSize   int64  `json:"plain_size"`
	PlainSHA256 string `json:"plain_sha256"` // before compression and encryption
	// PieceSize is not 0 where SHA256 is that of the SHA-256 (of 32 bytes each) of pieces
	// of so many bytes, one behind the other; the last piece may be smaller. So it is for
	// a plain copy of a large SQLite database, which several processors digest at once.
	PieceSize int64 `json:"piece_size,omitempty"`
}

// BackupVerification is what a restore on trial has shown.
type BackupVerification struct {
	Backup   string    `json:"backup"` // its name
	Time     time.Time `json:"time"`
	OK       bool      `json:"ok"`
	Duration int64     `json:"duration_ms"`
	Engine   string    `json:"engine"`          // where it was restored
	Error    string    `json:"error,omitempty"` // what was wrong
	Notes    []string  `json:"notes,omitempty"` // what is worth knowing and nothing wrong
}

// BackupStore keeps backups: named objects that appear whole or not at all.
// [DirStore] is one; package tldwdbs3 has another. Names consist of letters,
// digits, dots, underscores and hyphens. Its methods can be called by several
// goroutines at once.
type BackupStore interface {
	// Create begins an object. It takes the name, in place of an older object of that
	// name, when Commit returns nil, and leaves nothing behind Abort.
	Create(ctx context.Context, name string) (BackupWriter, error)
	// Open reads an object. The error is [fs.ErrNotExist] if there is none.
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// List lists all objects by name.
	List(ctx context.Context) ([]BackupObject, error)
	// Delete removes an object. That there is none is no error.
	Delete(ctx context.Context, name string) error
	// String says where the store is, without credentials.
	String() string
}

// BackupWriter writes one object of a [BackupStore].
type BackupWriter interface {
	io.Writer
	// Commit makes the object durable and gives it its name.
	Commit() error
	// Abort throws away what was written. Behind Commit it does nothing.
	Abort() error
}

// BackupObject is an object of a [BackupStore].
type BackupObject struct {
	Name     string
	Size     int64
	Modified time.Time
}

// BackupOptions say how backups are made and where they are. The zero value of
// every field is useful.
type BackupOptions struct {
	// Store is where backups are. Default: [DirStore] of Dir.
	Store BackupStore
	// Dir is a folder for backups, made if it is not there. Default: "backups".
	Dir string
	// Method is how. Default: [BackupNative] where that needs no program or its
	// program is there, else an error that says what to install.
	Method BackupMethod
	// Compression is zstd or none. Default: zstd.
	Compression string
	// Jobs is how many connections PostgreSQL's program may use. Above 1 it needs room
	// for a copy in the folder for temporary files. Default: 1.
	Jobs int
	// ToolDir is the folder with the server's programs. Default: those of the PATH and
	// the folders that packages put them in, the newest that fits the server.
	ToolDir string
	// Recipients encrypt the backup: age public keys ("age1…"). Whoever has the
	// identity of one of them can read it. Default: it is not encrypted.
	Recipients []string
	// RecipientsFile has more of them, one a line.
	RecipientsFile string
	// IdentityFiles have the identities ("AGE-SECRET-KEY-1…") that read encrypted
	// backups.
	IdentityFiles []string
	// PassphraseFile has a passphrase that encrypts and reads backups, in place of
	// recipients and identities.
	PassphraseFile string
	// Digests takes a digest of every table's content with a backup in the engine's own
	// form of a server, at the price of reading it twice. Portable ones always have them.
	Digests bool
	// Skip lists tables that a portable backup leaves out: names, or patterns as
	// [path.Match] has them. Behind a restore they are as the migrations make them. A
	// backup in the engine's own form has everything.
	//
	// A table of which no migration speaks, such as one that somebody has made by hand, is
	// refused in a portable backup, because no restore could make it, unless it is named
	// here. A scheduled backup leaves it out: nobody is there to name it, and none at all
	// would be worse. What was left out is in Backup.Skipped.
	Skip []string
	// Reason is written down. Default: [ReasonManual].
	Reason string
	// Progress is told how far it is, now and then, by the goroutine that does the
	// work. Default: nobody is told.
	Progress func(BackupProgress)
}

// BackupProgress is how far a backup, a restore or a copy is.
type BackupProgress struct {
	Phase     string        // lock, dump, check, load, verify or switch
	Table     string        // at work; empty where that is not known
	Tables    int           // done
	TablesAll int           // in all; 0 where that is not known
	Bytes     int64         // of content, before compression
	BytesAll  int64         // expected; 0 where that is not known
	Elapsed   time.Duration // since the phase began
	Left      time.Duration // expected; 0 where that is not known
}
