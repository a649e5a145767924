package sqltap_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
	"github.com/tldw/tldwdb/internal/sqltap"
)

var dialects = map[string]sqlscan.Dialect{"sqlite": sqlscan.SQLite, "postgres": sqlscan.Postgres, "mysql": sqlscan.MySQL}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ text, want string }{
		{"SELECT * FROM t WHERE id = 12 AND name='x' -- note", "SELECT * FROM t WHERE id = ? AND name = ?"},
		{"select a.b  from\n\ta where c in (1, 2, 3)", "select a.b from a where c in (?)"},
		{"INSERT INTO t (a, b) VALUES (1, 'x'), (2, 'y'), (3, NULL)", "INSERT INTO t (a, b) VALUES (?), (?, NULL)"},
		{"", ""},
		{"COMMIT", "COMMIT"},
	} {
		for name, d := range dialects {
			if got := sqltap.Fingerprint(d, tt.text); got != tt.want {
				t.Errorf("%s: %q: got %q, want %q", name, tt.text, got, tt.want)
			}
		}
	}
	long := sqltap.Fingerprint(sqlscan.Postgres, "SELECT "+strings.Repeat("a_column, ", 5000)+"1")
	if len(long) > 400 || !strings.HasSuffix(long, "…") {
		t.Errorf("a long text: %d bytes, %q", len(long), long)
	}
}

// TestFingerprintHidesLiterals gives every form of a literal that an engine has,
// and some that are none. "hunter" is what must not be seen, wherever it stands.
func TestFingerprintHidesLiterals(t *testing.T) {
	t.Parallel()
	common := []string{
		"'hunter'", "'it''s hunter'", "'a\nhunter'", "N'hunter'", "X'00'/*hunter*/", "'' /* 'hunter */", "'-- hunter'", "'/* ' || ' hunter */'",
		"'hunter", "'\\' hunter '", "'\\\\' || 'hunter'", "'a' -- hunter", "'a' 'hunter'", "'x\\' , ' hunter '", "'\\''hunter'", "'\\'' || ' hunter '",
		"'\x00hunter'", "'\xffhunter'", "'é hunter'", "'hunter\\", "''''||'hunter'", "'a''\\'||' hunter '",
	}
	own := map[string][]string{
		"sqlite": {`"hunter"`, `x'68'--hunter`, `"a""hunter"`, `"hunter`, `:hunter`, `@hunter`, `$hunter::x(hunter)`},
		"postgres": {`$$hunter$$`, `$hunter$x$hunter$`, `$a$ hunter $b$ hunter $a$`, `E'\'hunter'`, `e'a\\'||'hunter'`, `U&'\0441hunter'`, `B'1'--hunter`,
			`$$hunter`, `E'\' hunter '`, `U&'d!0061hunter' UESCAPE '!'`, `/* /* */ hunter */ 1`, `'a' || $x$ ' hunter $x$`},
		"mysql": {`"hunter"`, `"a\"hunter"`, `'a\'hunter'`, `_utf8mb4'hunter'`, `"a""hunter"`, `# hunter`, `/*! 'hunter' */ 1`, `/*M! 'hunter' */ 1`,
			`/*!99999 'hunter' */ 1`, `/*!50700 'hunter' */ 1`, `"\" hunter "`, `'"' "hunter" '"'`, `"'" 'hunter' "'"`, `b'01'-- hunter`, `'a' "hunter"`,
			`/*M!100100 "x' hunter " */ 1`, `/*!80000 '*/ hunter '*/ 1`},
	}
	for name, d := range dialects {
		for _, literal := range append(append([]string{}, common...), own[name]...) {
			for _, form := range []string{"SELECT %s", "UPDATE t SET a = %s WHERE b = 'c'", "SELECT 1 FROM t WHERE a IN (%s, %[1]s) OR x = 'z'", "CALL p(%s)"} {
				text := fmt.Sprintf(form, literal)
				if got := sqltap.Fingerprint(d, text); strings.Contains(got, "hunter") {
					t.Errorf("%s: %q shows its literal: %q", name, text, got)
				}
			}
		}
		// Cut anywhere, as a text that is too long is.
		text := "SELECT 'a' FROM t WHERE b = 'hunter' AND c = 12345678"
		padding := strings.Repeat(" ", 8<<10)
		for n := range text {
			if got := sqltap.Fingerprint(d, padding[n:]+text); strings.Contains(got, "hunter") || strings.Contains(got, "12345") {
				t.Errorf("%s: cut at %d: %q", name, n, got)
			}
		}
	}
}

func FuzzFingerprint(f *testing.F) {
	f.Add("hunter")
	f.Fuzz(func(t *testing.T, value string) {
		// A value in quotes, escaped as the strictest server wants it, is hidden whole.
		if strings.Contains(value, "\\") || len(value) < 4 || strings.ContainsAny(value, "'\x00") {
			return
		}
		for _, d := range dialects {
			if got := sqltap.Fingerprint(d, "SELECT '"+value+"'"); got != "SELECT ?" {
				t.Errorf("%q: %q", value, got)
			}
		}
	})
}
