package tldwdbcli

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A snapshot for MySQL does not stand for the one that MariaDB begins with.
func TestSquashLeavesNoEngineBehind(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"0001_snapshot.mysql.sql", "0001_snapshot.mariadb.sql", "0002_b.up.sql"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := squashed(dir, 2, "mysql"); err == nil {
		t.Errorf("removed: %q", list)
	}
	if err := os.WriteFile(filepath.Join(dir, "0002_snapshot.mariadb.sql"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if list, err := squashed(dir, 2, "mysql"); err != nil || !slices.Contains(list, filepath.Join(dir, "0001_snapshot.mariadb.sql")) {
		t.Errorf("%q, %v", list, err)
	}
}
