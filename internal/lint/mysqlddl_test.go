package lint

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
	"github.com/tldw/tldwdb/tldwdblint"
)

// The tables that the statements below change. c has a VIRTUAL column, x two FULLTEXT indexes.
const alteredTables = `
CREATE TABLE p (id int NOT NULL PRIMARY KEY);
CREATE TABLE t (id int NOT NULL AUTO_INCREMENT PRIMARY KEY, a int, b varchar(40), k varchar(40), l varchar(200), e enum('a','b','c'), s set('a','b','c'),
	d decimal(10,2), n int NOT NULL DEFAULT 0, ts timestamp NULL, x text, g point NOT NULL, v int, KEY t_k (k), KEY t_v (v)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE c (id int NOT NULL PRIMARY KEY, a int, w int AS (a + 1) VIRTUAL, z int AS (a + 1) STORED);
CREATE TABLE u (id int NOT NULL PRIMARY KEY, b varchar(40), k varchar(40), KEY u_k (k)) DEFAULT CHARSET=utf8mb3;
CREATE TABLE w (a int NOT NULL, b int);
CREATE TABLE f (id int NOT NULL PRIMARY KEY, v int, CONSTRAINT f_p FOREIGN KEY (v) REFERENCES p (id), CONSTRAINT f_v CHECK (v > 0));
`

// alterations are parts of ALTER TABLE: what is said about them has to be what the servers do.
var alterations = strings.Split(strings.TrimSpace(`
t ADD COLUMN z int
t ADD COLUMN z int FIRST
t ADD COLUMN z int AFTER a
t ADD COLUMN z int NOT NULL DEFAULT 0
t ADD COLUMN z timestamp DEFAULT CURRENT_TIMESTAMP
t ADD COLUMN z int DEFAULT (1 + 1)
t ADD COLUMN z int AS (a + 1) STORED
t ADD COLUMN z int AS (a + 1) VIRTUAL
t ADD COLUMN z int CHECK (z > 0)
t ADD COLUMN z int REFERENCES p (id)
t ADD COLUMN z int UNIQUE
t ADD COLUMN z json
t ADD COLUMN z int, ADD COLUMN y int
w ADD COLUMN z bigint AUTO_INCREMENT PRIMARY KEY
w ADD COLUMN z bigint AUTO_INCREMENT UNIQUE
c ADD COLUMN z2 int
c ADD COLUMN z2 int AFTER a
c DROP COLUMN w
c DROP COLUMN z
t DROP COLUMN b
t DROP COLUMN v
t CHANGE b bb varchar(40)
t CHANGE b bb varchar(300)
t MODIFY n bigint NOT NULL DEFAULT 0
t MODIFY n int unsigned NOT NULL DEFAULT 0
t MODIFY n smallint NOT NULL DEFAULT 0
t MODIFY n int(11) NOT NULL DEFAULT 0
t MODIFY n integer NOT NULL DEFAULT 1
t MODIFY n int NULL
t MODIFY b varchar(60)
t MODIFY b varchar(63)
t MODIFY b varchar(64)
t MODIFY k varchar(60)
t MODIFY l varchar(300)
t MODIFY l varchar(100)
t MODIFY b varchar(20)
t MODIFY b text
t MODIFY b char(40)
t MODIFY b varchar(40) NOT NULL
t MODIFY b varchar(40) CHARACTER SET latin1
t MODIFY b varchar(40) COLLATE utf8mb4_bin
t MODIFY k varchar(40) COLLATE utf8mb4_bin
t MODIFY b varchar(40) COMMENT 'x'
t MODIFY b varchar(40) DEFAULT 'x'
t MODIFY d decimal(12,2)
t MODIFY d decimal(10,3)
t MODIFY x mediumtext
t MODIFY ts datetime
t MODIFY ts timestamp(6) NULL
t MODIFY e enum('a','b','c','d')
t MODIFY e enum('a','b','d','c')
t MODIFY e enum('a','c','b')
t MODIFY e enum('a','b')
t MODIFY e varchar(10)
t MODIFY s set('a','b','c','d')
t MODIFY s set('a','b','c','d','e','f','g','h','i')
t MODIFY s set('b','a','c')
c MODIFY z int AS (a + 2) STORED
c MODIFY z int
u MODIFY b varchar(40) CHARACTER SET utf8mb4
u MODIFY k varchar(40) CHARACTER SET utf8mb4
u MODIFY b varchar(80)
u MODIFY b varchar(86)
t ADD INDEX t_b (b)
t ADD UNIQUE KEY t_b (b)
t ADD FULLTEXT KEY t_x (x)
t ADD SPATIAL INDEX t_g (g)
t ADD INDEX t_e ((a + 1))
w ADD PRIMARY KEY (a)
t DROP PRIMARY KEY, ADD PRIMARY KEY (id, n)
f DROP PRIMARY KEY
f DROP FOREIGN KEY f_p
f DROP CONSTRAINT f_v
t ADD CHECK (a > 0)
t ADD CONSTRAINT t_c CHECK (a > 0) NOT ENFORCED
t ADD CONSTRAINT t_p FOREIGN KEY (v) REFERENCES p (id)
t CONVERT TO CHARACTER SET latin1
t CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
t DEFAULT CHARACTER SET latin1
t ENGINE=InnoDB
t FORCE
t ROW_FORMAT=COMPRESSED
t COMMENT='x'
t ADD SYSTEM VERSIONING
t ALTER COLUMN b SET DEFAULT 'x'
t RENAME COLUMN b TO bb
t RENAME INDEX t_k TO t_kk
`), "\n")

