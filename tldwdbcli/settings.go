package tldwdbcli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// This file finds out what is set, and where. A flag goes before a variable of
// the environment, that before a line of tldwdb.yaml, and that before what the
// program has set in [Options.Config].

// defaultFile is the settings file that is read when there is one.
const defaultFile = "tldwdb.yaml"

// The variables of the command line alone.
const (
	variableDir    = "TLDWDB_DIR"
	variableConfig = "TLDWDB_CONFIG"
)

// settings are what a command runs with.
type settings struct {
	config  tldwdb.Config
	dir     string            // the folder on disk; empty for migrations that are built in
	file    string            // the settings file that was read; empty for none
	store   string            // where backups are, if that is no folder
	program tldwdb.Config     // what the program has set
	origin  map[string]string // of each variable that was used: where its value came from
}

// layer is one place where settings come from.
type layer struct {
	name   string
	values map[string]string // by variable
	lookup func(string) (string, bool)
}

func (l layer) find(variable string) (string, bool) {
	if l.lookup != nil {
		value, ok := l.lookup(variable)
		return value, ok && strings.TrimSpace(value) != ""
	}
	value, ok := l.values[variable]
	return value, ok
}

// groups are variables of which one set in a nearer layer hides all those of the
// layers below it: they say the same thing.
var groups = [][]string{
	{"DATABASE_URL", "DATABASE_URL_FILE", "POSTGRES_URL", "POSTGRES_URL_FILE", "MYSQL_URL", "MYSQL_URL_FILE"},
	{"TLDWDB_MIGRATE_URL", "TLDWDB_MIGRATE_URL_FILE"},
	{"TLDWDB_MONITOR_URL", "TLDWDB_MONITOR_URL_FILE"},
	{"TLDWDB_ENV", "APP_ENV"},
}

// settings collects all layers. Its errors are the user's.
func (a *app) settings() (*settings, error) {
	file, err := a.fileLayer()
	if err != nil {
		return nil, err
	}
	layers := []layer{a.flagLayer(), {name: "environment", lookup: a.lookup}, file, a.programLayer()}
	s := &settings{file: file.name, program: a.opts.Config, origin: map[string]string{}}
	look := func(variable string) (string, bool) {
		for _, l := range layers {
			if value, ok := l.find(variable); ok {
				s.origin[variable] = l.name
				return value, true
			}
			for _, group := range groups {
				if slices.Contains(group, variable) && slices.ContainsFunc(group, func(other string) bool { _, ok := l.find(other); return ok }) {
					return "", false
				}
			}
		}
		return "", false
	}
	cfg, err := tldwdb.ConfigFromLookup(look)
	if err != nil {
		return nil, &usageError{errors.New(s.named(err.Error()))}
	}
	fillFrom(&cfg, a.opts.Config)
	s.config = cfg
	s.store, _ = look(variableStore)
	if s.dir, _ = look(variableDir); s.dir != "" {
		if info, err := os.Stat(s.dir); err != nil || !info.IsDir() {
			return nil, usagef("the folder of migrations %s (%s) is not there: name another one, or make it with 'init'", s.dir, s.origin[variableDir])
		}
		s.config.Migrations, s.config.MigrationsDir = folderFS(s.dir), "."
	}
	a.builtIn = s.dir == "" && a.opts.AnyFolder
	return s, nil
}

// variableName is a variable in an error, or a field with its variable.
var variableName = lazyregexp.New(`Config\.\w+ \(([A-Z]+_[A-Z_]+)\)|\b(?:TLDWDB|DATABASE|POSTGRES|MYSQL|APP)_[A-Z_]+`)

// named says in an error which flag, or which line of the settings file, is wrong:
// the library knows only the variable that has the same meaning.
func (s *settings) named(text string) string {
	return variableName.ReplaceAllStringFunc(text, func(found string) string {
		variable := found
		if m := variableName.FindStringSubmatch(found); m[1] != "" {
			variable = m[1]
		}
		switch origin := s.origin[variable]; origin {
		case "flag":
			return flagNames[variable]
		case s.file:
			if s.file != "" {
				return fileKey(variable) + " in " + s.file
			}
		}
		return found
	})
}

// flagNames are the flags that say the same as a variable.
var flagNames = map[string]string{
	"DATABASE_URL": "--url", "TLDWDB_MIGRATE_URL": "--migrate-url", "TLDWDB_ENV": "--env", "TLDWDB_SET": "--set",
	"TLDWDB_TABLE": "--table", "TLDWDB_LOCK_WAIT": "--lock-wait", "TLDWDB_CONFIRM": "--yes-on", variableDir: "--dir",
}

// fillFrom takes what is not set in cfg from other, field by field.
func fillFrom(cfg *tldwdb.Config, other tldwdb.Config) {
	to, from := reflect.ValueOf(cfg).Elem(), reflect.ValueOf(other)
	for _, field := range reflect.VisibleFields(to.Type()) {
		if field.IsExported() && to.FieldByIndex(field.Index).IsZero() {
			to.FieldByIndex(field.Index).Set(from.FieldByIndex(field.Index))
		}
	}
	if cfg.Lint.Rules == nil { // no variable can give rules
		cfg.Lint.Rules = other.Lint.Rules
	}
}

