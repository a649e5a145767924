//go:build unix

package testdb

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// watchdog is the parent of every server. It ends the server and deletes its data as soon as the
// pipe on descriptor 3 closes. The process that started the server holds the other end and never
// writes to it, so the pipe closes when that process calls Stop, ends, crashes or is killed:
// nothing but SIGKILL to the watchdog itself leaves a server behind. (Linux's parent-death signal
// is not used: it fires when the starting *thread* ends, which the Go runtime may do at any time,
// and other systems have none.)
//
// A server that ends by itself is the end of it all, unless the file "again" is in the folder: then
// it is started once more, which PostgreSQL may refuse while processes of the dead one are left. The
// reader tries more than once, because the server may be between two lives.
//
// Arguments: the signal that ends the server, the folder to delete, the server's command.
const watchdog = `
signal=$1 dir=$2; shift 2
(read -r _ <&3; rm -f "$dir/again"; while [ -d "$dir" ]; do kill -s "$signal" "$(cat "$dir/pid-of-server")"; sleep 0.1; done) 2>/dev/null &
reader=$!
exec 3<&-
while
	"$@" </dev/null &
	echo $! >"$dir/pid-of-server"
	wait $!
	[ -e "$dir/again" ]
do sleep 0.05; done
kill "$reader" 2>/dev/null
cd / && rm -rf -- "$dir"
`

// Server is a throwaway database server: loopback only, a port and a folder of its own, no care
// for its data after a crash of the machine.
type Server struct {
	// Engine is what the server is.
	Engine Engine
	// URL names the server and an account that may create databases and accounts and is no
	// superuser, so that what a service may not do fails here too: in the form that the engine's
	// URL variable takes.
	URL string
	// AdminURL names an account that may do everything on the server.
	AdminURL string

	dir      string
	password string   // of both accounts
	alive    *os.File // our end of the watchdog's pipe
	ended    chan struct{}
	log      *os.File
}

// Crash kills the server with SIGKILL, as a system does that runs out of memory, and returns when it
// has been started again on its data and answers. What was committed before is there: only
// [StartDurable] makes such servers.
func (s *Server) Crash(ctx context.Context) error { return s.again(ctx, syscall.SIGKILL) }

// Restart ends the server in the orderly way, which does not wait for its clients, and returns when
// it has been started again on its data and answers.
func (s *Server) Restart(ctx context.Context) error {
	if s.Engine == Postgres {
		return s.again(ctx, syscall.SIGINT) // the fast shutdown: SIGTERM would wait for them
	}
	return s.again(ctx, syscall.SIGTERM)
}

func (s *Server) again(ctx context.Context, signal syscall.Signal) error {
	again := filepath.Join(s.dir, "again")
	if err := os.WriteFile(again, nil, 0o644); err != nil {
		return err
	}
	before, err := s.signal(signal)
	if err != nil {
		return err
	}
	if err := s.gone(ctx, before); err != nil {
		return err
	}
	return errors.Join(waitReady(ctx, s.Engine, s.URL, s.ended), os.Remove(again))
}

// gone waits until the server is another process than the one with the number before.
func (s *Server) gone(ctx context.Context, before string) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		now, err := os.ReadFile(filepath.Join(s.dir, "pid-of-server"))
		if err == nil && len(now) > 0 && string(now) != before {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ended:
			return errEnded
		case <-tick.C:
		}
	}
}

// Kill ends the server with SIGKILL, for good: its data goes with it.
func (s *Server) Kill() error {
	if _, err := s.signal(syscall.SIGKILL); err != nil {
		return err
	}
	return s.Stop()
}

// signal sends a signal to the server, and returns the number of its process.
func (s *Server) signal(signal syscall.Signal) (pid string, err error) {
	text, err := os.ReadFile(filepath.Join(s.dir, "pid-of-server"))
	if err != nil {
		return "", err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return "", err
	}
	return string(text), syscall.Kill(n, signal)
}

// StartPair starts a server that keeps what was committed when it is killed, and a standby that
// follows it, one or a few messages behind, with the same accounts. The standby takes no writes: in
// the MySQL family read_only is set.
func StartPair(ctx context.Context, e Engine) (primary, standby *Server, err error) {
	if primary, err = start(ctx, instance{engine: e, durable: true, replicates: true}); err != nil {
		return nil, nil, err
	}
	if standby, err = start(ctx, instance{engine: e, durable: true, replicates: true, follows: primary}); err != nil {
		return nil, nil, errors.Join(err, primary.Stop())
	}
	return primary, standby, nil
}

