package tldwdb_test

import (
	"testing"

	"github.com/tldw/tldwdb/internal/testdb"
)

func TestMain(m *testing.M) { testdb.Main(m) }
