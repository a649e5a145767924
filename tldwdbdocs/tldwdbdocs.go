// Package tldwdbdocs is what a schema is, for people who read it: tables with their
// columns and keys, and which migration made each. [tldwdb.DB.Document] finds it out, and
// [Schema.Markdown] writes it down.
package tldwdbdocs

// Schema is what is in a database.
type Schema struct {
	Engine     string   `json:"engine"`     // sqlite, postgres or mysql
	Live       bool     `json:"live"`       // of the database; otherwise of what the migrations make
	Migrations []string `json:"migrations"` // those that led to it, in their order
	Tables     []Table  `json:"tables"`     // by name
	Objects    []Object `json:"objects"`    // what else there is and belongs to no table, by kind and name
}

// Origin is which migrations something is from. Both are empty for what was there before
// the first one, and for what somebody has made past the migrations.
type Origin struct {
	Made    string `json:"made,omitempty"`    // by this migration, such as 0003_users
	Changed string `json:"changed,omitempty"` // by this one for the last time; empty: it is as it was made
}

// Table is a table of any kind: foreign and virtual ones too.
type Table struct {
	Origin
	Name        string       `json:"name"` // with its schema on PostgreSQL
	Comment     string       `json:"comment,omitempty"`
	Columns     []Column     `json:"columns"`
	Keys        []Key        `json:"keys"`         // the primary key first
	ForeignKeys []ForeignKey `json:"foreign_keys"` // in the order of their text
	Rules       []string     `json:"rules"`        // other constraints, and what the table is: CHECK (…), STRICT, partitions
	Objects     []Object     `json:"objects"`      // what belongs to it: indexes, triggers, policies, sequences
}

// Column is a column of a table.
type Column struct {
	Origin
	Name    string `json:"name"`
	Type    string `json:"type"` // empty where SQLite has none
	NotNull bool   `json:"not_null"`
	Default string `json:"default,omitempty"`
	Extra   string `json:"extra,omitempty"` // the rest of what the engine says: AUTO_INCREMENT, generated always as (…), collate …
	Comment string `json:"comment,omitempty"`
}

// Key is a primary key or a unique constraint.
type Key struct {
	Name    string   `json:"name,omitempty"`
	Primary bool     `json:"primary"`
	Columns []string `json:"columns"`
	Extra   string   `json:"extra,omitempty"` // such as autoincrement
}

// ForeignKey is a reference to another table.
type ForeignKey struct {
	Name       string   `json:"name,omitempty"`
	Columns    []string `json:"columns"`
	Table      string   `json:"table"`      // that it refers to
	References []string `json:"references"` // columns there; empty where it names none: the primary key
	Extra      string   `json:"extra,omitempty"`
}

// Object is anything else, as the engine says what it is.
type Object struct {
	Origin
	Kind    string `json:"kind"` // such as view, index, function
	Name    string `json:"name"`
	Comment string `json:"comment,omitempty"`
	Text    string `json:"text,omitempty"`
}
