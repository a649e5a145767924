package tldwdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// planSource makes a source from words: "3" is a version, "3-" one without a
// way back, "3g" a Go migration, "R:a" a repeatable one. A word may carry its
// text behind "=": the checksum follows from it.
func planSource(words string) *source {
	s := &source{}
	for _, w := range strings.Fields(words) {
		w, text, _ := strings.Cut(w, "=")
		m := &migration{id: planWord(w), up: &script{file: w, checksum: "sum " + text}, down: &script{file: w + ".down"}}
		switch {
		case strings.HasSuffix(w, "-"):
			m.down = nil
		case strings.HasSuffix(w, "g"):
			m.up, m.down = nil, nil
			m.code = &GoMigration{Up: func(context.Context, Conn) error { return nil }}
		}
		s.migrations = append(s.migrations, m)
	}
	slices.SortFunc(s.migrations, func(a, b *migration) int { return compareIDs(a.id, b.id) })
	return s
}

func planWord(word string) ID {
	if name, ok := strings.CutPrefix(word, "R:"); ok {
		return ID{Name: name, Repeatable: true}
	}
	version, err := strconv.ParseInt(strings.TrimRight(word, "-g"), 10, 64)
	if err != nil {
		panic(err)
	}
	return ID{Version: version, Name: "m"}
}

// planHistory makes a history from words: "3" is applied; "3!baseline",
// "3!running", "3!failed" and "3!down" (being taken back) are not simply that.
// "=" is as above, and "=-" says that there is no checksum.
func planHistory(words string) *history {
	h := &history{}
	for _, w := range strings.Fields(words) {
		w, text, _ := strings.Cut(w, "=")
		r := row{state: stateApplied, direction: DirectionUp, checksum: "sum " + text}
		if text == "-" { // a Go migration's row
			r.checksum = ""
		}
		w, mark, _ := strings.Cut(w, "!")
		switch mark {
		case "baseline":
			r.state = stateBaseline
		case "running":
			r.state = stateRunning
		case "failed":
			r.state = stateFailed
		case "down":
			r.state, r.direction = stateRunning, DirectionDown
		}
		r.id = planWord(w)
		h.rows = append(h.rows, r)
	}
	slices.SortFunc(h.rows, func(a, b row) int { return compareIDs(a.id, b.id) })
	return h
}

func planText(steps []step) string {
	words := make([]string, len(steps))
	for i, s := range steps {
		id := strconv.FormatInt(s.id.Version, 10)
		if s.id.Repeatable {
			id = "R:" + s.id.Name
		}
		words[i] = fmt.Sprintf("%s %s(%s)", s.direction, id, s.reason)
	}
	return strings.Join(words, ", ")
}

