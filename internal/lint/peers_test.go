package lint

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// peers are rules of other linters, and where they are found here: by their IDs, or by the name in the list of what is no rule.
var peers = []struct{ tool, rules string }{
	{"squawk", `
adding-field-with-default: PG301
adding-foreign-key-constraint: PG201
adding-not-nullable-field: PG204
adding-required-field: PG304
adding-serial-primary-key-field: PG206 PG302
ban-alter-domain-with-add-constraint: PG212
ban-char-field: PG315
ban-concurrent-index-creation-in-transaction: PG103
ban-create-domain-with-constraint: PG212
ban-drop-column: PG308
ban-drop-database: PG401
ban-drop-not-null: PG310
ban-drop-table: PG401
ban-duplicate-column-assignments: PG510
ban-truncate-cascade: PG402
ban-uncommitted-transaction: PG503
changing-column-type: PG305
constraint-missing-not-valid: PG201 PG202
disallowed-unique-constraint: PG205
identifier-too-long: PG505
prefer-bigint-over-int, prefer-bigint-over-smallint, prefer-big-int: PG312
prefer-identity: PG319
prefer-repack: PG404
prefer-robust-stmts: none
prefer-text-field: PG318
prefer-timestamp-tz: PG316
renaming-column, renaming-table: PG309
require-concurrent-index-creation: PG101
require-concurrent-index-deletion: PG102
require-concurrent-partition-detach: PG407
require-concurrent-reindex: PG106
require-enum-value-ordering: PG320
require-table-schema: PG509
require-timeout-settings: none
transaction-nesting: PG503
unused-ignore: GN106
`},
	{"strong_migrations", `
add_check_constraint: PG202 MY106
add_column_auto_incrementing: PG302 MY108
add_column_default: PG301 MY109
add_column_default_callable: PG301
add_column_generated_stored: PG303 MY107
add_column_json: PG311
add_exclusion_constraint: PG207
add_foreign_key: PG201 MY105
add_index: PG101 MY131
add_index_columns: PG108
add_index_corruption: PG105
add_reference: PG101 PG201
add_unique_constraint: PG205
backfilling: PG403 PG501 MY165
change_column: PG305 MY103 MY104
change_column_constraint: PG306
change_column_default: none
change_column_null: PG204 MY136
change_column_with_not_null: PG204 PG305
change_table, execute: none
copy_algorithm, lock_option: MY133
create_table with force: PG401 MY139
remove_column: PG308 MY139 LT124
remove_index: PG102 MY138
rename_column, rename_table, rename_schema: PG309 MY140
rename_enum_value: PG309
validate_check_constraint, validate_foreign_key: PG203
`},
	{"online_migrations", `
drop_table_multiple_foreign_keys: PG208
mismatched_foreign_key_type: PG210
multiple_foreign_keys: PG209
replace_index: PG107
`},
	{"eugene", `
E1: PG201 PG202
E2: PG204
E3: PG311
E4: PG501
E5: PG305
E6: PG101
E7: PG205
E8: PG207
E9: none
E10: PG301
E11: PG302 PG303
W12: PG504
W13: PG314
W14: PG206
E15: PG211
`},
	{"Atlas", `
BC101, BC102: PG309 MY140
CD101: PG208
DS101, DS102: PG401 MY139 LT124
DS103: PG308 MY139 LT124
LT101: LT101
MF101, MF102: none
MF103: PG304 MY101
MY101: MY101
MY102: MY102
MY110 to MY113, MY120 to MY123: MY110 MY111 MY112
NM101 to NM106: none
PG101 to PG105: PG101 PG102 PG103 PG206 PG205
PG110: none
PG301: PG305
PG302: PG301
PG303, PG304: PG204 PG206
PG305, PG306: PG202 PG201
`},
}

// elsewhere is the table of them.
func elsewhere() string {
	var b strings.Builder
	b.WriteString("\n## What it is called elsewhere\n\n| linter | rule | here |\n|---|---|---|\n")
	for _, peer := range peers {
		for line := range strings.Lines(strings.TrimSpace(peer.rules)) {
			name, ids, _ := strings.Cut(strings.TrimSpace(line), ": ")
			links := []string{"no rule: see above"}
			if ids != "none" {
				links = strings.Fields(ids)
				for i, id := range links {
					links[i] = fmt.Sprintf("[%s](%s.md)", id, id)
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s |\n", peer.tool, name, strings.Join(links, ", "))
		}
	}
	return b.String()
}

// What another linter finds is found here, or it is said why not.
func TestPeersRules(t *testing.T) {
	t.Parallel()
	for _, peer := range peers {
		for line := range strings.Lines(strings.TrimSpace(peer.rules)) {
			name, ids, ok := strings.Cut(strings.TrimSpace(line), ": ")
			if !ok {
				t.Errorf("%s %q", peer.tool, line)
			}
			for _, id := range strings.Fields(ids) {
				known := slices.ContainsFunc(all, func(r *rule) bool { return r.id == id })
				if !known && id != "none" {
					t.Errorf("%s %s is %s here, which is no rule", peer.tool, name, id)
				}
			}
		}
	}
}
