package dialect

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// The two rows of a lease table. They are two so that a transaction that shares
// the fence does not stop the heartbeat, which writes the other.
const (
	leaseFence = 1
	leaseBeat  = 2
)

const (
	// settleFor is how long one try waits for the end of the old holder's
	// session. It keeps the heartbeat's row locked meanwhile; the next try goes on.
	settleFor = time.Second
	// seenWithin is how long the second connection may take to see the lease: in
	// a cluster it may lead to another node, where rows arrive a moment later.
	seenWithin = 3 * time.Second
)

// leaser is implemented by an engine that can keep a lease.
type leaser interface {
	Dialect
	// leaseDDL creates the table, if it is not there.
	leaseDDL(table string) string
	// leaseEnd is the server's clock and what is added to it.
	leaseEnd(term time.Duration) string
	// leaseShare ends a SELECT that takes a shared lock on the row that it reads,
	// at every isolation level, also as a part of another statement.
	leaseShare(f Facts) string
	// leaseSession are expressions for the session that runs them: its number,
	// the server, and what tells it from a later session of the same number.
	// They are 0 and empty where the number means nothing to another connection.
	leaseSession(f Facts) (number, server, peer string)
	// leaseAlive is a condition: the holder's session is there, on the server
	// that is asked, and not the one that asks. working: and it is at a statement.
	leaseAlive(h leaseHolder, working bool) string
	// leaseHurry are a statement for the beginning of a transaction that ends it when
	// the client falls silent for a term, and one that takes that back behind it;
	// empty where there is nothing to set, or to take back.
	leaseHurry(f Facts, term time.Duration) (hurry, calm string)
	// leaseSilent is a query that ends the sessions which keep the fence of a lease
	// that has run out, and in which the server has waited for the client for a term;
	// empty where there is none.
	leaseSilent(f Facts, table string, term time.Duration) string
	// leaseKnown is a condition: whether that session is there can be seen from
	// here, and ended.
	leaseKnown(h leaseHolder) string
	// leaseKill ends a session.
	leaseKill(session int64) string
	// leaseNotKilled reports whether an error of leaseKill means that there was
	// nothing to end, or nothing that this user may end.
	leaseNotKilled(err error) bool
}

// leaseHolder is whose the lease is, as its row says.
type leaseHolder struct {
	token   int64
	session int64 // 0: given back, or not to be found by its number
	server  string
	peer    string
	owner   string  // empty: given back
	busy    bool    // it has not expired
	heir    bool    // it was unsettled itself: its number is written negative
	age     float64 // milliseconds since it was taken
}

// Lease is the migration lock where a session's own lock does not keep others
// out: behind a pooler that shares sessions, and in a cluster whose nodes do not
// share their locks. It is a row that says who may migrate, until when by the
// server's clock, and under which token. The token is larger at every change of
// hands, so that a holder which was paused and wakes up changes nothing: what it
// writes through [Lease.Fence] is refused.
//
// In a cluster whose nodes' clocks differ a lease ends early or late by the
// difference. That costs time, not correctness.
//
// One goroutine may call Beat while another calls the other methods.
type Lease struct {
	d     leaser
	f     Facts
	table string // quoted, with its schema
	owner string
	term  time.Duration
	token int64
	// unsettled: see Unsettled
	unsettled bool
}

// newLease is [Dialect.Lease] of an engine that has one.
func newLease(d leaser, f Facts, table, owner string, term time.Duration) *Lease {
	return &Lease{d: d, f: f, table: d.Qualify(f.Schema, table+"_lease"), owner: owner, term: term}
}

// Kind names the mechanism.
func (*Lease) Kind() string { return "lease" }

// Waits is false: a row has nobody to wake.
func (*Lease) Waits() bool { return false }

// NeedsConnection is true: Excludes and Abandon look from outside.
func (*Lease) NeedsConnection() bool { return true }

// Token is the number of the holder's turn. It means something after Try has
// returned true.
func (l *Lease) Token() int64 { return l.token }

// Fence is an SQL expression that yields expr while the lease has not passed to
// somebody else, and NULL afterwards, with a shared lock on the token until the
// end of the transaction: nobody can take the lease over between this statement
// and its commit. It says nothing about the time: a lease that has run out, and
// that nobody has taken, is as good as ever.
//
// expr may name columns of the statement around it, but none called id, token,
// owner, session, server, peer, taken_at or expires_at.
func (l *Lease) Fence(expr string) string {
	return fmt.Sprintf("(SELECT %s FROM %s WHERE id = %d AND token = %d %s)", expr, l.table, leaseFence, l.token, l.d.leaseShare(l.f))
}

