package tldwdb

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// TestSettingsAreComplete asks ConfigFromLookup which variables it reads, and
// Config which fields it has.
func TestSettingsAreComplete(t *testing.T) {
	t.Parallel()
	read := map[string]bool{}
	if _, err := ConfigFromLookup(func(name string) (string, bool) {
		read[name] = true
		return "", false
	}); err != nil {
		t.Fatal(err)
	}
	listed, fields := map[string]bool{}, map[string]bool{}
	for _, s := range Settings() {
		if listed[s.Variable] {
			t.Errorf("%s is listed twice", s.Variable)
		}
		if s.Doc == "" || strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: the line about it is %q", s.Variable, s.Doc)
		}
		listed[s.Variable], fields[s.Field] = true, true
	}
	if !maps.Equal(read, listed) {
		t.Errorf("variables that are read:\n%v\nlisted:\n%v", slices.Sorted(maps.Keys(read)), slices.Sorted(maps.Keys(listed)))
	}
	for _, noVariable := range []string{"Migrations", "GoMigrations", "Seeds", "GoSeeds", "Password", "Logger", "Progress", "Observers", "WrapConnector"} {
		fields[noVariable] = true
	}
	have := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if f.IsExported() {
			have[f.Name] = true
		}
	}
	if !maps.Equal(have, fields) {
		t.Errorf("fields of Config:\n%v\nlisted:\n%v", slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(fields)))
	}
}

// TestSettingsSetTheirFields gives each variable a value, alone, and looks which
// field it changes.
func TestSettingsSetTheirFields(t *testing.T) {
	t.Parallel()
	values := map[string]string{
		"MYSQL_URL": "mysql://u@h/db", "POSTGRES_URL": "postgres://u@h/db", "DATABASE_URL": "sqlite:///x.db", "TLDWDB_MIGRATE_URL": "sqlite:///y.db",
		"TLDWDB_MONITOR_URL": "postgres://m@h/db", "TLDWDB_HEALTH_TABLES": "user,media", "TLDWDB_HEALTH_COUNTS": "user", "TLDWDB_HEALTH_DRIFT_IGNORE": "audit_*",
		"TLDWDB_ENV": "test", "APP_ENV": "test", "TLDWDB_MIGRATIONS_DIR": "sql", "TLDWDB_SEEDS_DIR": "seeds", "TLDWDB_SET": "s", "TLDWDB_TABLE": "h", "TLDWDB_APPLICATION": "a",
		"TLDWDB_PASSWORD_FILE": secretFile(t, "x"), "TLDWDB_POOL_SIZE": "3", "TLDWDB_PRE_PING": "off", "TLDWDB_LOCK": "lease", "TLDWDB_POOLER": "on",
		"TLDWDB_WAIT_ON_READ_ONLY": "on", "TLDWDB_OUT_OF_ORDER": "on", "TLDWDB_STRICT": "on", "TLDWDB_SINGLE_TRANSACTION": "on", "TLDWDB_CONFIRM": "db",
	}
	maps.Copy(values, map[string]string{
		"TLDWDB_BACKUP_DIR": "kept", "TLDWDB_BACKUP_METHOD": "portable", "TLDWDB_BACKUP_COMPRESSION": "none", "TLDWDB_BACKUP_JOBS": "2", "TLDWDB_TOOL_DIR": "bin",
		"TLDWDB_BACKUP_RECIPIENTS": "age1x", "TLDWDB_BACKUP_RECIPIENTS_FILE": "r", "TLDWDB_BACKUP_IDENTITY_FILES": "i", "TLDWDB_BACKUP_PASSPHRASE_FILE": "p",
		"TLDWDB_BACKUP_DIGESTS": "on", "TLDWDB_BACKUP_SKIP": "cache_*", "TLDWDB_BACKUP_BEFORE_MIGRATE": "always",
		"TLDWDB_LINT": "enforce", "TLDWDB_LINT_START_AFTER": "7", "TLDWDB_LINT_TARGET": "postgres=14,mysql=8.0.36", "TLDWDB_LINT_SEVERITY": "PG101=off PG318=warning",
	})
	unset, err := ConfigFromLookup(lookupIn(nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range Settings() {
		value, known := values[s.Variable]
		switch base, isFile := strings.CutSuffix(s.Variable, "_FILE"); {
		case known:
		case isFile:
			value = secretFile(t, values[base])
		default:
			value = "7s" // a duration
		}
		cfg, err := ConfigFromLookup(lookupIn(map[string]string{s.Variable: value}))
		if err != nil {
			t.Errorf("%s: %v", s.Variable, err)
			continue
		}
		var changed []string
		for _, f := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
			before, after := reflect.ValueOf(unset).FieldByIndex(f.Index), reflect.ValueOf(cfg).FieldByIndex(f.Index)
			if !f.IsExported() {
				continue
			}
			if f.Type.Kind() == reflect.Func && after.IsNil() != before.IsNil() || f.Type.Kind() != reflect.Func && !reflect.DeepEqual(before.Interface(), after.Interface()) {
				changed = append(changed, f.Name)
			}
		}
		if !slices.Equal(changed, []string{s.Field}) {
			t.Errorf("%s changes %v, and is listed for %s", s.Variable, changed, s.Field)
		}
	}
}

func TestEffective(t *testing.T) {
	t.Parallel()
	cfg, err := Config{}.Effective()
	if err != nil {
		t.Fatal(err)
	}
	if cfg.URL != "sqlite:///tldw.db" || cfg.PoolSize != 20 || cfg.Table != "tldwdb_history" || cfg.MigrateURL != "" {
		t.Errorf("the defaults are %v", cfg)
	}
	again, err := cfg.Effective()
	if err != nil || again.URL != cfg.URL || again.LockWait != cfg.LockWait {
		t.Errorf("the second time: %v, %v", again, err)
	}
	for want, bad := range map[string]Config{
		"production has no default": {Environment: Production},
		"names no database":         {URL: "mysql://u:hunter2@h"},
		"Config.PoolSize":           {PoolSize: -1},
	} {
		if _, err := bad.Effective(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("want an error with %q, got %v", want, err)
		}
	}
}
