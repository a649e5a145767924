//go:build !unix

package tldwdbcli

import (
	"io/fs"
	"os"
)

func folderFS(dir string) fs.FS { return os.DirFS(dir) }
