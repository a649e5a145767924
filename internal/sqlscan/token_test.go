package sqlscan_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// TestTokens has one text for each form of token: kind and text of all of them.
func TestTokens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, text, want string }{
		{"postgres", `select E'a\'' || U&'b' , U&"c"::"d".e_1$`, `w:select s:E'a\'' o:|| s:U&'b' o:, q:U&"c" o::: q:"d" o:. w:e_1$`},
		{"postgres", `a=-1 b@-1 c<>+2 d->>'e' f := $1 g$1 $t$;$t$`, `w:a o:= o:- n:1 w:b o:@- n:1 w:c o:<> o:+ n:2 w:d o:->> s:'e' w:f o::= p:$1 w:g$1 s:$t$;$t$`},
		{"postgres", `a -- b` + "\n" + `/* c */ d; 1.5e-3 .5 0x1F 1_0 1..2 e[1:2]`, `w:a w:d o:; n:1.5e-3 n:.5 n:0x1F n:1_0 n:1 o:.. n:2 w:e o:[ n:1 o:: n:2 o:]`},
		{"postgres", `a 'b`, `w:a i:'b`},
		{"postgres", `a $b$ c`, `w:a i:$b$ c`},
		{"mysql", "a `b``c` \"d\" 'e\\'' @f @@g.h 1a 1e5 0x1f x'0' _utf8'i' # j", "w:a q:`b``c` s:\"d\" s:'e\\'' o:@ w:f o:@ o:@ w:g o:. w:h w:1a n:1e5 n:0x1f s:x'0' w:_utf8 s:'i'"},
		{"mysql", "/*!50001 create*/ /*!50017 definer=`a`@`b` */ trigger ? := <=> !=", "w:create w:definer o:= q:`a` o:@ q:`b` w:trigger p:? o::= o:<=> o:!="},
		{"mysql", "a--b -- c\nd", "w:a o:- o:- w:b w:d"},
		{"ansi", `"a" 'b\' c`, `q:"a" s:'b\' w:c`},
		{"mariadb", "/*M!100100 a */ b /*!50700 c */", "w:a w:b"},
		{"sqlite", "[a] `b` \"c\" 'd' x'00' ?1 :a @b #c $d::e(f) g->>'h' i==j", "q:[a] q:`b` q:\"c\" s:'d' s:x'00' p:?1 p::a p:@b p:#c p:$d::e(f) w:g o:->> s:'h' w:i o:== w:j"},
	} {
		var got []string
		for token := range sqlscan.Tokens(c.text, dialects[c.dialect]) {
			got = append(got, token.Kind.String()[:1]+":"+token.Text)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s %q:\n got %s\nwant %s", c.dialect, c.text, s, c.want)
		}
	}
}

// TestTokensComments has the comments that are left out otherwise.
func TestTokensComments(t *testing.T) {
	t.Parallel()
	o := dialects["mysql"]
	o.Comments = true
	var got []string
	for token := range sqlscan.Tokens("\uFEFF-- a\nb /*!50001 c */ /* d */", o) {
		got = append(got, fmt.Sprint(token.Offset, token.Kind, token.Text))
	}
	want := "[3 comment -- a 8 word b 10 comment /*!50001 19 word c 21 comment */ 24 comment /* d */]"
	if s := strings.ReplaceAll(fmt.Sprint(got), "comment", "comment "); strings.ReplaceAll(s, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got %s, want %s", s, want)
	}
}

// TestName has what each form of identifier stands for.
func TestName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ dialect, text, want string }{
		{"postgres", `Users`, "users"},
		{"postgres", `ÄUsers`, "Äusers"},
		{"postgres", `"Us""ers"`, `Us"ers`},
		{"postgres", `U&"d\0061t\+000061 \\ \zz"`, `data \ \zz`},
		{"postgres", `u&"\d83d"`, `\d83d`},
		{"postgres", `u&"\d83d\de00\d83d\0061"`, `😀\d83da`},
		{"mysql", "Users", "Users"},
		{"mysql", "`Us``ers`", "Us`ers"},
		{"ansi", `"a""b"`, `a"b`},
		{"sqlite", "[a]", "a"},
		{"sqlite", `"a""b"`, `a"b`},
		{"sqlite", `'a'`, `'a'`},
	} {
		for token := range sqlscan.Tokens(c.text, dialects[c.dialect]) {
			if got := token.Name(dialects[c.dialect].Dialect); got != c.want {
				t.Errorf("%s %s: got %q, want %q", c.dialect, c.text, got, c.want)
			}
		}
	}
	for token := range sqlscan.Tokens("Select 'select' \"select\"", dialects["sqlite"]) {
		if got, want := token.Is("SELECT"), token.Offset == 0; got != want {
			t.Errorf("%s is the keyword: %v", token.Text, got)
		}
	}
}
