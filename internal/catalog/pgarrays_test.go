package catalog

import "testing"

// Both forms of one condition are shown as one, and nothing else is touched.
func TestPostgresArrays(t *testing.T) {
	t.Parallel()
	for was, want := range map[string]string{
		"CHECK (((a)::text = ANY ((ARRAY['x'::character varying, 'y,]'::character varying])::text[])))": "CHECK (((a)::text = ANY (ARRAY[('x'::character varying)::text, ('y,]'::character varying)::text])))",
		"((ARRAY[f(a, b), c])::numeric(9,2)[])":                                                         "(ARRAY[(f(a, b))::numeric(9,2), (c)::numeric(9,2)])",
		`(ARRAY[a])::"Odd".mood[] || (ARRAY[b])::timestamp with time zone[]`:                            `ARRAY[(a)::"Odd".mood] || ARRAY[(b)::timestamp with time zone]`,
		"(ARRAY[g((ARRAY[a, b])::text[])])::text[]":                                                     "ARRAY[(g(ARRAY[(a)::text, (b)::text]))::text]",
		"(ARRAY[ARRAY[1, 2], ARRAY[3, 4]])::text[]":                                                     "",
		"(ARRAY[a, b] || c)": "",
		"(ARRAY[a, b])":      "",
		"(ARRAY[a, b])::x":   "",
		"(ARRAY[":            "",
		"AS $$ SELECT (ARRAY['x'::character varying])::text[] $$": "",
		"'(ARRAY[a])::text[]'": "",
	} {
		if want == "" {
			want = was
		}
		if got := pgArrays(was); got != want {
			t.Errorf("%s\n gives %s\n want  %s", was, got, want)
		}
		if again := pgArrays(want); again != want {
			t.Errorf("%s\n gives %s another time", want, again)
		}
	}
}
