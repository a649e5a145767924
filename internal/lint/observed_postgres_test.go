package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/internal/trace"
	"github.com/tldw/tldwdb/tldwdblint"
)

// claim is what a rule says is to be seen of a statement. file are all statements up to the end of its file.
type claim func(s *seen, file []seen) bool

// locks claims a lock on a table that was there before, which keeps others from at least this.
func locks(least trace.Blocks, and ...func(*trace.Table) bool) claim {
	return func(s *seen, _ []seen) bool { return len(s.locked(least, and...)) > 0 }
}

// locked are the tables that were there before and are locked, at least so much.
func (s *seen) locked(least trace.Blocks, and ...func(*trace.Table) bool) (list []string) {
	for i := range s.Tables {
		t := &s.Tables[i]
		enough := t.Blocks == least || t.Blocks == trace.BlocksAll
		if !t.New && enough && !slices.ContainsFunc(and, func(f func(*trace.Table) bool) bool { return !f(t) }) {
			list = append(list, t.Name)
		}
	}
	return list
}

func rewritten(t *trace.Table) bool { return t.Rewritten }
func scanned(t *trace.Table) bool   { return t.Scanned }
func built(t *trace.Table) bool     { return len(t.Built) > 0 }

// refused claims an error of the server.
func refused(s *seen, _ []seen) bool { return s.err != nil }

// everyRow claims that all rows are written.
func everyRow(s *seen, _ []seen) bool {
	return slices.ContainsFunc(s.Tables, func(t trace.Table) bool { return !t.New && t.Scanned && t.Rows > 0 })
}

// postgresClaims are what rules say, as far as a server shows it.
var postgresClaims = map[string]claim{
	"PG101": locks(trace.BlocksWrites, built),
	"PG102": locks(trace.BlocksAll),
	"PG103": refused,
	"PG106": locks(trace.BlocksWrites, built),
	"PG109": locks(trace.BlocksWrites, built),
	"PG201": locks(trace.BlocksWrites, scanned),
	"PG202": locks(trace.BlocksAll, scanned),
	"PG203": func(s *seen, file []seen) bool {
		return file[0].st.Offset < s.st.Offset && len(file[0].locked(trace.BlocksAll)) > 0 && slices.ContainsFunc(s.Tables, func(t trace.Table) bool { return t.Scanned })
	},
	"PG204": locks(trace.BlocksAll, scanned),
	"PG205": locks(trace.BlocksAll, built),
	"PG206": locks(trace.BlocksAll, scanned),
	"PG207": locks(trace.BlocksAll, built),
	"PG208": func(s *seen, file []seen) bool { // beside what else the file locks
		return len(s.locked(trace.BlocksAll)) > 2 || len(s.locked(trace.BlocksAll)) > 1 && len(file) > 1
	},
	"PG209": func(_ *seen, file []seen) bool { // the table, and two that it refers to
		held := map[string]bool{}
		for i := range file {
			for _, name := range file[i].locked(trace.BlocksWrites) {
				held[name] = true
			}
		}
		return len(held) > 2
	},
	"PG212": locks(trace.BlocksWrites, scanned),
	"PG301": locks(trace.BlocksAll, rewritten),
	"PG302": locks(trace.BlocksAll, rewritten),
	"PG303": locks(trace.BlocksAll, rewritten),
	"PG304": refused,
	"PG305": locks(trace.BlocksAll, func(t *trace.Table) bool { return t.Rewritten || len(t.Built) > 0 }),
	"PG306": locks(trace.BlocksAll, scanned),
	"PG307": refused,
	"PG313": func(_ *seen, file []seen) bool { return file[len(file)-1].err != nil },
	"PG401": func(s *seen, file []seen) bool { // and not made again
		return slices.ContainsFunc(s.Tables, func(t trace.Table) bool {
			return t.Dropped && !slices.ContainsFunc(file, func(later seen) bool {
				is := later.Find(t.Name)
				return is != nil && !is.Dropped && later.st.Offset > s.st.Offset
			})
		})
	},
	"PG402": locks(trace.BlocksAll),
	"PG403": everyRow,
	"PG404": locks(trace.BlocksAll, rewritten),
	"PG405": locks(trace.BlocksAll, rewritten),
	"PG406": locks(trace.BlocksAll, scanned),
	"PG407": locks(trace.BlocksAll),
	"PG408": locks(trace.BlocksAll, rewritten),
	"PG409": func(s *seen, file []seen) bool {
		return len(s.locked(trace.BlocksWrites)) > 0 && len(file) > 1 && len(file[0].locked(trace.BlocksWrites)) > 0
	},
	"PG411": func(s *seen, _ []seen) bool { return s.st.Verb == "LOCK" && len(s.locked(trace.BlocksWrites)) > 0 },
	"PG413": locks(trace.BlocksAll, scanned),
	"PG501": func(s *seen, file []seen) bool {
		return slices.ContainsFunc(s.Tables, func(t trace.Table) bool { return t.Rows > 0 }) && file[0].st.Offset < s.st.Offset && len(file[0].locked(trace.BlocksAll)) > 0
	},
	"PG504": func(s *seen, file []seen) bool {
		works := func(t *trace.Table) bool { return t.Rewritten || t.Scanned }
		return len(file) > 1 && len(s.locked(trace.BlocksAll, works)) > 0 && len(file[0].locked(trace.BlocksAll, works)) > 0
	},
	"PG510": refused,
}

