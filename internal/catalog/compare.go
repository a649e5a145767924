package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The ways in which an object can differ, as [Difference.Change] has them.
const (
	Missing    = "missing"    // wanted, and not there
	Unexpected = "unexpected" // there, and not wanted
	Different  = "different"  // there, and not as wanted
)

// Difference is one object in which two catalogs differ.
type Difference struct {
	Kind   string
	Name   string
	Change string // [Missing], [Unexpected] or [Different]
	Want   string // the wanted text
	Got    string // the text that is there
}

// Compare lists the objects in which got differs from want, by kind and name.
// What belongs to a table that is missing or unexpected is not listed by itself.
func Compare(want, got Catalog) []Difference {
	var list []Difference
	for _, w := range want {
		g, found := got.find(w)
		switch {
		case found && g.Text != w.Text:
			list = append(list, Difference{Kind: w.Kind, Name: w.Name, Change: Different, Want: w.Text, Got: g.Text})
		case !found && (!want.has(w.Of) || got.has(w.Of)):
			list = append(list, Difference{Kind: w.Kind, Name: w.Name, Change: Missing, Want: w.Text})
		}
	}
	for _, g := range got {
		if _, found := want.find(g); !found && (!got.has(g.Of) || want.has(g.Of)) {
			list = append(list, Difference{Kind: g.Kind, Name: g.Name, Change: Unexpected, Got: g.Text})
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// Summary says in a line what differs.
func (d Difference) Summary() string {
	switch d.Change {
	case Missing:
		return fmt.Sprintf("%s %s is missing", d.Kind, d.Name)
	case Unexpected:
		return fmt.Sprintf("%s %s is not from the migrations", d.Kind, d.Name)
	}
	return fmt.Sprintf("%s %s is different", d.Kind, d.Name)
}

// String gives the summary, and below it the lines that differ: with a minus
// what is wanted and not there, with a plus what is there and not wanted.
func (d Difference) String() string {
	var b strings.Builder
	b.WriteString(d.Summary())
	for _, l := range diff(lines(d.Want), lines(d.Got)) {
		b.WriteString("\n    " + l)
	}
	return b.String()
}

func lines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// diff lists the lines that are in only one of two texts, each with its sign, in
// the order of the texts. What both begin and end with is set aside first, so
// that the table of common subsequences stays small.
func diff(want, got []string) []string {
	for len(want) > 0 && len(got) > 0 && want[0] == got[0] {
		want, got = want[1:], got[1:]
	}
	for len(want) > 0 && len(got) > 0 && want[len(want)-1] == got[len(got)-1] {
		want, got = want[:len(want)-1], got[:len(got)-1]
	}
	// common[i][k] is the length of the longest common subsequence of want[i:]
	// and got[k:].
	common := make([][]int, len(want)+1)
	for i := range common {
		common[i] = make([]int, len(got)+1)
	}
	for i := len(want) - 1; i >= 0; i-- {
		for k := len(got) - 1; k >= 0; k-- {
			if want[i] == got[k] {
				common[i][k] = common[i+1][k+1] + 1
			} else {
				common[i][k] = max(common[i+1][k], common[i][k+1])
			}
		}
	}
	var list []string
	i, k := 0, 0
	for i < len(want) && k < len(got) {
		switch {
		case want[i] == got[k]:
			i, k = i+1, k+1
		case common[i+1][k] >= common[i][k+1]:
			list = append(list, "- "+want[i])
			i++
		default:
			list = append(list, "+ "+got[k])
			k++
		}
	}
	for _, l := range want[i:] {
		list = append(list, "- "+l)
	}
	for _, l := range got[k:] {
		list = append(list, "+ "+l)
	}
	return list
}
