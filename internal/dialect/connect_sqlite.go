package dialect

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
)

// sqliteDSN writes the driver's DSN: SQLite's URI form, in which a path may
// hold any character. Settings are in the DSN and not statements on the pool,
// so that no connection can be without them. What the URL names goes first.
//
// journal says whether the connection shall put the file into WAL mode.
func sqliteDSN(u dburl.URL, o ConnectOptions, journal bool) string {
	params := map[string]string{
		"_busy_timeout": strconv.FormatInt(o.BusyTimeout.Milliseconds(), 10),
		"_foreign_keys": "on",
		"_synchronous":  "NORMAL",
		"_txlock":       "immediate",
	}
	if journal {
		params["_journal_mode"] = "WAL"
	}
	maps.Copy(params, u.Params)
	if auth, ok := u.Param("_auth_pass"); ok {
		params["_auth_pass"] = auth
	}
	if salt, ok := u.Param("_auth_salt"); ok {
		params["_auth_salt"] = salt
	}
	if !journal {
		delete(params, "_journal_mode")
	}
	if o.ReadOnlyPool {
		params["_txlock"] = "deferred" // BEGIN IMMEDIATE takes the write lock even for reading
		params["_query_only"] = "on"
	}
	var b strings.Builder
	b.WriteString(SQLiteURI(u.Path))
	for i, key := range slices.Sorted(maps.Keys(params)) {
		b.WriteByte("?&"[min(i, 1)])
		// SQLite does not read a + as a space.
		b.WriteString(key + "=" + strings.ReplaceAll(url.QueryEscape(params[key]), "+", "%20"))
	}
	return b.String()
}

// SQLiteURI names a file in SQLite's URI form, to which settings can be added
// behind a question mark.
func SQLiteURI(path string) string {
	path = filepath.ToSlash(path)
	if strings.HasPrefix(path, "/") {
		path = "//" + path
	} else if len(path) > 1 && path[1] == ':' && os.PathSeparator == '\\' {
		path = "///" + path // C:/data/x.db
	}
	return "file:" + sqlitePathEscape.Replace(path)
}

// sqlitePathEscape escapes what ends the path of a URI.
var sqlitePathEscape = strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23")

// sqliteSwitchesJournal reports whether connections may put the file into WAL
// mode: not in memory, where there is none; not where the URL says that the
// file is for reading; and not in the readers' pool, which comes second.
func sqliteSwitchesJournal(u dburl.URL, o ConnectOptions) bool {
	immutable, _ := strconv.ParseBool(u.Params["immutable"])
	return !u.Memory && !immutable && u.Params["mode"] != "ro" && !o.ReadOnlyPool
}

// sqliteBusyTimeout is how long a connection waits for others.
func sqliteBusyTimeout(u dburl.URL, o ConnectOptions) time.Duration {
	if ms, err := strconv.Atoi(u.Params["_busy_timeout"]); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	return o.BusyTimeout
}

// sqliteOpenError says why a file cannot be opened, which SQLite's "unable to
// open database file" does not. It looks with Stat only: opening and closing
// the file in this process would drop SQLite's own locks on it.
func sqliteOpenError(path string, err error) error {
	if path == ":memory:" {
		return fmt.Errorf("SQLite database in memory: %w", err)
	}
	if abs, absErr := filepath.Abs(path); absErr == nil {
		path = abs // the working directory is the usual surprise
	}
	folder := filepath.Dir(path)
	info, statErr := os.Stat(path)
	parent, parentErr := os.Stat(folder)
	switch {
	case statErr == nil && info.IsDir():
		return fmt.Errorf("SQLite file %s: is a folder: %w", path, err)
	case errors.Is(parentErr, fs.ErrNotExist):
		return fmt.Errorf("SQLite file %s: the folder %s does not exist: %w", path, folder, err)
	case errors.Is(statErr, fs.ErrPermission) || errors.Is(parentErr, fs.ErrPermission):
		return fmt.Errorf("SQLite file %s: no permission to look into its folder: %w", path, err)
	case parentErr == nil && !parent.IsDir():
		return fmt.Errorf("SQLite file %s: %s is not a folder: %w", path, folder, err)
	case errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("SQLite file %s: does not exist and could not be made: %w", path, err)
	}
	return fmt.Errorf("SQLite file %s: %w", path, err)
}

// errWALReadOnly says of a file that is there why it cannot even be read. SQLite's
// own words are "attempt to write a readonly database" or "unable to open".
var errWALReadOnly = errors.New("it is in WAL mode, and the files -wal and -shm cannot be made beside it")

// walFixed is the first release of SQLite without the fault by which a WAL that
// is reset at the wrong instant corrupts the database.
var walFixed = [3]int{3, 51, 3}

// SQLiteHasWALFault reports whether a version of SQLite, such as "3.46.1", is
// older than the release that fixed the WAL-reset fault. An unknown version is
// not called faulty.
func SQLiteHasWALFault(version string) bool {
	var v [3]int
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		return false
	}
	for i := range min(len(parts), len(v)) {
		n, err := strconv.Atoi(parts[i])
		if err != nil {
			return false
		}
		v[i] = n
	}
	return slices.Compare(v[:], walFixed[:]) < 0
}