// probes are asked behind an example, where nothing is to be seen of its statements: only behind a bad one does the statement
// fail, or read a whole table.
var probes = map[string]struct {
	statement string
	is        claim
}{
	"PG211": {"DELETE FROM users WHERE id = 1", func(s *seen, _ []seen) bool {
		return slices.ContainsFunc(s.Tables, func(t trace.Table) bool { return strings.HasSuffix(t.Name, ".likes") && t.Scanned })
	}},
	"PG308": {"SELECT state FROM orders", refused},
	"PG309": {"SELECT state FROM orders", refused},
	"PG310": {"UPDATE orders SET amount = NULL", func(s *seen, _ []seen) bool { return s.err == nil }},
	"PG311": {"SELECT DISTINCT * FROM orders", refused},
	"PG315": {"SELECT 1 / count(*) FROM pg_attribute WHERE attname = 'currency' AND atttypid <> 'bpchar'::regtype", refused},
}

// unseen are the rules that no observation confirms, and why.
var unseen = map[string]string{
	"GN100": "the file is no SQL: there is no statement to run",
	"GN102": "about the files, and nothing in a database",
	"GN106": "about the files, and nothing in a database",
	"PG104": "takes an index that a build has left invalid: the tests of the runner and its resumption do that",
	"PG105": "is a fault of four releases, of which no server is at hand",
	"PG107": "is about the time between two statements",
	"PG108": "an opinion, and a notice",
	"PG210": "the day on which the smaller type is full",
	"PG312": "two thousand million rows",
	"PG314": "an opinion, off by default",
	"PG316": "what a program means by a time",
	"PG317": "what a program means by an amount",
	"PG318": "an opinion, off by default",
	"PG319": "an opinion, off by default",
	"PG320": "an opinion, off by default",
	"PG410": "takes a second account: the owner goes on seeing all rows",
	"PG412": "takes a superuser: others are refused",
	"PG502": "is how long somebody waits, and nobody waits here",
	"PG503": "would end the transaction of the test",
	"PG505": "is a name, and which one is kept is in the manual",
	"PG508": "is about who reads the file",
	"PG509": "an opinion, off by default",
	"PG511": "is that nothing is known",
}

// seeds are rows where those that are made up do not do.
var seeds = map[string]string{
	"PG406": "INSERT INTO events_2027 VALUES ('2027-05-05', 'x');",
}

// unseenExamples are examples of rules that are seen otherwise.
var unseenExamples = map[string]string{
	"PG212/bad-new.sql": "a notice about what follows from the domain later",
}

// TestRulesAreObserved holds every rule about PostgreSQL against the server.
func TestRulesAreObserved(t *testing.T) {
	t.Parallel()
	for _, r := range all {
		_, seen := postgresClaims[r.id]
		_, probed := probes[r.id]
		if why := unseen[r.id]; r.applies(postgres, mustVersion("15")) && seen == (why != "" || probed) {
			t.Errorf("%s: what is to be seen of it, or why nothing is?", r.id)
		}
	}
	o := newObserver(t, testdb.Postgres, postgres)
	older := o.older(t)
	rules, cases := map[string]bool{}, 0
	for _, e := range compared(t, postgres) {
		name := e.path[strings.LastIndex(e.path, e.rule):]
		if unseen[e.rule] != "" || unseenExamples[name] != "" || strings.HasPrefix(e.options["server"], "not run") {
			continue
		}
		o.prepare(t, e.tables(), seeds[e.rule]+"SET TimeZone = 'Europe/Berlin'")
		var list []seen
		probed := false
		texts := e.own()
		for i, text := range texts {
			if i < len(texts)-1 {
				list = append(list, o.keep(t, text)...)
				continue
			}
			list = append(list, o.file(t, text, func() {
				if p, ok := probes[e.rule]; ok {
					s := o.inside(t, p.statement)
					probed = p.is(&s, nil)
				}
			})...)
		}
		if _, ok := probes[e.rule]; ok {
			if rules[e.rule], cases = true, cases+1; probed == e.good {
				t.Errorf("%s: %s is %v behind it", name, probes[e.rule].statement, probed)
			}
			continue
		}
		is := postgresClaims[e.rule]
		file := func(name string) []seen {
			return slices.DeleteFunc(slices.Clone(list), func(s seen) bool { return s.file != name })
		}
		rules[e.rule], cases = true, cases+1
		if e.good {
			for i := range list {
				if is(&list[i], file(list[i].file)) {
					t.Errorf("%s: %s does what the rule warns of: %s", name, list[i].st.Text, describeSeen(&list[i]))
				}
			}
			continue
		}
		for _, f := range e.findings(t) {
			if f.Rule != e.rule {
				continue
			}
			i := about(list, f)
			if i < 0 { // a statement before it was refused
				continue
			}
			if !is(&list[i], file(f.File)) && (list[i].err == nil || !older) {
				t.Errorf("%s: %s does not do what the rule says: %s", name, f.Statement, describeSeen(&list[i]))
			}
		}
	}
	empty(t, o.c, postgres)
	t.Logf("%d rules of %d compared by %d examples; %d cannot be", len(rules), len(postgresClaims)+len(probes), cases, len(unseen))
}

