package lazyregexp

import (
	"sync"
	"testing"
)

// An expression is compiled by whoever needs it first, also where several do at once.
func TestCompiledAtFirstUse(t *testing.T) {
	t.Parallel()
	faulty := New(`(`) // costs nothing, and so says nothing
	var all sync.WaitGroup
	word := New(`^(\w+) (\w+)$`)
	for range 8 {
		all.Go(func() {
			if got := word.ReplaceAllString("up down", "$2 $1"); got != "down up" {
				t.Errorf("got %q", got)
			}
		})
	}
	all.Wait()
	defer func() {
		if recover() == nil {
			t.Error("a faulty expression was used without a panic")
		}
	}()
	faulty.MatchString("")
}
