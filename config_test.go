package tldwdb

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// lookupIn makes a map look like an environment.
func lookupIn(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		value, ok := env[name]
		return value, ok
	}
}

// secretFile writes a mounted secret, with the newline that editors add.
func secretFile(t *testing.T, content string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestConfigChoosesURL(t *testing.T) {
	t.Parallel()
	const (
		my  = "mysql://u:hunter2@m/db"
		pg  = "postgres://u:hunter2@p/db"
		lit = "sqlite:///x.db"
	)
	file := secretFile(t, pg+"\n")
	tests := []struct {
		name    string
		env     map[string]string
		want    string // URL
		warning string
		err     string
	}{
		{name: "nothing set: Open takes its default", want: ""},
		{name: "test has the default too", env: map[string]string{"TLDWDB_ENV": "test"}, want: ""},
		{name: "empty is not set", env: map[string]string{"DATABASE_URL": "", "MYSQL_URL": " ", "DATABASE_URL_FILE": ""}, want: ""},
		{name: "mysql first", env: map[string]string{"MYSQL_URL": my, "POSTGRES_URL": pg, "DATABASE_URL": lit}, want: my, warning: "MYSQL_URL and DATABASE_URL name different databases; MYSQL_URL is used: mysql://u:***@m/db"},
		{name: "postgres second", env: map[string]string{"POSTGRES_URL": pg, "DATABASE_URL": lit}, want: pg, warning: "POSTGRES_URL is used"},
		{name: "database last", env: map[string]string{"DATABASE_URL": lit}, want: lit},
		{name: "agreement in another spelling", env: map[string]string{"POSTGRES_URL": pg, "DATABASE_URL": "postgresql+psycopg2://u:hunter2@p/db"}, want: pg},
		{name: "file", env: map[string]string{"DATABASE_URL_FILE": file}, want: pg},
		{name: "production: DATABASE_URL decides", env: map[string]string{"APP_ENV": "production", "MYSQL_URL": my, "DATABASE_URL": pg}, want: pg, warning: "DATABASE_URL and MYSQL_URL name different databases; DATABASE_URL is used"},
		{name: "production: the only other", env: map[string]string{"TLDWDB_ENV": "Production", "MYSQL_URL": my}, want: my},
		{name: "production: sqlite when asked for", env: map[string]string{"TLDWDB_ENV": "production", "DATABASE_URL": lit}, want: lit},
		{name: "production: both others", env: map[string]string{"TLDWDB_ENV": "production", "MYSQL_URL": my, "POSTGRES_URL": pg}, err: "POSTGRES_URL and MYSQL_URL are both set"},
		{name: "production: nothing", env: map[string]string{"TLDWDB_ENV": "production"}, err: "DATABASE_URL is not set"},
		{name: "TLDWDB_ENV goes before APP_ENV", env: map[string]string{"TLDWDB_ENV": "test", "APP_ENV": "production"}, want: ""},
		{name: "an unknown environment is no guess", env: map[string]string{"APP_ENV": "staging"}, err: `APP_ENV is "staging": accepted are development, test and production; TLDWDB_ENV goes before it`},
		{name: "wrong kind", env: map[string]string{"POSTGRES_URL": my}, err: "POSTGRES_URL: names a mysql database; accepted is a postgres URL"},
		{name: "wrong kind in mysql", env: map[string]string{"MYSQL_URL": pg}, err: "MYSQL_URL: names a postgres database"},
		{name: "a loser must be good too", env: map[string]string{"MYSQL_URL": my, "DATABASE_URL": "oracle://u:hunter2@h/db"}, err: "DATABASE_URL: the URL's scheme is not known"},
		{name: "both value and file", env: map[string]string{"DATABASE_URL": pg, "DATABASE_URL_FILE": file}, err: "DATABASE_URL and DATABASE_URL_FILE are both set"},
		{name: "no such file", env: map[string]string{"DATABASE_URL_FILE": "hunter2"}, err: "DATABASE_URL_FILE: the file that it names cannot be read: no such file"},
		{name: "empty file", env: map[string]string{"MYSQL_URL_FILE": secretFile(t, "\n")}, err: "MYSQL_URL_FILE: the file is empty"},
		{name: "mysql without a database", env: map[string]string{"MYSQL_URL": "mysql://u:hunter2@h"}, err: "MYSQL_URL: names no database"},
		{name: "migrations elsewhere", env: map[string]string{"DATABASE_URL": pg, "TLDWDB_MIGRATE_URL": my}, err: "both must lead to the same database"},
		{name: "broken migrate URL in a file", env: map[string]string{"TLDWDB_MIGRATE_URL_FILE": secretFile(t, "postgres://u:hunter2@h:x/db")}, err: "TLDWDB_MIGRATE_URL_FILE: a port is not"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, err := ConfigFromLookup(lookupIn(tt.env))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("got error %v, want one with %q", err, tt.err)
				}
				if strings.Contains(err.Error(), "hunter2") {
					t.Errorf("the error shows a password: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cfg.URL != tt.want {
				t.Errorf("chose %s, want %s", redactURL(cfg.URL), redactURL(tt.want))
			}
			got := strings.Join(cfg.warnings, "\n")
			if tt.warning == "" && got != "" || !strings.Contains(got, tt.warning) || strings.Contains(got, "hunter2") {
				t.Errorf("warnings: got %q, want %q", got, tt.warning)
			}
		})
	}
}