// inside observes one more statement of the transaction at hand.
func (o *observer) inside(t *testing.T, statement string) seen {
	t.Helper()
	st := seen{}
	st.st.Text = statement
	st.st.Verb, _, _ = strings.Cut(statement, " ")
	tracer := trace.New(o.d, o.c, o.watch)
	if err := tracer.Begin(t.Context(), []string{"SAVEPOINT probe"}); err != nil {
		t.Fatal(err)
	}
	st.Observation, st.err = tracer.Statement(t.Context(), st.st, o.d.Class(st.st))
	return st
}

// describeSeen is what was seen, in a line.
func describeSeen(s *seen) string {
	if s.err != nil {
		return "refused: " + s.err.Error()
	}
	var parts []string
	for _, t := range s.Tables {
		if !t.New {
			parts = append(parts, fmt.Sprintf("%s %s blocks=%q rewritten=%v scanned=%v built=%v rows=%d held=%v dropped=%v", t.Name, t.Lock, t.Blocks, t.Rewritten, t.Scanned, t.Built, t.Rows, t.Held, t.Dropped))
		}
	}
	return strings.Join(append(parts, s.Notes...), "; ")
}

// The tables that the statements below are about. What they would find if they were large is not in a handful of rows, but in
// what the server does: whether it reads, writes or builds, and under which lock.
const postgresTables = `
SET TimeZone = 'Europe/Berlin';
CREATE TABLE parents (id bigint PRIMARY KEY, code text NOT NULL);
CREATE TABLE t (id bigint PRIMARY KEY, a int NOT NULL, b varchar(50), c text, n numeric(10, 2), at timestamp, parent_id bigint, during tstzrange, data jsonb, tags text[], flag boolean, ref int, zoned timestamptz,
	CONSTRAINT t_n CHECK (n > 0), CONSTRAINT t_a UNIQUE (a));
CREATE TABLE keyless (a int, b int NOT NULL);
CREATE INDEX t_b ON t (b);
CREATE UNIQUE INDEX t_ref ON t (ref);
CREATE UNIQUE INDEX keyless_b ON keyless (b);
ALTER TABLE t ADD CONSTRAINT t_flag CHECK (flag IS NOT NULL);
ALTER TABLE t ADD CONSTRAINT t_tags CHECK (cardinality(tags) < 100) NOT VALID;
CREATE TABLE children (id bigint PRIMARY KEY, t_id bigint, CONSTRAINT children_t FOREIGN KEY (t_id) REFERENCES t (id));
ALTER TABLE children ADD CONSTRAINT children_parent FOREIGN KEY (id) REFERENCES parents (id) NOT VALID;
CREATE TABLE events (at timestamptz NOT NULL, what text) PARTITION BY RANGE (at);
CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
CREATE TABLE events_2027 (at timestamptz NOT NULL, what text);
CREATE VIEW names AS SELECT id, c FROM t;
CREATE MATERIALIZED VIEW totals AS SELECT code, count(*) AS n FROM parents GROUP BY code;
CREATE UNIQUE INDEX totals_code ON totals (code);
CREATE TABLE logs (kind text, what text) PARTITION BY LIST (kind);
CREATE TABLE logs_a PARTITION OF logs FOR VALUES IN ('a');
CREATE TABLE logs_rest PARTITION OF logs DEFAULT;
CREATE TABLE logs_b (kind text, what text);
ALTER TABLE logs_b ADD CONSTRAINT logs_b_bounds CHECK (kind IS NOT NULL AND kind = 'b');
CREATE UNLOGGED TABLE fast (id int);
CREATE TABLE codes (code varchar(20) PRIMARY KEY);
CREATE TABLE texts (plain varchar(20), part varchar(20), lowered varchar(20), referring varchar(20) REFERENCES codes, other varchar(20), counted varchar(20) UNIQUE);
CREATE INDEX texts_plain ON texts (plain);
CREATE INDEX texts_part ON texts (part) WHERE part <> '';
CREATE INDEX texts_lowered ON texts (lower(lowered));
CREATE INDEX texts_other ON texts (plain) WHERE other IS NULL;
ALTER TABLE keyless CLUSTER ON keyless_b;
CREATE SEQUENCE numbers;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN amount AS numeric(10, 2);
CREATE DOMAIN loose AS int;
CREATE TABLE loosely (n loose);
ALTER DOMAIN loose ADD CONSTRAINT loose_positive CHECK (VALUE > 0) NOT VALID;
CREATE DOMAIN percent AS int CHECK (VALUE <= 100);
CREATE TABLE payments (id bigint PRIMARY KEY, paid amount, mood mood);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION stable_one() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
CREATE TRIGGER t_touch BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE base (id bigint PRIMARY KEY, note text);
CREATE TABLE derived () INHERITS (base);
CREATE STATISTICS t_stats ON a, b FROM t;
CREATE POLICY t_all ON t USING (true);
CREATE RULE t_nothing AS ON DELETE TO base DO INSTEAD NOTHING;
`

