// Package migrations holds TL;DW's own schema, and is the folder to copy for a
// schema of your own.
//
// There is one folder for each dialect and nothing beside them: the table is
// called user, which PostgreSQL reserves and so must quote, in a way that MySQL
// does not read. MariaDB reads the files of MySQL. A file that suits every
// dialect would stand here, beside this one.
//
// The files make what the Flask application's models make by create_all() or
// by flask db upgrade, down to the names that the server gives the unique keys.
// Such a database is adopted by tldwdb's Baseline: at version 2, or at version 1
// when its user table has no selected_playlist_id yet.
package migrations

import "embed"

// FS has the migrations of every dialect, for tldwdb.Config.Migrations.
//
//go:embed sqlite postgres mysql
var FS embed.FS