// Guard is a statement that has to come first in each transaction in which the
// holder writes, or empty where Fence alone is enough. On a cluster whose nodes
// know nothing of each other's row locks a transaction can commit after a takeover
// that its own node has received and not yet applied; it cannot when both have
// written the same row. The statement changes one row while the lease is ours, and
// none afterwards.
func (l *Lease) Guard() string {
	switch l.f.Cluster {
	case ClusterGalera, ClusterGroupReplication:
		return fmt.Sprintf("UPDATE %s SET expires_at = %s WHERE id = %d AND token = %d", l.table, l.d.Now(), leaseFence, l.token)
	}
	return ""
}

// Try takes the lease if it is free or has run out. It does not wait, except for
// the end of a dead holder's session, and then about a second at most: whatever
// stands in the way is answered with false. The table is made if it is missing.
func (l *Lease) Try(ctx context.Context, c *sql.Conn, _ time.Duration) (bool, error) {
	got, err := l.try(ctx, c)
	if l.d.IsLockTimeout(err) { // somebody else was quicker, or is at it
		return false, nil
	}
	return got, err
}

func (l *Lease) try(ctx context.Context, c *sql.Conn) (bool, error) {
	holder, err := l.read(ctx, c, "")
	if l.d.IsNoTable(err) || errors.Is(err, ErrNoRow) {
		if err := l.create(ctx, c, l.d.IsNoTable(err)); err != nil {
			return false, err
		}
		holder, err = l.read(ctx, c, "")
	}
	if err != nil || holder.busy {
		return false, err
	}
	got, err := l.take(ctx, c)
	if l.d.IsLockTimeout(err) {
		return false, l.endSilent(ctx, c)
	}
	if errors.Is(err, ErrNoRow) { // the fence is gone, and the beat knows the token: made again, it is taken at the next try
		return false, l.create(ctx, c, false)
	}
	return got, err
}

// endSilent ends the transaction of a holder that was stopped in the middle, and
// whose session its row does not tell. Most have a limit of their own for that; a Go
// migration, which may think for longer, has none.
func (l *Lease) endSilent(ctx context.Context, c *sql.Conn) error {
	query := l.d.leaseSilent(l.f, l.table, l.term)
	if query == "" {
		return nil
	}
	var ended int
	if err := QueryRow(ctx, c, query, l.d.QueryArgs(), &ended); err != nil {
		return fmt.Errorf("ending the session of a holder that has fallen silent: %w", err)
	}
	return nil
}

// read reads the beat. lock ends the statement. A lease that was given back is free
// whatever its end: a migration can have set the clock of the session that wrote it.
func (l *Lease) read(ctx context.Context, q Queryer, lock string) (h leaseHolder, err error) {
	err = QueryRow(ctx, q, fmt.Sprintf("SELECT token, owner, session, server, peer, owner <> '' AND expires_at > %s, %s FROM %s WHERE id = %d %s",
		l.d.Now(), l.d.ElapsedMS("taken_at"), l.table, leaseBeat, lock), l.d.QueryArgs(), &h.token, &h.owner, &h.session, &h.server, &h.peer, &h.busy, &h.age)
	if h.session < 0 {
		h.session, h.heir = -h.session, true
	}
	return h, err
}

// create makes the table and its rows. Others may do the same at this instant:
// it is enough that they are there in the end.
func (l *Lease) create(ctx context.Context, c *sql.Conn, table bool) error {
	if table {
		if _, err := c.ExecContext(ctx, l.d.leaseDDL(l.table)); err != nil && !l.d.IsDuplicate(err) {
			return fmt.Errorf("creating the table of the migration lease: %w", err)
		}
	}
	// One at a time: whichever is there already is no reason not to add the other.
	for _, id := range []int{leaseFence, leaseBeat} {
		_, err := c.ExecContext(ctx, fmt.Sprintf("INSERT INTO %s (id, token, owner, session, server, peer, taken_at, expires_at) VALUES (%d, 0, '', 0, '', '', %s, %s)",
			l.table, id, l.d.Now(), l.d.Now()))
		if err != nil && !l.d.IsDuplicate(err) {
			return fmt.Errorf("creating the migration lease: %w", err)
		}
	}
	return nil
}

// take raises the token in one transaction, after it has made sure that nothing
// of the old holder is left that could still write. It waits for no lock: a
// transaction of the old holder that has the fence is looked for again at the
// next try, and whoever else takes the lease at this instant has it.
func (l *Lease) take(ctx context.Context, c *sql.Conn) (bool, error) {
	token, known := int64(0), true
	taken, err := l.hurried(ctx, c, func() (_ bool, err error) {
		token, known, err = l.raise(ctx, c)
		return token > 0, err
	})
	if taken {
		l.token, l.unsettled = token, !known
	}
	return taken, err
}

