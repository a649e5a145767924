package dialect

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestReadGrant reads lines as the servers write them.
func TestReadGrant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		line, rights, what, role string
		option, routine, ok      bool
	}{
		{line: "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*38C4'", rights: "USAGE", what: "*.*", ok: true},
		{line: "GRANT ALL PRIVILEGES ON *.* TO `root`@`localhost` WITH GRANT OPTION", rights: "ALL PRIVILEGES", what: "*.*", option: true, ok: true},
		{line: "GRANT SELECT, CREATE TEMPORARY TABLES, CREATE VIEW ON `tldw%`.* TO `u`@`h`", rights: "SELECT;CREATE TEMPORARY TABLES;CREATE VIEW", what: "tldw%.*", ok: true},
		{line: "GRANT SELECT (`a`, `on`), INSERT (`to`) ON `d`.`odd ``name` TO `u`@`h`", rights: "SELECT;INSERT", what: "d.odd `name", ok: true},
		{line: "GRANT EXECUTE ON PROCEDURE `d`.`p` TO `u`@`h`", rights: "EXECUTE", what: "d.p", routine: true, ok: true},
		{line: "GRANT SELECT ON `table`.`on` TO `u`@`h`", rights: "SELECT", what: "table.on", ok: true},
		{line: "GRANT BACKUP_ADMIN,ROLE_ADMIN ON *.* TO `u`@`h`", rights: "BACKUP_ADMIN;ROLE_ADMIN", what: "*.*", ok: true},
		{line: "GRANT PROXY ON ``@`%` TO 'root'@'localhost' WITH GRANT OPTION", rights: "PROXY", what: "*.*", option: true, ok: true},
		{line: "GRANT `r`@`%` TO `u`@`h` WITH ADMIN OPTION", what: "*.*", role: "`r`@`%`", option: true, ok: true},
		{line: "GRANT `r` TO `u`@`h`", what: "*.*", role: "`r`", ok: true},
		{line: "REVOKE SELECT ON `mysql`.* FROM `u`@`h`"},
		{line: "SET DEFAULT ROLE `r` FOR `u`@`h`"},
		{line: ""},
	} {
		g, ok := readGrant(c.line, (&mysqlDialect{}).ScanOptions())
		if ok != c.ok || ok && (strings.Join(g.rights, ";") != c.rights || g.what() != c.what || g.role != c.role || g.option != c.option || g.routine != c.routine) {
			t.Errorf("%s: %+v, %t", c.line, g, ok)
		}
	}
}

// TestLikeDatabase: a pattern that reaches further than this database is found out.
func TestLikeDatabase(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, name   string
		matches, beyond bool
	}{
		{"notes", "notes", true, false}, {"notes", "Notes", true, false}, {"notes", "notes2", false, false}, {"note%", "notes", true, true}, {"%", "notes", true, true},
		{`my\_db`, "my_db", true, false}, {`my\_db`, "myxdb", false, false}, {"my_db", "myxdb", true, false}, {`50\%`, "50%", true, false}, {"a.c", "abc", false, false}, {"", "notes", false, false},
	} {
		if matches, beyond := likeDatabase(c.pattern, c.name); matches != c.matches || beyond != c.beyond {
			t.Errorf("%s, %s: %t, %t", c.pattern, c.name, matches, beyond)
		}
	}
}

// TestPlainSessions: what stays on the machine needs no TLS.
func TestPlainSessions(t *testing.T) {
	t.Parallel()
	a := &audit{}
	a.plainSessions([]string{"app", "near"}, map[string][]string{"app": {"127.0.0.1", "10.0.0.7", "db.example"}, "near": {"localhost", "::1", "127.9.9.9", ""}}, "tell {}")
	want := []AuditFinding{{AuditPlainSession, "app", "it is signed in without TLS from 10.0.0.7, db.example", "tell app"}}
	if !slices.Equal(a.Findings, want) {
		t.Errorf("%+v", a.Findings)
	}
}

// TestFileOwner: whoever owns the file or its folder can do as he likes with it.
func TestFileOwner(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows keeps rights in another way")
	}
	folder := t.TempDir()
	file := filepath.Join(folder, "x.db")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	owner := os.Geteuid()
	if owner == 0 {
		owner = 4242
		for _, name := range []string{file, folder} {
			if err := os.Chown(name, owner, -1); err != nil {
				t.Fatal(err)
			}
		}
	}
	for me, want := range map[int]string{owner: "", 0: "", owner + 1: file + " " + folder} {
		a := &audit{}
		if err := auditFiles(a, file, me); err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, f := range a.Findings {
			if f.ID != AuditFileOwner {
				t.Errorf("%+v", f)
			}
			found = append(found, f.Subject)
		}
		if strings.Join(found, " ") != want {
			t.Errorf("as %d: %q", me, found)
		}
	}
}

// TestItemList names a few of many.
func TestItemList(t *testing.T) {
	t.Parallel()
	if got := itemList([]string{"a", "b", "c", "d", "e", "f", "g"}); got != "a, b, c, d, e and 2 more" {
		t.Error(got)
	}
}
