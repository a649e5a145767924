package dburl

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	host := func(h string, p int) []Endpoint { return []Endpoint{{Host: h, Port: p}} }
	tests := []struct {
		raw      string
		want     URL // Params nil: none
		password string
		text     string
	}{
		// SQLite: SQLAlchemy's count of slashes
		{raw: "sqlite:///tldw.db", want: URL{Dialect: SQLite, Path: "tldw.db"}, text: "sqlite:///tldw.db"},
		{raw: "sqlite:////var/lib/x.db", want: URL{Dialect: SQLite, Path: "/var/lib/x.db"}, text: "sqlite:////var/lib/x.db"},
		{raw: "sqlite:///C:/data/x.db", want: URL{Dialect: SQLite, Path: "C:/data/x.db"}, text: "sqlite:///C:/data/x.db"},
		{raw: "sqlite:///a%20b%3Fc#1.db", want: URL{Dialect: SQLite, Path: "a b?c#1.db"}, text: "sqlite:///a%20b%3Fc%231.db"},
		{raw: "sqlite://", want: URL{Dialect: SQLite, Path: ":memory:", Memory: true}, text: "sqlite://"},
		{raw: "sqlite:///", want: URL{Dialect: SQLite, Path: ":memory:", Memory: true}, text: "sqlite://"},
		{raw: "sqlite:///:memory:", want: URL{Dialect: SQLite, Path: ":memory:", Memory: true}, text: "sqlite://"},
		{raw: "sqlite3:///x.db", want: URL{Dialect: SQLite, Path: "x.db"}, text: "sqlite:///x.db"},
		{
			raw:  "sqlite+pysqlite:///x.db?timeout=15&check_same_thread=False&isolation_level=IMMEDIATE&cached_statements=64",
			want: URL{Dialect: SQLite, Path: "x.db", Params: map[string]string{"_busy_timeout": "15000", "_txlock": "immediate", "_stmt_cache_size": "64"}},
			text: "sqlite:///x.db?_busy_timeout=15000&_stmt_cache_size=64&_txlock=immediate",
		},
		{
			raw:  "sqlite:///file:x.db?mode=ro&uri=true",
			want: URL{Dialect: SQLite, Path: "x.db", Params: map[string]string{"mode": "ro"}}, text: "sqlite:///x.db?mode=ro",
		},
		{raw: "file:x.db?_fk=0", want: URL{Dialect: SQLite, Path: "x.db", Params: map[string]string{"_foreign_keys": "0"}}, text: "sqlite:///x.db?_foreign_keys=0"},
		{raw: "file:///abs/x.db", want: URL{Dialect: SQLite, Path: "/abs/x.db"}, text: "sqlite:////abs/x.db"},
		{raw: "file://localhost/abs/x.db", want: URL{Dialect: SQLite, Path: "/abs/x.db"}, text: "sqlite:////abs/x.db"},
		{
			raw:  "file:shared?mode=memory&cache=shared",
			want: URL{Dialect: SQLite, Path: "shared", Memory: true, Params: map[string]string{"mode": "memory", "cache": "shared"}},
			text: "sqlite:///shared?cache=shared&mode=memory",
		},

		// PostgreSQL
		{raw: "postgres://h/db", want: URL{Dialect: Postgres, Endpoints: host("h", 0), Database: "db"}, text: "postgres://h/db"},
		{
			raw:  "postgresql+psycopg2://us%40er:p%40%3A%2F%3F%23%25%5B%20+%C3%A9@h:5433/d%2Fb",
			want: URL{Dialect: Postgres, Endpoints: host("h", 5433), User: "us@er", Database: "d/b"}, password: "p@:/?#%[ +é",
			text: "postgres://us@er:***@h:5433/d%2Fb",
		},
		{raw: "postgresql+asyncpg://u:p#[x@h/db", want: URL{Dialect: Postgres, Endpoints: host("h", 0), User: "u", Database: "db"}, password: "p#[x", text: "postgres://u:***@h/db"},
		{raw: "postgres://u:one@two@h/db", want: URL{Dialect: Postgres, Endpoints: host("h", 0), User: "u", Database: "db"}, password: "one@two", text: "postgres://u:***@h/db"},
		{raw: "postgres://[::1]:5433/db", want: URL{Dialect: Postgres, Endpoints: host("::1", 5433), Database: "db"}, text: "postgres://[::1]:5433/db"},
		{raw: "postgres://[fe80::1%25eth0]/db", want: URL{Dialect: Postgres, Endpoints: host("fe80::1%eth0", 0), Database: "db"}, text: "postgres://[fe80::1%25eth0]/db"},
		{
			raw: "postgres://u:pw@a:1,b:2,[::1]/db?target_session_attrs=read-write",
			want: URL{
				Dialect: Postgres, Endpoints: []Endpoint{{Host: "a", Port: 1}, {Host: "b", Port: 2}, {Host: "::1"}}, User: "u", Database: "db",
				Params: map[string]string{"target_session_attrs": "read-write"},
			},
			password: "pw", text: "postgres://u:***@a:1,b:2,[::1]/db?target_session_attrs=read-write",
		},
		{
			raw:  "postgresql://u@/db?host=a:1&host=b",
			want: URL{Dialect: Postgres, Endpoints: []Endpoint{{Host: "a", Port: 1}, {Host: "b"}}, User: "u", Database: "db"}, text: "postgres://u@a:1,b/db",
		},
		{
			raw:  "postgresql:///db?host=a,b&port=7",
			want: URL{Dialect: Postgres, Endpoints: []Endpoint{{Host: "a", Port: 7}, {Host: "b", Port: 7}}, Database: "db"}, text: "postgres://a:7,b:7/db",
		},
		{raw: "postgres:///db?host=/run/pg", want: URL{Dialect: Postgres, Endpoints: []Endpoint{{Socket: "/run/pg"}}, Database: "db"}, text: "postgres://%2Frun%2Fpg/db"},
		{raw: "postgres://%2Frun%2Fpg/db", want: URL{Dialect: Postgres, Endpoints: []Endpoint{{Socket: "/run/pg"}}, Database: "db"}, text: "postgres://%2Frun%2Fpg/db"},
		{raw: "postgres://", want: URL{Dialect: Postgres}, text: "postgres://"},
		{
			raw: "postgres://h/db?ssl=true&client_encoding=UTF-8&gssencmode=prefer&fallback_application_name=app&search_path=x,y",
			want: URL{
				Dialect: Postgres, Endpoints: host("h", 0), Database: "db",
				Params: map[string]string{"sslmode": "require", "application_name": "app", "search_path": "x,y"},
			},
			text: "postgres://h/db?application_name=app&search_path=x%2Cy&sslmode=require",
		},
		{
			raw:  `host=h,/run/pg port=1,2 user = 'o''neil' password='a\'b \\ c' dbname=db`,
			want: URL{}, text: "invalid",
		},
		{
			raw:  `host=h,/run/pg port=1,2 user = 'o\'neil' password='a\'b \\ c' dbname=d\ b sslmode=disable`,
			want: URL{Dialect: Postgres, Endpoints: []Endpoint{{Host: "h", Port: 1}, {Socket: "/run/pg", Port: 2}}, User: "o'neil", Database: "d b", Params: map[string]string{"sslmode": "disable"}},
			text: "postgres://o%27neil:***@h:1,%2Frun%2Fpg/d%20b?sslmode=disable", password: `a'b \ c`,
		},

		// MySQL and MariaDB
		{
			raw:  "mysql+pymysql://u:p%2Fw@h:3307/db?charset=utf8mb4",
			want: URL{Dialect: MySQL, Endpoints: host("h", 3307), User: "u", Database: "db"}, password: "p/w", text: "mysql://u:***@h:3307/db",
		},
		{raw: "mariadb+mysqlconnector://u@h/db", want: URL{Dialect: MySQL, Endpoints: host("h", 0), User: "u", Database: "db"}, text: "mysql://u@h/db"},
		{
			raw:  "mysql+mysqldb://u:pw@/db?unix_socket=/run/mysqld/mysqld.sock&connect_timeout=10&read_timeout=1m",
			want: URL{Dialect: MySQL, Endpoints: []Endpoint{{Socket: "/run/mysqld/mysqld.sock"}}, User: "u", Database: "db", Params: map[string]string{"timeout": "10s", "readTimeout": "1m0s"}},
			text: "mysql://u:***@%2Frun%2Fmysqld%2Fmysqld.sock/db?readTimeout=1m0s&timeout=10s", password: "pw",
		},
		{raw: "mysql://u@/db?host=/run/m.sock", want: URL{Dialect: MySQL, Endpoints: []Endpoint{{Socket: "/run/m.sock"}}, User: "u", Database: "db"}, text: "mysql://u@%2Frun%2Fm.sock/db"},
		{
			raw:  "mysql://h/db?ssl_ca=/ca.pem&ssl_cert=/c.pem&ssl_key=/k.pem",
			want: URL{Dialect: MySQL, Endpoints: host("h", 0), Database: "db", Params: map[string]string{"tls": TLSVerifyIdentity, "ssl_ca": "/ca.pem", "ssl_cert": "/c.pem", "ssl_key": "/k.pem"}},
			text: "mysql://h/db?ssl_ca=%2Fca.pem&ssl_cert=%2Fc.pem&ssl_key=%2Fk.pem&tls=verify-identity",
		},
		{
			raw:  "u:p@s/s:x@tcp(h:3306)/db?parseTime=true&loc=Europe/Berlin&tls=skip-verify",
			want: URL{Dialect: MySQL, Endpoints: host("h", 3306), User: "u", Database: "db", Params: map[string]string{"parseTime": "true", "loc": "Europe/Berlin", "tls": TLSSkipVerify}},
			text: "mysql://u:***@h:3306/db?loc=Europe%2FBerlin&parseTime=true&tls=skip-verify", password: "p@s/s:x",
		},
		{raw: "u:pw@unix(/run/m.sock)/db", want: URL{Dialect: MySQL, Endpoints: []Endpoint{{Socket: "/run/m.sock"}}, User: "u", Database: "db"}, password: "pw", text: "mysql://u:***@%2Frun%2Fm.sock/db"},
		{raw: "u@/db?sql_mode=ANSI", want: URL{Dialect: MySQL, User: "u", Database: "db", Params: map[string]string{"sql_mode": "'ANSI'"}}, text: "mysql://u@/db?sql_mode=%27ANSI%27"},
		{raw: "tcp([::1]:3306)/db", want: URL{Dialect: MySQL, Endpoints: host("::1", 3306), Database: "db"}, text: "mysql://[::1]:3306/db"},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.raw)
			if tt.text == "invalid" {
				if err == nil {
					t.Fatalf("Parse accepted it as %v", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if text := got.String(); text != tt.text {
				t.Errorf("String:\n got %s\nwant %s", text, tt.text)
			}
			if password, _ := got.Password(); password != tt.password {
				t.Errorf("password: got %q, want %q", password, tt.password)
			}
			if !maps.Equal(got.Params, tt.want.Params) {
				t.Errorf("params: got %v, want %v", got.Params, tt.want.Params)
			}
			got.secret, got.Params, tt.want.Params = nil, nil, nil
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %s (%s, %s)\nwant %s (%s, %s)", got, got.Path, got.Hosts(), tt.want, tt.want.Path, tt.want.Hosts())
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ raw, want string }{
		{"", "accepted are sqlite:///file.db"},
		{"tldw.db", "has no scheme"},
		{"mongodb://u:s3cret@h/db", "scheme is not known"},
		{"sqlite://tldw.db", "three slashes"},
		{"sqlite:///x%zz.db", "%25"},
		{"sqlite:///x.db?pragma=1", "parameter pragma is not known for SQLite; accepted are _auth"},
		{"sqlite:///x.db?_pragma=busy_timeout(5)", "parameter _pragma: this driver has"},
		{"sqlite:///x.db?timeout=soon", "parameter timeout: accepted are seconds"},
		{"file://h/x.db", "takes no host"},
		{"postgres://u:s3/cret@h/db", "percent-encoded"},
		{"postgres://u:s3?cret@h/db", "percent-encoded"},
		{"postgres://u:12/s3cret@h/db", "percent-encoded"},
		{"mysql://u:12?s3cret=1@h/db", "percent-encoded"},
		{"postgres://u:12/s3cret#@h/db", "percent-encoded"},
		{"postgres://u:s3cret@h:port/db", "not a number from 1 to 65535"},
		{"postgres://u:s3cret%@h/db", "%25"},
		{"postgres://u:s3cret", "percent-encoded"},
		{"postgres://[::1/db", "closing bracket"},
		{"postgres://h/db?sslmode=on", "accepted are disable, allow"},
		{"postgres://h/db?schema=app", "search_path"},
		{"postgres://a,b,c/db?port=1,2", "2 ports for 3 hosts"},
		{"host=h password='s3cret", "not closed"},
		{"mysql://a,b/db", "several hosts"},
		{"mysql://h/db?charset=latin1", "accepted is utf8mb4"},
		{"mysql://h/db?tls=s3cret", "accepted are true, false"},
		{"mysql://h/db?autocommit=1", "parameter autocommit is not known for MySQL; accepted are allowAllFiles"},
		{"mysql://h/db?sql_mode=it's", "without quotes"},
		{"mysql://h/db?ssl_cert=/c.pem", "one needs the other"},
		{"u:s3cret@udp(h)/db", "must be tcp or unix"},
		{"u:s3cret@tcp(h/db", "not closed"},
		{"user:s3cret@host/db", "must be tcp or unix"},
		{"mysql://u:s3cret@h\x00/db", "NUL"},
	}
	for _, tt := range tests {
		t.Run(tt.raw, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.raw)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "s3") {
				t.Errorf("the error shows a piece of the password: %v", err)
			}
		})
	}
}

func TestMySQLTLS(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"":                                     "",
		"tls=true":                             TLSVerifyIdentity,
		"tls=1":                                TLSVerifyIdentity,
		"tls=preferred":                        TLSPreferred,
		"ssl=true":                             TLSVerifyIdentity,
		"ssl=false":                            TLSOff,
		"ssl_disabled=true":                    TLSOff,
		"ssl_mode=VERIFY_CA":                   TLSVerifyCA,
		"ssl_mode=REQUIRED":                    TLSSkipVerify,
		"ssl_mode=REQUIRED&ssl_ca=/ca":         TLSVerifyCA,
		"ssl_ca=/ca":                           TLSVerifyIdentity,
		"ssl_ca=/ca&ssl_check_hostname=false":  TLSVerifyCA,
		"ssl_ca=/ca&ssl_verify_identity=true":  TLSVerifyIdentity,
		"ssl_ca=/ca&ssl_verify_cert=false":     TLSSkipVerify,
		"ssl_verify_cert=true":                 TLSVerifyIdentity,
		"tls=skip-verify&ssl_verify_cert=true": TLSSkipVerify,
	} {
		u, err := Parse("mysql://h/db?" + query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
		} else if got := u.Params["tls"]; got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestNeverPrinted(t *testing.T) {
	t.Parallel()
	u, err := Parse("postgres://user:hunter2@db.example:5432/app?sslpassword=keypass9")
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		u   URL
		Pub URL
		ptr *URL
	}
	h := holder{u, u, &u}
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", u)
		fmt.Fprintf(&out, verb+"\n", &u)
		fmt.Fprintf(&out, verb+"\n", h)
		fmt.Fprintf(&out, verb+"\n", []URL{u})
	}
	for _, v := range []any{u, &u, h, map[string]URL{"k": u}} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "url", u, "ptr", &u, "in", h)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "url", u, "ptr", &u, "in", h)
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), "keypass9") {
		t.Errorf("a secret was printed:\n%s", out.String())
	}
	if want := "postgres://user:***@db.example:5432/app?sslpassword=***"; u.String() != want {
		t.Errorf("String: got %s, want %s", u, want)
	}
	if v, ok := u.Param("sslpassword"); !ok || v != "keypass9" {
		t.Errorf("Param(sslpassword) = %q, %v", v, ok)
	}
	if got := u.Secrets(); !slices.Contains(got, "hunter2") || !slices.Contains(got, "keypass9") {
		t.Errorf("Secrets() = %d texts, want both", len(got))
	}
}

func TestSecretsLeavesOutPublicText(t *testing.T) {
	t.Parallel()
	u, err := Parse("mysql://tldw:tldw@h/db")
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Secrets(); len(got) != 0 {
		t.Errorf("got %q: a password that is the user's name would blot the name out of every message", got)
	}
}

func TestIsLocal(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]bool{
		"sqlite:///x.db": true, "postgres:///db": true, "postgres://localhost/db": true, "mysql://127.0.0.1:3306/db": true,
		"postgres://[::1]/db": true, "postgres:///db?host=/run": true, "postgres://db/db": false, "postgres://localhost,db2/db": false,
		"mysql://10.0.0.1/db": false,
	} {
		u, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if u.IsLocal() != want {
			t.Errorf("%s: IsLocal = %v, want %v", raw, !want, want)
		}
	}
}

// FuzzParse holds three properties: no panic; the canonical text is read back
// as itself; a password shows in no text and no error, encoded well or not.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"sqlite:///x.db?timeout=5", "postgres://u:p@h:1,[::1]/db?sslmode=disable", "host=h user=u password='x'",
		"u:p@tcp(h:3306)/db?loc=UTC", "mysql://u:p@/db?unix_socket=/x", "file:x?mode=memory", "p/w?x#%41[",
	} {
		f.Add(seed)
	}
	const marker = "Qz9PasswordZq"
	f.Fuzz(func(t *testing.T, in string) {
		if u, err := Parse(in); err == nil {
			again, err := Parse(u.String())
			if err != nil || again.String() != u.String() {
				t.Errorf("%q was read as %s, and that as %s, %v", in, u, again, err)
			}
		}
		if strings.Contains(in, marker) {
			return
		}
		password := marker + in
		for _, raw := range []string{
			"postgres://u:" + url.PathEscape(password) + "@h/db",
			"mysql://u:" + url.PathEscape(password) + "@h/db",
		} {
			u, err := Parse(raw)
			if err != nil {
				if !strings.ContainsRune(in, 0) && !strings.Contains(err.Error(), "NUL") {
					t.Errorf("a well encoded password was refused: %v", err)
				}
				continue
			}
			if got, _ := u.Password(); got != password {
				t.Errorf("password %q was read as %q", password, got)
			}
		}
		for _, raw := range []string{
			"postgres://u:" + password + "@h/db",
			"mysql+pymysql://u:" + password + "@h:3306/db",
			"u:" + password + "@tcp(h:3306)/db",
			"u:" + password + "@unix(/run/x)/db",
			"host=h password='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(password) + "' dbname=db",
			"postgres://u:" + url.PathEscape(password) + "@" + in,
			"postgres://u:" + marker + in,
			"mysql://u:" + marker + in,
		} {
			u, err := Parse(raw)
			if text := fmt.Sprint(u, err); strings.Contains(text, marker) {
				t.Errorf("%q shows its password: %s", raw, text)
			}
		}
	})
}
