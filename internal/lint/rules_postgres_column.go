package lint

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/tldwdblint"
)

// postgresColumnRules are PG3xx.
var postgresColumnRules = []*rule{
	{
		id: "PG301", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a column's default is computed for every row that is there",
		breaks: "A default that gives another value at each call (random(), gen_random_uuid(), clock_timestamp(), nextval()) has to be written into every row: the " +
			"table is written anew under an ACCESS EXCLUSIVE lock. A constant and now() are kept once, and cost nothing. A function of your own counts as one " +
			"that changes, unless it is declared STABLE or IMMUTABLE.",
		instead: "Add the column without a default, set the default for new rows, and fill the old ones in batches.",
		see:     []string{"https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-NOTES"},
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Column
				name := p.volatile(c.Default)
				domain := p.schema.domains[key(tldwdblint.Name{Name: c.Type})]
				switch {
				case name != "":
					p.report(found{action: a, message: s.Table.Text + " is written anew, and nobody can read or write it meanwhile: " + name + "() is called for every row",
						fix: fix{
							{name: "add_" + c.Name, up: alterHead(s) + "ADD COLUMN " + c.Text + " " + c.Type, down: alterHead(s) + "DROP COLUMN " + c.Text},
							{name: "default_" + c.Name, up: alterHead(s) + "ALTER COLUMN " + c.Text + " SET DEFAULT " + c.Default, down: alterHead(s) + "ALTER COLUMN " + c.Text + " DROP DEFAULT"},
						}})
				case domain:
					p.report(found{action: a, message: s.Table.Text + " is written anew, and nobody can read or write it meanwhile: " + c.Type + " is a domain with a constraint"})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG302", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a serial or identity column is added to a table with rows",
		breaks:  "Every row gets its number: the table is written anew under an ACCESS EXCLUSIVE lock.",
		instead: "Add a plain bigint column, let new rows draw from a sequence, and fill the old ones in batches.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				if c := a.Column; c.Identity || isSerial(c.Type) {
					sequence := s.Table.Name + "_" + c.Name + "_seq"
					p.report(found{action: a, message: s.Table.Text + " is written anew, and nobody can read or write it meanwhile: every row gets its number",
						remedy: alterHead(s) + "ADD COLUMN " + c.Text + " bigint;\nCREATE SEQUENCE " + sequence + " OWNED BY " + s.Table.Text + "." + c.Text + ";\n" +
							alterHead(s) + "ALTER COLUMN " + c.Text + " SET DEFAULT nextval('" + sequence + "');\n-- then fill the old rows in batches"})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG303", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a stored generated column is added to a table with rows",
		breaks:  "GENERATED ALWAYS AS … STORED is computed for every row: the table is written anew under an ACCESS EXCLUSIVE lock. So it is when SET EXPRESSION, of PostgreSQL 17, gives such a column another one.",
		instead: "From PostgreSQL 18 on a VIRTUAL column, which is computed when it is read. Before: a plain column that a trigger writes, filled in batches.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Column
				if a.Kind == tldwdblint.ActionOption {
					if strings.Contains(upper(a.Text), " SET EXPRESSION ") {
						p.report(found{action: a, message: s.Table.Text + " is written anew, and nobody can read or write it meanwhile, if " + c.Text + " is a STORED column"})
					}
					return
				}
				if c.Generated == "" || !c.Stored {
					return
				}
				f := found{action: a, message: s.Table.Text + " is written anew, and nobody can read or write it meanwhile: the column is computed for every row"}
				if p.from(postgres, "18") {
					f.remedy = alterHead(s) + "ADD COLUMN " + c.Text + " " + c.Type + " GENERATED ALWAYS AS (" + c.Generated + ") VIRTUAL;"
				}
				p.report(f)
			}, tldwdblint.ActionAddColumn, tldwdblint.ActionOption)
		},
	},
	{
		id: "PG304", on: onPostgres, severity: tldwdblint.SeverityError, kinds: alterTable,
		title:   "a column is added that no row has a value for",
		breaks:  "NOT NULL without a default fails as soon as there is one row. On an empty table it succeeds, and programs that do not know the column cannot insert any more.",
		instead: "Give it a constant default, which costs nothing, or add it as nullable, fill it, and make it NOT NULL afterwards (PG204).",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Column
				if (c.NotNull || c.PrimaryKey) && (c.Default == "" || strings.EqualFold(c.Default, "null")) && c.Generated == "" && !c.Identity && !isSerial(c.Type) {
					p.report(found{action: a, message: "this fails if there is a row in " + s.Table.Text + ", which would have no value for " + c.Text,
						remedy: alterHead(s) + "ADD COLUMN " + c.Text + " " + c.Type + ";\n-- fill it in batches, and then:\n" + p.notNull(s, a).text()})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	{
		id: "PG305", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title: "a change of type writes the table anew",
		breaks: "ALTER COLUMN … TYPE writes the whole table and its indexes anew under an ACCESS EXCLUSIVE lock. Free are only a longer varchar, varchar to text and back " +
			"without a length, numeric with more digits before the point, a finer timestamp, and timestamp to timestamptz where the server's time zone is UTC. Even then an index with a WHERE or an expression is " +
			"built anew if the column is in it, and with another COLLATE every index of the column.",
		instead: "Add a column of the new type, write both, fill the old rows in batches, let the program read the new one, drop the old one.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				c := a.Column
				old := ""
				if known := p.schema.column(s.Table, c.Name); known != nil {
					old = known.kind
				}
				how := changes(old, c.Type)
				if using := strings.Trim(strings.ToLower(c.Using), "() "); using != "" && using != strings.ToLower(c.Text) && !strings.HasPrefix(using, strings.ToLower(c.Text)+"::") {
					how = changeRewrites
				}
				f := found{action: a, remedy: alterHead(s) + "ADD COLUMN " + suffixed(c.Text, "_new") + " " + c.Type + ";\n-- write both, fill the old rows in batches, read the new one, and later drop the old one"}
				from := ""
				if old != "" {
					from = " (it is " + old + " now)"
				}
				switch how {
				case changeNothing:
					name := p.builtAnew(s, c)
					if name == "" {
						return
					}
					f.message = "nobody can read or write " + s.Table.Text + " while " + name + " is built anew"
				case changeDepends:
					f.severity = tldwdblint.SeverityNotice
					f.message = "whether " + s.Table.Text + " is written anew for this depends on what " + c.Text + " is now"
					if old != "" {
						f.message = s.Table.Text + " is written anew for this, unless the server's time zone is UTC"
					}
				case changeRewrites:
					f.message = s.Table.Text + " is written anew, and nobody can read or write it meanwhile" + from
				}
				p.report(f)
			}, tldwdblint.ActionAlterType)
		},
	},
	{
		id: "PG306", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable,
		title:   "a change of type checks every row again",
		breaks:  "A CHECK that names the column is verified again for the whole table, under the ACCESS EXCLUSIVE lock of the change, even where the change itself is free.",
		instead: "Drop the CHECK, change the type, add the CHECK as NOT VALID, and validate it in the next migration.",
		stmt: func(p *pass, s *stmt) {
			t := p.schema.table(s.Table)
			if s.NewTable || t == nil {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				for _, c := range t.constraints {
					name := c.Name.Text
					if name == "" {
						name = ident(p.checkName(s.Table, c.Check))
					}
					if c.Kind == tldwdblint.ConstraintCheck && mentions(c.Check, a.Column.Name) && !dropsConstraint(s, strings.Trim(name, `"`)) {
						head := alterHead(s)
						p.report(found{action: a, message: "the constraint " + name + " is checked again for every row, and nobody can read or write meanwhile",
							remedy: head + "DROP CONSTRAINT " + name + ", " + a.Text + ", ADD CONSTRAINT " + name + " CHECK (" + c.Check + ") NOT VALID;\n-- in the next migration:\n" +
								head + "VALIDATE CONSTRAINT " + name + ";"})
						return
					}
				}
				if c := t.column(a.Column.Name); c != nil && c.check != "" {
					p.report(found{action: a, message: "the CHECK of the column is verified again for every row, and nobody can read or write meanwhile"})
				}
			}, tldwdblint.ActionAlterType)
		},
	},
	{
		id: "PG307", on: onPostgres, severity: tldwdblint.SeverityError, kinds: alterTable,
		title:   "a view uses the column whose type is changed",
		breaks:  "PostgreSQL refuses to change the type of a column that a view or a rule uses. An empty test database without the view does not show it.",
		instead: "Drop the view before, and make it again behind, in the same file.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if view := p.usedBy(s.Table.Name, a.Column.Name); view != "" {
					p.report(found{action: a, message: "the server refuses this: the view " + view + " uses " + a.Column.Text,
						remedy: "DROP VIEW " + view + ";\n" + strings.TrimSuffix(s.Text, ";") + ";\nCREATE VIEW " + view + " AS …;"})
				}
			}, tldwdblint.ActionAlterType)
		},
	},
	{
		id: "PG308", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: alterTable, forward: true,
		title: "a column is dropped that running programs may use",
		breaks: "While a new version is rolled out the old one still names the column, and fails. What was in it is gone, with its indexes and constraints. The lock is ACCESS " +
			"EXCLUSIVE, and brief.",
		instead: "First a release that does not name the column any more; then, in a later one, the drop, with an assurance that says so.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				p.report(found{action: a, message: "programs that still name " + s.Table.Text + "." + a.Column.Text + " fail, and its values are gone",
					remedy: "-- once no running version names it:\n-- tldwdb: assured PG308 not used since release …\n" + strings.TrimSuffix(s.Text, ";") + ";"})
			}, tldwdblint.ActionDropColumn)
		},
	},
	{
		id: "PG309", on: onPostgres, severity: tldwdblint.SeverityWarning, forward: true,
		kinds: []string{"ALTER TABLE", "ALTER FOREIGN TABLE", "ALTER VIEW", "ALTER MATERIALIZED VIEW", "ALTER SCHEMA", "ALTER TYPE"},
		title: "something is renamed that running programs use",
		breaks: "While a new version is rolled out the old one still uses the old name of the table, column, schema or enum value, and fails; or the new one is there before " +
			"the new name is.",
		instead: "Add the new one beside the old one, write both, fill, switch, drop the old one later. A table that is renamed can leave a view of the old name behind, in the same file.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable || p.isNew(s.Name) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				what := s.Name.Text
				remedy := ""
				switch a.Kind {
				case tldwdblint.ActionRenameColumn:
					what += "." + a.Column.Text
				case tldwdblint.ActionRenameValue:
					what = "the value " + a.Column.Text
				case tldwdblint.ActionRenameTable, tldwdblint.ActionSetSchema:
					if s.Kind == "ALTER TYPE" || p.viewFollows(s) {
						return
					}
					now := a.NewName.Text
					if a.Kind == tldwdblint.ActionSetSchema {
						now += "." + s.Name.Name
					}
					if s.Kind != "ALTER SCHEMA" {
						remedy = strings.TrimSuffix(s.Text, ";") + ";\nCREATE VIEW " + s.Name.Text + " AS SELECT * FROM " + now + "; -- until nobody uses the old name"
					}
				}
				p.report(found{action: a, message: "programs that still use the name " + what + " fail", remedy: remedy})
			}, tldwdblint.ActionRenameColumn, tldwdblint.ActionRenameTable, tldwdblint.ActionRenameValue, tldwdblint.ActionSetSchema)
		},
	},
	{
		id: "PG310", on: onPostgres, severity: tldwdblint.SeverityNotice, kinds: alterTable, forward: true,
		title:   "readers may meet nulls that they do not expect",
		breaks:  "After DROP NOT NULL a program that scans the column into a plain value fails at the first null that another one writes.",
		instead: "First a release that can read nulls, then the drop.",
		stmt: func(p *pass, s *stmt) {
			if s.NewTable {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				p.report(found{action: a, message: "programs that read " + s.Table.Text + "." + a.Column.Text + " have to expect nulls from now on"})
			}, tldwdblint.ActionDropNotNull)
		},
	},
	{
		id: "PG311", on: onPostgres, severity: tldwdblint.SeverityWarning, kinds: []string{"ALTER TABLE", "CREATE TABLE"}, forward: true,
		title:   "a json column cannot be compared",
		breaks:  "json has no equality: SELECT DISTINCT, UNION and GROUP BY over the table's rows fail from then on.",
		instead: "jsonb, which has, and can be indexed.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if t := p.typeOf(a.Column.Type); t.base == "json" {
					p.report(found{action: a, message: a.Column.Text + " cannot be compared: SELECT DISTINCT over " + s.Table.Text + " fails", remedy: a.Column.Text + " jsonb"})
				}
			}, tldwdblint.ActionAddColumn)
		},
	},
	styleRule("PG312", "a key is too small for its table", "An integer is full at 2,147,483,647 rows, and a smallint at 32,767, rows that were rolled back or deleted included. Then every INSERT fails, and the way "+
		"to a larger type writes the table anew (PG305).", "bigint GENERATED ALWAYS AS IDENTITY", false, func(p *pass, s *stmt, a *tldwdblint.Action) string {
		c := a.Column
		key := c.PrimaryKey || c.Identity || isSerial(c.Type)
		for i := range s.Actions {
			other := &s.Actions[i].Constraint
			key = key || other.Kind == tldwdblint.ConstraintPrimaryKey && slices.Equal(other.Columns, []string{c.Name})
		}
		if t := p.typeOf(c.Type).base; key && (t == "integer" || t == "smallint") {
			return c.Text + " is full after two thousand million rows"
		}
		return ""
	}),
	{
		id: "PG313", on: onPostgres, severity: tldwdblint.SeverityError, kinds: []string{"ALTER TYPE"},
		title:   "a new enum value is used in the transaction that adds it",
		breaks:  "ALTER TYPE … ADD VALUE can stand in a transaction, but the value cannot be used before that is committed: \"unsafe use of new value\".",
		instead: "Add the value in a migration of its own, and use it in the next one.",
		stmt: func(p *pass, s *stmt) {
			if !s.Transaction || p.isNewType(s.Name) {
				return
			}
			actions(s, func(a *tldwdblint.Action) {
				for i := s.order + 1; i < len(p.statements); i++ {
					after := &p.statements[i]
					if slices.ContainsFunc(after.toks, func(t sqlscan.Token) bool { return t.Kind == sqlscan.String && t.Text == a.NewName.Text }) {
						p.report(found{action: a, message: "the server refuses the use of " + a.NewName.Text + " further down before this is committed",
							fix: fix{{name: "add_value", up: strings.TrimSuffix(s.Text, ";"), down: nothing}}})
						return
					}
				}
			}, tldwdblint.ActionAddValue)
		},
	},
	{
		id: "PG314", on: onPostgres, severity: tldwdblint.SeverityNotice, optIn: true, kinds: []string{"CREATE TYPE"}, forward: true,
		title:   "an enum is hard to shrink",
		breaks:  "Values of an enum can be added and renamed, never taken out: that needs a new type, and a change of every column (PG305).",
		instead: "A table of the values with a foreign key, or text with a CHECK, where values come and go.",
		stmt: func(p *pass, s *stmt) {
			if hasWords(s, "AS", "ENUM") {
				p.report(found{message: "a value of " + s.Name.Text + " can never be taken out again"})
			}
		},
	},
	styleRule("PG315", "char(n) fills up with blanks", "char(n) is padded with blanks to its length, which takes room and surprises comparisons; it is no faster than text.", "text", false,
		func(p *pass, _ *stmt, a *tldwdblint.Action) string {
			if p.typeOf(a.Column.Type).base == "character" {
				return a.Column.Text + " is filled up with blanks"
			}
			return ""
		}),
	styleRule("PG316", "a timestamp without a time zone is no point in time", "timestamp forgets the zone that a value came in: two programs with different settings read different times from it.",
		"timestamptz", false, func(p *pass, _ *stmt, a *tldwdblint.Action) string {
			if p.typeOf(a.Column.Type).base == "timestamp" {
				return a.Column.Text + " does not say which instant is meant"
			}
			return ""
		}),
	styleRule("PG317", "money depends on a setting of the server", "What a money value reads as, and how many digits it has, depends on lc_monetary: a dump that is restored elsewhere has other amounts.",
		"numeric, with the currency in a column of its own", false, func(p *pass, _ *stmt, a *tldwdblint.Action) string {
			if p.typeOf(a.Column.Type).base == "money" {
				return "what " + a.Column.Text + " is worth depends on lc_monetary"
			}
			return ""
		}),
	styleRule("PG318", "a length limits what nobody wanted limited", "varchar(n) stores what text stores. A shorter length later writes the table anew, and the limit is often a guess.",
		"text, with a CHECK where the length matters", true, func(p *pass, _ *stmt, a *tldwdblint.Action) string {
			if t := p.typeOf(a.Column.Type); t.base == "character varying" && len(t.args) > 0 {
				return a.Column.Text + " could be text"
			}
			return ""
		}),
	styleRule("PG319", "serial is older than identity", "serial makes a sequence that belongs to the column only half: rights are given to it apart, and anybody can write other values into the column.",
		"bigint GENERATED ALWAYS AS IDENTITY", true, func(p *pass, _ *stmt, a *tldwdblint.Action) string {
			if isSerial(a.Column.Type) {
				return a.Column.Text + " could be an identity column"
			}
			return ""
		}),
	{
		id: "PG320", on: onPostgres, severity: tldwdblint.SeverityNotice, optIn: true, kinds: []string{"ALTER TYPE"}, forward: true,
		title:   "a new enum value stands at the end",
		breaks:  "Without BEFORE or AFTER the new value is larger than all others, and its place cannot be changed later.",
		instead: "Say where it belongs.",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if !hasWords(s, "BEFORE") && !hasWords(s, "AFTER") {
					p.report(found{action: a, message: a.NewName.Text + " becomes the last value, and stays it"})
				}
			}, tldwdblint.ActionAddValue)
		},
	},
}

