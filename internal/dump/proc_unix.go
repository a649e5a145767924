//go:build unix

package dump

import (
	"os"
	"os/exec"
	"syscall"
)

// group puts the program into a process group of its own, for what is called
// pg_dump may be a script that calls it.
func group(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// kill ends the whole group.
func kill(p *os.Process) error { return syscall.Kill(-p.Pid, syscall.SIGKILL) }
