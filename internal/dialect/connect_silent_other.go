//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package dialect

import "net"

// silent cannot look at a socket here: a connection is tested by a round trip
// alone, after a second unused.
func silent(net.Conn) bool { return true }
