package tldwdb_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"

	"github.com/tldw/tldwdb"
	"github.com/tldw/tldwdb/internal/archive"
	"github.com/tldw/tldwdb/internal/testdb"
)

// putObject writes an object.
func putObject(t *testing.T, store tldwdb.BackupStore, name, content string) {
	t.Helper()
	w, err := store.Create(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
}

// getObject reads an object.
func getObject(t *testing.T, store tldwdb.BackupStore, name string) string {
	t.Helper()
	r, err := store.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// storedNames are the names in a store.
func storedNames(t *testing.T, store tldwdb.BackupStore) []string {
	t.Helper()
	all, err := store.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range all {
		names = append(names, o.Name)
	}
	return names
}

// keepBackup puts a backup with one part into a store.
func keepBackup(t *testing.T, store tldwdb.BackupStore, started time.Time, content string, o archive.Options, change ...func(*tldwdb.Backup)) tldwdb.Backup {
	t.Helper()
	b := tldwdb.Backup{
		Name: archive.NewName(started), Reason: tldwdb.ReasonManual, Method: tldwdb.BackupNative, Content: "sqlite", Engine: "sqlite", Database: "app.db",
		Writer: "tldwdb test", Started: started.UTC(), Finished: started.UTC(), Compression: o.Compression, Recipients: archive.Describe(o.Recipients),
	}
	part := tldwdb.BackupPart{Name: b.Name + archive.Extension("db", o)}
	w, err := store.Create(t.Context(), part.Name)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.NewWriter(w, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(a, content); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(a.Close(), w.Commit()); err != nil {
		t.Fatal(err)
	}
	s := a.Stored()
	part.Size, part.SHA256, part.PlainSize, part.PlainSHA256 = s.Size, s.SHA256, s.PlainSize, s.PlainSHA256
	b.Parts = []tldwdb.BackupPart{part}
	for _, f := range change {
		f(&b)
	}
	if err := tldwdb.WriteManifest(t.Context(), store, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

// said is all that a manifest and a verification say.
func said(t *testing.T, b tldwdb.Backup) string {
	t.Helper()
	text, err := json.Marshal([]any{b, b.Verified})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// plainArchive is a part as it is.
var plainArchive = archive.Options{Compression: archive.None}

// rewrite alters a file.
func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDirStore(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "var", "backups")
	store := tldwdb.DirStore(dir)
	if all, err := store.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("a folder that is not there: %v, %v", all, err)
	}
	if _, err := store.Open(t.Context(), "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := store.Delete(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	putObject(t, store, "b", "two")
	putObject(t, store, "a", "one")
	putObject(t, store, "a", "another one")
	w, err := store.Create(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "never"); err != nil {
		t.Fatal(err)
	}
	if got := storedNames(t, store); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("with one being written: %v", got)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	if got := getObject(t, store, "a"); got != "another one" {
		t.Errorf("%q", got)
	}
	if err := store.Delete(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if got := storedNames(t, store); !slices.Equal(got, []string{"a"}) {
		t.Error(got)
	}
	if store.String() != dir || tldwdb.DirStore("").String() != "backups" {
		t.Error(store)
	}
	if runtime.GOOS != "windows" {
		for path, want := range map[string]fs.FileMode{dir: 0o700, filepath.Join(dir, "a"): 0o600} {
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
				t.Errorf("%s: %v, %v", path, info.Mode(), err)
			}
		}
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := store.Create(canceled, "c"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// No name leads out of the folder, and neither does a link in it.
func TestDirStoreKeepsToItsFolder(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	dir := filepath.Join(above, "backups")
	store := tldwdb.DirStore(dir)
	putObject(t, store, "a", "one")
	secret := filepath.Join(above, "secret")
	if err := os.WriteFile(secret, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"../secret", "..", ".", "", "/etc/passwd", `..\secret`, "a/b", ".hidden", secret, "a.partial-abcdefgh", "a\x00"} {
		if _, err := store.Create(t.Context(), name); err == nil {
			t.Errorf("%q can be created", name)
		}
		if _, err := store.Open(t.Context(), name); err == nil {
			t.Errorf("%q can be opened", name)
		}
		if err := store.Delete(t.Context(), name); err == nil {
			t.Errorf("%q can be deleted", name)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Skip(err)
	}
	if got := storedNames(t, store); !slices.Equal(got, []string{"a"}) {
		t.Errorf("links and folders are listed: %v", got)
	}
	for _, name := range []string{"link", "folder"} {
		if _, err := store.Open(t.Context(), name); err == nil {
			t.Errorf("%s can be opened", name)
		}
	}
	putObject(t, store, "link", "two") // takes the name from the link
	if text, err := os.ReadFile(secret); err != nil || string(text) != "secret" {
		t.Errorf("%q, %v", text, err)
	}
}

func TestManifest(t *testing.T) {
	t.Parallel()
	store := tldwdb.DirStore(t.TempDir())
	b := keepBackup(t, store, time.Now(), "content", plainArchive, func(b *tldwdb.Backup) {
		b.Database = `<odd & "name">`
		b.Migrations = []tldwdb.BackupMigration{{Version: 9007199254740993, Name: "big"}}
		b.Objects = map[string]int{"table": 3}
	})
	got, err := tldwdb.ReadManifest(t.Context(), store, b.Name)
	if err != nil {
		t.Fatal(err)
	}
	if said(t, got) != said(t, b) {
		t.Errorf("%+v, want %+v", got, b)
	}
	if err := tldwdb.CheckParts(t.Context(), store, got, func(int) {}); err != nil {
		t.Error(err)
	}
	for _, ok := range []bool{false, true} { // the later one replaces the other
		if err := tldwdb.WriteVerification(t.Context(), store, b, tldwdb.BackupVerification{OK: ok, Engine: "sqlite"}); err != nil {
			t.Fatal(err)
		}
		if got, err = tldwdb.ReadManifest(t.Context(), store, b.Name); err != nil || got.Verified == nil || got.Verified.OK != ok {
			t.Errorf("%+v, %v", got.Verified, err)
		}
	}
	// Another backup under the same name was never verified.
	b.Writer = "somebody else"
	if err := tldwdb.WriteManifest(t.Context(), store, &b); err != nil {
		t.Fatal(err)
	}
	if got, err = tldwdb.ReadManifest(t.Context(), store, b.Name); err != nil || got.Verified != nil {
		t.Errorf("%+v, %v", got.Verified, err)
	}
	for _, name := range []string{"tldw_backup_20261123_104600_none", "../x", ""} {
		if _, err := tldwdb.ReadManifest(t.Context(), store, name); !errors.Is(err, tldwdb.ErrNoBackup) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// A bit altered anywhere in a manifest or a record is found, or alters nothing.
func TestManifestAltered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tldwdb.DirStore(dir)
	b := keepBackup(t, store, time.Now(), "content", plainArchive)
	if err := tldwdb.WriteVerification(t.Context(), store, b, tldwdb.BackupVerification{OK: true}); err != nil {
		t.Fatal(err)
	}
	want, err := tldwdb.ReadManifest(t.Context(), store, b.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{".json", ".verified.json"} {
		path := filepath.Join(dir, b.Name+suffix)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range text {
			for _, altered := range [][]byte{slices.Concat(text[:at], []byte{text[at] ^ 1<<(at%8)}, text[at+1:]), text[:at]} {
				if err := os.WriteFile(path, altered, 0o600); err != nil {
					t.Fatal(err)
				}
				got, err := tldwdb.ReadManifest(t.Context(), store, b.Name)
				switch {
				case errors.Is(err, tldwdb.ErrBackupDamaged):
				case err != nil:
					t.Errorf("%s, byte %d: %v", suffix, at, err)
				case suffix == ".verified.json" && !got.Verified.OK: // as good as none
				case said(t, got) != said(t, want):
					t.Errorf("%s, byte %d: an altered text is believed: %s", suffix, at, altered)
				}
			}
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// Whatever a manifest says whose sum is right: it leads to no other object.
func TestManifestIsChecked(t *testing.T) {
	t.Parallel()
	store := tldwdb.DirStore(t.TempDir())
	good := keepBackup(t, store, time.Now(), "content", plainArchive)
	for what, change := range map[string]func(*tldwdb.Backup){
		"another backup's part": func(b *tldwdb.Backup) { b.Parts[0].Name = archive.NewName(time.Now()) + ".db" },
		"a part outside":        func(b *tldwdb.Backup) { b.Parts[0].Name = b.Name + "./../../x" },
		"itself as a part":      func(b *tldwdb.Backup) { b.Parts[0].Name = b.Name + ".json" },
		"a part twice":          func(b *tldwdb.Backup) { b.Parts = append(b.Parts, b.Parts[0]) },
		"no part":               func(b *tldwdb.Backup) { b.Parts = nil },
		"no sum":                func(b *tldwdb.Backup) { b.Parts[0].SHA256 = "" },
		"a negative size":       func(b *tldwdb.Backup) { b.Parts[0].PlainSize = -1 },
		"no compression":        func(b *tldwdb.Backup) { b.Compression = "" },
		"an odd name":           func(b *tldwdb.Backup) { b.Name = "x" },
	} {
		b := good
		b.Parts = slices.Clone(good.Parts)
		change(&b)
		if err := tldwdb.WriteManifest(t.Context(), store, &b); !errors.Is(err, tldwdb.ErrBackupDamaged) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// foreignManifest replaces a manifest's content with one that another version wrote; its sum
// is right.
func foreignManifest(t *testing.T, dir, name, content string) {
	t.Helper()
	rewrite(t, filepath.Join(dir, name+".json"), func([]byte) []byte {
		return fmt.Appendf(nil, `{"backup":%s,"later":1,"sha256":"%x"}`, content, sha256.Sum256([]byte(content)))
	})
}

func TestManifestOfAnotherVersion(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tldwdb.DirStore(dir)
	b := keepBackup(t, store, time.Now(), "content", plainArchive)
	foreignManifest(t, dir, b.Name, `{"format":3,"writer":"tldwdb v9.1.0","parts":"elsewhere"}`)
	_, err := tldwdb.ReadManifest(t.Context(), store, b.Name)
	if !errors.Is(err, tldwdb.ErrBackupNewer) || !strings.Contains(err.Error(), "format 3") || !strings.Contains(tldwdb.Hint(err), "tldwdb v9.1.0") {
		t.Errorf("%v; %s", err, tldwdb.Hint(err))
	}
	// What an older version cannot check says so, and nothing else does.
	for _, tt := range []struct {
		piece int64
		want  int
	}{{1 << 20, 2}, {0, 1}} {
		b.Format, b.Parts[0].PieceSize = 0, tt.piece
		if err := tldwdb.WriteManifest(t.Context(), store, &b); err != nil {
			t.Fatal(err)
		}
		if got, err := tldwdb.ReadManifest(t.Context(), store, b.Name); err != nil || got.Format != tt.want || got.Parts[0].PieceSize != tt.piece {
			t.Errorf("pieces of %d: %v, format %d, %+v", tt.piece, err, got.Format, got.Parts)
		}
	}
	b.Format, b.Parts[0].PieceSize = 0, 1 // more would be kept of it than it has
	if err := tldwdb.WriteManifest(t.Context(), store, &b); !errors.Is(err, tldwdb.ErrBackupDamaged) {
		t.Errorf("pieces of a byte: %v", err)
	}
	b.Parts[0].PieceSize = 0
	foreignManifest(t, dir, b.Name, `{"format":0}`) // there never was one
	if _, err := tldwdb.ReadManifest(t.Context(), store, b.Name); !errors.Is(err, tldwdb.ErrBackupDamaged) {
		t.Error(err)
	}
	// A later version of this format says more.
	p := b.Parts[0]
	foreignManifest(t, dir, b.Name, fmt.Sprintf(`{"format":1,"name":%q,"compression":"none","mood":"good","parts":[{"name":%q,"size":7,"sha256":%q,"plain_size":7,"plain_sha256":%q,"colour":"red"}]}`,
		b.Name, p.Name, p.SHA256, p.PlainSHA256))
	if got, err := tldwdb.ReadManifest(t.Context(), store, b.Name); err != nil || got.Parts[0] != p {
		t.Errorf("%+v, %v", got, err)
	}
}

// What is wrong with one backup does not hide the others.
func TestListBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tldwdb.DirStore(dir)
	var all []tldwdb.Backup // the newest first
	for i := range 30 {
		all = append(all, keepBackup(t, store, time.Date(2026, 11, 23, 10, 46, 60-i, 0, time.UTC), "content", plainArchive))
	}
	putObject(t, store, "notes.json", "{}")
	putObject(t, store, "tldw_backup_20261123_104600.json", "another tool's")
	putObject(t, store, "tldw_backup_20270101_000000_aaaa.db", "a part without a manifest")
	want := map[string]string{}
	damage := func(i int, text string, change func(path string)) {
		want[all[i].Name] = text
		change(filepath.Join(dir, all[i].Name))
	}
	damage(3, "the manifest of", func(path string) {
		rewrite(t, path+".json", func(b []byte) []byte { return bytes.Replace(b, []byte("app.db"), []byte("apq.db"), 1) })
	})
	damage(4, "not there", func(path string) {
		if err := os.Remove(path + ".db"); err != nil {
			t.Fatal(err)
		}
	})
	damage(5, "6 bytes, and 7 in the manifest", func(path string) {
		rewrite(t, path+".db", func(b []byte) []byte { return b[:6] })
	})
	damage(6, "it is of", func(path string) { // swapped
		rewrite(t, path+".json", func([]byte) []byte {
			text, err := os.ReadFile(filepath.Join(dir, all[0].Name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			return text
		})
	})
	damage(7, "there is no backup with its SHA-256", func(path string) {
		rewrite(t, path+".json", func([]byte) []byte { return []byte("{}") })
	})
	if err := tldwdb.WriteVerification(t.Context(), store, all[8], tldwdb.BackupVerification{OK: true}); err != nil {
		t.Fatal(err)
	}
	got, err := tldwdb.ListBackups(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(all) {
		t.Fatalf("%d of %d", len(got), len(all))
	}
	for i, b := range got {
		if b.Name != all[i].Name || b.Started.Unix() != all[i].Started.Unix() {
			t.Errorf("%d: %s of %v, want %s", i, b.Name, b.Started, all[i].Name)
		}
		if text := want[b.Name]; text == "" && b.Err != nil || text != "" && (!errors.Is(b.Err, tldwdb.ErrBackupDamaged) || !strings.Contains(b.Err.Error(), text)) {
			t.Errorf("%d: %v, want …%s…", i, b.Err, text)
		}
		if is := b.Verified != nil && b.Verified.OK; is != (i == 8) {
			t.Errorf("%d: verified %v", i, b.Verified)
		}
	}
	loose, err := tldwdb.IncompleteBackups(t.Context(), store)
	if err != nil || len(loose) != 1 || loose[0].Name != "tldw_backup_20270101_000000_aaaa.db" {
		t.Errorf("%+v, %v", loose, err)
	}
}

func TestOpenPart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := tldwdb.DirStore(dir)
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("content", 50_000)
	b := keepBackup(t, store, time.Now(), content, archive.Options{Compression: archive.Zstd, Recipients: []age.Recipient{id.Recipient()}})
	read := func(ids ...age.Identity) (string, error) {
		r, err := tldwdb.OpenPart(t.Context(), store, b, b.Parts[0], ids)
		if err != nil {
			return "", err
		}
		text, err := io.ReadAll(r)
		return string(text), errors.Join(err, r.Close())
	}
	if got, err := read(id); err != nil || got != content {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := read(); !errors.Is(err, tldwdb.ErrBackupKey) || !strings.Contains(tldwdb.Hint(err), id.Recipient().String()) {
		t.Errorf("%v; %s", err, tldwdb.Hint(err))
	}
	path := filepath.Join(dir, b.Parts[0].Name)
	rewrite(t, path, func(b []byte) []byte { b[len(b)-1]++; return b })
	for _, err := range []error{tldwdb.CheckParts(t.Context(), store, b, func(int) {}), func() error { _, err := read(id); return err }()} {
		if !errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(err.Error(), b.Parts[0].Name) {
			t.Error(err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{tldwdb.CheckParts(t.Context(), store, b, func(int) {}), func() error { _, err := read(id); return err }()} {
		if !errors.Is(err, tldwdb.ErrBackupDamaged) || !strings.Contains(err.Error(), "not there") {
			t.Error(err)
		}
	}
}

// mute is a store that does what it is told and does not say so, of objects with that
// ending: the answer was lost on its way.
type mute struct {
	tldwdb.BackupStore
	of string
}

func (m mute) Create(ctx context.Context, name string) (tldwdb.BackupWriter, error) {
	w, err := m.BackupStore.Create(ctx, name)
	if err == nil && strings.HasSuffix(name, m.of) {
		w = muteWriter{w}
	}
	return w, err
}

type muteWriter struct{ tldwdb.BackupWriter }

func (w muteWriter) Commit() error { return errors.Join(w.BackupWriter.Commit(), errMute) }

var errMute = errors.New("no answer")

// TestBackupUnanswered: what the store has, although it failed, is no backup.
func TestBackupUnanswered(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	db := open(t, tdb, backupFiles)
	people(t, db)
	for _, of := range []string{".json", ".zst"} {
		store := mute{tldwdb.DirStore(t.TempDir()), of}
		if _, err := db.Backup(t.Context(), tldwdb.BackupOptions{Store: store}); !errors.Is(err, errMute) {
			t.Errorf("%s: %v", of, err)
		}
		if left := storedNames(t, store); len(left) > 0 {
			t.Errorf("%s: %v is left", of, left)
		}
	}
}

// deaf is a store whose parts cannot be read just now: from their beginning, or behind
// some bytes.
type deaf struct {
	tldwdb.BackupStore
	behind int
}

func (d deaf) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	r, err := d.BackupStore.Open(ctx, name)
	if err != nil || strings.HasSuffix(name, ".json") {
		return r, err
	}
	if d.behind == 0 {
		return nil, errors.Join(errMute, r.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{io.MultiReader(io.LimitReader(r, int64(d.behind)), iotest.ErrReader(errMute)), r}, nil
}

// TestVerifyUnread: a backup whose store does not answer is not a bad one.
func TestVerifyUnread(t *testing.T) {
	t.Parallel()
	forEachBackup(t, func(t *testing.T, tdb *testdb.Database) {
		dir, kept := keeping(t, tdb)
		db := open(t, tdb, backupFiles, kept)
		people(t, db)
		for _, method := range []tldwdb.BackupMethod{tldwdb.BackupNative, tldwdb.BackupPortable} {
			b, err := db.Backup(t.Context(), tldwdb.BackupOptions{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			for _, behind := range []int{0, 100} {
				store := deaf{tldwdb.DirStore(dir), behind}
				v, err := db.VerifyBackup(t.Context(), b.Name, tldwdb.VerifyOptions{BackupOptions: tldwdb.BackupOptions{Store: store}})
				if !errors.Is(err, errMute) || errors.Is(err, tldwdb.ErrBackupDamaged) || !v.Time.IsZero() {
					t.Errorf("%s, silent behind %d bytes: %+v, %v", method, behind, v, err)
				}
			}
		}
	})
}

// shy is a store that does not give one object out.
type shy struct {
	tldwdb.BackupStore
	object string
}

func (s shy) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if name == s.object {
		return nil, errMute
	}
	return s.BackupStore.Open(ctx, name)
}

// TestNewestUnread: an older backup is not taken for the newest, nor anything deleted,
// because the store did not give out a newer one's manifest or verification.
func TestNewestUnread(t *testing.T) {
	t.Parallel()
	tdb := testdb.New(t, testdb.SQLite)
	db := open(t, tdb, backupFiles)
	people(t, db)
	folder := tldwdb.DirStore(t.TempDir())
	now := time.Now()
	var newest tldwdb.Backup
	for i := range 3 {
		newest = keepBackup(t, folder, now.Add(time.Duration(i-5)*time.Hour), "x", archive.Options{Compression: archive.None}, func(b *tldwdb.Backup) { b.Database = label(tdb) })
	}
	markVerified(t, folder, newest, true)
	before := storedNames(t, folder)
	for _, object := range []string{newest.Name + ".json", newest.Name + ".verified.json"} {
		store := shy{folder, object}
		if _, err := db.VerifyBackup(t.Context(), "", tldwdb.VerifyOptions{BackupOptions: tldwdb.BackupOptions{Store: store}}); !errors.Is(err, errMute) {
			t.Errorf("%s: %v", object, err)
		}
		if done, err := tldwdb.PruneBackups(t.Context(), store, tldwdb.RetentionPolicy{Last: 1}, tldwdb.PruneOptions{}); !errors.Is(err, errMute) || len(done.Removed) > 0 {
			t.Errorf("%s: %+v, %v", object, done, err)
		}
	}
	if got := storedNames(t, folder); !slices.Equal(got, before) {
		t.Errorf("%v of %v", got, before)
	}
}
