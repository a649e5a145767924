//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package dialect

import (
	"errors"
	"net"
	"syscall"
)

// silent reports whether nothing has come from the server that was not asked for:
// no farewell, no end of the connection, no notice. It is a look at the socket,
// which takes nothing out of it and does not wait.
func silent(conn net.Conn) bool {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		conn = wrapped.NetConn()
	}
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return errors.Is(err, errors.ErrUnsupported)
	}
	nothing := false
	// Not raw.Read, which would wait for its turn: behind a large write pgx leaves a
	// goroutine in the midst of a read, until the next answer comes.
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		nothing = err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR
	})
	return nothing && err == nil
}