// styleRule is a rule about the type of a new column.
func styleRule(id, title, breaks, instead string, optIn bool, judge func(*pass, *stmt, *tldwdblint.Action) string) *rule {
	return &rule{
		id: id, on: onPostgres, severity: tldwdblint.SeverityNotice, optIn: optIn, kinds: []string{"ALTER TABLE", "CREATE TABLE"}, forward: true,
		title: title, breaks: breaks, instead: instead + ".",
		stmt: func(p *pass, s *stmt) {
			actions(s, func(a *tldwdblint.Action) {
				if message := judge(p, s, a); message != "" {
					p.report(found{action: a, message: message, remedy: a.Column.Text + " " + instead})
				}
			}, tldwdblint.ActionAddColumn)
		},
	}
}

func isSerial(t string) bool {
	switch t {
	case "serial", "bigserial", "smallserial", "serial2", "serial4", "serial8":
		return true
	}
	return false
}

// constantFunctions are those of PostgreSQL that give one value for a whole statement, or always the same for the same arguments.
var constantFunctions = words("NOW CURRENT_TIMESTAMP CURRENT_TIME CURRENT_DATE LOCALTIME LOCALTIMESTAMP STATEMENT_TIMESTAMP TRANSACTION_TIMESTAMP " +
	"TO_CHAR TO_DATE TO_TIMESTAMP TO_NUMBER DATE_TRUNC DATE_PART EXTRACT AGE MAKE_DATE MAKE_TIME MAKE_TIMESTAMP MAKE_TIMESTAMPTZ MAKE_INTERVAL TIMEZONE DATE_BIN " +
	"LOWER UPPER INITCAP CONCAT CONCAT_WS LENGTH CHAR_LENGTH OCTET_LENGTH TRIM BTRIM LTRIM RTRIM LPAD RPAD LEFT RIGHT SUBSTR SUBSTRING REPLACE REPEAT REVERSE SPLIT_PART " +
	"POSITION STRPOS OVERLAY TRANSLATE FORMAT QUOTE_IDENT QUOTE_LITERAL QUOTE_NULLABLE MD5 SHA224 SHA256 SHA384 SHA512 ENCODE DECODE CHR ASCII REGEXP_REPLACE STARTS_WITH " +
	"ABS CEIL CEILING FLOOR ROUND TRUNC SIGN MOD POWER SQRT EXP LN LOG DIV PI GREATEST LEAST COALESCE NULLIF WIDTH_BUCKET " +
	"JSON_BUILD_OBJECT JSON_BUILD_ARRAY JSONB_BUILD_OBJECT JSONB_BUILD_ARRAY TO_JSON TO_JSONB ROW_TO_JSON JSON_OBJECT JSONB_OBJECT JSONB_SET ARRAY_TO_JSON " +
	"ARRAY_FILL ARRAY_APPEND ARRAY_CAT STRING_TO_ARRAY TO_TSVECTOR TO_TSQUERY PLAINTO_TSQUERY INT4RANGE INT8RANGE NUMRANGE TSRANGE TSTZRANGE DATERANGE ROW POINT BOX CIRCLE " +
	"VERSION TXID_CURRENT PG_CURRENT_XACT_ID PG_BACKEND_PID INET_CLIENT_ADDR INET_CLIENT_PORT INET_SERVER_ADDR INET_SERVER_PORT PG_TYPEOF PG_CLIENT_ENCODING CURRENT_SCHEMAS " +
	"TO_HEX CONVERT CONVERT_TO CONVERT_FROM BIT_LENGTH GET_BIT SET_BIT GET_BYTE SET_BYTE REGEXP_MATCH REGEXP_SPLIT_TO_ARRAY NORMALIZE UNISTR HASHTEXT NUM_NULLS NUM_NONNULLS " +
	"SIN COS TAN COT ASIN ACOS ATAN ATAN2 DEGREES RADIANS CBRT GCD LCM FACTORIAL LOG10 SCALE MIN_SCALE TRIM_SCALE JUSTIFY_DAYS JUSTIFY_HOURS JUSTIFY_INTERVAL ISFINITE " +
	"CARDINALITY ARRAY_LENGTH ARRAY_NDIMS ARRAY_UPPER ARRAY_LOWER ARRAY_PREPEND ARRAY_REMOVE ARRAY_REPLACE ARRAY_POSITION ARRAY_TO_STRING JSON_ARRAY_LENGTH JSONB_ARRAY_LENGTH JSON_STRIP_NULLS " +
	"JSONB_STRIP_NULLS JSONB_INSERT JSONB_PRETTY JSON_TYPEOF JSONB_TYPEOF SETWEIGHT PHRASETO_TSQUERY WEBSEARCH_TO_TSQUERY INT4MULTIRANGE INT8MULTIRANGE NUMMULTIRANGE TSMULTIRANGE TSTZMULTIRANGE " +
	"DATEMULTIRANGE LINE LSEG PATH POLYGON NETWORK NETMASK BROADCAST MASKLEN SET_MASKLEN " +
	"CURRENT_SETTING CURRENT_USER SESSION_USER USER CURRENT_ROLE CURRENT_SCHEMA CURRENT_DATABASE CURRENT_CATALOG UUID_NIL HSTORE INET CIDR HOST TEXT " +
	"CAST ARRAY INTERVAL DATE TIME TIMESTAMP TIMESTAMPTZ NUMERIC DECIMAL VARCHAR CHAR CHARACTER VARYING BIT FLOAT AND OR NOT IN IS CASE WHEN THEN ELSE AS")

