package dburl

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// accepted ends every error about the form of a URL as a whole.
const accepted = "accepted are sqlite:///file.db, postgres://user:password@host:5432/database, " +
	"mysql://user:password@host:3306/database, libpq's host=... dbname=..., " +
	"go-sql-driver's user:password@tcp(host:3306)/database and file:path"

// encode is the usual cause of a URL that cannot be read. It is advice that
// can be given without showing the URL.
const encode = "a character such as @ / ? # % in a user, password or database must be percent-encoded (@ is %40)"

var (
	scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9.-]*)(\+[A-Za-z0-9_.-]+)?://`)
	// keywordForm begins with a keyword that only libpq knows; a MySQL DSN
	// never has one of them before its first "=".
	keywordForm = regexp.MustCompile(`^\s*(host|hostaddr|port|dbname|user|password|service|sslmode|passfile|connect_timeout|application_name|options|target_session_attrs)\s*=`)
)

// Parse reads a database URL. Its errors say what is wrong and what is
// accepted, and never quote the URL, a user or a password.
func Parse(raw string) (URL, error) {
	raw = strings.TrimSpace(raw)
	switch {
	case raw == "":
		return URL{}, errors.New("the URL is empty; " + accepted)
	case !utf8.ValidString(raw):
		return URL{}, errors.New("the URL is not valid UTF-8")
	case strings.ContainsRune(raw, 0):
		return URL{}, errors.New("the URL contains a NUL byte")
	case strings.HasPrefix(raw, "file:"):
		return parseFileURI(raw)
	case keywordForm.MatchString(raw):
		return parseKeywords(raw)
	}
	if m := scheme.FindStringSubmatch(raw); m != nil {
		rest := raw[len(m[0]):]
		switch strings.ToLower(m[1]) {
		case "sqlite", "sqlite3":
			return parseSQLite(rest)
		case "postgres", "postgresql":
			return parseServer(Postgres, rest)
		case "mysql", "mariadb":
			return parseServer(MySQL, rest)
		}
		// The scheme may be the first half of "user://password@…": not shown.
		return URL{}, errors.New("the URL's scheme is not known; " + accepted)
	}
	if strings.ContainsAny(raw, "@(") && strings.Contains(raw, "/") {
		return parseDSN(raw)
	}
	return URL{}, errors.New("the URL has no scheme; " + accepted)
}

// parseServer reads what follows "postgres://" or "mysql://".
func parseServer(dialect, rest string) (URL, error) {
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	// An "@" here is most likely the end of a password with a "/" or "?" in
	// it: reading on would take pieces of the password for a host and a
	// database, and show them.
	if strings.ContainsAny(tail, "@#") {
		return URL{}, errors.New("the URL has a bare @ or # after the host: " + encode)
	}
	u := URL{Dialect: dialect, Params: map[string]string{}}
	var s secrets
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		user, password, hasPassword := strings.Cut(authority[:i], ":")
		authority = authority[i+1:]
		var errUser, errPassword error
		u.User, errUser = unescape(user)
		s.password, errPassword = unescape(password)
		s.hasPassword = hasPassword
		if errUser != nil || errPassword != nil {
			return URL{}, errors.New("the user or password is not well encoded: a % must be written %25")
		}
	}
	path, query, _ := strings.Cut(tail, "?")
	var err error
	if u.Database, err = unescape(strings.TrimPrefix(path, "/")); err != nil {
		return URL{}, errors.New("the database name is not well encoded: a % must be written %25")
	}
	if u.Endpoints, err = parseEndpoints(authority); err != nil {
		return URL{}, err
	}
	params, err := parseQuery(query)
	if err != nil {
		return URL{}, err
	}
	return finish(u, s, params)
}

