//go:build !unix

package testdb

import (
	"context"
	"errors"
)

// Server is a throwaway database server. This system has none, see [Start].
type Server struct {
	// Engine is what the server is.
	Engine Engine
	// URL names the server and its account.
	URL string
	// AdminURL names an account that may do everything on the server.
	AdminURL string
}

// Start fails on this system: the watchdog that guarantees a server's end is a Unix shell.
func Start(_ context.Context, e Engine) (*Server, error) {
	return nil, &MissingError{Engine: e, Looked: "way to start a private server on this system", Get: "start one yourself"}
}

// StartDurable fails as Start does.
func StartDurable(ctx context.Context, e Engine) (*Server, error) { return Start(ctx, e) }

// StartIn fails as Start does.
func StartIn(ctx context.Context, e Engine, _ string) (*Server, error) { return Start(ctx, e) }

// StartTLS fails as Start does.
func StartTLS(ctx context.Context, e Engine, _ TLSFiles) (*Server, error) { return Start(ctx, e) }

// Crash fails: no server was started.
func (s *Server) Crash(context.Context) error { return errors.ErrUnsupported }

// Restart fails: no server was started.
func (s *Server) Restart(context.Context) error { return errors.ErrUnsupported }

// Stop does nothing: no server was started.
func (s *Server) Stop() error { return errors.ErrUnsupported }

// StartPair fails as Start does.
func StartPair(ctx context.Context, e Engine) (primary, standby *Server, err error) {
	_, err = Start(ctx, e)
	return nil, nil, err
}

// Promote fails: no server was started.
func (*Server) Promote(context.Context) error { return errors.ErrUnsupported }

// Kill fails: no server was started.
func (*Server) Kill() error { return errors.ErrUnsupported }
