// Package tldwdblint has the words in which migrations are judged before they run: what a rule sees of a
// statement, and what it says about it. The rules themselves are in the documentation, docs/lint; this package is
// for those who set them, read their findings, or write one of their own.
//
// A rule of one's own is a function. It is told of each statement that is of its kind:
//
//	noCascade := tldwdblint.Rule{
//		ID:      "ACME1",
//		Title:   "a cascade takes more than it names",
//		Kinds:   []string{"DROP TABLE", "DROP VIEW"},
//		Check: func(s *tldwdblint.Statement, report func(tldwdblint.Finding)) {
//			if s.Cascade {
//				report(tldwdblint.Finding{Message: s.Table.Text + " is dropped with all that stands on it"})
//			}
//		},
//	}
//
// It stands on the standard library alone, and does nothing by itself: tldwdb.Lint, Config.Lint,
// tldwdbtest.Lint and the command tldwdb lint use it.
package tldwdblint

import (
	"fmt"
	"strings"
)

// Severity says how much a finding weighs.
type Severity string

// The severities, from the lightest.
const (
	SeverityOff     Severity = "off"     // the rule is not asked
	SeverityNotice  Severity = "notice"  // worth a thought; nothing breaks
	SeverityWarning Severity = "warning" // stops writers or readers for as long as the table is large, or breaks running code
	SeverityError   Severity = "error"   // fails, loses data, or leaves something behind that nobody sees
)

// rank orders the severities.
func (s Severity) rank() int {
	switch s {
	case SeverityNotice:
		return 1
	case SeverityWarning:
		return 2
	case SeverityError:
		return 3
	case SeverityOff:
	}
	return 0
}

// AtLeast reports whether a severity weighs as much as another one or more.
func (s Severity) AtLeast(other Severity) bool { return s.rank() >= other.rank() }

// Valid reports whether it is one of the four.
func (s Severity) Valid() bool { return s == SeverityOff || s.rank() > 0 }

// Mode says what a run of migrations does with findings.
type Mode string

// The modes of [Config].
const (
	ModeOff     Mode = "off"     // nothing is judged
	ModeWarn    Mode = "warn"    // findings are in the log
	ModeEnforce Mode = "enforce" // a finding of SeverityError or SeverityWarning in a pending migration stops the run before it begins
)

// Config sets the rules. The zero value asks all of them that are on by default.
type Config struct {
	// Mode is what Up does with findings in pending migrations. Default: ModeWarn while the environment is
	// development, ModeOff otherwise. It has no meaning where findings are asked for.
	Mode Mode
	// StartAfter leaves out the versions up to this one: those that were applied before anybody judged them.
	// Default: none is left out.
	StartAfter int64
	// Target is the oldest server that the migrations have to run on, by dialect ("postgres": "14",
	// "mysql": "8.0.36", "mariadb": "10.11", "sqlite": "3.45"). Rules whose reason older servers have, or newer ones,
	// are asked accordingly. Default: the oldest that tldwdb works with; at Up the server itself.
	Target map[string]string
	// Severity gives a rule another weight, by its ID: SeverityOff silences it, any other switches on one
	// that is off by default.
	Severity map[string]Severity
	// Rules are asked beside those of this module.
	Rules []Rule
}

// Rule is a rule of one's own.
type Rule struct {
	ID       string   // letters and digits, such as ACME1; what an assurance names
	Title    string   // what is wrong, in a line
	Severity Severity // default SeverityWarning
	Dialects []string // of sqlite, postgres, mysql, mariadb; default: all
	Kinds    []string // of statements that it sees, such as "CREATE INDEX"; default: all
	Page     string   // where more is said about it: a URL, or a path
	Down     bool     // it sees the way back too

	// Check is called for each statement in turn, in the order of the files. A Finding needs only its Message; what is
	// left out is filled in from the rule and the statement. With an Offset and a Length, as an Action has them, it is
	// about that part; a part that is not of the statement is passed over. A Statement is valid during the call.
	Check func(s *Statement, report func(Finding))
}

// Finding is what a rule says about a statement.
type Finding struct {
	Rule      string   `json:"rule"`
	Severity  Severity `json:"severity"`
	File      string   `json:"file"`      // path inside the migrations
	Line      int      `json:"line"`      // 1-based, of what the finding is about
	Column    int      `json:"column"`    // 1-based, in characters
	Offset    int      `json:"offset"`    // of the same in the text of that direction, in bytes
	Length    int      `json:"length"`    // in bytes, from there
	Version   int64    `json:"version"`   // of the migration; 0 for a repeatable one
	Name      string   `json:"name"`      // of the migration
	Direction string   `json:"direction"` // up or down
	Statement string   `json:"statement"` // the whole of it; empty where the finding is about the file
	Message   string   `json:"message"`   // what is wrong with this one
	Remedy    string   `json:"remedy"`    // SQL, or words, that do the same safely; may be empty
	Page      string   `json:"page"`      // where more is said about the rule
}

// String gives the finding as compilers do: file:line:column: severity RULE: message.
func (f Finding) String() string {
	return fmt.Sprintf("%s:%d:%d: %s %s: %s", f.File, f.Line, f.Column, f.Severity, f.Rule, f.Message)
}

// Name is the name of an object.
type Name struct {
	Schema string // empty where none is written
	Name   string // as the server keeps it: without quotes, in small letters on PostgreSQL where there were none
	Text   string // as it is written
}

// IsZero reports whether there is no name.
func (n Name) IsZero() bool { return n.Text == "" }

