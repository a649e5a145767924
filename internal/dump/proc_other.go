//go:build !unix

package dump

import (
	"os"
	"os/exec"
)

func group(*exec.Cmd) {}

func kill(p *os.Process) error { return p.Kill() }
