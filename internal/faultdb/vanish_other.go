//go:build !linux

package faultdb

import (
	"errors"
	"net"
)

// CanVanish reports whether this system knows how to [Vanish].
const CanVanish = false

func deafen(*net.TCPConn) error { return errors.ErrUnsupported }
