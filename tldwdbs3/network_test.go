package tldwdbs3

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/tldw/tldwdb"
)

// network is the way to a server, and what goes wrong on it.
type network struct {
	net.Listener
	target string
	wg     sync.WaitGroup
	done   chan struct{}

	mu     sync.Mutex
	fault  fault
	passed [2]int64 // bytes since the fault was set, over all connections
	conns  map[net.Conn]struct{}
}

// fault happens to a connection, and to those that are made behind it.
type fault struct {
	side   int           // whose bytes count
	behind int64         // how many pass
	conns  int           // how many connections are hit; all is every one
	silent bool          // they stay open, and nothing comes through; else they are reset
	each   time.Duration // how long 32 KiB take, in place of that
	left   bool          // an upload was begun twice: the server's first answer was lost
}

const (
	sent = iota
	received

	all = 1 << 30
)

// throughNetwork leads a store's options through a network.
func throughNetwork(t *testing.T, o Options) (*network, Options) {
	t.Helper()
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	listener, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Listener: listener, target: u.Host, done: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	n.wg.Go(n.accept)
	t.Cleanup(func() {
		close(n.done)
		_ = n.Close()
		n.mu.Lock()
		for c := range n.conns {
			_ = c.Close()
		}
		n.mu.Unlock()
		n.wg.Wait()
	})
	u.Host = listener.Addr().String()
	o.Endpoint, o.Stall = u.String(), 3*time.Second // a machine with much to do is silent for less
	return n, o
}

// set lets something go wrong from now on; the zero fault is none.
func (n *network) set(f fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault, n.passed = f, [2]int64{}
}

func (n *network) accept() {
	for {
		client, err := n.Accept()
		if err != nil {
			return
		}
		var d net.Dialer
		server, err := d.Dial("tcp", n.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		_ = client.(*net.TCPConn).SetReadBuffer(64 << 10) // what is on its way does not move yet
		n.mu.Lock()
		n.conns[client], n.conns[server] = struct{}{}, struct{}{}
		n.mu.Unlock()
		mute := make(chan struct{})
		once := &sync.Once{}
		n.wg.Go(func() { n.pump(sent, client, server, mute, once) })
		n.wg.Go(func() { n.pump(received, server, client, mute, once) })
	}
}

func (n *network) pump(side int, from, to net.Conn, mute chan struct{}, once *sync.Once) {
	defer func() { _, _ = from.Close(), to.Close() }()
	b := make([]byte, 32<<10)
	for {
		count, err := from.Read(b)
		if err != nil {
			return
		}
		hit, f := n.pass(side, count)
		switch {
		case f.each > 0:
			select {
			case <-time.After(f.each):
			case <-n.done:
			}
		case hit && f.silent:
			once.Do(func() { close(mute) })
		case hit:
			for _, c := range []net.Conn{from, to} {
				_ = c.(*net.TCPConn).SetLinger(0) // a reset
			}
			return
		}
		select {
		case <-mute:
			<-n.done
			return
		default:
		}
		if _, err := to.Write(b[:count]); err != nil {
			return
		}
	}
}

// narrow dials with as little room in between as there may be.
func narrow(ctx context.Context, protocol, address string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, protocol, address)
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(64 << 10)
	}
	return c, err
}

// pass counts, and tells whether the fault happens to this connection.
func (n *network) pass(side, count int) (bool, fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.passed[side] += int64(count)
	if n.fault.side != side || n.fault.conns == 0 || n.passed[side] <= n.fault.behind {
		return false, n.fault
	}
	n.fault.conns--
	return true, n.fault
}

