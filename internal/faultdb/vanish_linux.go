package faultdb

import (
	"errors"
	"net"
	"syscall"
)

// CanVanish reports whether this system knows how to [Vanish].
const CanVanish = true

// deafen makes the kernel drop every packet that arrives for the socket, before it could acknowledge
// it.
func deafen(c *net.TCPConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	drop := []syscall.SockFilter{{Code: syscall.BPF_RET | syscall.BPF_K, K: 0}}
	var attached error
	err = raw.Control(func(fd uintptr) { attached = syscall.AttachLsf(int(fd), drop) }) //nolint:staticcheck // its successor is in a module of its own
	return errors.Join(err, attached)
}
