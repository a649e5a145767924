package tldwdb

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/tldw/tldwdb/internal/dialect"
)

// core is what the migrating half of a [DB] needs beside its pools.
type core struct {
	dialect dialect.Dialect
	log     *slog.Logger

	activity activity

	mu     sync.Mutex
	loaded *source // nil until it was loaded without an error

	replaying  chan struct{} // holds a token while migrations are replayed
	lastReplay *replay       // belongs to whose token that is

	fromFiles bool // a scratch database: its migrations run one by one where they can
}

func newCore(cfg Config, dialectName string, native bool) (*core, error) {
	d, err := dialect.New(dialectName, native)
	if err != nil {
		return nil, err
	}
	if dialectName == dialect.NameSQLite && cfg.Lock == LockLease {
		return nil, errors.New("Config.Lock (TLDWDB_LOCK) is lease: SQLite has no lease, and needs none; accepted are auto and session")
	}
	log := cfg.Logger
	if cfg.Set != defaultSet { // several share a database, and perhaps a log
		log = log.With(slog.String("set", cfg.Set))
	}
	return &core{dialect: d, log: log, replaying: make(chan struct{}, 1)}, nil
}

// source loads the migration files, once: a failure is not kept, for the files
// may be mended under a running process.
func (db *DB) source() (*source, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.loaded == nil {
		src, err := loadSource(db.cfg.Migrations, db.cfg.MigrationsDir, db.dialectName, db.cfg.GoMigrations)
		if err != nil {
			return nil, err
		}
		db.loaded = src
	}
	return db.loaded, nil
}

// actor is who the history says ran a migration.
func (db *DB) actor() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown host"
	}
	name := db.cfg.Application
	if name == "" {
		name = filepath.Base(os.Args[0])
	}
	return shorten(fmt.Sprintf("%s:%d:%s", host, os.Getpid(), name), 240)
}