// Whatever the network does to an upload: the object is there as it was sent, or it is
// not there, and nothing is left that Clean does not find.
func TestUploadOverABadNetwork(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for what stays silent")
	}
	const name = "tldw_backup_20261123_104600_aaaa.db"
	body := content(2*minPartSize + 1<<20)
	for what, test := range map[string]struct {
		fault fault
		good  bool
	}{
		"reset within a part":        {fault{behind: minPartSize + 1<<20, conns: 1}, true},
		"reset on the last part":     {fault{behind: 2*minPartSize + 1<<19, conns: 2}, true},
		"silence within a part":      {fault{behind: minPartSize + 1<<20, conns: 1, silent: true}, true},
		"silence before an answer":   {fault{side: received, behind: 1, conns: 1, silent: true, left: true}, true},
		"slower than the silence is": {fault{each: 30 * time.Millisecond}, true},
		"reset for good":             {fault{behind: 2*minPartSize + 1<<19, conns: all}, false},
		"silence for good":           {fault{behind: minPartSize + 1<<20, conns: all, silent: true}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, o Options) {
				n, o := throughNetwork(t, o)
				if o.Tries = 3; !test.good {
					o.Tries = 2
				}
				if test.fault.each > 0 { // which the buffers of the system would hide
					o.Transport = &http.Transport{DialContext: narrow}
				}
				s := open(t, o)
				n.set(test.fault)
				err := write(t.Context(), s, name, body)
				n.set(fault{})
				if !test.good {
					if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "sending a part of") {
						t.Error(err)
					}
					if got := listed(t, s); len(got) > 0 {
						t.Error(got)
					}
				} else if err != nil {
					t.Fatal(err)
				}
				if !test.good || test.fault.left { // the way there was cut: the upload could not be given up
					left, err := s.(tldwdb.BackupCleaner).Clean(t.Context(), time.Now().Add(time.Hour), false)
					if err != nil || !slices.Equal(left, []string{name + " (upload)"}) {
						t.Error(left, err)
					}
				}
				if !test.good {
					err = write(t.Context(), s, name, body)
					if err != nil {
						t.Error(err)
					}
				}
				if got, err := read(t.Context(), s, name); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				if left, err := s.(tldwdb.BackupCleaner).Clean(t.Context(), time.Now().Add(time.Hour), false); err != nil || len(left) > 0 {
					t.Error(left, err)
				}
			})
		})
	}
}

// Reading goes on behind a cut, and ends with an error where there is no way any more.
func TestDownloadOverABadNetwork(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for what stays silent")
	}
	body := content(8 << 20)
	for what, test := range map[string]struct {
		fault fault
		good  bool
	}{
		"reset":            {fault{side: received, behind: 4 << 20, conns: 2}, true},
		"silence":          {fault{side: received, behind: 4 << 20, conns: 1, silent: true}, true},
		"reset for good":   {fault{side: received, behind: 4 << 20, conns: all}, false},
		"silence for good": {fault{side: received, behind: 4 << 20, conns: all, silent: true}, false},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			everywhere(t, func(t *testing.T, o Options) {
				n, o := throughNetwork(t, o)
				if o.Tries = 3; !test.good {
					o.Tries = 2
				}
				s := open(t, o)
				if err := write(t.Context(), s, "x", body); err != nil {
					t.Fatal(err)
				}
				n.set(test.fault)
				got, err := read(t.Context(), s, "x")
				switch {
				case test.good && (err != nil || !bytes.Equal(got, body)):
					t.Errorf("%d bytes, %v", len(got), err)
				case !test.good && (err == nil || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "reading") || !strings.Contains(err.Error(), "/x: ")):
					t.Error(err)
				case !bytes.HasPrefix(body, got):
					t.Error("what was read is not the beginning of the object")
				}
			})
		})
	}
}

