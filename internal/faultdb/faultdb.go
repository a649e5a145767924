// Package faultdb stands between a client and a PostgreSQL, MySQL or MariaDB server and lets one
// thing go wrong at one message. Messages are counted over all connections of a run, so that the
// same run meets the same fault at the same place again.
//
//	proxy, through := faultdb.Through(t, db.URL, faultdb.Fault{From: faultdb.Server, At: 17, Kind: faultdb.Reset})
//
// What a fault looks like from both ends is what the kinds say. A process that is killed, a host
// that loses its power, a firewall that forgets a connection and a slow network are different
// things to a server: it learns of the first at once, of the next two after its keepalives, if
// ever, and of the last not at all.
package faultdb

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	"github.com/tldw/tldwdb/internal/wiretap"
)

// TB is the part of testing.TB that a proxy needs.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Side is one end of a connection.
type Side int

// The sides.
const (
	Client Side = iota
	Server
)

// String names the side.
func (s Side) String() string { return [...]string{"client", "server"}[s] }

// Kind is what goes wrong.
type Kind int

const (
	// Pass lets the message through: only Fault.Call happens.
	Pass Kind = iota
	// Reset loses the message and resets the connection, both ways, as a host does that has no such
	// connection (any more).
	Reset
	// Close loses the message and ends the connection in good order, both ways.
	Close
	// Heard delivers the message, and then closes the connection both ways: whoever got it has nobody
	// to answer.
	Heard
	// Delay holds the message, and what comes behind it, back for Fault.For.
	Delay
	// Silence loses the message and all that follows it in both directions, while the connection stays
	// open on both sides, as behind a firewall that has forgotten it. Neither side learns of the
	// other's end before the proxy is closed.
	Silence
	// Vanish delivers the message, which is the last that is heard of a host that has lost its power:
	// what comes to it, it does not even acknowledge, and so the other side learns of it from its own
	// timeouts. It needs Linux, see [CanVanish].
	Vanish
)

// Fault is what goes wrong, and when. The zero value never happens.
type Fault struct {
	// From is whose messages are counted.
	From Side
	// At is the number of the message, from 1; 0 is never.
	At int
	// Kind is what happens to the connection that the message is on.
	Kind Kind
	// All makes it happen to every connection, and to those that are tried later: the network is gone,
	// or the client's process is.
	All bool
	// For is how long a Delay takes.
	For time.Duration
	// Call is called first, if it is set, before the message is delivered or lost. Connections that
	// shall be silent are so by then.
	Call func()
}

// Proxy stands on a loopback port of its own and passes messages on to one server.
type Proxy struct {
	target   string
	postgres bool
	fault    Fault
	tb       TB
	listener net.Listener
	wg       sync.WaitGroup
	done     chan struct{} // closed with the proxy
	once     sync.Once

	mu       sync.Mutex
	counts   [2]int
	happened bool
	gone     bool // All has happened
	links    map[*link]struct{}
	closed   bool
}

// Through starts a proxy to the server that a database URL names, with a fault in it, and returns the
// URL that leads through it. The proxy ends with the test.
func Through(tb TB, rawURL string, f Fault) (*Proxy, string) {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Port() == "" {
		tb.Fatalf("faultdb: the URL names no host and port")
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("faultdb: %v", err)
	}
	p := &Proxy{
		target: u.Host, postgres: u.Scheme == "postgres" || u.Scheme == "postgresql", fault: f, tb: tb,
		listener: listener, done: make(chan struct{}), links: map[*link]struct{}{},
	}
	p.wg.Go(p.accept)
	tb.Cleanup(p.Close)
	u.Host = listener.Addr().String()
	return p, u.String()
}

// Messages is how many messages each side has sent so far. With a fault that never happens it says
// where faults can be.
func (p *Proxy) Messages() (client, server int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts[Client], p.counts[Server]
}

// Happened reports whether the message that the fault waits for has come.
func (p *Proxy) Happened() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.happened
}