// finish lets the dialect read the parameters and checks the whole.
func finish(u URL, s secrets, params []param) (URL, error) {
	s.params = map[string]string{}
	if u.Params == nil {
		u.Params = map[string]string{}
	}
	read := map[string]func(*URL, *secrets, []param) error{
		SQLite:   sqliteParams,
		Postgres: postgresParams,
		MySQL:    mysqlParams,
	}[u.Dialect]
	if err := read(&u, &s, params); err != nil {
		return URL{}, err
	}
	for _, text := range []string{u.User, u.Database, u.Path, s.password} {
		if strings.ContainsRune(text, 0) {
			return URL{}, errors.New("the URL contains a NUL byte")
		}
	}
	u.secret = func() secrets { return s }
	return u, nil
}

// parseEndpoints reads "host", "host:port", "[v6]:port", "%2Frun%2Fdir" and
// lists of them.
func parseEndpoints(authority string) ([]Endpoint, error) {
	if authority == "" {
		return nil, nil
	}
	var list []Endpoint
	for part := range strings.SplitSeq(authority, ",") {
		e, err := parseEndpoint(part)
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// validHost keeps what cannot be a host out of messages and logs: in a broken
// URL it may be a piece of a password.
var validHost = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?)$`)

func parseEndpoint(text string) (Endpoint, error) {
	decoded, err := unescape(text)
	if err != nil {
		return Endpoint{}, errors.New("a host is not well encoded: " + encode)
	}
	return newEndpoint(decoded)
}

// newEndpoint reads one address that is decoded already.
func newEndpoint(text string) (Endpoint, error) {
	if strings.HasPrefix(text, "/") {
		return Endpoint{Socket: text}, nil
	}
	host, port := text, ""
	switch {
	case strings.HasPrefix(text, "["):
		var ok bool
		if host, port, ok = strings.Cut(text[1:], "]"); !ok {
			return Endpoint{}, errors.New("an IPv6 host lacks its closing bracket")
		}
		if port != "" && port[0] != ':' {
			return Endpoint{}, errors.New("after an IPv6 host in brackets only :port may follow")
		}
		port = strings.TrimPrefix(port, ":")
	case strings.Count(text, ":") == 1:
		host, port, _ = strings.Cut(text, ":")
	}
	if host != "" && !validHost.MatchString(host) {
		return Endpoint{}, errors.New("a host has characters that no host name has: " + encode)
	}
	e := Endpoint{Host: host}
	if port != "" {
		var err error
		if e.Port, err = parsePort(port); err != nil {
			return Endpoint{}, err
		}
	}
	return e, nil
}

func parsePort(text string) (int, error) {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil || n == 0 {
		return 0, errors.New("a port is not a number from 1 to 65535 (or else: " + encode + ")")
	}
	return int(n), nil
}

// param is one key of a query, in the order of the query.
type param struct{ key, value string }

func parseQuery(query string) ([]param, error) {
	var params []param
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		key, value, ok := strings.Cut(part, "=")
		if !ok {
			return nil, errors.New("a parameter after the ? has no =value; " + encode)
		}
		k, errKey := url.QueryUnescape(key)
		v, errValue := url.QueryUnescape(value)
		if errKey != nil || errValue != nil {
			return nil, errors.New("a parameter after the ? is not well encoded: a % must be written %25")
		}
		if !validKey.MatchString(k) {
			return nil, errors.New("a parameter after the ? has a key that cannot be one; " + encode)
		}
		if strings.ContainsRune(v, 0) {
			return nil, errors.New("the URL contains a NUL byte")
		}
		params = append(params, param{k, v})
	}
	return params, nil
}

var validKey = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

// unescape decodes %XX and nothing else: a + is a plus sign in passwords.
func unescape(s string) (string, error) { return url.PathUnescape(s) }

// parseDSN reads go-sql-driver's "user:password@net(address)/database?params".
// The driver takes user and password as they are and splits at the last "/".
func parseDSN(raw string) (URL, error) {
	left, right := raw, ""
	// The parameters may hold a "/" that the driver would choke on, such as
	// loc=Europe/Berlin; the "/" that counts follows the address.
	if i := max(strings.LastIndex(raw, ")/"), strings.LastIndex(raw, "@/")); i >= 0 {
		left, right = raw[:i+1], raw[i+2:]
	} else if i := strings.LastIndexByte(raw, '/'); i >= 0 {
		left, right = raw[:i], raw[i+1:]
	}
	u := URL{Dialect: MySQL}
	var s secrets
	address := left
	if i := strings.LastIndexByte(left, '@'); i >= 0 {
		u.User, s.password, s.hasPassword = strings.Cut(left[:i], ":")
		address = left[i+1:]
	}
	network, inner, hasAddress := strings.Cut(address, "(")
	if hasAddress && !strings.HasSuffix(inner, ")") {
		return URL{}, errors.New("the address in parentheses is not closed; write user:password@tcp(host:3306)/database")
	}
	inner = strings.TrimSuffix(inner, ")")
	switch network {
	case "", "tcp":
		if inner != "" {
			e, err := parseEndpoint(inner)
			if err != nil {
				return URL{}, err
			}
			u.Endpoints = []Endpoint{e}
		}
	case "unix":
		if !strings.HasPrefix(inner, "/") {
			return URL{}, errors.New("unix(...) needs the absolute path of the socket")
		}
		u.Endpoints = []Endpoint{{Socket: inner}}
	default:
		return URL{}, errors.New("the network before the parenthesis must be tcp or unix")
	}
	database, query, _ := strings.Cut(right, "?")
	if strings.Contains(right, "@") {
		return URL{}, errors.New("the URL has a bare @ after the host: " + encode)
	}
	var err error
	if u.Database, err = unescape(database); err != nil {
		return URL{}, errors.New("the database name is not well encoded: a % must be written %25")
	}
	params, err := parseQuery(query)
	if err != nil {
		return URL{}, err
	}
	return finish(u, s, params)
}

// parseKeywords reads libpq's "key = 'value' ..." form: values are bare or in
// single quotes, and a backslash takes the next character as it is.
func parseKeywords(raw string) (URL, error) {
	const space = " \t\n\r\v\f"
	var params []param
	for raw = strings.TrimLeft(raw, space); raw != ""; raw = strings.TrimLeft(raw, space) {
		key, rest, ok := strings.Cut(raw, "=")
		key = strings.TrimRight(key, space)
		if !ok || !validKey.MatchString(key) {
			return URL{}, errors.New("the keyword form is key=value key='value with spaces', separated by blanks")
		}
		raw = strings.TrimLeft(rest, space)
		var value strings.Builder
		quoted := strings.HasPrefix(raw, "'")
		closed := !quoted
		i := 0
		if quoted {
			i = 1
		}
		for ; i < len(raw); i++ {
			c := raw[i]
			if quoted && c == '\'' {
				closed, i = true, i+1
				break
			}
			if !quoted && strings.IndexByte(space, c) >= 0 {
				break
			}
			if c == '\\' {
				if i++; i == len(raw) {
					break
				}
				c = raw[i]
			}
			value.WriteByte(c)
		}
		if !closed {
			return URL{}, errors.New("a quoted value of the keyword form is not closed")
		}
		raw = raw[min(i, len(raw)):]
		params = append(params, param{key, value.String()})
	}
	return finish(URL{Dialect: Postgres}, secrets{}, params)
}

// unknownKey names a parameter that cannot be honoured, and what could be
// meant. It shows the key only.
func unknownKey(dialect, key, hint string, accepted []string) error {
	if hint != "" {
		return fmt.Errorf("parameter %s: %s", key, hint)
	}
	slices.Sort(accepted)
	return fmt.Errorf("parameter %s is not known for %s; accepted are %s", key, dialect, strings.Join(accepted, ", "))
}

// parseBool reads what SQLAlchemy's drivers and Go's take for a truth value.
func parseBool(key, value string) (bool, error) {
	switch strings.ToLower(value) {
	case "1", "true", "yes", "on":
		return true, nil
	case "0", "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("parameter %s: accepted are true and false", key)
}
