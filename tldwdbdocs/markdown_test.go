package tldwdbdocs

import "testing"

// What stands for a type or a name is a word to Mermaid, and no key.
func TestAttribute(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"id": "id", "a b": "a_b", "numeric(10,2)[]": "numeric(10_2)[]", "1a": "_1a", "": "_", "_x": "__x",
		"größe": "größe", "ü": "ü", "名前": "名前", "x😀": "x_",
		"pk": "_pk", "FK": "_FK", "uk-id": "_uk-id", "pkey": "pkey", "pk_id": "pk_id",
	} {
		if got := attribute(name); got != want {
			t.Errorf("%q is %q, want %q", name, got, want)
		}
	}
}
