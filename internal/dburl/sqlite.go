package dburl

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// parseSQLite reads what follows "sqlite://". SQLAlchemy counts slashes:
// nothing is memory, three are a relative path, four an absolute one.
func parseSQLite(rest string) (URL, error) {
	path, query, _ := strings.Cut(rest, "?")
	if path != "" && path[0] != '/' {
		return URL{}, errors.New("sqlite:// takes no host: write sqlite:///relative.db (three slashes) or sqlite:////absolute.db (four)")
	}
	path, err := unescape(strings.TrimPrefix(path, "/"))
	if err != nil {
		return URL{}, errors.New("the path is not well encoded: a % must be written %25")
	}
	params, err := parseQuery(query)
	if err != nil {
		return URL{}, err
	}
	if slices.ContainsFunc(params, func(p param) bool { return p.key == "uri" }) {
		// SQLAlchemy passes SQLite's own URIs as sqlite:///file:path?mode=ro&uri=true.
		path = strings.TrimPrefix(path, "file:")
	}
	if path == "" {
		path = ":memory:"
	}
	return finish(URL{Dialect: SQLite, Path: path}, secrets{}, params)
}

// parseFileURI reads SQLite's own "file:path?params" and "file:///path".
func parseFileURI(raw string) (URL, error) {
	path, query, _ := strings.Cut(strings.TrimPrefix(raw, "file:"), "?")
	if after, ok := strings.CutPrefix(path, "//"); ok {
		host, _, _ := strings.Cut(after, "/")
		if host != "" && host != "localhost" {
			return URL{}, errors.New("file: takes no host: write file:relative.db or file:///absolute.db")
		}
		path = strings.TrimPrefix(after, host)
	}
	path, err := unescape(path)
	if err != nil {
		return URL{}, errors.New("the path is not well encoded: a % must be written %25")
	}
	params, err := parseQuery(query)
	if err != nil {
		return URL{}, err
	}
	if path == "" {
		return URL{}, errors.New("file: needs a path: write file:relative.db or file:///absolute.db")
	}
	return finish(URL{Dialect: SQLite, Path: path}, secrets{}, params)
}

// sqliteKeys are the parameters that SQLite and its driver read, with the name
// under which they are kept: the driver has short forms of some.
var sqliteKeys = map[string]string{
	"mode": "mode", "cache": "cache", "immutable": "immutable", "nolock": "nolock", "psow": "psow", "vfs": "vfs",
	"_auth": "_auth", "_auth_user": "_auth_user", "_auth_pass": "_auth_pass", "_auth_crypt": "_auth_crypt", "_auth_salt": "_auth_salt",
	"_auto_vacuum": "_auto_vacuum", "_vacuum": "_auto_vacuum",
	"_busy_timeout": "_busy_timeout", "_timeout": "_busy_timeout",
	"_cache_size":          "_cache_size",
	"_case_sensitive_like": "_case_sensitive_like", "_cslike": "_case_sensitive_like",
	"_defer_foreign_keys": "_defer_foreign_keys", "_defer_fk": "_defer_foreign_keys",
	"_foreign_keys": "_foreign_keys", "_fk": "_foreign_keys",
	"_ignore_check_constraints": "_ignore_check_constraints",
	"_journal_mode":             "_journal_mode", "_journal": "_journal_mode",
	"_loc":          "_loc",
	"_locking_mode": "_locking_mode", "_locking": "_locking_mode",
	"_mutex":              "_mutex",
	"_query_only":         "_query_only",
	"_recursive_triggers": "_recursive_triggers", "_rt": "_recursive_triggers",
	"_secure_delete":   "_secure_delete",
	"_stmt_cache_size": "_stmt_cache_size",
	"_synchronous":     "_synchronous", "_sync": "_synchronous",
	"_txlock":          "_txlock",
	"_writable_schema": "_writable_schema",
}

// sqlitePython are the parameters of Python's sqlite3 module, which SQLAlchemy
// passes on.
var sqlitePython = []string{"timeout", "isolation_level", "cached_statements", "check_same_thread", "detect_types", "uri"}

func sqliteParams(u *URL, s *secrets, params []param) error {
	for _, p := range params {
		if key, ok := sqliteKeys[p.key]; ok {
			if key == "_auth_pass" || key == "_auth_salt" {
				s.params[key] = p.value
			} else {
				u.Params[key] = p.value
			}
			continue
		}
		switch p.key {
		case "timeout": // seconds; the driver wants milliseconds
			seconds, err := strconv.ParseFloat(p.value, 64)
			if err != nil || !(seconds >= 0 && seconds <= math.MaxInt32/1000) {
				return errors.New("parameter timeout: accepted are seconds, such as 15 or 0.5")
			}
			u.Params["_busy_timeout"] = strconv.FormatInt(int64(math.Round(seconds*1000)), 10)
		case "isolation_level":
			level := strings.ToLower(p.value)
			if !slices.Contains([]string{"deferred", "immediate", "exclusive"}, level) {
				return errors.New("parameter isolation_level: accepted are DEFERRED, IMMEDIATE and EXCLUSIVE")
			}
			u.Params["_txlock"] = level
		case "cached_statements":
			u.Params["_stmt_cache_size"] = p.value
		case "check_same_thread", "detect_types", "uri":
			// They steer Python's module and have no meaning for this driver.
		default:
			known := append(slices.Sorted(maps.Keys(sqliteKeys)), sqlitePython...)
			hint := ""
			if p.key == "_pragma" {
				hint = "this driver has a parameter for each pragma, such as _busy_timeout=5000"
			}
			return unknownKey("SQLite", p.key, hint, known)
		}
	}
	if n, ok := u.Params["_busy_timeout"]; ok {
		if ms, err := strconv.ParseInt(n, 10, 32); err != nil || ms < 0 {
			return fmt.Errorf("parameter _busy_timeout: accepted are milliseconds from 0 to %d", math.MaxInt32)
		}
	}
	u.Memory = u.Path == ":memory:" || u.Params["mode"] == "memory"
	return nil
}
