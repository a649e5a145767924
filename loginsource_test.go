package tldwdb

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/jmoiron/sqlx"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// TestURLFileIsFollowed: for another log-in, and nothing else. What is wrong with the
// file is said once, and never with a secret.
func TestURLFileIsFollowed(t *testing.T) {
	t.Parallel()
	file := secretFile(t, "")
	var log bytes.Buffer
	u, err := dburl.Parse("postgres://app:one@db/tldw?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	s := &loginSource{url: u, urlFrom: "DATABASE_URL_FILE", urlFile: file, log: slog.New(slog.NewTextHandler(&log, nil))}
	if _, err := s.ask(t.Context()); err == nil {
		t.Error("an empty file at the start is no error")
	}
	usual, refused, rotate := dialect.AskUsual, dialect.AskRefused, dialect.AskRotate
	for _, step := range []struct {
		content  string // "-" for none
		why      dialect.Asking
		want     string // user and password
		wantErr  string
		warnings int // in all
	}{
		{"postgres://app:one@db/tldw?sslmode=require\n", usual, "app one", "", 0},
		{"postgresql://app_b:t%25wo@db/tldw?sslmode=require", usual, "app_b t%wo", "", 0},
		{"-", usual, "app_b t%wo", "", 1},
		{"-", usual, "app_b t%wo", "", 1},
		{"", refused, "app_b t%wo", "", 2},
		{"postgres://app:hunter2@h:hunter2/tldw", usual, "app_b t%wo", "", 3},
		{"postgres://app:hunter2@db/tldw?sslmode=hunter2", rotate, "", "DATABASE_URL_FILE", 3},
		{"postgres://app:hunter2@other/tldw?sslmode=require", usual, "app_b t%wo", "", 4},
		{"postgres://app:hunter2@other/tldw?sslmode=require", refused, "", "until it is restarted", 4},
		{"postgres://app:hunter2@db/hunter3?sslmode=require", rotate, "", "until it is restarted", 4},
		{"postgres://app:three@db/tldw", rotate, "", "until it is restarted", 4},
		{"mysql://app:hunter2@db/tldw", rotate, "", "until it is restarted", 4},
		{"postgres://app_b:three@db/tldw?sslmode=require", usual, "app_b three", "", 4},
	} {
		if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if step.content != "-" {
			if err := os.WriteFile(file, []byte(step.content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		l, err := s.ask(dialect.WithAsking(t.Context(), step.why))
		password, _ := l.Password.Reveal()
		got := strings.TrimSpace(l.User + " " + password)
		if got != step.want || (err == nil) != (step.wantErr == "") || err != nil && !strings.Contains(err.Error(), step.wantErr) {
			t.Errorf("%q: got %q, %v; want %q, %q", step.content, got, err, step.want, step.wantErr)
		}
		if err != nil && strings.Contains(err.Error(), "hunter") || strings.Contains(log.String(), "hunter") {
			t.Errorf("%q: a secret is shown: %v\n%s", step.content, err, log.String())
		}
		if n := strings.Count(log.String(), "level=WARN"); n != step.warnings {
			t.Errorf("%q: %d warnings, want %d:\n%s", step.content, n, step.warnings, log.String())
		}
	}
}

// TestPasswordFileIsFollowed: it goes before the URL's password, and a callback
// before it. Blanks belong to it.
func TestPasswordFileIsFollowed(t *testing.T) {
	t.Parallel()
	file := secretFile(t, " one \r\n")
	s := &loginSource{file: file, log: slog.New(slog.DiscardHandler)}
	for i, want := range []string{" one ", "two", "two", "two"} {
		l, err := s.ask(t.Context())
		if got, _ := l.Password.Reveal(); err != nil || got != want || l.User != "" {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		switch i {
		case 0:
			err = os.WriteFile(file, []byte("two\n"), 0o600)
		case 1:
			err = os.Truncate(file, 0)
		case 2:
			err = os.Remove(file)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.ask(dialect.WithAsking(t.Context(), dialect.AskRotate)); err == nil {
		t.Error("Rotate is content with the old secret although the file is gone")
	}
	sealed := errors.New("the vault is sealed")
	s.password = func(context.Context) (string, error) { return "", sealed }
	if _, err := s.ask(t.Context()); !errors.Is(err, sealed) {
		t.Errorf("got %v", err)
	}
	if s.credentials(0).Follows() {
		t.Error("the answers of a callback are followed: each token would replace all connections")
	}
}

// TestURLSetByTheProgram: a URL that the program puts in the place of the file's has
// nothing to do with the file.
func TestURLSetByTheProgram(t *testing.T) {
	t.Parallel()
	file := secretFile(t, "sqlite:///a.db")
	cfg, err := ConfigFromLookup(lookupIn(map[string]string{"DATABASE_URL_FILE": file, "TLDWDB_MIGRATE_URL_FILE": file}))
	if err != nil {
		t.Fatal(err)
	}
	if got := cfg.hideURLs(); got.urlFile != file || got.migrateURLFile != file || got.URL != "" {
		t.Errorf("the files are %q and %q, the URL %q", got.urlFile, got.migrateURLFile, got.URL)
	}
	cfg.URL = "sqlite:///b.db"
	if got := cfg.hideURLs(); got.urlFile != "" || got.migrateURLFile != file {
		t.Errorf("the files are %q and %q", got.urlFile, got.migrateURLFile)
	}
}

// TestRotateElsewhere: there is nothing to rotate in a file, and a borrowed pool is
// its owner's.
func TestRotateElsewhere(t *testing.T) {
	t.Parallel()
	if err := openDB(t, Config{URL: "sqlite://"}).Rotate(t.Context()); err != nil {
		t.Error(err)
	}
	connector, err := dialect.Connector(dburl.URL{Dialect: dburl.Postgres, User: "u"}, dialect.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pool := sqlx.NewDb(sql.OpenDB(connector), "pgx")
	defer func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	}()
	db, err := Attach(t.Context(), pool, Config{})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Rotate(t.Context()); err == nil || !strings.Contains(err.Error(), "Attach") {
		t.Errorf("got %v", err)
	}
}