const postgresRows = `
INSERT INTO parents VALUES (1, 'x'), (2, 'y');
INSERT INTO t (id, a, b, c, n, at, parent_id, tags, flag, ref) VALUES (1, 1, 'b', 'c', 1, '2026-01-01', 1, '{}', true, 1), (2, 2, 'c', 'c', 1, '2026-01-01', 1, '{}', true, 2);
INSERT INTO keyless VALUES (1, 1), (2, 2);
INSERT INTO children VALUES (1, 1);
INSERT INTO events VALUES ('2026-05-05', 'x');
INSERT INTO events_2027 VALUES ('2027-05-05', 'x');
INSERT INTO base VALUES (1, 'x');
REFRESH MATERIALIZED VIEW totals;
INSERT INTO logs VALUES ('a', 'x'), ('z', 'x');
INSERT INTO codes VALUES ('x');
INSERT INTO texts VALUES ('x', 'x', 'x', 'x', 'x', 'x');
INSERT INTO payments VALUES (1, 1);
`

// postgresStatements are of every kind there is. What a rule says about the locks of each has to be what the server does; where it
// differs on purpose, the reason stands behind --.
const postgresStatements = `
CREATE TABLE fresh (id bigint PRIMARY KEY, n int CHECK (n > 0), name text UNIQUE)
CREATE TABLE fresh (id bigint PRIMARY KEY, t_id bigint REFERENCES t)
CREATE TABLE fresh (LIKE t INCLUDING ALL)
CREATE TABLE fresh AS SELECT * FROM t
CREATE TABLE events_2028 PARTITION OF events FOR VALUES FROM ('2028-01-01') TO ('2029-01-01')
CREATE TABLE logs_c PARTITION OF logs FOR VALUES IN ('c')
CREATE TABLE fresh () INHERITS (base)
CREATE TEMPORARY TABLE fresh (id int)
CREATE UNLOGGED TABLE fresh (id int)
CREATE INDEX ON t (c)
CREATE UNIQUE INDEX t_c ON t (c, id)
CREATE INDEX t_data ON t USING gin (data)
CREATE INDEX IF NOT EXISTS t_c ON t (c)
CREATE INDEX IF NOT EXISTS t_b ON t (b) -- it is there, which the files know and the rule does not look at
CREATE INDEX t_lower ON t (lower(c)) WHERE c IS NOT NULL
CREATE INDEX totals_n ON totals (n)
CREATE INDEX events_at ON events (at)
CREATE INDEX events_at ON ONLY events (at)
CREATE INDEX CONCURRENTLY t_c ON t (c)
CREATE UNIQUE INDEX CONCURRENTLY t_c ON t (c, id)
DROP INDEX t_b -- a moment, but it waits for every query of the table and has another way
DROP INDEX CONCURRENTLY t_b
ALTER INDEX t_b RENAME TO t_b2
ALTER INDEX t_b SET (fillfactor = 70)
REINDEX TABLE t
REINDEX INDEX t_b
REINDEX TABLE CONCURRENTLY t
REINDEX (CONCURRENTLY) INDEX t_b
REINDEX SCHEMA public
CLUSTER t USING t_b
CLUSTER
VACUUM FULL t
VACUUM (FULL) t
VACUUM t
VACUUM (FREEZE, ANALYZE) t
ANALYZE t
REFRESH MATERIALIZED VIEW totals
REFRESH MATERIALIZED VIEW CONCURRENTLY totals
REFRESH MATERIALIZED VIEW totals WITH NO DATA
ALTER TABLE t ADD COLUMN z int
ALTER TABLE t ADD COLUMN z int DEFAULT 7
ALTER TABLE t ADD COLUMN z int NOT NULL DEFAULT 7
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT now()
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT CURRENT_TIMESTAMP
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT clock_timestamp()
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT timeofday()::timestamptz
ALTER TABLE t ADD COLUMN z double precision DEFAULT random()
ALTER TABLE t ADD COLUMN z uuid DEFAULT gen_random_uuid()
ALTER TABLE t ADD COLUMN z bigint DEFAULT nextval('numbers')
ALTER TABLE t ADD COLUMN z int DEFAULT stable_one() -- a function of one's own counts as VOLATILE, which it is unless it says otherwise
ALTER TABLE t ADD COLUMN z text DEFAULT upper('x')
ALTER TABLE t ADD COLUMN z text DEFAULT md5('x')
ALTER TABLE t ADD COLUMN z interval DEFAULT age(now())
ALTER TABLE t ADD COLUMN z text DEFAULT current_user
ALTER TABLE t ADD COLUMN z int DEFAULT abs(-1) + 2
ALTER TABLE t ADD COLUMN z jsonb DEFAULT jsonb_build_object('a', 1)
ALTER TABLE t ADD COLUMN z text[] DEFAULT array['a']
ALTER TABLE t ADD COLUMN z jsonb NOT NULL DEFAULT '{}'
ALTER TABLE t ADD COLUMN z text DEFAULT concat('a', random())
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT now() + interval '1 day'
ALTER TABLE t ADD COLUMN z date DEFAULT '2020-01-01'::date
ALTER TABLE t ADD COLUMN z int DEFAULT (random() * 10)::int
ALTER TABLE t ADD COLUMN z date DEFAULT CAST(clock_timestamp() AS date)
ALTER TABLE t ADD COLUMN z timestamptz DEFAULT statement_timestamp()
ALTER TABLE t ADD COLUMN z timestamp DEFAULT localtimestamp(0)
ALTER TABLE t ADD COLUMN z timestamp DEFAULT (now() AT TIME ZONE 'utc')
ALTER TABLE t ADD COLUMN z text DEFAULT to_char(now(), 'YYYY')
ALTER TABLE t ADD COLUMN z text DEFAULT current_setting('TimeZone')
ALTER TABLE t ADD COLUMN z text DEFAULT version()
ALTER TABLE t ADD COLUMN z text DEFAULT to_hex(255)
ALTER TABLE t ADD COLUMN z bytea DEFAULT decode('00', 'hex')
ALTER TABLE t ADD COLUMN z bytea DEFAULT convert_to('a', 'UTF8')
ALTER TABLE t ADD COLUMN z int DEFAULT cardinality(array[1])
ALTER TABLE t ADD COLUMN z int DEFAULT jsonb_array_length('[]')
ALTER TABLE t ADD COLUMN z interval DEFAULT justify_days(interval '40 days')
ALTER TABLE t ADD COLUMN z interval DEFAULT make_interval(days => 1)
ALTER TABLE t ADD COLUMN z bigint DEFAULT txid_current()
ALTER TABLE t ADD COLUMN z numeric DEFAULT extract(epoch FROM now())
ALTER TABLE t ADD COLUMN z tsvector DEFAULT to_tsvector('english', 'a')
ALTER TABLE t ADD COLUMN z tstzrange DEFAULT tstzrange(now(), NULL)
ALTER TABLE t ADD COLUMN z int DEFAULT pg_backend_pid()
ALTER TABLE t ADD COLUMN z inet DEFAULT inet_client_addr()
ALTER TABLE t ADD COLUMN z int DEFAULT length('a')
ALTER TABLE t ADD COLUMN z int[] DEFAULT array_fill(0, array[3])
ALTER TABLE t ADD COLUMN z serial
ALTER TABLE t ADD COLUMN z bigint GENERATED BY DEFAULT AS IDENTITY
ALTER TABLE t ADD COLUMN z int GENERATED ALWAYS AS (a + 1) STORED
ALTER TABLE t ADD COLUMN z amount
ALTER TABLE t ADD COLUMN z percent
ALTER TABLE t ADD COLUMN z percent DEFAULT 7
ALTER TABLE t ADD COLUMN z mood DEFAULT 'good'
ALTER TABLE t ADD COLUMN z int CHECK (z > 0)
ALTER TABLE t ADD COLUMN z int DEFAULT 7 CHECK (z > 0)
ALTER TABLE t ADD COLUMN z int UNIQUE
ALTER TABLE keyless ADD COLUMN z serial PRIMARY KEY
ALTER TABLE t ADD COLUMN z bigint REFERENCES parents
ALTER TABLE t ADD COLUMN z bigint DEFAULT 1 REFERENCES parents
ALTER TABLE t ADD COLUMN z bigint CONSTRAINT t_z REFERENCES parents (id) ON DELETE CASCADE
ALTER TABLE t ADD COLUMN IF NOT EXISTS c text
ALTER TABLE t ADD COLUMN z text COLLATE "C"
ALTER TABLE t DROP COLUMN b
ALTER TABLE t DROP COLUMN IF EXISTS nope
ALTER TABLE t ALTER COLUMN a TYPE bigint
ALTER TABLE t ALTER COLUMN a TYPE int
ALTER TABLE t ALTER COLUMN a TYPE smallint
ALTER TABLE t ALTER COLUMN a TYPE text
ALTER TABLE t ALTER COLUMN b TYPE varchar(60)
ALTER TABLE t ALTER COLUMN b TYPE varchar(40)
ALTER TABLE t ALTER COLUMN b TYPE varchar
ALTER TABLE t ALTER COLUMN b TYPE text
ALTER TABLE t ALTER COLUMN b TYPE char(50)
ALTER TABLE t ALTER COLUMN b TYPE varchar(50) COLLATE "C"
ALTER TABLE texts ALTER COLUMN plain TYPE varchar(30)
ALTER TABLE texts ALTER COLUMN plain TYPE text COLLATE "C"
ALTER TABLE texts ALTER COLUMN part TYPE varchar(30)
ALTER TABLE texts ALTER COLUMN lowered TYPE text
ALTER TABLE texts ALTER COLUMN other TYPE text
ALTER TABLE texts ALTER COLUMN other TYPE text COLLATE "C"
ALTER TABLE texts ALTER COLUMN counted TYPE text
ALTER TABLE texts ALTER COLUMN referring TYPE text
ALTER TABLE codes ALTER COLUMN code TYPE varchar(30)
ALTER TABLE codes ALTER COLUMN code TYPE varchar(20) COLLATE "C"
ALTER TABLE t ALTER COLUMN n TYPE numeric(12, 2)
ALTER TABLE t ALTER COLUMN n TYPE numeric(12, 3)
ALTER TABLE t ALTER COLUMN n TYPE numeric
ALTER TABLE t ALTER COLUMN n TYPE bigint
ALTER TABLE t ALTER COLUMN at TYPE timestamp(3)
ALTER TABLE t ALTER COLUMN at TYPE timestamptz
ALTER TABLE t ALTER COLUMN at TYPE timestamptz USING at AT TIME ZONE 'UTC'
ALTER TABLE t ALTER COLUMN at TYPE date
ALTER TABLE t ALTER COLUMN zoned TYPE timestamp
ALTER TABLE t ALTER COLUMN data TYPE json
ALTER TABLE t ALTER COLUMN tags TYPE varchar(10)[]
ALTER TABLE t ALTER COLUMN tags TYPE varchar[]
ALTER TABLE t ALTER COLUMN b TYPE varchar(60) USING b::varchar(60)
ALTER TABLE t ALTER COLUMN b TYPE text USING lower(b)
ALTER TABLE t ALTER COLUMN flag TYPE int USING flag::int
ALTER TABLE t ALTER COLUMN b SET NOT NULL
ALTER TABLE t ALTER COLUMN a SET NOT NULL
ALTER TABLE t ALTER COLUMN id SET NOT NULL
ALTER TABLE t ALTER COLUMN flag SET NOT NULL
ALTER TABLE t ALTER COLUMN flag SET NOT NULL, DROP CONSTRAINT t_flag
ALTER TABLE t ALTER COLUMN a DROP NOT NULL
ALTER TABLE t ALTER COLUMN c SET DEFAULT 'x'
ALTER TABLE t ALTER COLUMN c SET DEFAULT gen_random_uuid()::text
ALTER TABLE t ALTER COLUMN c DROP DEFAULT
ALTER TABLE t ALTER COLUMN a ADD GENERATED ALWAYS AS IDENTITY
ALTER TABLE t ALTER COLUMN c SET STATISTICS 500
ALTER TABLE t ALTER COLUMN c SET STORAGE EXTERNAL
ALTER TABLE t ADD CHECK (a > 0)
ALTER TABLE t ADD CONSTRAINT t_pos CHECK (a > 0) NOT VALID
ALTER TABLE t ADD UNIQUE (c, id)
ALTER TABLE t ADD CONSTRAINT t_ref_key UNIQUE USING INDEX t_ref
ALTER TABLE keyless ADD PRIMARY KEY (b)
ALTER TABLE keyless ADD CONSTRAINT keyless_pkey PRIMARY KEY USING INDEX keyless_b
ALTER TABLE t ADD EXCLUDE USING gist (during WITH &&)
ALTER TABLE t ADD FOREIGN KEY (parent_id) REFERENCES parents
ALTER TABLE t ADD CONSTRAINT t_parent FOREIGN KEY (parent_id) REFERENCES parents NOT VALID
ALTER TABLE t ADD COLUMN z int, ADD CONSTRAINT t_z CHECK (a > 0)
ALTER TABLE children VALIDATE CONSTRAINT children_parent
ALTER TABLE children DROP CONSTRAINT children_t
ALTER TABLE t DROP CONSTRAINT t_n
ALTER TABLE children ALTER CONSTRAINT children_t DEFERRABLE
ALTER TABLE t RENAME CONSTRAINT t_n TO t_n2
ALTER TABLE t RENAME TO t2
ALTER TABLE t RENAME COLUMN c TO c2
ALTER TABLE t SET (fillfactor = 70)
ALTER TABLE t SET (autovacuum_enabled = false)
ALTER TABLE keyless SET UNLOGGED
ALTER TABLE fast SET LOGGED
ALTER TABLE t SET LOGGED -- it is so already, which the file does not say
ALTER TABLE t SET ACCESS METHOD heap -- it is so already, which the file does not say
ALTER TABLE t SET TABLESPACE pg_default -- it is there already, which the file does not say
ALTER TABLE t CLUSTER ON t_b
ALTER TABLE t REPLICA IDENTITY FULL
ALTER TABLE t ENABLE ROW LEVEL SECURITY
ALTER TABLE t DISABLE TRIGGER t_touch
ALTER TABLE t DISABLE TRIGGER USER
ALTER TABLE t ENABLE TRIGGER t_touch
ALTER TABLE t OWNER TO CURRENT_USER
ALTER TABLE derived NO INHERIT base
ALTER TABLE events_2027 INHERIT base -- refused
ALTER TABLE events ATTACH PARTITION events_2027 FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')
ALTER TABLE logs ATTACH PARTITION logs_b FOR VALUES IN ('b')
ALTER TABLE events DETACH PARTITION events_2026 -- a moment, but it waits for everybody who uses any partition
ALTER TABLE events ADD COLUMN z int
ALTER TABLE events ADD CONSTRAINT e CHECK (what <> '')
ALTER TABLE events ADD PRIMARY KEY (at)
ALTER DOMAIN amount ADD CONSTRAINT positive CHECK (VALUE > 0)
ALTER DOMAIN amount ADD CONSTRAINT positive CHECK (VALUE > 0) NOT VALID
ALTER DOMAIN amount SET NOT NULL
ALTER DOMAIN loose VALIDATE CONSTRAINT loose_positive
ALTER DOMAIN percent DROP CONSTRAINT percent_check
ALTER DOMAIN amount SET DEFAULT 1
ALTER TYPE mood ADD VALUE 'so so'
ALTER TYPE mood RENAME VALUE 'bad' TO 'worse'
ALTER TYPE mood RENAME TO feeling
CREATE TYPE size AS ENUM ('s', 'm')
CREATE TYPE pair AS (a int, b int)
CREATE DOMAIN word AS text
DROP DOMAIN percent
CREATE VIEW fresh AS SELECT * FROM t
CREATE OR REPLACE VIEW names AS SELECT id, c, a FROM t
CREATE MATERIALIZED VIEW fresh AS SELECT * FROM t
DROP VIEW names
DROP MATERIALIZED VIEW totals
ALTER VIEW names RENAME TO names2
CREATE SEQUENCE fresh
CREATE SEQUENCE fresh OWNED BY t.a
ALTER SEQUENCE numbers RESTART WITH 100
ALTER SEQUENCE numbers OWNED BY t.a
DROP SEQUENCE numbers
CREATE FUNCTION fresh() RETURNS int LANGUAGE sql AS 'SELECT 1'
CREATE OR REPLACE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'
DROP FUNCTION stable_one
CREATE TRIGGER fresh AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION touch()
CREATE CONSTRAINT TRIGGER fresh AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION touch()
DROP TRIGGER t_touch ON t
ALTER TRIGGER t_touch ON t RENAME TO t_touched
CREATE POLICY fresh ON t USING (true)
ALTER POLICY t_all ON t USING (false)
DROP POLICY t_all ON t
CREATE RULE fresh AS ON DELETE TO t DO INSTEAD NOTHING
DROP RULE t_nothing ON base
CREATE STATISTICS fresh ON a, c FROM t
DROP STATISTICS t_stats
CREATE SCHEMA fresh
CREATE PUBLICATION fresh FOR TABLE t
COMMENT ON TABLE t IS 'x'
COMMENT ON COLUMN t.a IS 'x'
GRANT SELECT ON t TO PUBLIC
REVOKE ALL ON t FROM PUBLIC
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC
LOCK TABLE t
LOCK TABLE t IN SHARE MODE
LOCK TABLE t IN ACCESS SHARE MODE
LOCK t IN ROW EXCLUSIVE MODE
LOCK TABLE t IN EXCLUSIVE MODE NOWAIT
TRUNCATE children
TRUNCATE t CASCADE
DROP TABLE children
DROP TABLE t CASCADE
INSERT INTO t (id, a, flag) VALUES (7, 7, true)
INSERT INTO parents SELECT id + 100, c FROM t
INSERT INTO t (id, a, flag) VALUES (1, 9, true) ON CONFLICT (id) DO UPDATE SET a = 9
UPDATE t SET c = 'x'
UPDATE t SET c = 'x' WHERE id = 1
UPDATE t SET c = 'x' WHERE true
UPDATE t SET c = p.code FROM parents p WHERE p.id = t.parent_id -- whether the join leaves rows out is in the rows
DELETE FROM children
DELETE FROM children WHERE id = 1
DELETE FROM children WHERE 1 = 1
DELETE FROM children USING t WHERE t.id = children.t_id -- whether the join leaves rows out is in the rows
WITH gone AS (DELETE FROM children RETURNING *) SELECT count(*) FROM gone
WITH gone AS (DELETE FROM children RETURNING *) INSERT INTO parents SELECT id + 100, 'x' FROM gone
WITH gone AS (DELETE FROM children WHERE id = 1 RETURNING *) SELECT count(*) FROM gone
WITH x AS (UPDATE t SET c = 'x' RETURNING id) SELECT count(*) FROM x
WITH x AS (SELECT 1) DELETE FROM children
SELECT * FROM t FOR UPDATE
SELECT setval('numbers', 100)
DO $$ BEGIN ALTER TABLE t ADD CONSTRAINT x CHECK (a > 0); END $$
`

