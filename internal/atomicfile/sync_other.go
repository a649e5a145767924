//go:build !windows

package atomicfile

import (
	"errors"
	"os"
)

// syncRoot makes the names in the folder durable.
func syncRoot(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
