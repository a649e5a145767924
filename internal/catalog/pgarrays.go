package catalog

import (
	"slices"
	"strings"

	"github.com/tldw/tldwdb/internal/sqlscan"
)

// pgArrays writes the cast of an array in one of the two ways that PostgreSQL has for
// it. A column of type varchar IN ('a', 'b') is kept and shown as
//
//	(ARRAY['a'::character varying, 'b'::character varying])::text[]
//
// which is read back, from a dump for instance, as
//
//	ARRAY[('a'::character varying)::text, ('b'::character varying)::text]
//
// and shown so ever after. Texts in quotes, bodies of routines among them, stay.
func pgArrays(text string) string {
	for from := 0; ; {
		at := strings.Index(text[from:], "(ARRAY[")
		if at < 0 {
			return text
		}
		from += at + 1
		text = pgArrayCast(text, from-1)
	}
}

// pgArrayCast rewrites the cast that begins at the bracket at that place, if one does.
// What stands before it stays as it is, so that the places of others do.
func pgArrayCast(text string, at int) string {
	list := slices.Collect(sqlscan.Tokens(text, sqlscan.Options{Dialect: sqlscan.Postgres}))
	first := slices.IndexFunc(list, func(t sqlscan.Token) bool { return t.Offset == at })
	if first < 0 { // inside of a text
		return text
	}
	list = list[first:]
	is := func(i int, what string) bool { return i < len(list) && list[i].Text == what }
	// The array, and the places of its commas.
	begin := list[2].Offset + 1 // behind [
	commas, depth, i := []int{}, 1, 3
	for ; i < len(list); i++ {
		switch list[i].Text {
		case "(", "[":
			depth++
		case ")", "]":
			depth--
		case ",":
			if depth == 1 {
				commas = append(commas, list[i].Offset)
			}
		}
		if depth == 0 {
			break
		}
	}
	// Behind it the type, which ends with [].
	closed := i
	if !is(closed, "]") || !is(closed+1, ")") || !is(closed+2, "::") || is(3, "ARRAY") || closed == 3 {
		return text
	}
	for i = closed + 3; i < len(list) && !is(i, "["); i++ {
		if t := list[i]; t.Kind != sqlscan.Word && t.Kind != sqlscan.QuotedIdent && t.Kind != sqlscan.Number && !strings.Contains(".(,)", t.Text) {
			return text
		}
	}
	if !is(i, "[") || !is(i+1, "]") || is(i+2, "[") {
		return text
	}
	kind := text[list[closed+2].Offset:list[i].Offset] // with its ::
	var b strings.Builder
	b.WriteString(text[:at] + "ARRAY[")
	for n, end := range append(commas, list[closed].Offset) {
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString("(" + strings.TrimSpace(text[begin:end]) + ")" + kind)
		begin = end + 1
	}
	b.WriteString(text[list[i+1].Offset:])
	return b.String()
}
