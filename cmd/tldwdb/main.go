// Tldwdb is the command line of package tldwdb: it migrates a database, and looks
// after it. Without --dir it works on TL;DW's own migrations. See package
// tldwdbcli, which is all of it.
package main

import (
	"context"
	"os"
	"runtime/debug"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/migrations"
	"github.com/tldw/tldwdb/tldwdbcli"
	"github.com/tldw/tldwdb/tldwdbs3"
)

func main() {
	// Most commands are over before a first collection would pay: at 16 MB instead of 4.
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400)
	}
	root := tldwdbcli.New(tldwdbcli.Options{Use: "tldwdb", Config: tldwdb.Config{Migrations: migrations.FS}, OpenStore: tldwdbs3.Open, PlanChanges: planChanges, AnyFolder: true})
	root.Version = tldwdb.Version // --version, as everywhere
	root.AddCommand(manCommand(root))
	os.Exit(tldwdbcli.Run(context.Background(), root, os.Args[1:], os.Stdout, os.Stderr))
}
