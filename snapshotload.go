package tldwdb

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"

	"github.com/tldw/tldwdb/internal/catalog"
	"github.com/tldw/tldwdb/internal/dialect"
)

// This file gives an empty database its snapshot.

// decide is the function decide, with what only the server can tell.
func (r *run) decide(ctx context.Context, hist *history, req Request) ([]step, []Disagreement, error) {
	options := r.options()
	options.fromFiles = r.db.fromFiles
	if len(hist.rows) == 0 && len(r.src.snapshots) > 0 && (!req.destructive() || req.Goal == GoalVersion) {
		if err := r.inspect(ctx); err != nil {
			return nil, nil, err
		}
		options.engine = r.engine()
		if r.obstacle == nil {
			found, err := r.findObstacle(ctx, hist, options.engine)
			if err != nil {
				return nil, nil, err
			}
			r.obstacle = &found
		}
		options.occupied = *r.obstacle
		r.tellPassedOver(ctx, options)
	}
	return decide(r.src, hist, req, options)
}

// engine is whose snapshots the server takes.
func (r *run) engine() string {
	if r.d.ScanOptions().MariaDB {
		return engineMariaDB
	}
	return r.d.Name()
}

// findObstacle says why a snapshot has not the database to itself; empty when it has. What is
// there already was made by somebody's hand, and migrations may be written for that, with IF
// NOT EXISTS; a snapshot is not. Where other sets have migrated, it is theirs.
func (r *run) findObstacle(ctx context.Context, hist *history, engine string) (string, error) {
	if hist.format != 0 {
		var others int
		query := fmt.Sprintf("SELECT COUNT(*) FROM %s WHERE set_name NOT IN (%s, %s)", r.store.table, r.d.Literal(metaSet), r.d.Literal(r.store.set))
		if err := dialect.QueryRow(ctx, r.conn, query, r.d.QueryArgs(), &others); err != nil {
			return "", fmt.Errorf("reading the history table: %w", err)
		}
		if others > 0 {
			return "", nil
		}
	}
	if untouched, err := catalog.Untouched(ctx, r.d, r.conn); err != nil || untouched {
		return "", err
	}
	there, err := catalog.Read(ctx, r.d, r.conn.Conn, r.db.comparing(Verification{}))
	if err != nil {
		return "", err
	}
	concerned := map[string]bool{r.facts.Schema: true, "": true}
	for _, o := range there {
		if !o.Made() {
			continue
		}
		schema := there.Schema(o)
		concerns, known := concerned[schema]
		if !known {
			if concerns, err = r.namesSchema(engine, schema); err != nil {
				return "", err
			}
			concerned[schema] = concerns
		}
		if concerns {
			return fmt.Sprintf("%s %s is in it", o.Kind, o.Name), nil
		}
	}
	return "", nil
}

// namesSchema reports whether a snapshot has to do with a schema, or may have: what is in
// others is another program's, and no reason to do without it. It is enough that the
// letters of the name stand somewhere in the snapshot, or in a migration that it holds:
// one that looks into the schema before it makes something may make something else
// than it made on the scratch database. What Go migrations look into nobody knows.
func (r *run) namesSchema(engine, schema string) (bool, error) {
	for _, snap := range r.src.snapshots {
		if snap.engine != engine {
			continue
		}
		scripts := []*script{snap.script}
		for _, h := range snap.holds {
			switch m := r.src.find(h.id); {
			case m == nil: // it is not loaded here
			case m.code != nil:
				return true, nil
			case m.up != nil:
				scripts = append(scripts, m.up)
			}
		}
		for _, sc := range scripts {
			text, err := r.src.read(sc)
			if err != nil {
				return false, fmt.Errorf("%s: %w", sc.file, err)
			}
			if bytes.Contains(bytes.ToLower(text), bytes.ToLower([]byte(schema))) {
				return true, nil
			}
		}
	}
	return false, nil
}

// tellPassedOver says once why there is a snapshot that is not loaded.
func (r *run) tellPassedOver(ctx context.Context, o planOptions) {
	if r.passedOver || o.fromFiles {
		return
	}
	r.passedOver = true
	for _, snap := range r.src.snapshots {
		why := snap.stale
		if o.occupied != "" {
			why = "the database is not empty: " + o.occupied
		}
		if snap.engine == o.engine && why != "" {
			r.log.LogAttrs(ctx, slog.LevelWarn, "a snapshot is not loaded", slog.String("file", snap.script.file), slog.String("reason", why))
		}
	}
}

// prepareSnapshot reads a snapshot, and the ways back of what it holds.
func (r *run) prepareSnapshot(j *job) (*job, error) {
	if r.loading != nil && r.loading.snapshot == j.snapshot {
		ready := *r.loading
		ready.step = j.step
		return &ready, nil
	}
	sc := j.snapshot.script
	text, err := r.src.read(sc)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sc.file, err)
	}
	j.file, j.checksum = sc.file, j.snapshot.loadingSum()
	j.journaled = !r.d.TransactionalDDL()
	for _, h := range j.snapshot.holds {
		m := r.src.find(h.id)
		e := entry{id: m.id, checksum: h.sum, state: stateSnapshot, direction: DirectionUp}
		if e.down, err = r.src.storable(m); err != nil {
			return nil, err
		}
		j.held = append(j.held, e)
	}
	if err := r.split(j, text); err != nil {
		return nil, err
	}
	last := &j.held[len(j.held)-1]
	last.done, last.steps = len(j.statements), len(j.statements)
	ready := *j
	r.loading = &ready
	return j, nil
}
