package testdb

import (
	"os"
	"strings"
	"testing"
)

func TestOnlyLoopback(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		engine Engine
		url    string
		ok     bool
	}{
		{Postgres, "postgres://u:secret@127.0.0.1:5432/d", true},
		{Postgres, "postgres://u:secret@[::1]:5432/d", true},
		{Postgres, "postgresql://u:secret@localhost/d", true},
		{Postgres, "postgres://u:secret@db.example:5432/d", false},
		{Postgres, "postgres://u:secret@127.0.0.1,db.example/d", false},
		{Postgres, "postgres://u:secret@127.0.0.1/d?host=db.example", false},
		{Postgres, "host=127.0.0.1 password=secret", false},
		{Postgres, "postgres://u:secret@127.0.0.1:many/d", false},
		{MariaDB, "mysql://u:secret@127.0.0.1/d", true},
		{MySQL, "mariadb://u:secret@[::1]:3306/d", true},
		{MySQL, "mysql://u:secret@10.0.0.1/d", false},
		{MySQL, "mysql://u:secret@/d", false},
		{MySQL, "mysql://u:secret@127.0.0.1:many/d", false},
	} {
		err := checkURL(c.engine, c.url)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestRequired(t *testing.T) {
	for _, c := range []struct {
		ci, require string
		want        string
	}{
		{"", "-", ""},
		{"true", "-", "sqlite postgres mariadb"},
		{"true", "", ""},
		{"true", "mysql", "mysql"},
		{"", "postgres, mysql", "postgres mysql"},
	} {
		t.Setenv("CI", c.ci)
		t.Setenv("TLDWDB_TEST_REQUIRE", c.require)
		if c.require == "-" {
			if err := os.Unsetenv("TLDWDB_TEST_REQUIRE"); err != nil { // Setenv above restores it
				t.Fatal(err)
			}
		}
		var got []string
		for _, e := range Engines() {
			if required(e) {
				got = append(got, string(e))
			}
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("CI=%q TLDWDB_TEST_REQUIRE=%q: required %q, want %q", c.ci, c.require, g, c.want)
		}
	}
}

func TestLeftOut(t *testing.T) {
	t.Setenv("TLDWDB_TEST_ENGINES", "sqlite, mysql")
	if got := Wanted(); len(got) != 2 || got[0] != SQLite || got[1] != MySQL {
		t.Errorf("TLDWDB_TEST_ENGINES=sqlite, mysql leaves in %v", got)
	}
}

func TestFlavour(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]Engine{
		"10.11.19-MariaDB-0+deb12u1 Debian 12":                     MariaDB,
		"mysqld  Ver 9.7.4-2 for Linux on x86_64 ((Debian))":       MySQL,
		"mariadbd  Ver 11.8.6-MariaDB for debian-linux-gnu":        MariaDB,
		"8.0.36 MySQL Community Server - GPL":                      MySQL,
		"mysqld  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux…": MariaDB,
	} {
		if got := flavour(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}