func TestConfigReadsSettings(t *testing.T) {
	t.Parallel()
	cfg, err := ConfigFromLookup(lookupIn(map[string]string{
		"TLDWDB_POOL_SIZE": "7", "TLDWDB_POOL_RECYCLE": "-1", "TLDWDB_POOL_IDLE_TIME": "90", "TLDWDB_POOL_TIMEOUT": "0.5",
		"TLDWDB_PRE_PING": "off", "TLDWDB_BUSY_TIMEOUT": "1m30s", "TLDWDB_CONNECT_TIMEOUT": "3s", "TLDWDB_CONNECT_WAIT": "0",
		"TLDWDB_LOCK_WAIT": "1h", "TLDWDB_LOCK_TIMEOUT": "250ms", "TLDWDB_RETRY_BUDGET": "10", "TLDWDB_STATEMENT_TIMEOUT": "0",
		"TLDWDB_OUT_OF_ORDER": "yes", "TLDWDB_STRICT": "1", "TLDWDB_SINGLE_TRANSACTION": "true",
		"TLDWDB_CONFIRM": "app", "TLDWDB_SET": "billing", "TLDWDB_TABLE": "hist", "TLDWDB_APPLICATION": "svc", "TLDWDB_MIGRATIONS_DIR": "sql/up",
	}))
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(cfg.PoolSize, cfg.PoolRecycle, cfg.PoolIdleTime, cfg.PoolTimeout, cfg.DisablePrePing, cfg.BusyTimeout,
		cfg.ConnectTimeout, cfg.ConnectWait, cfg.LockWait, cfg.LockTimeout, cfg.RetryBudget, cfg.StatementTimeout,
		cfg.OutOfOrder, cfg.Strict, cfg.SingleTransaction, cfg.Confirm, cfg.Set, cfg.Table, cfg.Application, cfg.MigrationsDir)
	want := fmt.Sprint(7, time.Duration(-1), 90*time.Second, 500*time.Millisecond, true, 90*time.Second,
		3*time.Second, time.Duration(-1), time.Hour, 250*time.Millisecond, 10*time.Second, time.Duration(0),
		true, true, true, "app", "billing", "hist", "svc", "sql/up")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestConfigReportsAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := ConfigFromLookup(lookupIn(map[string]string{
		"TLDWDB_ENV": "prod?", "DATABASE_URL": "what", "TLDWDB_POOL_SIZE": "-3", "TLDWDB_POOL_TIMEOUT": "soon", "TLDWDB_BUSY_TIMEOUT": "0",
		"TLDWDB_STRICT": "maybe", "TLDWDB_TABLE": "a.b", "TLDWDB_SET": "a b", "TLDWDB_MIGRATIONS_DIR": "/sql", "TLDWDB_PASSWORD_FILE": "hunter2",
		"TLDWDB_MIGRATE_URL": "postgres://[h",
	}))
	if err == nil {
		t.Fatal("no error")
	}
	for _, name := range []string{
		"TLDWDB_ENV is", "DATABASE_URL: ", "TLDWDB_POOL_SIZE is", "TLDWDB_POOL_TIMEOUT is", "TLDWDB_BUSY_TIMEOUT is", "TLDWDB_STRICT is",
		"TLDWDB_TABLE) is", "TLDWDB_SET) is", "TLDWDB_MIGRATIONS_DIR) is", "TLDWDB_PASSWORD_FILE: ", "TLDWDB_MIGRATE_URL: ",
	} {
		if strings.Count(err.Error(), name) != 1 {
			t.Errorf("%q is not named exactly once", name)
		}
	}
	if strings.Count(err.Error(), "accepted") < 9 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("what is accepted is not said, or too much is:\n%v", err)
	}
}