// Close ends all connections, silent ones too, and takes no new ones. It may be called more than
// once.
func (p *Proxy) Close() {
	p.once.Do(func() {
		close(p.done)
		_ = p.listener.Close() // nothing else could fail
		p.mu.Lock()
		p.closed = true
		for l := range p.links {
			l.end(false)
		}
		p.mu.Unlock()
	})
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// link is one client's connection.
type link struct {
	proxy *Proxy
	ends  [2]net.Conn // by Side; the server's is nil where nothing gets through
	mute  bool        // guarded by the proxy's mutex
	once  sync.Once
}

// end closes both sides; hard is with a reset.
func (l *link) end(hard bool) {
	l.once.Do(func() {
		for _, c := range l.ends {
			if c == nil {
				continue
			}
			if tcp, ok := c.(*net.TCPConn); ok && hard {
				_ = tcp.SetLinger(0) // the peer has closed already: no need to
			}
			_ = c.Close() // the peer may have been first
		}
	})
}

func (p *Proxy) serve(client net.Conn) {
	l := &link{proxy: p, ends: [2]net.Conn{Client: client}}
	p.mu.Lock()
	refused := p.closed || p.gone && p.fault.Kind != Silence && p.fault.Kind != Vanish
	l.mute = p.gone
	p.mu.Unlock()
	if !refused && !l.mute {
		var dialer net.Dialer
		server, err := dialer.DialContext(context.WithoutCancel(p.tb.Context()), "tcp", p.target)
		if err == nil {
			l.ends[Server] = server
		}
		refused = err != nil
	}
	p.mu.Lock()
	refused = refused || p.closed || p.gone && !l.mute // it may have happened meanwhile
	if !refused {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if refused {
		l.end(true)
		return
	}
	if l.ends[Server] == nil {
		<-p.done // taken, and never answered
	} else {
		var both sync.WaitGroup
		both.Go(func() { l.pump(Client) })
		both.Go(func() { l.pump(Server) })
		both.Wait()
	}
	p.mu.Lock()
	mute := l.mute && !p.closed
	p.mu.Unlock()
	if mute {
		<-p.done
	}
	l.end(false)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pump passes one side's messages on until a side ends.
func (l *link) pump(from Side) {
	r := bufio.NewReaderSize(l.ends[from], 1<<16)
	to := l.ends[1-from]
	for first := true; ; first = false {
		message, err := l.read(r, from, first)
		if err == nil {
			err = l.pass(from, message, to)
		}
		if err == nil {
			continue
		}
		if !ended(err) {
			l.proxy.tb.Errorf("faultdb: %v", err)
		}
		l.proxy.mu.Lock()
		mute := l.mute
		l.proxy.mu.Unlock()
		if !mute { // the other side of a silent connection does not hear of this end
			l.end(false)
		}
		return
	}
}

// errStruck ends a pump whose connection the fault has ended.
var errStruck = errors.New("the fault has struck")

// ended tells the ways in which connections end from faults of the proxy itself.
func ended(err error) bool {
	_, isNet := errors.AsType[*net.OpError](err)
	return isNet || errors.Is(err, errStruck) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// requestTLS is in the place of a protocol version when a PostgreSQL client asks for TLS.
const requestTLS = 80877103

// read reads one message whole.
func (l *link) read(r *bufio.Reader, from Side, first bool) ([]byte, error) {
	if !l.proxy.postgres {
		return wiretap.MySQLMessage(r)
	}
	if from == Server || !first {
		return wiretap.PostgresMessage(r, 1)
	}
	message, err := wiretap.PostgresMessage(r, 0)
	if err == nil && len(message) == 8 && binary.BigEndian.Uint32(message[4:]) == requestTLS {
		return nil, errors.New("the client asks for TLS, and no message could be told from another")
	}
	return message, err
}

// pass counts a message, and delivers it unless the fault wants otherwise.
func (l *link) pass(from Side, message []byte, to net.Conn) error {
	p := l.proxy
	p.mu.Lock()
	p.counts[from]++
	now := !p.happened && p.fault.From == from && p.fault.At == p.counts[from]
	p.happened = p.happened || now
	mute := l.mute
	p.mu.Unlock()
	if !now {
		if mute {
			return nil
		}
		_, err := to.Write(message)
		return err
	}
	if p.fault.Kind == Silence || p.fault.Kind == Vanish {
		p.affected(l, p.silence)
	}
	if p.fault.Call != nil {
		p.fault.Call()
	}
	switch p.fault.Kind {
	case Pass, Vanish:
	case Delay:
		timer := time.NewTimer(p.fault.For)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.done:
		}
	case Silence:
		return nil
	case Heard:
		p.affected(l, func(o *link) { o.mute = true }) // the answer may be quick
		if _, err := to.Write(message); err != nil {
			return err
		}
		p.affected(l, func(o *link) { o.end(false) })
		return errStruck
	default:
		p.affected(l, func(o *link) { o.end(p.fault.Kind == Reset) })
		return errStruck
	}
	_, err := to.Write(message)
	return err
}

// silence makes a connection mute, and deaf as well where its host is to vanish.
func (p *Proxy) silence(l *link) {
	l.mute = true
	for _, c := range l.ends {
		if tcp, ok := c.(*net.TCPConn); ok && p.fault.Kind == Vanish {
			if err := deafen(tcp); err != nil {
				p.tb.Errorf("faultdb: %v", err)
			}
		}
	}
}

// affected does something to the connections that the fault is about.
func (p *Proxy) affected(here *link, do func(*link)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.fault.All {
		do(here)
		return
	}
	p.gone = true
	for l := range p.links {
		do(l)
	}
}
