// Tldwdb is the command line of package tldwdb: it migrates a database, and looks
// after it. Without --dir it works on TL;DW's own migrations. See package
// tldwdbcli, which is all of it.
package main

import (
	"context"
	"os"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/migrations"
	"github.com/tldw/tldwdb/tldwdbcli"
)

func main() {
	root := tldwdbcli.New(tldwdbcli.Options{Use: "tldwdb", Config: tldwdb.Config{Migrations: migrations.FS}})
	root.Version = tldwdb.Version // --version, as everywhere
	root.AddCommand(manCommand(root))
	os.Exit(tldwdbcli.Run(context.Background(), root, os.Args[1:], os.Stdout, os.Stderr))
}
