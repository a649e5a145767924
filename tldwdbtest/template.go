package tldwdbtest

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/tldw/tldwdb"
)

// A template is a database with the migrations applied and set up, from which the
// databases of tests are copied. Its name is made of what it was made from, so that
// whoever wants the same finds it, and whoever changes a file does not.

// errNoTemplate means that the template is gone: it is made again.
var errNoTemplate = errors.New("the template is not there")

const (
	// layout is part of every key. It changes with what this package puts into
	// templates.
	layout = 9

	templateAge = 24 * time.Hour // unused for as long, a template is dropped
	keptAge     = 24 * time.Hour // the same of a database that was kept
	// programAge is that of a template which belongs to one build of a program: each
	// build has one.
	programAge = time.Hour
)

// house is where databases are made: a folder, or a server.
type house interface {
	// template returns what the process knows of a template.
	template(cfg Config, at target) (*template, error)
	// look reports whether the template is there, in whole.
	look(ctx context.Context, t *template) (bool, error)
	// try takes the lock under which the template is made, without waiting.
	try(ctx context.Context, t *template) (unlock func(), got bool, err error)
	// build makes the template, in the place of a half-made one.
	build(ctx context.Context, t *template) error
	// clone makes a database of the template, or fails with errNoTemplate.
	clone(ctx context.Context, t *template, tb TB) (*place, error)
	// drop removes the template.
	drop(ctx context.Context, t *template) error
}

// template is one template, as this process knows it.
type template struct {
	cfg  Config
	key  string
	own  bool // of one build of one program
	mu   sync.Mutex
	have bool // it was there when we looked
	good bool // we made it, or have proved it
	note any  // what the house wants to remember
}

// ready looks whether the template is there, and makes it otherwise. Exactly one
// process does. good says that its content needs no proof.
func (t *template) ready(ctx context.Context, h house) (good bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for pause := 5 * time.Millisecond; !t.have; pause = min(2*pause, 200*time.Millisecond) {
		if t.have, err = h.look(ctx, t); err != nil || t.have {
			break
		}
		unlock, got, err := h.try(ctx, t)
		if err != nil {
			return false, err
		}
		if got {
			return t.good, t.make(ctx, h, unlock)
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-ctx.Done():
			timer.Stop()
			return false, fmt.Errorf("waiting for another process that makes it: %w", context.Cause(ctx))
		case <-timer.C:
		}
	}
	return t.good, err
}

// make makes the template under the lock, unless it has come to be there meanwhile.
func (t *template) make(ctx context.Context, h house, unlock func()) (err error) {
	defer unlock()
	if t.have, err = h.look(ctx, t); err != nil || t.have {
		return err
	}
	if err := h.build(ctx, t); err != nil {
		return err
	}
	t.have, t.good = true, true
	return nil
}

func (t *template) forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.have, t.good, t.note = false, false, nil
}

func (t *template) trust() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.good = true
}

// fillIn migrates and sets up the database that the template is to be.
func (t *template) fillIn(ctx context.Context, url string) (err error) {
	cfg := t.cfg.templateBase()
	cfg.URL = url
	db, err := tldwdb.Open(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.Up(ctx); err != nil {
		return err
	}
	if seeded(cfg) {
		if _, err := db.Seed(ctx, t.cfg.SeedSets...); err != nil {
			return err
		}
	}
	if t.cfg.Setup == nil {
		return nil
	}
	if err := t.cfg.Setup(ctx, db); err != nil {
		return fmt.Errorf("Config.Setup: %w", err)
	}
	return nil
}

func seeded(cfg tldwdb.Config) bool { return cfg.Seeds != nil || len(cfg.GoSeeds) > 0 }

// keyOf hashes everything that the content of the template depends on. place is the
// account and the server, or the library.
func keyOf(cfg Config, e Engine, place string) (key string, own bool, err error) {
	base := cfg.templateBase()
	files, err := tldwdb.Files(base, string(e))
	if err != nil {
		return "", false, err
	}
	seeds, err := sumOfSeeds(base, e)
	if err != nil {
		return "", false, err
	}
	// Code cannot be hashed, but the program can that it is in.
	program := ""
	if own = cfg.SetupKey == "" && (cfg.Setup != nil || len(base.GoMigrations)+len(base.GoSeeds) > 0); own {
		if program, err = programSum(); err != nil {
			return "", false, fmt.Errorf("Config.SetupKey is not set, and the test's program cannot be read: %w", err)
		}
		program += " " + functionName(cfg.Setup)
		for _, g := range base.GoMigrations {
			program += " " + functionName(g.Up)
		}
	}
	text, err := json.Marshal([]any{layout, version(), e, place, files, base.Set, base.Table, cfg.SetupKey, cfg.Setup != nil, program, seeds, cfg.SeedSets})
	if err != nil {
		return "", false, err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), own, nil
}

// identity is what a key is made of where none of it can change while the process
// runs: embedded files do not, and reading fifty takes as long as opening a database.
type identity struct {
	files           embed.FS
	engine          Engine
	dir, set, table string
	setupKey, place string
	setup           string
	hasNoFile       bool
}

// functionName tells functions of a program apart; empty for none.
func functionName(f any) string {
	v := reflect.ValueOf(f)
	if v.IsNil() {
		return ""
	}
	return runtime.FuncForPC(v.Pointer()).Name()
}

var keys sync.Map // from identity to known

type known struct {
	key string
	own bool
}

// knownKey is keyOf, which remembers.
func knownKey(cfg Config, e Engine, place string) (key string, own bool, err error) {
	base := cfg.templateBase()
	files, fixed := base.Migrations.(embed.FS)
	if !fixed && base.Migrations != nil || len(base.GoMigrations) > 0 || seeded(base) {
		return keyOf(cfg, e, place)
	}
	id := identity{files, e, base.MigrationsDir, base.Set, base.Table, cfg.SetupKey, place, functionName(cfg.Setup), base.Migrations == nil}
	if k, ok := keys.Load(id); ok {
		return k.(known).key, k.(known).own, nil
	}
	if key, own, err = keyOf(cfg, e, place); err == nil {
		keys.Store(id, known{key, own})
	}
	return key, own, err
}

// version is that of this module in the test's program.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/tldw/tldwdb" {
			return m.Version
		}
	}
	return ""
}

// programSum is the sum of the program's file, which go test makes for each package.
var programSum = sync.OnceValues(func() (string, error) {
	path, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
})

// templates are those that this process knows, by key.
type templates struct {
	mu   sync.Mutex
	list map[string]*template
}

func (s *templates) get(cfg Config, e Engine, place string) (*template, error) {
	key, own, err := knownKey(cfg, e, place)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.list[key]
	if t == nil {
		t = &template{key: key, own: own, cfg: cfg}
		if s.list == nil {
			s.list = map[string]*template{}
		}
		s.list[key] = t
	}
	return t, nil
}