// flagLayer are the flags that were given.
func (a *app) flagLayer() layer {
	values := map[string]string{}
	for variable, value := range map[string]string{
		"DATABASE_URL": a.flags.url, "TLDWDB_MIGRATE_URL": a.flags.migrateURL, "TLDWDB_ENV": a.flags.environment, "TLDWDB_SET": a.flags.set,
		"TLDWDB_TABLE": a.flags.table, "TLDWDB_LOCK_WAIT": a.flags.lockWait, "TLDWDB_CONFIRM": a.flags.yesOn, variableDir: a.flags.dir,
	} {
		if value != "" {
			values[variable] = value
		}
	}
	return layer{name: "flag", values: values}
}

// programLayer is what the program says that decides about other settings.
func (a *app) programLayer() layer {
	values := map[string]string{}
	if url := a.opts.Config.URL; url != "" {
		values["DATABASE_URL"] = url
	}
	if environment := a.opts.Config.Environment; environment != "" {
		values["TLDWDB_ENV"] = string(environment)
	}
	return layer{name: "program", values: values}
}

// fileKey is the name that a variable has in the settings file: url for
// DATABASE_URL, lock_wait for TLDWDB_LOCK_WAIT.
func fileKey(variable string) string {
	return strings.ToLower(strings.TrimPrefix(strings.Replace(variable, "DATABASE_URL", "URL", 1), "TLDWDB_"))
}

// variables are the names of all variables that a configuration is read from.
func variables() []string {
	list := []string{variableDir, variableStore}
	_, _ = tldwdb.ConfigFromLookup(func(name string) (string, bool) { // an empty environment has no errors
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
		return "", false
	})
	return list
}

// fileLayer reads the settings file.
func (a *app) fileLayer() (layer, error) {
	name := a.flags.config
	if name == "" {
		name, _ = a.lookup(variableConfig)
	}
	required := name != ""
	if !required {
		name = defaultFile
	}
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !required:
		return layer{}, nil
	case err != nil:
		return layer{}, usagef("the settings file: %w", err)
	}
	values, err := parseFile(name, text)
	if err != nil {
		return layer{}, &usageError{err}
	}
	// What a file says about files is seen from where it is itself.
	for variable, value := range values {
		if (variable == variableDir || strings.HasSuffix(variable, "_FILE")) && !filepath.IsAbs(value) {
			values[variable] = filepath.Join(filepath.Dir(name), value)
		}
	}
	return layer{name: name, values: values}, nil
}

// parseFile reads a settings file into variables. Its errors name lines, and
// never show a value.
func parseFile(name string, text []byte) (map[string]string, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil // empty, or comments alone
	case err != nil:
		return nil, fmt.Errorf("%s: it is not YAML: %s", name, strings.TrimPrefix(firstLine(err.Error()), "yaml: "))
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: expected one YAML document: what is behind '---' would not be read", name)
	}
	known := map[string]string{}
	for _, variable := range variables() {
		if !strings.HasSuffix(variable, "APP_ENV") {
			known[fileKey(variable)] = variable
		}
	}
	known["environment"] = known["env"]
	mapping := document.Content[0]
	if mapping.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: expected lines of the form 'key: value'", name, mapping.Line)
	}
	values := map[string]string{}
	var errs []error
	for i := 0; i < len(mapping.Content); i += 2 {
		key, value := mapping.Content[i], mapping.Content[i+1]
		variable, ok := known[key.Value]
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s:%d: unknown setting %q%s", name, key.Line, key.Value, nearest(key.Value, known)))
		case value.Kind != yaml.ScalarNode:
			errs = append(errs, fmt.Errorf("%s:%d: %s is not a single value", name, value.Line, key.Value))
		case values[variable] != "":
			errs = append(errs, fmt.Errorf("%s:%d: %s is set twice", name, key.Line, key.Value))
		case value.Tag != "!!null" && value.Value != "":
			values[variable] = value.Value
		}
	}
	return values, errors.Join(errs...)
}

