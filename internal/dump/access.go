package dump

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/tldw/tldwdb/internal/dburl"
	"github.com/tldw/tldwdb/internal/dialect"
)

// connectWait bounds a try to connect to one host.
const connectWait = 10 * time.Second

// access is a way into one database for programs: a private folder with the
// password, an environment, and what they are told in their arguments.
type access struct {
	dir     string
	env     []string
	conn    string // libpq: what --dbname is
	file    string // MySQL: what --defaults-file is
	secrets []string
	remove  func()
}

// login is the password for programs, if there is one that they do not find
// themselves.
func (t Target) login(ctx context.Context) (password string, given bool, err error) {
	if t.Password != nil {
		password, err = t.Password(ctx)
		if err != nil {
			return "", false, fmt.Errorf("asking for the password: %w", err)
		}
		return password, true, nil
	}
	password, given = t.URL.Password()
	return password, given, nil
}

// dial connects to the first host that lets us in, for a snapshot is one server's.
func (t Target) dial(ctx context.Context, database string) (pool *sql.DB, u dburl.URL, password string, given bool, err error) {
	password, given, err = t.login(ctx)
	if err != nil {
		return nil, u, "", false, err
	}
	hosts := [][]dburl.Endpoint{t.URL.Endpoints}
	if len(t.URL.Endpoints) > 1 {
		hosts = nil
		for _, e := range t.URL.Endpoints {
			hosts = append(hosts, []dburl.Endpoint{e})
		}
	}
	var failed error
	for _, one := range hosts {
		u = t.URL
		u.Endpoints = one
		if database != "" {
			u.Database = database
		}
		o := dialect.ConnectOptions{Application: "tldwdb backup", ConnectTimeout: connectWait, Logger: t.Log}
		if given {
			login := dialect.Login{Password: dialect.NewSecret(password)}
			o.Credentials = dialect.NewCredentials(func(context.Context) (dialect.Login, error) { return login, nil }, false, 0, t.Log)
		}
		connector, err := dialect.Connector(u, o)
		if err != nil {
			return nil, u, "", false, err
		}
		pool = sql.OpenDB(connector)
		if err = pool.PingContext(ctx); err == nil {
			return pool, u, password, given, nil
		}
		failed = errors.Join(failed, err, pool.Close())
	}
	return nil, u, "", false, failed
}
