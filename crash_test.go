package tldwdb_test

import (
	"context"

	"github.com/tldw/tldwdb"
)

func haltingPool(ctx context.Context, j job) (*tldwdb.DB, error) { return tldwdb.Open(ctx, j.config()) }
