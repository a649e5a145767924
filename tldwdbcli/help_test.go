package tldwdbcli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/tldw/tldwdb/tldwdbcli"
)

// In another program the examples are that program's.
func TestHelpAsCalled(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "myapp"}
	root.AddCommand(tldwdbcli.New(tldwdbcli.Options{Use: "db"}))
	for _, args := range [][]string{{"db", "check", "--help"}, {"help", "db", "check"}} {
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetArgs(args)
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "  myapp db check -q || echo 'run myapp db up first'\n") || strings.Contains(out.String(), "tldwdb check") {
			t.Errorf("%s:\n%s", args, out.String())
		}
	}
}
