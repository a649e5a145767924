// Package wiretap counts what a database client really does on the wire. A test puts a [Proxy]
// between the client and a PostgreSQL or MySQL server and asks afterwards how many connections
// were made, how often the client waited for an answer, and which statements it sent. Wall time
// says little on a busy machine, and the driver's own view leaves out what the driver does.
//
// A round trip is a turn of the client: it sends after it was answered (or first speaks), and the
// server must read that before anything can go on. What a client sends while it still owes the
// end of a request belongs to the same turn, and farewells that nobody answers count for nothing.
// Trips are told apart by start-up and after: start-up ends on PostgreSQL with the first
// ReadyForQuery, in the MySQL protocol with the OK that ends authentication.
//
// Which protocol is spoken shows by who speaks first: a MySQL server greets its client, a
// PostgreSQL server waits. TLS and MySQL's compression would hide the messages: PostgreSQL
// clients are told that there is no TLS here, and a MySQL client that uses either fails the test, so
// that no count is silently wrong.
package wiretap

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// TB is the part of testing.TB that a proxy needs.
type TB interface {
	Helper()
	Context() context.Context
	Cleanup(func())
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Counts is what passed through the proxy since it was made or reset.
type Counts struct {
	// Connections counts those opened. A PostgreSQL cancel request is counted in Cancels instead:
	// it is a connection of its own that carries nothing else.
	Connections, Cancels int
	// Startup and After are the round trips of all connections together.
	Startup, After int
	// PerConnection has one entry per connection that was opened or used, in the order of opening.
	PerConnection []ConnectionCounts
}

// ConnectionCounts are the round trips of one connection.
type ConnectionCounts struct {
	// Startup ends when the server first lets the client ask for something; After follows.
	Startup, After int
}

// Turn is one round trip that is about to begin.
type Turn struct {
	// Connection counts from 1 in the order of opening, Number from 1 within the connection.
	// Neither begins again after a Reset.
	Connection, Number int
	// Startup says that the connection is still being set up.
	Startup bool
	// Statement is the text, where the turn begins with a message that has one.
	Statement string
}

// Verdict is what becomes of a turn.
type Verdict int

const (
	// Pass lets the turn happen.
	Pass Verdict = iota
	// CutBefore closes the connection on both sides before the server sees the message.
	CutBefore
	// CutAfter lets the server have the message, and closes the connection when it begins to
	// answer: the work is done and the client does not know.
	CutAfter
)

// Proxy stands on a loopback port of its own and passes everything on to one server.
type Proxy struct {
	target   string
	listener net.Listener
	tb       TB
	wg       sync.WaitGroup

	mu         sync.Mutex
	sessions   []*session // listed: opened or used since the last Reset
	opened     int        // ever
	connected  int        // since the last Reset, as is cancels
	cancels    int
	statements []string
	latency    time.Duration
	hook       func(Turn) Verdict
	told       func(statement string)
	open       map[net.Conn]struct{}
	closed     bool
}

// New starts a proxy to the server at target, a host:port. It ends with the test, and with it all
// connections through it.
func New(tb TB, target string) *Proxy {
	tb.Helper()
	var lc net.ListenConfig
	listener, err := lc.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("wiretap: %v", err)
	}
	p := &Proxy{target: target, listener: listener, tb: tb, open: map[net.Conn]struct{}{}}
	p.wg.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Through starts a proxy to the server that a database URL names, and returns the URL that leads
// through it.
func Through(tb TB, rawURL string) (*Proxy, string) {
	tb.Helper()
	u, err := url.Parse(rawURL)
	if err != nil || u.Port() == "" {
		tb.Fatalf("wiretap: the URL names no host and port")
	}
	p := New(tb, u.Host)
	u.Host = p.Addr()
	return p, u.String()
}

// Addr is the host:port for the client to connect to.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Counts returns the figures so far. A message is counted before it is passed on, so what a client
// has an answer to is counted.
func (p *Proxy) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := Counts{Connections: p.connected, Cancels: p.cancels}
	for _, s := range p.sessions {
		c.PerConnection = append(c.PerConnection, s.counts)
		c.Startup += s.counts.Startup
		c.After += s.counts.After
	}
	return c
}

// Statements returns the texts that clients sent to be run or prepared, in the order of arrival:
// PostgreSQL's Query and Parse, MySQL's COM_QUERY and COM_STMT_PREPARE.
func (p *Proxy) Statements() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.statements)
}

// Reset sets all figures to zero. Connections stay open; their next turns are counted again.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected, p.cancels = 0, 0
	for _, s := range p.sessions {
		s.counts = ConnectionCounts{}
	}
	p.statements, p.sessions = nil, nil
}

// SetLatency delays every turn by d from now on, as a server far away would. Zero is the default.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// Tell makes the proxy call f with the text of each statement before the server sees
// it, also of those that come behind another in one turn.
func (p *Proxy) Tell(f func(statement string)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = f
}

// SetHook asks f from now on, before each turn, what is to become of it. f may be called from
// several connections at once, and may block to hold a turn back; nil ends it.
func (p *Proxy) SetHook(f func(Turn) Verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = f
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return // closed
		}
		if p.track(client) {
			p.wg.Go(func() { p.serve(client) })
		}
	}
}

