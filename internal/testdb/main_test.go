package testdb

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
)

// TestMain also plays the process that starts a server and is then killed.
func TestMain(m *testing.M) {
	if e := os.Getenv("TLDWDB_TESTDB_START"); e != "" {
		s, err := Start(context.Background(), Engine(e))
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(s.URL)
		fmt.Println(folderOf(s))
		_, _ = io.Copy(io.Discard, os.Stdin) // until the parent ends, if it does not kill us
		os.Exit(0)
	}
	Main(m)
}