// volatile is the first function of an expression that may give another value for each row; empty for none.
func (p *pass) volatile(expression string) string {
	if !strings.Contains(expression, "(") {
		return ""
	}
	before := sqlscan.Token{}
	name := sqlscan.Token{}
	for t := range sqlscan.Tokens(expression, p.options) {
		if t.Text == "(" && (name.Kind == sqlscan.Word || name.Kind == sqlscan.QuotedIdent) && before.Text != "::" && !constantFunctions[upper(name.Name(p.options.Dialect))] {
			return name.Name(p.options.Dialect)
		}
		before, name = name, t
		if t.Text == "." { // a schema does not decide
			before = sqlscan.Token{}
		}
	}
	return ""
}

// builtAnew is an index that a change of a column's type has built again, where the table itself is not; empty for none. An index keeps
// its file only if it is on plain columns, and their order stays.
func (p *pass) builtAnew(s *stmt, c tldwdblint.Column) string {
	t := p.schema.table(s.Table)
	if t == nil {
		return ""
	}
	first := ""
	for _, x := range p.schema.indexes {
		if x.table != key(s.Table) || first != "" && x.name.Text > first {
			continue
		}
		_, definition, _ := strings.Cut(x.text, "(")
		if (x.partial || c.Collate != "" || slices.Contains(x.columns, "")) && mentions(definition, c.Name) {
			first = x.name.Text
		}
	}
	if first != "" {
		return "the index " + first
	}
	if c.Collate == "" {
		return ""
	}
	if is := t.column(c.Name); is != nil && (is.primaryKey || is.unique) || slices.ContainsFunc(t.constraints, func(k constraint) bool {
		return k.Kind != tldwdblint.ConstraintForeignKey && slices.Contains(k.Columns, c.Name)
	}) {
		return "the index of its key"
	}
	return ""
}