// Key is the name as one of a map: the same for two spellings of one object. Servers differ in what letters mean in a
// name; here large and small ones are the same.
func (n Name) Key() string {
	if n.Schema == "" {
		return strings.ToLower(n.Name)
	}
	return strings.ToLower(n.Schema + "." + n.Name)
}

// Statement is one statement of a migration, as far as it matters to rules. What the reader of statements does not
// know stays empty; Text has all of it.
type Statement struct {
	Line      int // 1-based
	Column    int // 1-based, in characters
	Offset    int // in bytes, from the beginning of the file's text
	Text      string
	Dialect   string // sqlite, postgres, mysql or mariadb
	Direction string // up or down
	File      string
	Version   int64 // of the migration; 0 for a repeatable one
	// Transaction says that the statement runs in the migration's transaction; on MySQL and MariaDB none does.
	Transaction bool
	// NewTable says that Table was made by this very migration: it is empty, and nobody waits for it.
	NewTable bool

	// Kind is what it does, and to what kind of object: CREATE TABLE, CREATE INDEX, ALTER TABLE, DROP MATERIALIZED VIEW,
	// UPDATE, VACUUM … in large letters.
	Kind string
	// Name is the object; Table the table that it is about, which is the same for CREATE TABLE, ALTER TABLE, UPDATE and so on,
	// and the one after ON for an index, a trigger or a policy.
	Name, Table Name
	// Names are all objects of DROP and TRUNCATE.
	Names   []Name
	Actions []Action // of ALTER TABLE; the columns and constraints of CREATE TABLE

	Columns      []string // of CREATE INDEX; "" for an expression
	IfExists     bool
	IfNotExists  bool
	Concurrently bool
	Unique       bool
	Cascade      bool
	Temporary    bool
	Where        bool // UPDATE and DELETE, CREATE INDEX: there is a WHERE
}

// ActionKind is what a part of ALTER TABLE, or of CREATE TABLE, does.
type ActionKind string

// The kinds of [Action].
const (
	ActionAddColumn          ActionKind = "add column"
	ActionDropColumn         ActionKind = "drop column"
	ActionAlterType          ActionKind = "alter type"    // of a column; also MySQL's MODIFY and CHANGE, with all that they say
	ActionSetNotNull         ActionKind = "set not null"  // of a column
	ActionDropNotNull        ActionKind = "drop not null" // of a column
	ActionSetDefault         ActionKind = "set default"
	ActionDropDefault        ActionKind = "drop default"
	ActionAddConstraint      ActionKind = "add constraint"
	ActionDropConstraint     ActionKind = "drop constraint"
	ActionValidateConstraint ActionKind = "validate constraint"
	ActionAddIndex           ActionKind = "add index" // MySQL
	ActionDropIndex          ActionKind = "drop index"
	ActionRenameColumn       ActionKind = "rename column"
	ActionRenameTable        ActionKind = "rename table"
	ActionRenameConstraint   ActionKind = "rename constraint"
	ActionRenameIndex        ActionKind = "rename index"
	ActionSetSchema          ActionKind = "set schema"
	ActionAddValue           ActionKind = "add value"    // of an enum type
	ActionRenameValue        ActionKind = "rename value" // of an enum type
	ActionAttachPartition    ActionKind = "attach partition"
	ActionDetachPartition    ActionKind = "detach partition"
	ActionOption             ActionKind = "option" // ALGORITHM=, LOCK=, ENGINE=, SET LOGGED and the like; Text says which
	ActionOther              ActionKind = "other"
)

// Action is a part of ALTER TABLE, or of CREATE TABLE.
type Action struct {
	Offset       int // in bytes, from the beginning of the file's text
	Length       int // in bytes
	Kind         ActionKind
	Text         string // as it is written
	Column       Column // what it is about; of a rename the old name
	Constraint   Constraint
	NewName      Name // of a rename; the partition of ATTACH and DETACH; the type's new value
	IfExists     bool
	IfNotExists  bool
	Concurrently bool
	Cascade      bool
}

// Column is what a statement says about a column.
type Column struct {
	Name          string
	Text          string // the name as it is written
	Type          string // as it is written, but in small letters and with one blank between words
	NotNull       bool
	Default       string // the expression as it is written; empty for none
	Using         string // of a change of the type
	Generated     string // the expression
	Stored        bool   // Generated is computed when a row is written
	Identity      bool   // GENERATED … AS IDENTITY, AUTO_INCREMENT
	AutoIncrement bool   // SQLite
	PrimaryKey    bool
	Unique        bool
	Check         string   // the expression
	References    Name     // the table of an inline foreign key
	RefColumns    []string // of that table; empty where they are not said
	Collate       string
}

// ConstraintKind is a kind of constraint.
type ConstraintKind string

// The kinds of [Constraint].
const (
	ConstraintCheck      ConstraintKind = "CHECK"
	ConstraintUnique     ConstraintKind = "UNIQUE"
	ConstraintPrimaryKey ConstraintKind = "PRIMARY KEY"
	ConstraintForeignKey ConstraintKind = "FOREIGN KEY"
	ConstraintExclude    ConstraintKind = "EXCLUDE"
	ConstraintNotNull    ConstraintKind = "NOT NULL"
)

// Constraint is what a statement says about a constraint, or an index of MySQL's ALTER TABLE.
type Constraint struct {
	Name       Name
	Kind       ConstraintKind // empty where only the name is known, and for an index
	Columns    []string
	Check      string // the expression
	References Name   // the table of a foreign key
	RefColumns []string
	NotValid   bool   // PostgreSQL's NOT VALID, MySQL's NOT ENFORCED
	UsingIndex string // the index that becomes the constraint
	IndexType  string // FULLTEXT, SPATIAL or empty
}
