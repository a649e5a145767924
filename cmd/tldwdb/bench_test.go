package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// BenchmarkStatus is 'tldwdb status' as a whole process, on a SQLite file with 1,000
// migrations and with their 2,000 files on disk. Beside it is the sqlite3 shell, which
// reads the same table and no file.
func BenchmarkStatus(b *testing.B) {
	dir := b.TempDir()
	program, files := filepath.Join(dir, "tldwdb"), filepath.Join(dir, "migrations")
	run := func(name string, args ...string) {
		cmd := exec.CommandContext(b.Context(), name, args...)
		cmd.Env = append(os.Environ(), "DATABASE_URL=sqlite:///"+filepath.Join(dir, "app.db"))
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	run("go", "build", "-o", program, ".")
	if err := os.Mkdir(files, 0o755); err != nil {
		b.Fatal(err)
	}
	for n := range 1000 {
		up := "CREATE TABLE thing (id integer PRIMARY KEY, name text NOT NULL, created_at text);\n"
		if n > 0 {
			up = fmt.Sprintf("INSERT INTO thing (id, name, created_at) VALUES (%d, 'the thing %[1]d', '2026-01-01');\n", n)
		}
		for name, text := range map[string]string{"up": up, "down": fmt.Sprintf("DELETE FROM thing WHERE id = %d;\n", n)} {
			file := filepath.Join(files, fmt.Sprintf("%04d_change.%s.sql", n+1, name))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	run(program, "up", "-q", "--dir", files)
	b.Run("by=tldwdb", func(b *testing.B) {
		for b.Loop() {
			run(program, "status", "--dir", files)
		}
	})
	b.Run("by=sqlite3", func(b *testing.B) {
		if _, err := exec.LookPath("sqlite3"); err != nil {
			b.Skip(err)
		}
		for b.Loop() {
			run("sqlite3", filepath.Join(dir, "app.db"), "SELECT * FROM tldwdb_history")
		}
	})
}
