package lint

import "testing"

// A statement that ends anywhere, or is another dialect's, is judged somehow; no rule may stumble over it.
func TestRulesStandCutStatements(t *testing.T) {
	t.Parallel()
	for _, e := range examples(t) {
		last := e.list[len(e.list)-1]
		text := last.Up
		if text == nil {
			text = last.Down
		}
		for end := 0; end <= len(text.SQL); end += 41 {
			cut := append(e.list[:len(e.list)-1:len(e.list)-1], Migration{Version: 99, Name: "cut", Up: &Text{Path: "cut.sql", SQL: text.SQL[:end]}})
			for _, dialect := range []string{sqlite, postgres, mysql, mariadb} {
				if _, err := Check(cut, dialect, e.config()); err != nil && dialect == e.dialect() {
					t.Fatalf("%s: %v", e.path, err)
				}
			}
		}
	}
}
