package tldwdb_test

import (
	"encoding/json"
	"testing"

	"github.com/tldw/tldwdb"
)

// What stops a run is in the JSON of a status or result as words, not as a Go
// error that encodes to nothing.
func TestDisagreementJSON(t *testing.T) {
	t.Parallel()
	for word, kind := range map[string]error{
		"changed": tldwdb.ErrChanged, "out_of_order": tldwdb.ErrOutOfOrder, "newer": tldwdb.ErrNewer, "missing": tldwdb.ErrMissing, "squashed": tldwdb.ErrSquashed,
	} {
		text, err := json.Marshal(tldwdb.Result{Warnings: []tldwdb.Disagreement{{Kind: kind, Migration: tldwdb.ID{Version: 3, Name: "users"}, Detail: "why"}}})
		if err != nil {
			t.Fatal(err)
		}
		var back struct {
			Warnings []struct {
				Kind, Detail string
				Migration    tldwdb.ID
			}
		}
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatal(err)
		}
		if len(back.Warnings) != 1 || back.Warnings[0].Kind != word || back.Warnings[0].Detail != "why" || back.Warnings[0].Migration.Version != 3 {
			t.Errorf("%s: %s", word, text)
		}
	}
}
