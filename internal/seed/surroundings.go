package seed

import (
	"io/fs"
	"maps"
	"slices"
)

// Surroundings says what the values in the files depend on beside them: variables of the
// environment, sorted, with those that name a file instead; and the time. Files that
// cannot be read as seeds depend on nothing: who seeds hears of them.
func Surroundings(fsys fs.FS, dir, dialect string) (variables []string, clock bool, err error) {
	sets, err := Sets(fsys, dir)
	if err != nil {
		return nil, false, err
	}
	names := map[string]bool{}
	for _, name := range sets {
		set, _, err := Read(fsys, dir, name, dialect)
		if err != nil {
			return nil, false, err
		}
		for _, f := range set.Files {
			for _, t := range f.Tables {
				for _, r := range t.Rows {
					for _, v := range r.fields {
						switch v.value.kind {
						case formEnv:
							names[v.value.name], names[v.value.name+"_FILE"] = true, true
						case formNow:
							clock = true
						}
					}
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names)), clock, nil
}