// hurried runs work in a transaction, and commits it when work says so. The server
// ends the session when its client falls silent in it for a term: what it has
// locked would be kept from everybody for as long as the server does not notice,
// and that can be hours. done means that it was committed, also beside an error.
func (l *Lease) hurried(ctx context.Context, c *sql.Conn, work func() (bool, error)) (done bool, err error) {
	hurry, calm := l.d.leaseHurry(l.f, l.term)
	done, err = transact(ctx, c, hurry, work)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.term)
	defer cancel()
	if !done {
		err = cmp.Or(err, execOne(ctx, c, "ROLLBACK", 0))
	}
	if calm != "" {
		err = cmp.Or(err, execOne(ctx, c, calm, 0))
	}
	return done, err
}

// transact is a transaction of its own also where the connection has no autocommit.
// It is none of package sql's, whose end does not heed a context. Where it is not
// done the caller rolls back.
func transact(ctx context.Context, c *sql.Conn, hurry string, work func() (bool, error)) (done bool, err error) {
	if err := execOne(ctx, c, "BEGIN", 0); err != nil {
		return false, err
	}
	if hurry != "" {
		if err := execOne(ctx, c, hurry, 0); err != nil {
			return false, err
		}
	}
	if wanted, err := work(); err != nil || !wanted {
		return false, err
	}
	err = execOne(ctx, c, "COMMIT", 0)
	return err == nil, err
}

// raise raises the token. It is 0 when the lease is not to be had.
func (l *Lease) raise(ctx context.Context, c *sql.Conn) (token int64, known bool, err error) {
	beat, err := l.read(ctx, c, "FOR UPDATE NOWAIT")
	if err != nil || beat.busy {
		return 0, false, err
	}
	if gone, err := l.settle(ctx, c, beat); err != nil || !gone {
		return 0, false, err
	}
	known = true
	if beat.owner != "" {
		if err := QueryRow(ctx, c, "SELECT "+l.d.leaseKnown(beat), l.d.QueryArgs(), &known); err != nil {
			return 0, false, err
		}
	}
	known = known && !beat.heir // it died before it could find out what the one before it left
	var fence int64
	if err := QueryRow(ctx, c, fmt.Sprintf("SELECT token FROM %s WHERE id = %d FOR UPDATE NOWAIT", l.table, leaseFence), l.d.QueryArgs(), &fence); err != nil {
		return 0, false, err
	}
	token = max(fence, beat.token) + 1
	session, server, peer := l.d.leaseSession(l.f)
	if !known {
		session = "-" + session
	}
	_, err = c.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET token = %d, owner = %s, session = %s, server = %s, peer = %s, taken_at = %s, expires_at = %s WHERE id IN (%d, %d)",
		l.table, token, l.d.Literal(l.owner), session, server, peer, l.d.Now(), l.d.leaseEnd(l.term), leaseFence, leaseBeat))
	if err != nil {
		return 0, false, err
	}
	return token, known, nil
}

// Unsettled reports whether the lease was taken from a holder that had not given
// it back, and whose session can neither be seen nor ended from here. A statement
// that commits by itself, such as DDL on MySQL, may then still be on its way, or
// at work: the fence holds no such statement back. Whoever takes it from a holder
// of whom that is true, and who did not give it back, inherits it.
func (l *Lease) Unsettled() bool { return l.unsettled }

// settle ends the session of a holder that has not given the lease back: where
// DDL commits by itself the server may be at work on its last statement long
// after its process has died, and nothing that is read meanwhile would be true.
// A session on another node, or one that this user cannot see, is left alone:
// then the fence and the rows of the history have to do. So is one that this
// user may not end, once it is idle.
func (l *Lease) settle(ctx context.Context, q runner, h leaseHolder) (gone bool, err error) {
	if h.session == 0 {
		return true, nil
	}
	there, err := l.alive(ctx, q, h, false)
	if err != nil || !there {
		return err == nil, err
	}
	_, err = q.ExecContext(ctx, l.d.leaseKill(h.session))
	refused := l.d.leaseNotKilled(err)
	if err != nil && !refused {
		return false, err
	}
	return until(ctx, settleFor, func() (bool, error) {
		there, err := l.alive(ctx, q, h, refused)
		return !there, err
	})
}

func (l *Lease) alive(ctx context.Context, q Queryer, h leaseHolder, working bool) (there bool, err error) {
	err = QueryRow(ctx, q, "SELECT "+l.d.leaseAlive(h, working), l.d.QueryArgs(), &there)
	return there, err
}

