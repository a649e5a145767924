package lint

import (
	"maps"
	"slices"
)

// notRules are the rules of other linters, and of our own list of what can go wrong, that are no rules here.
var notRules = map[string]string{
	"GN101, something destructive without a phase to contract":                                                   "Each engine's own rules say it with their locks: PG308, PG401, PG402 and their like. A column or table that is given up is dropped behind an assurance, which is the phase in words.",
	"GN103, edited, late and double versions":                                                                    "The loader and `Up` refuse them, with or without lint: ErrChanged, ErrOutOfOrder, LoadError.",
	"GN104, UNIQUE over rows that may not be unique":                                                             "Whether there are duplicates is in the rows, not in the text, and every UNIQUE would be reported. Where it takes a lock as well, PG205 and its like say so.",
	"GN105, a policy for names":                                                                                  "Everybody has another one: it is a rule of one's own of ten lines, see the [guide](../guide/lint.md).",
	"PG508, GRANT, REVOKE and accounts without a password":                                                       "Who may do what belongs to the schema. A password does not, and a superuser: PG508. What an account may do beyond its duty: `tldwdb audit`.",
	"PG506, IF NOT EXISTS in files without a transaction":                                                        "The journal goes on with the statement that was not done: nothing runs twice. IF NOT EXISTS would hide an object that is another one (PG104).",
	"PG507, SET that outlives its file":                                                                          "The runner puts the session back after each file. Behind a pooler that shares connections it refuses such a file.",
	"squawk require-timeout-settings, eugene E9":                                                                 "The runner sets lock_timeout for every statement; PG502 reports a file that switches it off.",
	"squawk ban-char-field, prefer-*":                                                                            "PG312 and PG315 to PG319: those that can hurt are notices, those of taste are off until they are asked for.",
	"strong_migrations change_column_default":                                                                    "It is about partial inserts of Rails. A default on PostgreSQL is a change of the catalogue alone.",
	"strong_migrations auto_analyze":                                                                             "Statistics of a new index on an expression come with the next autovacuum; who cannot wait writes ANALYZE into the file.",
	"strong_migrations alphabetize_schema, disable_check, online_migrations add_inheritance_column":              "They are about Rails.",
	"Atlas PG110, columns in the order that takes the least room":                                                "Some bytes for each row, once. No change of a schema is a danger for it.",
	"Skeema's capacity of AUTO_INCREMENT":                                                                        "How full a key is only the server knows. That it is of four bytes is MY153.",
	"strong_migrations execute, change_table":                                                                    "There they are opaque; here SQL is what is read. What stays opaque is PG511.",
	"online_migrations, foreign key across databases":                                                            "A migration has one database.",
	"pgfence, risk by numbers of rows":                                                                           "The text does not know them; `tldwdb trace --stats` does.",
	"MY113, MY120 to MY123 of Atlas, an ENUM over 255 values, a SET":                                             "MY110 to MY112 are about both kinds of lists.",
	"MY135, 64 versions of a table that INSTANT made (MySQL; 255 since 9.1)":                                     "Only the server knows how many there are (TOTAL_ROW_VERSIONS). It refuses the next one with error 4092 when INSTANT is asked for, and rebuilds otherwise.",
	"MY137, rows and DDL in one file":                                                                            "The journal goes on at the statement where the run ended, whatever the server has committed.",
	"Skeema's and spirit's list of styles (names in small letters, reserved words, zero dates, FLOAT, ZEROFILL)": "The server refuses what fails; the rest is a policy, which is a rule of one's own.",
	"An UPDATE or DELETE of every row on SQLite":                                                                 "The migration has the file to itself in any case: rows are not locked one by one.",
	"A foreign key without an index on SQLite":                                                                   "It costs time at a DELETE of the parent, and nothing else; MySQL and MariaDB make the index themselves.",
	"AUTOINCREMENT that nobody needs, VARCHAR lengths that SQLite ignores":                                       "Nothing breaks.",
	"A VIRTUAL column, an index, a default, a comment, a column at the end on MySQL":                             "They are done beside the writers: measured, see TestHowMySQLAlters.",
}

var noRules = slices.Sorted(maps.Keys(notRules))
