package dump

import (
	"bytes"
	"context"
	"errors"
	"strconv"
)

// Script is a PostgreSQL database as pg_dump writes it for people: its schema, and
// with rows those as INSERT. except are tables to leave out, by name. Owners and rights
// are not in it.
func Script(ctx context.Context, t Target, except []string, rows bool) (_ string, err error) {
	p := Postgres(t).(*postgres)
	dump, _, _, err := p.tools(ctx)
	if err != nil {
		return "", err
	}
	s, err := p.snap(ctx) // which says on which host
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	a, err := p.open(s.url, s.password, s.given, dump.release)
	if err != nil {
		return "", err
	}
	defer a.remove()
	args := []string{"--format=plain", "--no-owner", "--no-privileges", "--no-subscriptions", "--no-password", "--encoding=UTF8",
		"--lock-wait-timeout=" + strconv.FormatInt(lockWait.Milliseconds(), 10), "--snapshot=" + s.id, "--dbname=" + a.conn}
	for _, table := range except {
		args = append(args, "--exclude-table=*."+p.Dialect.Identifier(table))
	}
	if rows {
		args = append(args, "--inserts", "--rows-per-insert=200")
	} else {
		args = append(args, "--schema-only")
	}
	var out bytes.Buffer
	_, err = program{path: dump.path, args: args, env: a.env, secrets: a.secrets, stdout: &out}.run(ctx)
	return out.String(), pgAdvice(err)
}