// nearest suggests the known key that is most like a mistyped one.
func nearest(key string, known map[string]string) string {
	plain := func(s string) string { return strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(s)) }
	for _, candidate := range slices.Sorted(maps.Keys(known)) {
		if a, b := plain(candidate), plain(key); b != "" && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			return "; did you mean " + candidate + "?"
		}
	}
	return "; 'config --all' lists them"
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// duration reads a flag as the environment's variables are read.
func duration(name, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		seconds, numberErr := strconv.ParseFloat(text, 64)
		if numberErr != nil {
			return 0, usagef("%s is %q: accepted is a time such as 90s or 5m", name, text)
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	if d <= 0 {
		return 0, usagef("%s is %q: accepted is a time longer than zero", name, text)
	}
	return d, nil
}

// settingAnswer is one line of 'config'.
type settingAnswer struct {
	Key      string `json:"key"`      // in tldwdb.yaml
	Variable string `json:"variable"` // in the environment; empty for what only a program can set
	Value    string `json:"value"`    // secrets masked
	Origin   string `json:"origin"`   // flag, environment, the settings file, program, or default
}

type configAnswer struct {
	File     string          `json:"file"` // the settings file that was read; empty for none
	Settings []settingAnswer `json:"settings"`
}

func (c configAnswer) text(p *printer) {
	t := p.table("KEY", "VALUE", "FROM")
	for _, s := range c.Settings {
		t.row(s.Key, s.Value, p.faint(s.Origin))
	}
	t.end()
}

func (a *app) configCommand(root *cobra.Command) {
	var all bool
	cmd := a.add(root, command{
		use: "config [flags]", group: groupLook, short: "Show which settings are in force, and where each came from",
		long: `
Shows the settings that are in force and where each value came from: a flag, the
environment, the settings file, the program, or nothing (default). Passwords are
masked. The database is not asked. Commands that only look wait for a server for
5 seconds, unless connect_wait is set.

The settings file is tldwdb.yaml in the working directory, or --config, or
TLDWDB_CONFIG. Its keys are the variables' names in lower case without TLDWDB_.
Folders and files that it names are seen from its own folder:

  url: postgres://app@db.internal/app
  password_file: /run/secrets/db
  env: production
  dir: migrations
  lock_wait: 5m`,
		example: `
tldwdb config
tldwdb config --all --json`,
		run: func(cmd *cobra.Command, _ []string) error {
			s, err := a.settings()
			if err != nil {
				return err
			}
			answer, err := s.answer(all)
			if err != nil {
				return err
			}
			return a.answer(cmd, answer, nil)
		},
	})
	cmd.Flags().BoolVar(&all, "all", false, "those with their default value too")
}

// shown is the value of a setting as 'config' shows it. Zero has no text: it is what
// is not set, and what is off.
func shown(text any, value reflect.Value) string {
	limit, isTime := value.Interface().(time.Duration)
	switch {
	case isTime && limit <= 0:
		return "off"
	case value.Kind() == reflect.Bool:
		return map[bool]string{true: "on", false: "off"}[value.Bool()]
	case text == nil:
		return "-"
	}
	return fmt.Sprint(text)
}

// answer lists what is in force.
func (s *settings) answer(all bool) (configAnswer, error) {
	cfg, err := s.config.Effective()
	if err != nil {
		return configAnswer{}, &usageError{err}
	}
	answer := configAnswer{File: s.file, Settings: []settingAnswer{}}
	values := map[string]any{}
	text, err := cfg.MarshalJSON() // with passwords masked
	if err != nil {
		return configAnswer{}, err
	}
	if err := json.Unmarshal(text, &values); err != nil {
		return configAnswer{}, err
	}
	seen := map[string]bool{}
	for _, setting := range tldwdb.Settings() {
		if seen[setting.Field] {
			continue
		}
		line := settingAnswer{Key: fileKey(setting.Variable), Variable: setting.Variable, Origin: "default"}
		if setting.Field == "URL" {
			line.Key, line.Variable = "url", "DATABASE_URL"
		}
		for _, other := range tldwdb.Settings() {
			origin := s.origin[other.Variable]
			// Of several that are set the first one counts, and in production DATABASE_URL.
			first := line.Origin == "default" || cfg.Environment == tldwdb.Production && strings.HasPrefix(other.Variable, "DATABASE_URL")
			if other.Field == setting.Field && origin != "" && first {
				line.Key, line.Variable, line.Origin = fileKey(other.Variable), other.Variable, origin
			}
		}
		seen[setting.Field] = true
		line.Value = shown(values[setting.Field], reflect.ValueOf(cfg).FieldByName(setting.Field))
		if setting.Field == "DisablePrePing" { // the variable says the opposite
			line.Value = map[bool]string{true: "off", false: "on"}[cfg.DisablePrePing]
		}
		if line.Origin == "default" && !reflect.ValueOf(s.program).FieldByName(setting.Field).IsZero() {
			line.Origin = "program"
		}
		if all || line.Origin != "default" || setting.Field == "URL" || setting.Field == "Environment" {
			answer.Settings = append(answer.Settings, line)
		}
	}
	dir := settingAnswer{Key: fileKey(variableDir), Variable: variableDir, Value: s.dir, Origin: s.origin[variableDir]}
	if s.dir == "" {
		dir.Value, dir.Origin = "(built in)", "program"
		if s.program.Migrations == nil {
			dir.Value, dir.Origin = "-", "default"
		}
	}
	answer.Settings = append(answer.Settings, dir)
	if s.store != "" {
		answer.Settings = append(answer.Settings, settingAnswer{Key: fileKey(variableStore), Variable: variableStore, Value: s.store, Origin: s.origin[variableStore]})
	}
	return answer, nil
}