// A service whose store is behind a bad network: no backup is half there, none is
// called bad that could not be read, and a restore that is cut leaves the old database
// as it was.
func TestBackupOverABadNetwork(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it waits for what stays silent")
	}
	everywhere(t, func(t *testing.T, o Options) {
		ctx := t.Context()
		n, o := throughNetwork(t, o)
		o.Tries = 2
		store := open(t, o)
		db, err := tldwdb.Open(ctx, tldwdb.Config{
			URL:        "sqlite:///" + filepath.Join(t.TempDir(), "app.db"),
			Migrations: fstest.MapFS{"0001_files.up.sql": {Data: []byte("CREATE TABLE files (id INTEGER PRIMARY KEY, body BLOB)")}},
			Backup:     tldwdb.BackupOptions{Store: store},
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
		if _, err := db.Up(ctx); err != nil {
			t.Fatal(err)
		}
		rows := func() (count int) {
			t.Helper()
			if err := db.Pool().QueryRowContext(ctx, "SELECT count(*) FROM files").Scan(&count); err != nil {
				t.Fatal(err)
			}
			return count
		}
		add := func() {
			t.Helper()
			if _, err := db.Pool().ExecContext(ctx, "INSERT INTO files (body) VALUES (randomblob(?))", minPartSize+1<<20); err != nil {
				t.Fatal(err)
			}
		}
		add()
		// What backs up.
		for _, f := range []fault{{behind: 3 << 20, conns: all}, {behind: minPartSize + 1<<19, conns: all}} {
			n.set(f)
			_, err := db.Backup(ctx, tldwdb.BackupOptions{})
			n.set(fault{})
			if err == nil || !strings.Contains(err.Error(), "backup of app.db: ") || !strings.Contains(err.Error(), ".db.zst") {
				t.Error(err)
			}
			if got := listed(t, store); len(got) > 0 {
				t.Errorf("a backup that failed has left %v", got)
			}
		}
		if pruned, err := tldwdb.PruneBackups(ctx, store, tldwdb.RetentionPolicy{}, tldwdb.PruneOptions{}); err != nil || len(pruned.Leftovers) > 0 {
			t.Errorf("%+v, %v", pruned, err)
		}
		n.set(fault{behind: 3 << 20, conns: 1})
		b, err := db.Backup(ctx, tldwdb.BackupOptions{})
		if err != nil {
			t.Fatal(err)
		}
		add()
		// What reads.
		cut := fault{side: received, behind: 3 << 20, conns: all}
		n.set(cut)
		_, err = db.VerifyBackup(ctx, b.Name, tldwdb.VerifyOptions{})
		n.set(fault{})
		if err == nil || errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(err.Error(), b.Parts[0].Name) {
			t.Error(err)
		}
		list, err := tldwdb.ListBackups(ctx, store)
		if err != nil || len(list) != 1 || list[0].Verified != nil || list[0].Err != nil {
			t.Errorf("%+v, %v", list, err)
		}
		n.set(cut)
		_, err = db.Restore(ctx, tldwdb.RestoreOptions{Name: b.Name, Over: "app.db", WithoutBackup: true})
		n.set(fault{})
		if err == nil || errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(err.Error(), b.Parts[0].Name) {
			t.Error(err)
		}
		if got := rows(); got != 2 {
			t.Errorf("%d rows behind a restore that was cut, want the 2 that were there", got)
		}
		// A network that comes back is none of anybody's business.
		n.set(fault{side: received, behind: 3 << 20, conns: 1})
		if _, err := db.VerifyBackup(ctx, b.Name, tldwdb.VerifyOptions{}); err != nil {
			t.Error(err)
		}
		n.set(fault{side: received, behind: 3 << 20, conns: 1})
		if _, err := db.Restore(ctx, tldwdb.RestoreOptions{Name: b.Name, Over: "app.db", WithoutBackup: true}); err != nil {
			t.Error(err)
		}
		if got := rows(); got != 1 {
			t.Errorf("%d rows behind the restore, want 1", got)
		}
	})
}

// A caller's deadline ends what hangs.
func TestDeadlineOverABadNetwork(t *testing.T) {
	t.Parallel()
	n, o := throughNetwork(t, newFake(t).options())
	o.Stall = time.Hour
	s := open(t, o)
	n.set(fault{behind: 1 << 20, conns: all, silent: true})
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	w, err := s.Create(ctx, "x")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(content(3 * minPartSize))
	if err == nil {
		err = w.Commit()
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	n.set(fault{})
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if got := listed(t, s); len(got) > 0 {
		t.Error(got)
	}
}