func TestConfigDefaults(t *testing.T) {
	t.Parallel()
	cfg, err := Config{}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	again, err := cfg.normalize()
	if err != nil {
		t.Fatal(err)
	}
	want := `tldwdb.Config{Environment:development MigrationsDir:. SeedsDir:. Set:default Table:tldwdb_history Logger:set PoolSize:20 ` +
		`PoolRecycle:1h0m0s PoolIdleTime:5m0s PoolTimeout:30s BusyTimeout:5s ConnectTimeout:10s ConnectWait:1m0s ReconnectWait:10s LockWait:10m0s LeaseTime:15s LockTimeout:2s RetryBudget:5m0s Health:set BackupBeforeMigrate:never Lint:set}`
	if fmt.Sprint(cfg) != want || fmt.Sprint(again) != want {
		t.Errorf("got  %v\nthen %v\nwant %s", cfg, again, want)
	}
}

func TestConfigRejectsNonsense(t *testing.T) {
	t.Parallel()
	for field, cfg := range map[string]Config{
		"PoolSize":         {PoolSize: -1},
		"BusyTimeout":      {BusyTimeout: -1},
		"ConnectTimeout":   {ConnectTimeout: -1},
		"StatementTimeout": {StatementTimeout: -1},
		"LeaseTime":        {LeaseTime: 1},
		"Lock":             {Lock: "hope"},
		"Environment":      {Environment: "staging"},
		"MigrationsDir":    {MigrationsDir: "../x"},
		"Set":              {Set: strings.Repeat("x", 65)},
		"Table":            {Table: `x"; drop table user`},
	} {
		if _, err := cfg.normalize(); err == nil || !strings.Contains(err.Error(), "Config."+field) || !strings.Contains(err.Error(), "accepted") {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func TestConfigNeverPrintsPasswords(t *testing.T) {
	t.Parallel()
	cfg := Config{
		URL:        "postgres://u:hunter2@h/db",
		MigrateURL: "hunter2 is not even a URL",
		Migrations: fstest.MapFS{"x.sql": {Data: []byte("hunter2")}},
		Password:   func(context.Context) (string, error) { return "hunter2", nil },
		LockWait:   time.Minute,
	}
	type holder struct {
		Name string
		Cfg  Config
	}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		fmt.Fprintf(&out, verb+"\n"+verb+"\n"+verb+"\n", cfg, &cfg, holder{"x", cfg})
	}
	for _, v := range []any{cfg, &cfg, holder{"x", cfg}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "cfg", cfg, "ptr", &cfg, "holder", holder{"x", cfg})
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "cfg", cfg, "ptr", &cfg, "holder", holder{"x", cfg})
	if strings.Contains(out.String(), "hunter2") {
		t.Errorf("a password was printed:\n%s", out.String())
	}
	for _, want := range []string{"postgres://u:***@h/db", "Password:set", `"LockWait":"1m0s"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, out.String())
		}
	}
}