// Promote makes the standby of a pair a server of its own, which takes writes.
func (s *Server) Promote(ctx context.Context) error {
	list := map[Engine][]string{
		Postgres: {"SELECT pg_promote()"},
		MariaDB:  {"STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"},
		MySQL:    {"STOP REPLICA", "RESET REPLICA ALL", "SET GLOBAL read_only = 0"},
	}[s.Engine]
	return statements(s.Engine, s.AdminURL, list...)(ctx)
}

// launch is what differs between the engines.
type launch struct {
	accounts []string                    // the first that exists runs the server when we are root
	prepare  [][]string                  // commands to run before the server
	command  []string                    // the server
	signal   string                      // ends it at once: its data has no future
	url      string                      // of the account for the tests
	admin    string                      // of the account that may do everything
	then     func(context.Context) error // what is left to do when it lets that one in
}

// Start starts a server of the engine and waits until it answers. The caller's end, however it
// comes about, is the server's end too. A *[MissingError] means that the machine has no such server.
func Start(ctx context.Context, e Engine) (*Server, error) {
	return start(ctx, instance{engine: e})
}

// StartDurable is [Start] for a server that keeps what was committed when it is killed itself, if
// not when the machine is: see [Server.Crash].
func StartDurable(ctx context.Context, e Engine) (*Server, error) {
	return start(ctx, instance{engine: e, durable: true})
}

// StartIn is [StartDurable] for a server that keeps its files in a folder of the caller's, such as a
// file system that can be filled.
func StartIn(ctx context.Context, e Engine, folder string) (*Server, error) {
	return start(ctx, instance{engine: e, durable: true, within: folder})
}

// StartTLS is [Start] for a server that speaks TLS with a certificate of the caller's, and asks its
// clients for one. Plain connections are taken as well, except of members of the PostgreSQL role
// signs_with_cert, which the caller makes: they sign in with a certificate that names them.
func StartTLS(ctx context.Context, e Engine, files TLSFiles) (*Server, error) {
	return start(ctx, instance{engine: e, tls: &files})
}

func start(ctx context.Context, wanted instance) (*Server, error) {
	var err error
	// The port is picked before the server takes it, and another process may come between.
	for range 3 {
		var s *Server
		if s, err = startOnce(ctx, wanted); err == nil {
			return s, nil
		}
		if !errors.Is(err, errEnded) {
			break
		}
	}
	return nil, err
}

func startOnce(ctx context.Context, wanted instance) (_ *Server, err error) {
	e := wanted.engine
	plan, find := (*instance).postgres, func() (string, error) { return findPostgres() }
	if e != Postgres {
		plan, find = (*instance).mysql, func() (string, error) { return findMySQL(ctx, e) }
	}
	program, err := find()
	if err != nil {
		return nil, err
	}
	in := &wanted
	in.program, in.password = program, randomText()
	if in.follows != nil {
		in.password = in.follows.password
	}
	if in.port, err = freePort(ctx); err != nil {
		return nil, err
	}
	if in.dir, err = os.MkdirTemp(cmp.Or(in.within, scratch()), "tldwdb-"+string(e)+"-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(in.dir))
		}
	}()
	l, err := plan(in)
	if err != nil {
		return nil, err
	}
	attr, err := in.handOver(l.accounts)
	if err != nil {
		return nil, err
	}
	for _, c := range l.prepare {
		cmd := exec.CommandContext(ctx, c[0], c[1:]...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = in.dir, in.env(), attr
		if out, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("%s: %w: %s", filepath.Base(c[0]), err, tail(out))
		}
	}
	s, err := in.run(l, attr)
	if err != nil {
		return nil, err
	}
	if l.then != nil {
		if err = waitReady(ctx, e, l.admin, s.ended); err == nil {
			err = l.then(ctx)
		}
	}
	if err == nil {
		err = waitReady(ctx, e, l.url, s.ended)
	}
	if err != nil {
		out, _ := io.ReadAll(io.NewSectionReader(s.log, 0, 1<<20)) // the error above is the one to report
		return nil, fmt.Errorf("start %s: %w; its log ends: %s", filepath.Base(l.command[0]), errors.Join(err, s.Stop()), tail(out))
	}
	return s, nil
}

