//go:build unix

package tldwdbcli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// folder is os.DirFS with a quicker way to read whole files. An os.File is made
// ready for waiting by five calls to the system, which a file on disk never needs,
// and a folder may have thousands of them.
type folder struct {
	fs.FS
	dir string
}

func folderFS(dir string) fs.FS { return folder{os.DirFS(dir), dir} }

// ReadDir is part of [fs.ReadDirFS].
func (f folder) ReadDir(name string) ([]fs.DirEntry, error) { return fs.ReadDir(f.FS, name) }

// Stat is part of [fs.StatFS].
func (f folder) Stat(name string) (fs.FileInfo, error) { return fs.Stat(f.FS, name) }

// ReadFile is part of [fs.ReadFileFS].
func (f folder) ReadFile(name string) ([]byte, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	text, err := readFile(filepath.Join(f.dir, name))
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return text, nil
}

// firstRead is what most migrations fit into.
const firstRead = 1024

func readFile(path string) (text []byte, err error) {
	fd, err := again(func() (int, error) { return syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) })
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := syscall.Close(fd); err == nil {
			err = closeErr
		}
	}()
	for text = make([]byte, 0, firstRead); ; {
		if len(text) == cap(text) {
			text = append(text, 0)[:len(text)]
		}
		n, err := again(func() (int, error) { return syscall.Read(fd, text[len(text):cap(text)]) })
		if n <= 0 {
			return text, err
		}
		text = text[:len(text)+n]
	}
}

// again repeats a call to the system that a signal has interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, syscall.EINTR) {
			return n, err
		}
	}
}
