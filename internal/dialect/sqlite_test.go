package dialect

import "testing"

func TestSQLiteStatements(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text  string
		class Class
	}{
		{"INSERT INTO t VALUES (1)", ClassData},
		{"CREATE /* temp */ TABLE temp_one (id int)", ClassSchema},
		{"CREATE -- why\n TEMP TABLE t (id int)", ClassTemporary},
		{"create temporary view v as select 1", ClassTemporary},
		{"CREATE TRIGGER t AFTER INSERT ON a BEGIN SELECT 1; END", ClassSchema},
		{"ALTER TABLE t RENAME TO u", ClassSchema},
		{"PRAGMA foreign_keys=OFF", ClassSession},
		{"ATTACH 'x.db' AS x", ClassSession},
		{"VACUUM", ClassRepeatable},
		{"BEGIN TRANSACTION", ClassTransaction},
		{"END", ClassTransaction},
		{"SAVEPOINT s", ClassTransaction},
	} {
		d := &sqlite{}
		if got := d.Class(one(t, d, c.text)); got != c.class {
			t.Errorf("%s: class %d, want %d", c.text, got, c.class)
		}
	}
}