// Stop ends the server and waits until its data is deleted. A second call does nothing.
func (s *Server) Stop() error {
	if err := s.alive.Close(); errors.Is(err, os.ErrClosed) {
		return nil
	}
	defer func() { _ = s.log.Close() }() // nothing was written through it
	select {
	case <-s.ended:
		return nil
	case <-time.After(30 * time.Second):
		return fmt.Errorf("the %s server did not end within 30 s", s.Engine)
	}
}

// instance is a server that is being put together.
type instance struct {
	engine   Engine
	program  string // the server program; for PostgreSQL the folder of its programs
	dir      string
	port     int
	password string // of the superuser and of the account
	durable  bool   // what is committed is the system's, and no longer the process's

	tls    *TLSFiles // nil: plain text alone
	within string    // where its folder is made; empty: where such folders are

	replicates bool    // a standby may follow
	follows    *Server // what this one is the standby of
}

func (in *instance) path(name string) string { return filepath.Join(in.dir, name) }

func (in *instance) url(account, database string) string {
	u := url.URL{
		Scheme: "mysql",
		User:   url.UserPassword(account, in.password),
		Host:   net.JoinHostPort("127.0.0.1", strconv.Itoa(in.port)),
		Path:   "/" + database,
	}
	if in.engine == Postgres {
		u.Scheme, u.RawQuery = "postgres", "sslmode=disable"
	}
	return u.String()
}

func (in *instance) postgres() (*launch, error) {
	if err := os.WriteFile(in.path("password"), []byte(in.password+"\n"), 0o600); err != nil {
		return nil, err
	}
	data := in.path("data")
	l := &launch{
		accounts: []string{"postgres", "nobody"},
		prepare: [][]string{{
			filepath.Join(in.program, "initdb"), "-N", "-D", data, "-U", "postgres",
			"-A", "scram-sha-256", "--pwfile=" + in.path("password"), "--encoding=UTF8", "--locale=C",
		}},
		command: []string{filepath.Join(in.program, "postgres"), "-D", data},
		signal:  "QUIT", // immediate shutdown; SIGKILL would leave its shared memory
		url:     in.url("tldw", "tldw"),
		admin:   in.url("postgres", "postgres"),
	}
	if in.follows != nil {
		program, err := exec.LookPath(filepath.Join(in.program, "pg_basebackup"))
		if target, linkErr := filepath.EvalSymlinks(filepath.Join(in.program, "postgres")); err != nil && linkErr == nil {
			program, err = findBeside(target, "pg_basebackup")
		}
		if err != nil {
			return nil, &MissingError{Engine: Postgres, Looked: "pg_basebackup beside postgres", Get: "install PostgreSQL whole"}
		}
		l.prepare = [][]string{{program, "-D", data, "-R", "-X", "stream", "-c", "fast", "--no-sync", "-d", in.follows.AdminURL}}
	}
	level, senders := "minimal", 0
	if in.replicates {
		level, senders = "replica", 4
	}
	commit := "synchronous_commit=off"
	if in.durable {
		commit = "synchronous_commit=on"
	}
	for _, setting := range []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(in.port), "unix_socket_directories=" + in.dir,
		"fsync=off", commit, "full_page_writes=off", "wal_level=" + level, "max_wal_senders=" + strconv.Itoa(senders),
		"max_connections=300", "shared_buffers=32MB", "log_min_duration_statement=-1",
	} {
		l.command = append(l.command, "-c", setting)
	}
	if in.tls != nil {
		const rules = "local all all scram-sha-256\n" +
			"hostnossl all +signs_with_cert all reject\nhostssl all +signs_with_cert all cert\nhost all all all scram-sha-256\n"
		if err := in.writeTLS(map[string]string{"hba": rules}); err != nil {
			return nil, err
		}
		for _, setting := range []string{"ssl=on", "ssl_cert_file=" + in.path("cert.pem"), "ssl_key_file=" + in.path("key.pem"),
			"ssl_ca_file=" + in.path("ca.pem"), "hba_file=" + in.path("hba")} {
			l.command = append(l.command, "-c", setting)
		}
	}
	if in.follows != nil {
		return l, nil // its accounts are the primary's
	}
	l.then = statements(Postgres, l.admin,
		"CREATE ROLE tldw LOGIN CREATEDB CREATEROLE PASSWORD '"+in.password+"'",
		"CREATE DATABASE tldw OWNER tldw")
	return l, nil
}