// postgresLocks are the rules that say that a statement keeps others waiting for as long as a table is large.
var postgresLocks = words("PG101 PG102 PG106 PG109 PG201 PG202 PG203 PG204 PG205 PG206 PG207 PG212 PG301 PG302 PG303 PG305 PG306 PG403 PG404 PG405 PG406 PG407 PG408 PG411 PG413 PG511")

// lasts reports whether a statement keeps writers or readers of a table that was there from it for as long as it is large: a lock
// under which the server reads, writes or builds.
func (s *seen) lasts() bool {
	if s.st.Verb == "LOCK" { // to the end of the transaction, which it is there for
		return len(s.locked(trace.BlocksWrites)) > 0
	}
	return everyRow(s, nil) || len(s.locked(trace.BlocksWrites, func(t *trace.Table) bool { return t.Rewritten || t.Scanned || len(t.Built) > 0 })) > 0
}

// TestEveryPostgresStatement asks the other way round: of statements of every kind, is there a finding about each that the server
// holds others up for, and none about the rest?
func TestEveryPostgresStatement(t *testing.T) {
	t.Parallel()
	o := newObserver(t, testdb.Postgres, postgres)
	older := o.older(t)
	target := tldwdblint.Config{Target: map[string]string{postgres: o.version(t)}}
	var all, dangerous, found, both, brief int
	for line := range strings.Lines(postgresStatements) {
		statement, why, _ := strings.Cut(strings.TrimSpace(line), " -- ")
		if statement == "" {
			continue
		}
		all++
		o.prepare(t, postgresTables, postgresRows)
		text := &Text{Path: "x.sql", SQL: statement, Irreversible: true}
		s := o.file(t, text, nil)[0]
		if older && s.err != nil {
			continue
		}
		if (s.err != nil) != (why == "refused") {
			t.Errorf("%s: %v", statement, s.err)
			continue
		}
		var rules []string
		for _, f := range mustCheck(t, []Migration{{Version: 1, Name: "tables", Up: &Text{Path: "tables.sql", SQL: postgresTables}, Quiet: true}, {Version: 2, Name: "x", Up: text}}, postgres, target) {
			if postgresLocks[f.Rule] {
				rules = append(rules, f.Rule)
			}
		}
		lasts := s.lasts()
		switch {
		case why == "refused":
			continue
		case lasts != (len(rules) > 0) && why == "":
			t.Errorf("%s\n\tfound %q, and seen %s", statement, rules, describeSeen(&s))
		case lasts == (len(rules) > 0) && why != "" && !older:
			t.Errorf("%s: there is no difference to explain: %q, %s", statement, rules, describeSeen(&s))
		}
		if lasts {
			dangerous++
		} else if len(s.locked(trace.BlocksWrites)) > 0 {
			brief++
		}
		if len(rules) > 0 {
			found++
		}
		if lasts && len(rules) > 0 {
			both++
		}
	}
	empty(t, o.c, postgres)
	t.Logf("%d statements; %d keep others waiting, of which %d are found (recall %.3f); findings about %d (precision %.3f); %d lock for a moment", all, dangerous, both, float64(both)/float64(dangerous), found, float64(both)/float64(found), brief)
}