func TestDecide(t *testing.T) {
	t.Parallel()
	kinds := map[string]error{"changed": ErrChanged, "out-of-order": ErrOutOfOrder, "newer": ErrNewer, "missing": ErrMissing, "unknown": ErrUnknownVersion}
	up, down, redo, base := Request{Goal: GoalUp}, Request{Goal: GoalDown}, Request{Goal: GoalRedo}, Request{Goal: GoalBase}
	to := func(v int64) Request { return Request{Goal: GoalVersion, Version: v} }
	for _, c := range []struct {
		source, history string
		req             Request
		opt             planOptions
		want            string // steps
		warn            string // kinds of the disagreements that do not stop the run
		err             string // kinds in the error
	}{
		// Up.
		{source: "", history: "", req: up},
		{source: "1 2 R:a", history: "", req: Request{}, want: "up 1(pending), up 2(pending), up R:a(pending)"},
		{source: "1 2 3", history: "1", req: up, want: "up 2(pending), up 3(pending)"},
		{source: "0 1", history: "", req: up, want: "up 0(pending), up 1(pending)"},
		{source: "0 1", history: "0", req: up, want: "up 1(pending)"},
		{source: "1 2", history: "1 2", req: up},
		{source: "1 2 3", history: "1!baseline 2!baseline", req: up, want: "up 3(pending)"},
		{source: "1 2g 3", history: "1 2=-", req: up, want: "up 3(pending)"},
		{source: "1 2 R:a", history: "", req: Request{Goal: GoalUp, Steps: 1}, want: "up 1(pending)"},
		{source: "1 2 R:a", history: "1", req: Request{Goal: GoalUp, Steps: 1}, want: "up 2(pending), up R:a(pending)"},
		// Repeatable.
		{source: "1 R:a=new R:b", history: "1 R:a=old R:b", req: up, want: "up R:a(changed)"},
		{source: "1", history: "1 R:gone", req: up},
		{source: "1 R:a=new", history: "1 R:a!failed=old", req: up, want: "up R:a(interrupted)"},
		// Disagreements.
		{source: "1=new 2", history: "1=old", req: up, err: "changed"},
		{source: "1=new", history: "1!baseline=old", req: up, err: "changed"},
		{source: "1=new 2", history: "1=-", req: up, want: "up 2(pending)"},
		{source: "1 2 3", history: "1 3", req: up, err: "out-of-order"},
		{source: "1 2 3", history: "1 3", req: up, opt: planOptions{outOfOrder: true}, want: "up 2(pending)", warn: "out-of-order"},
		{source: "1 2 3", history: "1 3", req: up, opt: planOptions{outOfOrder: true, strict: true}, want: "up 2(pending)", warn: "out-of-order"},
		{source: "1 2", history: "1 2 3", req: up, warn: "newer"},
		{source: "1 2", history: "1 2 3", req: up, opt: planOptions{strict: true}, err: "newer"},
		{source: "", history: "1", req: up, warn: "newer"},
		{source: "1 3", history: "1 2 3", req: up, warn: "missing"},
		{source: "1 3", history: "1 2 3", req: up, opt: planOptions{strict: true}, err: "missing"},
		{source: "1=x 2 4 6", history: "1 3 4 9", req: up, err: "changed missing newer out-of-order out-of-order"},
		// Down.
		{source: "1 2", history: "", req: down},
		{source: "1 2 3", history: "1 2", req: down, want: "down 2(requested)"},
		{source: "1 2 3 R:a", history: "1 2 3 R:a", req: Request{Goal: GoalDown, Steps: 2}, want: "down 3(requested), down 2(requested)"},
		{source: "1 2", history: "1 2", req: Request{Goal: GoalDown, Steps: 9}, want: "down 2(requested), down 1(requested)"},
		{source: "1", history: "1 2", req: down, want: "down 2(requested)", warn: "newer"},
		{source: "1 2=new", history: "1 2=old", req: down, want: "down 2(requested)", warn: "changed"},
		{source: "0 1", history: "0 1", req: base, want: "down 1(requested), down 0(requested)"},
		{source: "1 2", history: "", req: base},
		// Redo.
		{source: "1 2 3 R:a", history: "1 2 R:a", req: redo, want: "down 2(requested), up 2(pending)"},
		{source: "1 2 3", history: "1 2 3", req: Request{Goal: GoalRedo, Steps: 2}, want: "down 3(requested), down 2(requested), up 2(pending), up 3(pending)"},
		{source: "1 2", history: "", req: redo},
		{source: "1 2=new", history: "1 2=old", req: redo, err: "changed"},
		// To a version.
		{source: "1 2 3 R:a", history: "1", req: to(2), want: "up 2(pending)"},
		{source: "1 2 3 R:a", history: "1", req: to(3), want: "up 2(pending), up 3(pending), up R:a(pending)"},
		{source: "1 2 3", history: "1 2 3", req: to(1), want: "down 3(requested), down 2(requested)"},
		{source: "1 2 3", history: "1 2 3", req: to(3)},
		{source: "1 3", history: "1 2 3", req: to(2), want: "down 3(requested)", warn: "missing"},
		{source: "1 2 3", history: "1", req: to(4), err: "unknown"},
		{source: "1 2 3", history: "", req: to(0), err: "unknown"},
		// What was interrupted comes first, in its own direction.
		{source: "1 2 3", history: "1 2!running", req: up, want: "up 2(interrupted), up 3(pending)"},
		{source: "1 2 3", history: "1 2!failed=old", req: up, want: "up 2(interrupted), up 3(pending)"},
		{source: "1 2 3", history: "1 2 3!down", req: up, want: "down 3(interrupted), up 3(pending)"},
		{source: "1 2 3", history: "1 2!running", req: down, want: "up 2(interrupted), down 2(requested)"},
		{source: "1 2 3", history: "1 2 3!down", req: down, want: "down 3(interrupted)"},
		{source: "1 2 3", history: "1 2 3!down", req: Request{Goal: GoalDown, Steps: 2}, want: "down 3(interrupted), down 2(requested)"},
		{source: "1 2 3", history: "1 2 3!down", req: base, want: "down 3(interrupted), down 2(requested), down 1(requested)"},
		{source: "1 2 3", history: "1 2 3!down", req: to(1), want: "down 3(interrupted), down 2(requested)"},
		{source: "1 2 3", history: "1 2 3!down", req: redo, want: "down 3(interrupted), up 3(pending)"},
	} {
		name := fmt.Sprintf("[%s] on [%s] %s %d %d %v", c.source, c.history, c.req.Goal, c.req.Steps, c.req.Version, c.opt)
		steps, disagreements, err := decide(planSource(c.source), planHistory(c.history), c.req, c.opt)
		for _, kind := range strings.Fields(c.err) {
			if !errors.Is(err, kinds[kind]) {
				t.Errorf("%s: error %v, want %s", name, err, kind)
			}
		}
		var list *HistoryError
		if errors.As(err, &list) && len(list.Problems) != len(strings.Fields(c.err)) {
			t.Errorf("%s: the error has %d lines, want %s:\n%v", name, len(list.Problems), c.err, err)
		}
		if err != nil && c.err == "" {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && c.err != "" {
			t.Errorf("%s: no error, want %s", name, c.err)
		}
		if got := planText(steps); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
		var warned []string
		for _, d := range disagreements {
			for kind, sentinel := range kinds {
				if errors.Is(d.Kind, sentinel) {
					warned = append(warned, kind)
				}
			}
		}
		if got := strings.Join(warned, " "); got != c.warn {
			t.Errorf("%s: warnings %q, want %q", name, got, c.warn)
		}
	}
	if _, _, err := decide(planSource("1"), planHistory(""), Request{Goal: "sideways"}, planOptions{}); err == nil {
		t.Error("an unknown goal is no error")
	}
}

// TestPlanID holds that an ID stands for the steps, their texts and the rows
// that they were decided from.
func TestPlanID(t *testing.T) {
	t.Parallel()
	id := func(src, hist string, req Request) string {
		h := planHistory(hist)
		steps, _, err := decide(planSource(src), h, req, planOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return planID(steps, h)
	}
	first := id("1 2=a", "1", Request{})
	if again := id("1 2=a", "1", Request{Goal: GoalUp}); again != first {
		t.Error("the same plan has two IDs")
	}
	seen := map[string]string{first: "the first"}
	for _, c := range [][2]string{{"1 2=b", "1"}, {"1 2=a 3", "1"}, {"1 2=a", ""}, {"1 2=a", "1!baseline"}, {"1 2=a", "1 2!running=a"}} {
		got := id(c[0], c[1], Request{})
		if other, twice := seen[got]; twice {
			t.Errorf("%v has the ID of %s", c, other)
		}
		seen[got] = fmt.Sprint(c)
	}
}

func TestHistoryAfter(t *testing.T) {
	t.Parallel()
	h := planHistory("1 2 R:a")
	for _, c := range []struct {
		id        ID
		direction Direction
		want      int64
	}{
		{ID{Version: 3}, DirectionUp, 3},
		{ID{Version: 3}, DirectionDown, 2},
		{ID{Name: "a", Repeatable: true}, DirectionUp, 2},
		{ID{Version: 1}, DirectionDown, 2},
		{ID{Version: 2}, DirectionDown, 0},
	} {
		if got := h.after(c.id, c.direction); got != c.want {
			t.Errorf("after %s %s the version is %d, want %d", c.direction, c.id, got, c.want)
		}
	}
}
