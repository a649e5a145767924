package sqlscan_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// TestPsql compares with what psql itself sends for a file: psql talks to a server made here that writes down each
// query. The folder named by TLDWDB_TEST_SQL_CORPUS may hold more files, such as PostgreSQL's src/test/regress/sql.
func TestPsql(t *testing.T) {
	t.Parallel()
	psql, err := exec.LookPath("psql")
	if err != nil {
		t.Skip("psql is not installed")
	}
	files, err := filepath.Glob("testdata/postgres/*.sql")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("TLDWDB_TEST_SQL_CORPUS"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "postgres", "*.sql"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	server := listen(t)
	total := 0
	for _, file := range files {
		if beyondPsql[filepath.Base(file)] {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = withoutMeta(text)
		var want []query
		for st, err := range sqlscan.All(bytes.NewReader(text), dialects["postgres"]) {
			if err != nil {
				t.Logf("%s: %v", file, err)
				want = nil
				break
			}
			want = append(want, query{st.Text, st.Data})
		}
		if want == nil {
			continue
		}
		got := server.run(t, psql, text)
		for i := range max(len(got), len(want)) {
			switch {
			case i >= len(got):
				t.Errorf("%s: psql has no statement %d, %q", file, i, want[i].text)
			case i >= len(want):
				t.Errorf("%s: only psql has statement %d, %q", file, i, got[i].text)
			case !sameStatement(got[i].text, want[i].text):
				t.Errorf("%s: statement %d is\n%.400s\nfor psql and\n%.400s\nhere", file, i, got[i].text, want[i].text)
			case got[i].data != want[i].data:
				t.Errorf("%s: statement %d has data\n%q\nfor psql and\n%q\nhere", file, i, got[i].data, want[i].data)
			default:
				total++
				continue
			}
			break
		}
	}
	t.Logf("%d files, %d statements equal", len(files), total)
}

// beyondPsql names the files in testdata that the server reads otherwise than psql, which looks at one line at a time and takes
// every END in a routine for the keyword. We follow the server.
var beyondPsql = map[string]bool{"quotes_continued.sql": true, "atomic_labels.sql": true}

// endOfData matches the line that ends COPY data.
var endOfData = regexp.MustCompile(`(?m)^\\\.\r?\n?\z`)

// emptyLines are what psql leaves out of a statement.
var emptyLines = regexp.MustCompile(`\n(?:[ \t\r\f]*\n)+`)

// sameStatement reports whether psql's text is ours with nothing but blanks, comments and semicolons around it.
func sameStatement(psql, ours string) bool {
	before, after, ok := strings.Cut(emptyLines.ReplaceAllString(psql, "\n"), emptyLines.ReplaceAllString(ours, "\n"))
	for t := range sqlscan.Tokens(before+"\n"+after, dialects["postgres"]) {
		ok = ok && t.Text == ";"
	}
	return ok
}

var (
	copyFrom = regexp.MustCompile(`(?i)\bcopy\b.*\bfrom\s+stdin\b`)
	metaLine = regexp.MustCompile(`^\s*\\`)
	variable = regexp.MustCompile(`([^:]):(['"])\w+['"]`)
	metaTail = regexp.MustCompile(`\s*\\(?:g|gx|gset|gexec|gdesc|crosstabview|watch|parse|bind)\b[^\n]*`)
)

// withoutMeta takes psql's own commands out of a regression test, so that what is left is for both to cut.
func withoutMeta(text []byte) []byte {
	var out bytes.Buffer
	data := false
	for line := range strings.Lines(string(text)) {
		switch {
		case data:
			data = strings.TrimRight(line, "\r\n") != `\.`
		case copyFrom.MatchString(line) && !strings.HasPrefix(line, "--") && !metaLine.MatchString(line):
			data = true
		case metaLine.MatchString(line) && !strings.Contains(line, "restrict "):
			line = "\n"
		default:
			line = variable.ReplaceAllString(line, "${1}${2}x${2}")
			line = metaTail.ReplaceAllString(strings.ReplaceAll(line, `\;`, ";"), ";")
		}
		out.WriteString(line)
	}
	return out.Bytes()
}

type query struct{ text, data string }

// fakeServer speaks as much of PostgreSQL's protocol as psql needs to send a file.
type fakeServer struct {
	net.Listener
}

func listen(t *testing.T) fakeServer {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return fakeServer{l}
}

func (s fakeServer) run(t *testing.T, psql string, text []byte) []query {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, psql, "--no-psqlrc", "--quiet", "--file=-", "host=127.0.0.1 user=x dbname=x sslmode=disable gssencmode=disable port="+port)
	cmd.Stdin = bytes.NewReader(text)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	conn, err := s.Accept()
	if err != nil {
		t.Fatal(err)
	}
	queries, err := serve(conn)
	if err != nil {
		t.Fatalf("%v; psql says: %s", err, stderr.String())
	}
	if err := cmd.Wait(); err != nil {
		t.Logf("psql: %v: %s", err, stderr.String())
	}
	return queries
}

var scsOff = regexp.MustCompile(`(?i)set\s+(?:session\s+|local\s+)?standard_conforming_strings\s*(?:=|to)\s*'?(\w+)`)

func serve(conn net.Conn) (queries []query, err error) {
	defer func() {
		if cerr := conn.Close(); err == nil {
			err = cerr
		}
	}()
	r := bufio.NewReader(conn)
	send := func(kind byte, body string) {
		msg := binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4))
		if _, werr := conn.Write(append(msg, body...)); err == nil {
			err = werr
		}
	}
	receive := func(kind *byte) string {
		if err != nil {
			return ""
		}
		var head [5]byte
		b := head[:]
		if kind == nil {
			b = head[1:]
		}
		if _, err = io.ReadFull(r, b); err != nil {
			return ""
		}
		if kind != nil {
			*kind = head[0]
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		_, err = io.ReadFull(r, body)
		return string(body)
	}
	receive(nil)
	send('R', "\x00\x00\x00\x00")
	send('S', "server_version\x0015.0\x00")
	send('S', "client_encoding\x00UTF8\x00")
	send('S', "standard_conforming_strings\x00on\x00")
	send('Z', "I")
	for err == nil {
		var kind byte
		body := receive(&kind)
		switch kind {
		case 'X':
			return queries, nil
		case 'Q':
			q := query{text: strings.TrimRight(body, "\x00")}
			if m := scsOff.FindStringSubmatch(q.text); m != nil {
				send('S', "standard_conforming_strings\x00"+strings.ToLower(m[1])+"\x00")
			}
			list, serr := sqlscan.Split(q.text+"\n\\.\n", dialects["postgres"])
			if serr == nil && len(list) > 0 && list[0].CopyIn {
				send('G', "\x00\x00\x00")
				for kind != 'c' && kind != 'f' && err == nil {
					if data := receive(&kind); kind == 'd' {
						q.data += data
					}
				}
			}
			// Some versions of psql send the line that ends the data, and some do not.
			q.data = endOfData.ReplaceAllString(q.data, "")
			if sameStatement(q.text, "") {
				q.text = ""
			}
			if q.text != "" {
				queries = append(queries, q)
			}
			send('C', "SELECT 0\x00")
			send('Z', "I")
		default:
			return queries, fmt.Errorf("unexpected message %q", kind)
		}
	}
	return queries, err
}