// runner is a connection, or a transaction on one.
type runner interface {
	Queryer
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// until asks until the answer is yes, or patience ends. It does not end a
// question that is being asked: that would cost the connection.
func until(ctx context.Context, patience time.Duration, ask func() (bool, error)) (bool, error) {
	end := time.Now().Add(patience)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for {
		yes, err := ask()
		if err != nil || yes || time.Now().After(end) {
			return yes, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-pause.C:
		}
	}
}

// Beat renews the lease, on a connection that is not the holder's own: that one
// may be busy with a long statement. held is false when the lease has passed to
// somebody else or was given back: the run is over. An error says nothing about
// the lease: beat again. A lease that has run out and that nobody has taken is
// renewed.
//
// In a Galera cluster no write of any node comes to its end during a DDL statement,
// neither this one nor a takeover. That it takes longer than the term is
// therefore no proof that the lease is lost; ending ctx would cost the connection.
func (l *Lease) Beat(ctx context.Context, second *sql.Conn) (held bool, err error) {
	start := time.Now()
	held, err = l.beat(ctx, second)
	if err == nil && held && time.Since(start) > l.term/2 {
		return l.beat(ctx, second) // the end was reckoned from before the wait, and is near
	}
	return held, err
}

func (l *Lease) beat(ctx context.Context, second *sql.Conn) (bool, error) {
	return l.write(ctx, second, "expires_at = "+l.d.leaseEnd(l.term))
}

// Unlock gives the lease back, so that it can be taken at once. What the
// connection has left open is rolled back.
func (l *Lease) Unlock(ctx context.Context, c *sql.Conn) (bool, error) {
	if _, err := c.ExecContext(ctx, "ROLLBACK"); err != nil {
		return false, err
	}
	return l.write(ctx, c, l.back())
}

// writeTries is how often the beat is written before a deadlock is an error: a
// node of a cluster ends whoever meets what another node commits.
const writeTries = 5

// write changes the beat while it is ours.
func (l *Lease) write(ctx context.Context, c *sql.Conn, set string) (ours bool, err error) {
	for range writeTries {
		if ours, err = l.writeOnce(ctx, c, set); !l.d.IsLockTimeout(err) || ctx.Err() != nil {
			break
		}
	}
	return ours, err
}

func (l *Lease) writeOnce(ctx context.Context, c *sql.Conn, set string) (ours bool, err error) {
	return l.hurried(ctx, c, func() (bool, error) {
		result, err := c.ExecContext(ctx, fmt.Sprintf("UPDATE %s SET %s WHERE id = %d AND token = %d AND owner = %s", l.table, set, leaseBeat, l.token, l.d.Literal(l.owner)))
		if err != nil {
			return false, err
		}
		rows, err := result.RowsAffected()
		return rows == 1, err
	})
}

// Holder says who has the lease, since when and for how long. It is empty when
// nobody has it.
func (l *Lease) Holder(ctx context.Context, c *sql.Conn) (string, error) {
	var owner, since string
	var ended float64
	err := QueryRow(ctx, c, fmt.Sprintf("SELECT owner, %s, %s FROM %s WHERE id = %d", l.d.TimeText("taken_at"), l.d.ElapsedMS("expires_at"), l.table, leaseBeat),
		l.d.QueryArgs(), &owner, &since, &ended)
	if l.d.IsNoTable(err) || errors.Is(err, ErrNoRow) || err == nil && owner == "" {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	took, err := time.Parse(time.RFC3339Nano, since)
	if err != nil {
		return "", err
	}
	left := time.Duration(-ended * float64(time.Millisecond)).Round(100 * time.Millisecond)
	return fmt.Sprintf("%s since %s UTC, and its lease ends in %s", owner, took.Format(time.TimeOnly), left), nil
}

// Excludes proves that both connections see one database: the second sees the
// lease as ours.
func (l *Lease) Excludes(ctx context.Context, second *sql.Conn) (bool, error) {
	return until(ctx, seenWithin, func() (bool, error) {
		h, err := l.read(ctx, second, "")
		if l.d.IsNoTable(err) || errors.Is(err, ErrNoRow) {
			return false, nil
		}
		return err == nil && h.token == l.token, err
	})
}

// Abandon ends our own session and gives the lease back. Where that session
// cannot be found, as behind a pooler, the lease is left to run out: the server
// may still be at work for us. So is one that is [Lease.Unsettled].
func (l *Lease) Abandon(ctx context.Context, second *sql.Conn) error {
	h, err := l.read(ctx, second, "")
	if err != nil || h.token != l.token || h.session == 0 {
		return err
	}
	var known bool
	if err := QueryRow(ctx, second, "SELECT "+l.d.leaseKnown(h), l.d.QueryArgs(), &known); err != nil || !known {
		return err
	}
	for gone := false; !gone; { // until ctx ends
		if gone, err = l.settle(ctx, second, h); err != nil {
			return err
		}
	}
	if l.unsettled {
		return nil
	}
	_, err = l.write(ctx, second, l.back())
	return err
}

// back are the assignments that give the lease back.
func (l *Lease) back() string {
	return "expires_at = " + l.d.Now() + ", owner = '', session = 0, server = '', peer = ''"
}
