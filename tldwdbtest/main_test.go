package tldwdbtest

import (
	"cmp"
	"os"
	"testing"
)

// The tests here name every engine, and CI does not have all: what it has to have is
// as with the other tests of this module.
func TestMain(m *testing.M) {
	if os.Getenv("CI") == "true" {
		err := os.Setenv("TLDWDB_TEST_REQUIRE", cmp.Or(os.Getenv("TLDWDB_TEST_REQUIRE"), "sqlite,postgres,mariadb"))
		if err != nil {
			panic(err)
		}
	}
	Main(m)
}