// mentions reports whether an expression names a column.
func mentions(expression, name string) bool {
	for t := range sqlscan.Tokens(expression, sqlscan.Options{Dialect: sqlscan.Postgres}) {
		if (t.Kind == sqlscan.Word || t.Kind == sqlscan.QuotedIdent) && strings.EqualFold(t.Name(sqlscan.Postgres), name) {
			return true
		}
	}
	return false
}

// dropsConstraint reports whether a statement drops a constraint beside what else it does.
func dropsConstraint(s *stmt, name string) bool {
	return slices.ContainsFunc(s.Actions, func(a tldwdblint.Action) bool {
		return a.Kind == tldwdblint.ActionDropConstraint && strings.EqualFold(a.Constraint.Name.Name, name)
	})
}

// usedBy is a view whose text names a table and one of its columns, or all of its columns.
func (p *pass) usedBy(table, column string) string {
	table, column = strings.ToLower(table), strings.ToLower(column)
	first := ""
	for name, list := range p.schema.views {
		if slices.Contains(list, table) && (slices.Contains(list, column) || slices.Contains(list, "*")) && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// viewFollows reports whether a view of a table's old name is made further down.
func (p *pass) viewFollows(s *stmt) bool {
	for i := s.order + 1; i < len(p.statements); i++ {
		if after := &p.statements[i]; after.Kind == "CREATE VIEW" && key(after.Name) == key(s.Name) {
			return true
		}
	}
	return false
}

// isNewType reports whether an enum type was made further up in the text.
func (p *pass) isNewType(n tldwdblint.Name) bool {
	for i := range p.statements {
		if s := &p.statements[i]; s.Kind == "CREATE TYPE" && key(s.Name) == key(n) {
			return true
		}
	}
	return false
}