// track notes a connection to be closed with the proxy; false means that it is closed already.
func (p *Proxy) track(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = c.Close() // nobody uses it
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) close() {
	_ = p.listener.Close() // a second close is all that could fail
	p.mu.Lock()
	p.closed = true
	for c := range p.open {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// session is one client's connection.
type session struct {
	proxy          *Proxy
	client, server net.Conn
	number         int
	once           sync.Once

	// Guarded by the proxy's mutex.
	counts   ConnectionCounts // since the last Reset
	turns    int
	startup  bool
	answered bool // the server has sent something since the client's last turn began
	cutting  bool // the next answer is not to reach the client
}

func (p *Proxy) serve(client net.Conn) {
	var dialer net.Dialer
	server, err := dialer.DialContext(context.WithoutCancel(p.tb.Context()), "tcp", p.target)
	if err != nil {
		_ = client.Close() // what a client sees of a server that is not there
		return
	}
	s := &session{proxy: p, client: client, server: server, startup: true, answered: true}
	if !p.track(server) {
		return // the proxy is closed, and the client with it
	}
	p.mu.Lock()
	p.opened++
	p.connected++
	s.number = p.opened
	p.sessions = append(p.sessions, s)
	p.mu.Unlock()

	if err := s.run(); err != nil && !ended(err) {
		p.tb.Errorf("wiretap: connection %d: %v", s.number, err)
	}
	s.cut()
	p.mu.Lock()
	delete(p.open, client)
	delete(p.open, server)
	p.mu.Unlock()
}

// run finds out who speaks first, and passes messages on in both directions until one side ends.
func (s *session) run() error {
	fromClient, fromServer := bufio.NewReaderSize(s.client, 1<<16), bufio.NewReaderSize(s.server, 1<<16)
	var (
		first sync.Once
		speak protocol
		wg    sync.WaitGroup
		fault [2]error
	)
	relay := func(i int, from *bufio.Reader, mine protocol, pass func(protocol) error) {
		defer s.cut() // ends the other direction as well
		if _, fault[i] = from.Peek(1); fault[i] == nil {
			first.Do(func() { speak = mine })
			fault[i] = pass(speak)
		}
	}
	wg.Go(func() {
		relay(0, fromClient, postgres{}, func(w protocol) error { return w.fromClient(s, fromClient) })
	})
	wg.Go(func() {
		relay(1, fromServer, mysql{}, func(w protocol) error { return w.fromServer(s, fromServer) })
	})
	wg.Wait()
	if ended(fault[0]) {
		return fault[1]
	}
	return fault[0]
}

// turn begins a round trip, which may end the connection instead.
func (s *session) turn(statement string) error {
	p := s.proxy
	p.mu.Lock()
	if !slices.Contains(p.sessions, s) {
		p.sessions = append(p.sessions, s) // used again after a Reset
	}
	s.turns++
	s.answered = false
	if s.startup {
		s.counts.Startup++
	} else {
		s.counts.After++
	}
	t := Turn{Connection: s.number, Number: s.turns, Startup: s.startup, Statement: statement}
	latency, hook := p.latency, p.hook
	p.mu.Unlock()
	if latency > 0 {
		time.Sleep(latency) // what is simulated, not what is waited for
	}
	if hook == nil {
		return nil
	}
	switch hook(t) {
	case CutBefore:
		return errCut
	case CutAfter:
		p.mu.Lock()
		s.cutting = true
		p.mu.Unlock()
	}
	return nil
}

// note keeps a statement's text, and tells whoever wants to know.
func (s *session) note(statement string) {
	s.proxy.mu.Lock()
	s.proxy.statements = append(s.proxy.statements, statement)
	told := s.proxy.told
	s.proxy.mu.Unlock()
	if told != nil {
		told(statement)
	}
}

// answer is called before bytes of the server go to the client. ready ends the start-up.
func (s *session) answer(ready bool) error {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	if s.cutting {
		return errCut
	}
	s.answered = true
	if ready {
		s.startup = false
	}
	return nil
}

// state is read by the client's direction, to tell a new turn from the rest of the last one.
func (s *session) state() (startup, answered bool) {
	s.proxy.mu.Lock()
	defer s.proxy.mu.Unlock()
	return s.startup, s.answered
}

// isCancel takes the connection out of the figures.
func (s *session) isCancel() {
	p := s.proxy
	p.mu.Lock()
	defer p.mu.Unlock()
	p.connected--
	p.cancels++
	p.sessions = slices.DeleteFunc(p.sessions, func(o *session) bool { return o == s })
}

// answers passes on what the server sends once its messages need not be read any more.
func (s *session) answers(r *bufio.Reader) error {
	chunk := make([]byte, 1<<15)
	for {
		n, err := r.Read(chunk)
		if n > 0 {
			if err := s.answer(false); err != nil {
				return err
			}
			if _, err := s.client.Write(chunk[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// protocol reads one direction, message by message, and passes it on.
type protocol interface {
	fromClient(s *session, r *bufio.Reader) error
	fromServer(s *session, r *bufio.Reader) error
}

var errCut = errors.New("cut by the hook")

// ended tells the ways in which connections end from faults of the proxy.
func ended(err error) bool {
	_, isNet := errors.AsType[*net.OpError](err)
	return err == nil || isNet || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errCut)
}

// cut closes both sides at once.
func (s *session) cut() {
	s.once.Do(func() {
		_ = s.client.Close() // the other side may have been first
		_ = s.server.Close()
	})
}
