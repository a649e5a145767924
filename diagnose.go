package tldwdb

import (
	"context"
	"path/filepath"
	"time"

	"github.com/tldw/tldwdb/internal/dialect"
	"github.com/tldw/tldwdb/internal/diskfree"
)

// Diagnosis is what is at the other end of the connection that migrates: for an
// operator who asks why something does not go as it should.
type Diagnosis struct {
	Dialect   string        `json:"dialect"`       // sqlite, postgres or mysql
	Server    string        `json:"server"`        // product and version
	Database  string        `json:"database"`      // its name; the file of a SQLite database
	Schema    string        `json:"schema"`        // where the history table is, or will be
	Cluster   string        `json:"cluster"`       // the kind of cluster; empty for a server that is alone
	Lock      string        `json:"lock"`          // the kind of migration lock that a run would take now, and why
	Pooler    bool          `json:"pooler"`        // something stands before the server that gives a session to several clients in turn
	ReadOnly  bool          `json:"read_only"`     // it takes no writes
	Missing   []string      `json:"missing"`       // rights that migrations usually need, and this account has not
	RoundTrip time.Duration `json:"round_trip_ns"` // of one question
	Clock     time.Duration `json:"clock_ns"`      // the server's clock less this machine's, as far as the round trip lets it be told
	Size      int64         `json:"size_bytes"`    // of the database; -1 where it cannot be told
	Free      int64         `json:"free_bytes"`    // of the disk that a SQLite file is on; -1 elsewhere
}

// Diagnose looks at the server, and chooses the lock as a run would, without
// taking it. It uses the connection that migrates (Config.MigrateURL where that is
// set) and writes nothing.
func (db *DB) Diagnose(ctx context.Context) (*Diagnosis, error) {
	r, err := db.newRun(ctx)
	if err != nil {
		return nil, err
	}
	defer r.release(ctx)
	d, err := r.diagnose(ctx)
	return d, ended(ctx, err)
}

func (r *run) diagnose(ctx context.Context) (*Diagnosis, error) {
	if err := r.connectAndInspect(ctx); err != nil {
		return nil, err
	}
	d := &Diagnosis{Dialect: r.d.Name(), Server: r.facts.Server, Database: r.facts.Database, Schema: r.facts.Schema,
		Cluster: r.facts.Cluster, ReadOnly: r.facts.ReadOnly, Free: -1}
	sent := time.Now()
	var one int
	if err := dialect.QueryRow(ctx, r.conn, "SELECT 1", r.d.QueryArgs(), &one); err != nil {
		return d, err
	}
	d.RoundTrip = time.Since(sent)
	condition, err := r.d.Condition(ctx, r.conn.Conn, r.facts)
	if err != nil {
		return d, err
	}
	d.Clock, d.Missing, d.Size = condition.Clock, condition.Missing, condition.Size
	if d.Missing == nil {
		d.Missing = []string{}
	}
	if r.d.Name() == dialect.NameSQLite && !r.facts.InMemory {
		if free, err := diskfree.At(filepath.Dir(r.facts.Database)); err == nil {
			d.Free = free
		}
	}
	r.store.table = r.d.Qualify(r.facts.Schema, r.cfg.Table)
	if r.seen, err = r.store.read(ctx, r.conn); err != nil {
		return d, err
	}
	if err := r.chooseLock(ctx); err != nil {
		return d, err
	}
	d.Lock, d.Pooler = r.choice.String(), r.session.Pooled
	return d, nil
}
