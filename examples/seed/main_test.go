package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }

func TestAdmin(t *testing.T) {
	t.Parallel()
	testdb.ForEach(t, func(t *testing.T, db *testdb.Database) {
		env := map[string]string{"DATABASE_URL": db.URL, "ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD_HASH": "$argon2id$x"}
		start := func() string {
			var out strings.Builder
			if err := run(t.Context(), func(name string) (string, bool) { v, ok := env[name]; return v, ok }, &out); err != nil {
				t.Fatal(err)
			}
			return out.String()
		}
		if got, want := start(), "common: account: 1 inserted, 0 updated, 0 as they were\ndevelopment: account: 2 inserted, 0 updated, 0 as they were\n"; got != want {
			t.Errorf("the first time:\n%s\nwant\n%s", got, want)
		}
		env["ADMIN_EMAIL"] = "another@example.com"
		if got, want := start(), "common: account: 0 inserted, 0 updated, 1 as they were\ndevelopment: account: 0 inserted, 0 updated, 2 as they were\n"; got != want {
			t.Errorf("the second time:\n%s\nwant\n%s", got, want)
		}
	})
}

// Without the variables nothing is written, and they are named.
func TestAdminIsNotMadeUp(t *testing.T) {
	t.Parallel()
	url := "sqlite:///" + filepath.Join(t.TempDir(), "tldw.db")
	err := run(t.Context(), func(name string) (string, bool) {
		return map[string]string{"DATABASE_URL": url}[name], name == "DATABASE_URL"
	}, &strings.Builder{})
	if err == nil || !strings.Contains(err.Error(), "the variable ADMIN_EMAIL is not set") || !strings.Contains(err.Error(), "the variable ADMIN_PASSWORD_HASH is not set") {
		t.Errorf("%v", err)
	}
}