// version is the server's.
func (o *observer) version(t *testing.T) string {
	t.Helper()
	n := o.number(t)
	return fmt.Sprintf("%d.%d", n/10000, n%10000)
}

// older reports whether the server does not know all statements of these tests, which are for PostgreSQL 15 and later.
func (o *observer) older(t *testing.T) bool {
	t.Helper()
	return o.number(t) < 150000
}

func (o *observer) number(t *testing.T) (n int) {
	t.Helper()
	if err := o.c.QueryRowContext(t.Context(), "SELECT current_setting('server_version_num')::int").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestConstantFunctions asks the server whether the functions that PG301 takes for constant are: none of them may have a form that gives
// another value at each call. (That of timezone() for a time without a day had, up to PostgreSQL 13; nobody calls it.)
func TestConstantFunctions(t *testing.T) {
	t.Parallel()
	o := newObserver(t, testdb.Postgres, postgres)
	for name := range constantFunctions {
		var changes bool
		if err := o.c.QueryRowContext(t.Context(), "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = lower($1) AND pronamespace = 'pg_catalog'::regnamespace AND provolatile = 'v' AND NOT 'timetz'::regtype = ANY (proargtypes))", name).Scan(&changes); err != nil {
			t.Fatal(err)
		}
		if changes {
			t.Errorf("%s gives another value at each call", name)
		}
	}
}
