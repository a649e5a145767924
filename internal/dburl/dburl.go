// Package dburl reads database URLs in the forms that people have at hand:
// SQLAlchemy's, libpq's (URL and keyword form), go-sql-driver's DSN and
// SQLite's file: URIs. It is pure text: it opens nothing and reads no
// environment.
//
// The point of a type of its own is the password. A [URL] keeps it out of
// reach of fmt, encoding/json, log/slog and debuggers that print by
// reflection, and no error of [Parse] quotes what could be one.
package dburl

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// The dialects, as [URL.Dialect] names them. MariaDB is "mysql".
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
	MySQL    = "mysql"
)

// URL is a parsed database URL. Its text forms never show a password, whatever
// the verb and however deep it sits in another value.
type URL struct {
	Dialect string // [SQLite], [Postgres] or [MySQL]

	// Path is the database file of SQLite: decoded, relative to the working
	// directory unless absolute, ":memory:" for a private memory database.
	Path string
	// Memory says that the SQLite database lives in memory.
	Memory bool

	Endpoints []Endpoint // where the server listens; empty means the driver's default
	User      string     // empty means the driver's default
	Database  string     // empty means the server's default

	// Params holds what the query named, under the driver's own keys, except
	// for values that are secrets: see [URL.Param].
	Params map[string]string

	// secret is a function because fmt, encoding/json and debug printers
	// follow pointers and unexported fields, but cannot look into a closure.
	secret func() secrets
}

// Endpoint is one address of a server.
type Endpoint struct {
	Host string // name or IP address without brackets; empty for a socket
	Port int    // 0 means the default
	// Socket is an absolute path: the folder of the socket for PostgreSQL, the
	// socket itself for MySQL.
	Socket string
}

// String gives host, host:port, [v6]:port or the socket's path.
func (e Endpoint) String() string {
	switch {
	case e.Socket != "":
		return e.Socket
	case e.Port != 0:
		return net.JoinHostPort(e.Host, strconv.Itoa(e.Port))
	case strings.Contains(e.Host, ":"):
		return "[" + e.Host + "]"
	}
	return e.Host
}

// local reports whether the endpoint cannot be reached by a network.
func (e Endpoint) local() bool {
	if e.Socket != "" || e.Host == "" || strings.EqualFold(e.Host, "localhost") {
		return true
	}
	host, _, _ := strings.Cut(e.Host, "%") // the zone of an IPv6 address
	return net.ParseIP(host).IsLoopback()
}

// secrets are the parts of a URL that must not be printed.
type secrets struct {
	password    string
	hasPassword bool
	params      map[string]string
}

func (u URL) secrets() secrets {
	if u.secret == nil {
		return secrets{}
	}
	return u.secret()
}

// Password returns the password of the URL, and whether the URL named one (an
// empty one counts).
func (u URL) Password() (string, bool) {
	s := u.secrets()
	return s.password, s.hasPassword
}

// Param returns a parameter of the query, secret ones included.
func (u URL) Param(key string) (string, bool) {
	if v, ok := u.Params[key]; ok {
		return v, true
	}
	v, ok := u.secrets().params[key]
	return v, ok
}

// Secrets returns the texts that must not appear in any output: the password
// and secret parameters. One that equals a public part, such as a password
// that is the user's name, is left out: blotting it out would make messages
// unreadable and hide nothing.
func (u URL) Secrets() []string {
	s := u.secrets()
	public := []string{"", u.User, u.Database, u.Path}
	for _, e := range u.Endpoints {
		public = append(public, e.Host, e.Socket)
	}
	var found []string
	for _, v := range append(slices.Collect(maps.Values(s.params)), s.password) {
		if !slices.Contains(public, v) {
			found = append(found, v)
		}
	}
	return found
}

// SameDatabase reports whether other leads to the same database in the same way:
// it differs in user and password alone.
func (u URL) SameDatabase(other URL) bool {
	return u.Dialect == other.Dialect && u.Path == other.Path && u.Database == other.Database &&
		slices.Equal(u.Endpoints, other.Endpoints) && maps.Equal(u.Params, other.Params) && maps.Equal(u.secrets().params, other.secrets().params)
}

// DatabaseName names the database in messages: the SQLite file's path, or the
// database's name on its server ("" when the URL leaves it to the server).
func (u URL) DatabaseName() string {
	if u.Dialect == SQLite {
		return u.Path
	}
	return u.Database
}

// Hosts lists the addresses of the server as text; it is empty for SQLite and
// when the URL leaves the address to the driver.
func (u URL) Hosts() []string {
	hosts := make([]string, 0, len(u.Endpoints))
	for _, e := range u.Endpoints {
		hosts = append(hosts, e.String())
	}
	return hosts
}

// IsLocal reports whether nothing leaves the machine: SQLite, a Unix socket,
// localhost or a loopback address. A URL without an address counts as local,
// although PGHOST may send the PostgreSQL driver elsewhere.
func (u URL) IsLocal() bool {
	for _, e := range u.Endpoints {
		if !e.local() {
			return false
		}
	}
	return true
}

// mask stands in for a secret in all output.
const mask = "***"

// String gives the URL in its canonical form, with the password and secret
// parameters masked.
func (u URL) String() string {
	if u.Dialect == "" {
		return ""
	}
	var b strings.Builder
	s := u.secrets()
	switch {
	case u.Dialect == SQLite && u.Path == ":memory:":
		b.WriteString("sqlite://")
	case u.Dialect == SQLite:
		b.WriteString("sqlite:///" + (&url.URL{Path: u.Path}).EscapedPath())
	default:
		b.WriteString(u.Dialect + "://")
		if u.User != "" || s.hasPassword {
			b.WriteString(url.PathEscape(u.User))
			if s.hasPassword {
				b.WriteString(":" + mask)
			}
			b.WriteByte('@')
		}
		for i, e := range u.Endpoints {
			if i > 0 {
				b.WriteByte(',')
			}
			if e.Socket != "" {
				b.WriteString(url.PathEscape(e.Socket))
				continue
			}
			b.WriteString(strings.ReplaceAll(e.String(), "%", "%25"))
		}
		if u.Database != "" {
			b.WriteString("/" + url.PathEscape(u.Database))
		}
	}
	params := make(map[string]string, len(u.Params)+len(s.params))
	for k, v := range u.Params {
		params[k] = url.QueryEscape(v)
		if looksSecret(k) {
			params[k] = mask
		}
	}
	for k := range s.params {
		params[k] = mask
	}
	for i, k := range slices.Sorted(maps.Keys(params)) {
		b.WriteByte("?&"[min(i, 1)])
		b.WriteString(url.QueryEscape(k) + "=" + params[k])
	}
	return b.String()
}

// looksSecret suspects a parameter by its name: one that the driver does not
// know, such as a mistyped password, is passed through all the same.
func looksSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc([]string{"pass", "pwd", "secret", "token"}, func(part string) bool { return strings.Contains(key, part) })
}

// GoString is what %#v prints.
func (u URL) GoString() string { return fmt.Sprintf("dburl.URL(%q)", u.String()) }

// Format makes every verb of fmt print the masked form.
func (u URL) Format(f fmt.State, verb rune) {
	text := u.String()
	switch {
	case verb == 'v' && f.Flag('#'):
		text = u.GoString()
	case verb == 'q':
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(f, text) // fmt keeps no error
}

// MarshalText gives the masked form.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// MarshalJSON gives the masked form as a JSON string.
func (u URL) MarshalJSON() ([]byte, error) { return json.Marshal(u.String()) }

// LogValue gives the masked form to log/slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }
