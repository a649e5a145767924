package tldwdb_test

import (
	"bytes"
	"context"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/dump"
	"github.com/tldw/tldwdb/internal/testdb"
)

// nativeEngine has the engine's own programs, which go by way of a URL. Without them
// the test is skipped.
func nativeEngine(t *testing.T, tdb *testdb.Database, rawURL string) dump.Engine {
	t.Helper()
	u, err := dburl.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dialect.New(u.Dialect, false)
	if err != nil {
		t.Fatal(err)
	}
	target := dump.Target{URL: u, Dialect: d, DB: tdb.AdminDB(t), ToolDir: os.Getenv("TLDWDB_TEST_" + strings.ToUpper(string(tdb.Engine)) + "_TOOLS")}
	engine := dump.Postgres(target)
	if isMySQL(tdb) {
		engine = dump.MySQL(target)
	}
	if err := engine.Check(t.Context()); err != nil {
		t.Skip(err)
	}
	return engine
}

func nativeDump(t *testing.T, tdb *testdb.Database, rawURL string) (dump.Dumped, error) {
	t.Helper()
	return nativeEngine(t, tdb, rawURL).Dump(t.Context(), io.Discard, dump.Options{Digests: true})
}

// TestNativeDumpTLS: the programs look at the server's certificate as the pool does.
func TestNativeDumpTLS(t *testing.T) {
	t.Parallel()
	for _, e := range servers() {
		t.Run(string(e), func(t *testing.T) {
			t.Parallel()
			authority, stranger := issue(t, "our authority", nil), issue(t, "another authority", nil)
			own := issue(t, "127.0.0.1", authority)
			dir := t.TempDir()
			ca := writeFile(t, filepath.Join(dir, "ca.pem"), authority.certPEM)
			wrong := writeFile(t, filepath.Join(dir, "wrong.pem"), stranger.certPEM)
			files := testdb.TLSFiles{Cert: own.certPEM, Key: own.secretPEM, CA: authority.certPEM}
			server := ownServer(t, e, func(ctx context.Context, e testdb.Engine) (*testdb.Server, error) {
				return testdb.StartTLS(ctx, e, files)
			})
			tdb := server.New(t)
			execute(t, tdb.AdminDB(t), "CREATE TABLE t (id integer)")
			if _, err := nativeDump(t, tdb, tlsURL(t, tdb, nil, "", ca, "", "")); err != nil {
				t.Error(err)
			}
			for _, with := range []struct{ host, ca string }{{"", wrong}, {"localhost", ca}} {
				if _, err := nativeDump(t, tdb, tlsURL(t, tdb, nil, with.host, with.ca, "", "")); err == nil || !strings.Contains(strings.ToLower(err.Error()), "certificate") {
					t.Errorf("host %q, authority %q: %v", with.host, with.ca, err)
				}
			}
		})
	}
}

// TestNativeDumpHosts: of several hosts the dump takes the one that it has its
// snapshot on.
func TestNativeDumpHosts(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.Postgres)
	execute(t, tdb.AdminDB(t), "CREATE TABLE t (id integer)")
	several := func(tdb *testdb.Database) dump.Engine {
		u, err := url.Parse(tdb.URL)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = "127.0.0.1:1," + u.Host + ",127.0.0.1:2"
		return nativeEngine(t, tdb, u.String()+"&target_session_attrs=read-write&TimeZone=Asia/Tokyo")
	}
	var b bytes.Buffer
	d, err := several(tdb).Dump(t.Context(), &b, dump.Options{})
	if err != nil || len(d.Tables) != 1 {
		t.Fatalf("%+v, %v", d, err)
	}
	if err := several(testdb.New(t, testdb.Postgres)).Load(t.Context(), &b, d.Content, dump.Options{}); err != nil {
		t.Error(err)
	}
}