// statements runs them one after another.
func statements(e Engine, rawURL string, list ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		return withPool(ctx, e, rawURL, func(ctx context.Context, pool *sql.DB) error {
			for _, statement := range list {
				if _, err := pool.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func (in *instance) mysql() (*launch, error) {
	// The server runs this at each start. The host is written as an address since it does not look
	// names up.
	accounts := "CREATE DATABASE IF NOT EXISTS tldw CHARACTER SET utf8mb4;\n" +
		"CREATE USER IF NOT EXISTS 'tldw'@'127.0.0.1' IDENTIFIED BY '" + in.password + "';\n" +
		"GRANT ALL PRIVILEGES ON `tldw%`.* TO 'tldw'@'127.0.0.1' WITH GRANT OPTION;\n" +
		"GRANT CREATE USER ON *.* TO 'tldw'@'127.0.0.1';\n" +
		"CREATE USER IF NOT EXISTS 'admin'@'127.0.0.1' IDENTIFIED BY '" + in.password + "';\n" +
		"GRANT ALL PRIVILEGES ON *.* TO 'admin'@'127.0.0.1' WITH GRANT OPTION;\n" +
		"ALTER USER 'root'@'localhost' IDENTIFIED BY '" + in.password + "';\n" +
		"DROP USER IF EXISTS 'root'@'127.0.0.1', 'root'@'::1', ''@'localhost';\n"
	if err := os.WriteFile(in.path("accounts.sql"), []byte(accounts), 0o600); err != nil {
		return nil, err
	}
	data, flush := in.path("data"), "0"
	if in.durable {
		flush = "2" // at each commit, as far as the system
	}
	l := &launch{
		accounts: []string{"mysql", "nobody"},
		command: []string{
			in.program, "--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(in.port), "--bind-address=127.0.0.1",
			"--socket=" + in.path("sock"), "--pid-file=" + in.path("pid"), "--init-file=" + in.path("accounts.sql"),
			"--skip-name-resolve", "--innodb-flush-log-at-trx-commit=" + flush, "--innodb-doublewrite=0",
			"--innodb-buffer-pool-size=32M", "--max-connections=300", "--character-set-server=utf8mb4", "--secure-file-priv=",
		},
		signal: "KILL", // an orderly shutdown takes seconds and saves what is about to be deleted
		url:    in.url("tldw", "tldw"),
		admin:  in.url("admin", "tldw"),
	}
	if in.tls != nil {
		if err := in.writeTLS(nil); err != nil {
			return nil, err
		}
		l.command = append(l.command, "--ssl-cert="+in.path("cert.pem"), "--ssl-key="+in.path("key.pem"), "--ssl-ca="+in.path("ca.pem"))
	}
	if in.follows != nil {
		source, err := url.Parse(in.follows.AdminURL)
		if err != nil {
			return nil, err
		}
		l.then = in.follow(l.admin, source.Port())
	}
	if in.replicates {
		l.command = append(l.command, "--server-id="+strconv.Itoa(in.port))
	}
	if in.engine == MySQL {
		l.command = append(l.command, "--mysqlx=0")
		if in.replicates {
			l.command = append(l.command, "--log-bin=binlog", "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--log-bin-trust-function-creators=1")
		} else {
			l.command = append(l.command, "--skip-log-bin")
		}
		l.prepare = [][]string{{in.program, "--no-defaults", "--initialize-insecure", "--datadir=" + data}}
		return l, nil
	}
	// Servers in production keep a binary log, and some of their variables change by themselves then.
	l.command = append(l.command, "--log-bin=binlog", "--log-bin-trust-function-creators=1")
	install, err := findBeside(in.program, "mariadb-install-db")
	if err != nil {
		return nil, &MissingError{Engine: MariaDB, Looked: "mariadb-install-db beside " + filepath.Base(in.program), Get: "install mariadb-server whole"}
	}
	l.prepare = [][]string{{
		install, "--no-defaults", "--datadir=" + data,
		"--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
	}}
	return l, nil
}

// follow makes a server of the MySQL family a standby. It begins with the primary's first entry, and
// so with the accounts, which both have made by then.
func (in *instance) follow(admin, port string) func(context.Context) error {
	if in.engine == MySQL {
		return statements(MySQL, admin, "CHANGE REPLICATION SOURCE TO SOURCE_HOST = '127.0.0.1', SOURCE_PORT = "+port+
			", SOURCE_USER = 'admin', SOURCE_PASSWORD = '"+in.password+"', SOURCE_AUTO_POSITION = 1, GET_SOURCE_PUBLIC_KEY = 1",
			"START REPLICA", "SET GLOBAL read_only = 1")
	}
	return statements(MariaDB, admin, "CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = "+port+
		", MASTER_USER = 'admin', MASTER_PASSWORD = '"+in.password+"', MASTER_USE_GTID = slave_pos",
		"START SLAVE", "SET GLOBAL read_only = 1")
}

// writeTLS writes the certificates, and more files beside them.
func (in *instance) writeTLS(more map[string]string) error {
	var errs []error
	for name, text := range map[string][]byte{"cert.pem": in.tls.Cert, "key.pem": in.tls.Key, "ca.pem": in.tls.CA} {
		errs = append(errs, os.WriteFile(in.path(name), text, 0o600))
	}
	for name, text := range more {
		errs = append(errs, os.WriteFile(in.path(name), []byte(text), 0o600))
	}
	return errors.Join(errs...)
}

// handOver gives the folder to the account that is to run the server: database servers refuse to
// run as root. It returns nil attributes when we are not root, and the server runs as ourselves.
func (in *instance) handOver(accounts []string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	var account *user.User
	err := errors.New("no account is named")
	for _, name := range accounts {
		if account, err = user.Lookup(name); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("a server cannot run as root, and of the accounts %s there is none: %w", strings.Join(accounts, ", "), err)
	}
	uid, errU := strconv.ParseUint(account.Uid, 10, 32)
	gid, errG := strconv.ParseUint(account.Gid, 10, 32)
	if err := errors.Join(errU, errG); err != nil {
		return nil, err
	}
	err = filepath.WalkDir(in.dir, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chown(path, int(uid), int(gid)))
	})
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, err
}

// env is the least that the programs need. The caller's PG… and MYSQL_… variables stay out.
func (in *instance) env() []string {
	return []string{"PATH=" + os.Getenv("PATH") + ":/usr/local/sbin:/usr/sbin:/sbin", "HOME=" + in.dir, "TMPDIR=" + in.dir, "LC_ALL=C"}
}

// run starts the server under its watchdog.
func (in *instance) run(l *launch, attr *syscall.SysProcAttr) (*Server, error) {
	log, err := os.Create(in.path("log"))
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	// Not bound to a context: cancellation would kill the watchdog, and leave the server.
	cmd := exec.CommandContext(context.Background(), "/bin/sh", append([]string{"-c", watchdog, "sh", l.signal, in.dir}, l.command...)...)
	cmd.Dir, cmd.Env = in.dir, in.env()
	cmd.Stdout, cmd.Stderr = log, log // not ours: `go test` waits for everybody who holds its output
	cmd.ExtraFiles = []*os.File{read}
	// A session of its own, so that Ctrl-C at the terminal reaches the tests and not the server.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if attr != nil {
		cmd.SysProcAttr.Credential = attr.Credential
	}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close(), read.Close(), write.Close())
	}
	s := &Server{Engine: in.engine, URL: l.url, AdminURL: l.admin, dir: in.dir, password: in.password, alive: write, ended: make(chan struct{}), log: log}
	go func() {
		_ = cmd.Wait() // the status is the killed server's: no news
		close(s.ended)
	}()
	return s, read.Close()
}

// scratch is where servers keep their folders: a short path, since a Unix socket's may have some
// 100 bytes at most, and one that other accounts can enter when we are root.
func scratch() string {
	if dir := os.TempDir(); os.Geteuid() != 0 && len(dir) < 50 {
		return dir
	}
	return "/tmp"
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

func randomText() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}

// tail keeps an error readable: the end of a program's output is where the reason is.
func tail(out []byte) string {
	const most = 2000
	if len(out) > most {
		out = out[len(out)-most:]
	}
	return strings.TrimSpace(string(out))
}