// TestHowMySQLAlters holds what mysqlddl.go says against the servers: each is asked for the mildest way that it accepts.
func TestHowMySQLAlters(t *testing.T) {
	t.Parallel()
	for _, engine := range []testdb.Engine{testdb.MySQL, testdb.MariaDB} {
		t.Run(string(engine), func(t *testing.T) {
			t.Parallel()
			db := testdb.New(t, engine).AdminDB(t)
			db.SetMaxOpenConns(1)
			server := serverVersion(t, db)
			dialect := string(engine)
			tables := createdTables()
			for _, statement := range alterations {
				said := said(t, dialect, server, "ALTER TABLE "+statement)
				is, ok := mildest(t, db, tables, statement)
				if !ok {
					continue // the other product's
				}
				if is != said && (is.blocks() || said.blocks() || is == online || said == online || !lenient(statement)) {
					t.Errorf("%s %s: ALTER TABLE %s is %s, and said to be %s", engine, server, statement, is, said)
				}
				spoken := spoken(t, dialect, server, "ALTER TABLE "+statement)
				if is == online {
					spoken = slices.DeleteFunc(spoken, func(rule string) bool { return rule == "MY110" || rule == "MY132" }) // they warn of more than locks
				}
				if is.blocks() != (len(spoken) > 0) {
					t.Errorf("%s %s: ALTER TABLE %s is %s, and the rules that speak are %s", engine, server, statement, is, spoken)
				}
			}
		})
	}
}

// aboutLocks are the rules that say that writers wait.
var aboutLocks = words("MY103 MY104 MY105 MY106 MY107 MY108 MY109 MY110 MY111 MY112 MY130 MY131 MY132 MY162 MY163")

// spoken are the rules that warn of a statement for its locks.
func spoken(t *testing.T, dialect, server, statement string) (list []string) {
	t.Helper()
	findings, err := Check([]Migration{
		{Version: 1, Name: "x", Up: &Text{Path: "tables.sql", SQL: alteredTables, Irreversible: true}},
		{Version: 2, Name: "x", Up: &Text{Path: "x.sql", SQL: statement, Irreversible: true}},
	}, dialect, tldwdblint.Config{Target: map[string]string{dialect: server}})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		if f.File == "x.sql" && aboutLocks[f.Rule] && f.Severity.AtLeast(tldwdblint.SeverityWarning) {
			list = append(list, f.Rule)
		}
	}
	return list
}

// lenient are the statements for which nobody needs to know whether the catalogue alone is written: both are beside the writers.
func lenient(statement string) bool {
	return !strings.Contains(statement, " COLUMN ") && !strings.Contains(statement, " MODIFY ")
}

func (w way) String() string {
	return [...]string{"instant", "in place", "in place without writers", "copied without writers", "copied beside the writers"}[w]
}

func serverVersion(t *testing.T, db *sql.DB) string {
	t.Helper()
	var text string
	if err := db.QueryRowContext(t.Context(), "SELECT version()").Scan(&text); err != nil {
		t.Fatal(err)
	}
	text, _, _ = strings.Cut(text, "-")
	return text
}

func createdTables() map[string]string {
	tables := map[string]string{}
	for part := range strings.SplitSeq(alteredTables, ";\n") {
		if part = strings.TrimSpace(part); part != "" {
			tables[strings.Fields(part)[2]] = part
		}
	}
	return tables
}

// said is what the rules believe.
func said(t *testing.T, dialect, server, statement string) way {
	t.Helper()
	worst := instant
	cfg := tldwdblint.Config{Target: map[string]string{dialect: server}}
	c, err := newCheck(dialect, cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{alteredTables, statement} {
		c.migration(&Migration{Version: int64(i + 1), Name: "x", Up: &Text{Path: "x.sql", SQL: text, Irreversible: true}})
		if i == 0 {
			continue
		}
		// The schema has the statement in it by now: it is asked without it.
		before, err := newCheck(dialect, cfg)
		if err != nil {
			t.Fatal(err)
		}
		before.migration(&Migration{Version: 1, Name: "x", Up: &Text{Path: "x.sql", SQL: alteredTables, Irreversible: true}})
		clear(before.born)
		s := &c.statements[0]
		p := &pass{check: before, s: s}
		before.statements = nil
		for j := range s.Actions {
			worst = max(worst, p.way(s, &s.Actions[j]))
		}
	}
	return worst
}

// mildest asks a server. It is false where the server does not know the statement at all.
func mildest(t *testing.T, db *sql.DB, tables map[string]string, statement string) (way, bool) {
	t.Helper()
	table, _, _ := strings.Cut(statement, " ")
	var last error
	exec(t.Context(), t, db, "SET foreign_key_checks = 0")
	exec(t.Context(), t, db, "DROP TABLE IF EXISTS p, "+table)
	exec(t.Context(), t, db, tables["p"])
	exec(t.Context(), t, db, tables[table])
	exec(t.Context(), t, db, "SET foreign_key_checks = 1")
	for _, try := range []struct {
		clause string
		is     way
	}{
		{", ALGORITHM=INSTANT", instant}, {", ALGORITHM=INPLACE, LOCK=NONE", inPlace}, {", ALGORITHM=INPLACE, LOCK=SHARED", shared},
		{", ALGORITHM=COPY, LOCK=NONE", online}, {", ALGORITHM=COPY, LOCK=SHARED", copied},
	} {
		if _, last = db.ExecContext(t.Context(), "ALTER TABLE "+statement+try.clause); last == nil {
			return try.is, true
		}
	}
	if !strings.Contains(last.Error(), "1064") {
		t.Errorf("ALTER TABLE %s: %v", statement, last)
	}
	return 0, false
}

func exec(ctx context.Context, t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.ExecContext(ctx, statement); err != nil {
		t.Fatal(fmt.Errorf("%s: %w", statement, err))
	}
}
