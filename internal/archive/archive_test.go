package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// content looks like a dump: most of it compresses, some of it does not.
func content(size int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b bytes.Buffer
	for b.Len() < size {
		fmt.Fprintf(&b, "INSERT INTO account VALUES (%d,'somebody',%d,X'%016x');\n", b.Len(), r.IntN(100), r.Uint64())
	}
	return b.Bytes()[:size]
}

// form is a way of storing a part, and what opens it.
type form struct {
	name string
	o    Options
	ids  []age.Identity
}

// forms are all of them. The keys are made anew in each test.
func forms(t testing.TB) []form {
	t.Helper()
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	second, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	to := []age.Recipient{x25519.Recipient(), second.Recipient()}
	return []form{
		{"none", Options{Compression: None}, nil},
		{"zstd", Options{Compression: Zstd}, nil},
		{"none+age", Options{Compression: None, Recipients: to}, []age.Identity{second}},
		{"zstd+age", Options{Compression: Zstd, Recipients: to}, []age.Identity{x25519}},
		{"zstd+age hybrid", Options{Compression: Zstd, Recipients: []age.Recipient{hybrid.Recipient()}}, []age.Identity{x25519, hybrid}},
	}
}

// store writes a part.
func store(t testing.TB, plain []byte, o Options) ([]byte, Stored) {
	t.Helper()
	var b bytes.Buffer
	w, err := NewWriter(&b, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(w, iotest.HalfReader(bytes.NewReader(plain))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w.Stored()
}

// load reads a part.
func load(stored io.Reader, f form, want Stored) ([]byte, error) {
	r, err := NewReader(stored, f.o.Compression, f.ids, want)
	if err != nil {
		return nil, err
	}
	plain, err := io.ReadAll(r)
	return plain, errors.Join(err, r.Close())
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		for _, size := range []int{0, 1, 1000, 64 << 10, frameSize, 5*frameSize + 1} {
			plain := content(size)
			stored, s := store(t, plain, f.o)
			if s.PlainSize != int64(size) || s.Size != int64(len(stored)) {
				t.Errorf("%s, %d bytes: stored as %d, and it says %+v", f.name, size, len(stored), s)
			}
			if err := Check(bytes.NewReader(stored), s); err != nil {
				t.Errorf("%s, %d bytes: %v", f.name, size, err)
			}
			got, err := load(iotest.HalfReader(bytes.NewReader(stored)), f, s)
			if err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %d bytes: %d came back, %v", f.name, size, len(got), err)
			}
		}
	}
}

// What a part is read with when nothing of ours is left: age, then zstd.
func TestNothingOfOursIsAround(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	plain := content(3*frameSize + 1)
	stored, _ := store(t, plain, Options{Recipients: []age.Recipient{id.Recipient()}})
	decrypted, err := age.Decrypt(bytes.NewReader(stored), id)
	if err != nil {
		t.Fatal(err)
	}
	d, err := zstd.NewReader(decrypted)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if got, err := io.ReadAll(d); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("%d of %d bytes, %v", len(got), len(plain), err)
	}
}

// A byte altered anywhere is found by whoever reads all that is stored, without a
// key, and by whoever reads the content, before its end.
func TestAlteredByte(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			stored, want := store(t, content(100_000), f.o)
			for i := range 1001 {
				at := min(i*len(stored)/1000, len(stored)-1)
				stored[at] ^= 1 << (i % 8)
				if err := Check(bytes.NewReader(stored), want); !errors.Is(err, ErrDamaged) {
					t.Errorf("byte %d: Check says %v", at, err)
				}
				// In age's header it can also look as if the part were for somebody else.
				if _, err := load(bytes.NewReader(stored), f, want); !errors.Is(err, ErrDamaged) && (!errors.Is(err, ErrKey) || at >= 4096) {
					t.Errorf("byte %d: reading says %v", at, err)
				}
				stored[at] ^= 1 << (i % 8)
			}
		})
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			stored, want := store(t, content(100_000), f.o)
			for i := range 100 {
				cut := stored[:i*len(stored)/100]
				if i == 99 {
					cut = stored[:len(stored)-1]
				}
				if err := Check(bytes.NewReader(cut), want); !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes: Check says %v", len(cut), err)
				}
				if _, err := load(bytes.NewReader(cut), f, want); !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes: reading says %v", len(cut), err)
				}
			}
			for _, more := range []string{"x", strings.Repeat("\x00", 70_000)} {
				long := append(bytes.Clone(stored), more...)
				if err := Check(bytes.NewReader(long), want); !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes more: Check says %v", len(more), err)
				}
				if _, err := load(bytes.NewReader(long), f, want); !errors.Is(err, ErrDamaged) {
					t.Errorf("%d bytes more: reading says %v", len(more), err)
				}
			}
		})
	}
}

// A whole part, of another backup.
func TestSwapped(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		_, want := store(t, content(100_000), f.o)
		other := content(100_000)
		other[50_000]++
		stored, _ := store(t, other, f.o)
		if err := Check(bytes.NewReader(stored), want); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: Check says %v", f.name, err)
		}
		if _, err := load(bytes.NewReader(stored), f, want); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: reading says %v", f.name, err)
		}
	}
}

// Each of the manifest's four words is compared. That a codec finds nothing wrong says
// nothing about a whole part that is another's.
func TestSums(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		stored, want := store(t, content(1000), f.o)
		for what, change := range map[string]func(*Stored){
			"less content": func(s *Stored) { s.PlainSize-- }, "more content": func(s *Stored) { s.PlainSize++ }, "other content": func(s *Stored) { s.PlainSHA256 = strings.Repeat("0", 64) },
			"less": func(s *Stored) { s.Size-- }, "more": func(s *Stored) { s.Size++ }, "other": func(s *Stored) { s.SHA256 = strings.Repeat("0", 64) },
		} {
			wrong := want
			change(&wrong)
			if got, err := load(bytes.NewReader(stored), f, wrong); !errors.Is(err, ErrDamaged) || int64(len(got)) > wrong.PlainSize {
				t.Errorf("%s, %s: %d bytes, %v", f.name, what, len(got), err)
			}
		}
	}
}

func TestWrongKey(t *testing.T) {
	t.Parallel()
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range forms(t) {
		stored, want := store(t, content(1000), f.o)
		if f.ids == nil {
			f.ids = []age.Identity{stranger} // at hand, and not needed
			if _, err := load(bytes.NewReader(stored), f, want); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			continue
		}
		for _, ids := range [][]age.Identity{nil, {stranger}} {
			f.ids = ids
			got, err := load(bytes.NewReader(stored), f, want)
			if !errors.Is(err, ErrKey) || len(got) > 0 {
				t.Errorf("%s, %d identities: %d bytes, %v", f.name, len(ids), len(got), err)
			}
			if err != nil && strings.Contains(err.Error(), "AGE-SECRET") {
				t.Errorf("%s: %v", f.name, err)
			}
		}
	}
}

// What the store says about reading is not taken for damage.
func TestStoreFails(t *testing.T) {
	t.Parallel()
	cut := errors.New("connection reset by peer")
	for _, f := range forms(t) {
		stored, want := store(t, content(300_000), f.o)
		for _, n := range []int{0, 10, 100, len(stored) / 2, len(stored) - 1, len(stored)} {
			broken := func() io.Reader {
				return io.MultiReader(bytes.NewReader(stored[:n]), iotest.ErrReader(cut))
			}
			if err := Check(broken(), want); !errors.Is(err, cut) || errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %d bytes: Check says %v", f.name, n, err)
			}
			if _, err := load(broken(), f, want); !errors.Is(err, cut) || errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %d bytes: reading says %v", f.name, n, err)
			}
		}
	}
}

// full is a disk that has room for so many bytes.
type full struct{ room int }

var errFull = errors.New("no space left on device")

func (f *full) Write(p []byte) (int, error) {
	n := min(f.room, len(p))
	if f.room -= n; n < len(p) {
		return n, errFull
	}
	return n, nil
}

// Wherever the disk is full, Write or Close says so, and goes on saying so.
func TestWriterFails(t *testing.T) {
	t.Parallel()
	plain := content(300_000)
	for _, f := range forms(t) {
		stored, _ := store(t, plain, f.o)
		for i := range 20 {
			w, err := NewWriter(&full{i * len(stored) / 20}, f.o)
			if err == nil {
				_, err = io.Copy(w, bytes.NewReader(plain))
				if closed := w.Close(); err == nil || closed == nil {
					err = closed
				}
				if again := w.Close(); !errors.Is(again, errFull) {
					t.Errorf("%s: a second Close says %v", f.name, again)
				}
			}
			if !errors.Is(err, errFull) {
				t.Errorf("%s, %d/20: %v", f.name, i, err)
			}
		}
	}
}

// faulty fails once, and counts what is written behind that.
type faulty struct {
	room   int
	failed bool
	behind int
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.failed {
		f.behind += len(p)
		return len(p), nil
	}
	if f.room -= len(p); f.room < 0 {
		f.failed = true
		return 0, errFull
	}
	return len(p), nil
}

// What a disk has refused once is not made to look complete when it takes more.
func TestNoEndBehindAnError(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		disk := &faulty{room: 70_000}
		w, err := NewWriter(disk, f.o)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(w, bytes.NewReader(content(1<<20)))
		if closed := w.Close(); !errors.Is(errors.Join(err, closed), errFull) {
			t.Errorf("%s: %v, %v", f.name, err, closed)
		}
		if disk.behind > 0 {
			t.Errorf("%s: %d bytes behind the error", f.name, disk.behind)
		}
	}
}

func TestWriterClosed(t *testing.T) {
	t.Parallel()
	w, err := NewWriter(io.Discard, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("a second Close says %v", err)
	}
	if n, err := w.Write([]byte("x")); n > 0 || err == nil {
		t.Errorf("%d, %v behind Close", n, err)
	}
	if _, err := NewWriter(io.Discard, Options{Compression: "lzma"}); err == nil {
		t.Error("no error for an unknown compression")
	}
	if _, err := NewReader(strings.NewReader(""), "lzma", nil, Stored{}); err == nil {
		t.Error("no error for an unknown compression")
	}
}

// Closing in the middle ends the background work, and what is read then is an error.
func TestReaderClosedEarly(t *testing.T) {
	t.Parallel()
	for _, f := range forms(t) {
		stored, want := store(t, content(3<<20), f.o)
		r, err := NewReader(bytes.NewReader(stored), f.o.Compression, f.ids, want)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(io.Discard, r, 1000); err != nil {
			t.Error(err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if n, err := r.Read(make([]byte, 10)); n > 0 || err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %d, %v behind Close", f.name, n, err)
		}
	}
}

// noise is what does not compress, without end and without memory.
type noise struct{ *rand.ChaCha8 }

// zeros is what compresses best.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// A quarter of a gigabyte goes through a writer, and through a reader, in less than 16 MiB.
func TestMemory(t *testing.T) { //nolint:paralleltest // the memory of the whole process is measured
	size := int64(256 << 20)
	if testing.Short() {
		size = 64 << 20
	}
	const step, limit = 16 << 20, 16 << 20
	used := func(copyStep func() error) uint64 {
		runtime.GC()
		var before, now runtime.MemStats
		runtime.ReadMemStats(&before)
		peak := uint64(0)
		for done := int64(0); done < size; done += step {
			if err := copyStep(); err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapInuse-min(before.HeapInuse, now.HeapInuse))
		}
		return peak
	}
	for _, f := range forms(t) {
		for name, source := range map[string]io.Reader{"zeros": zeros{}, "noise": noise{rand.NewChaCha8([32]byte{})}} {
			var w *Writer
			peak := used(func() (err error) {
				if w == nil {
					if w, err = NewWriter(io.Discard, f.o); err != nil {
						return err
					}
				}
				_, err = io.CopyN(w, source, step)
				return err
			})
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if peak > limit {
				t.Errorf("%s, %s: a writer used %d bytes of memory", f.name, name, peak)
			}
		}
		if f.o.Compression == None {
			continue // what is stored would not fit in memory
		}
		var stored bytes.Buffer
		w, err := NewWriter(&stored, f.o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, zeros{}, size); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		var r io.ReadCloser
		peak := used(func() (err error) {
			if r == nil {
				if r, err = NewReader(&stored, f.o.Compression, f.ids, w.Stored()); err != nil {
					return err
				}
			}
			_, err = io.CopyN(io.Discard, r, step)
			return err
		})
		if n, err := io.Copy(io.Discard, r); n > 0 || err != nil {
			t.Errorf("%s: %d bytes behind the end, %v", f.name, n, err)
		}
		if peak > limit {
			t.Errorf("%s: a reader used %d bytes of memory", f.name, peak)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 46, 0, 0, time.FixedZone("", 2*3600))
	name := NewName(at)
	if !strings.HasPrefix(name, "tldw_backup_20261123_104600_") || !IsName(name) || name == NewName(at) {
		t.Error(name)
	}
	if b, rest, ok := BackupOf(name + ".db.zst.age"); b != name || rest != "db.zst.age" || !ok {
		t.Error(b, rest, ok)
	}
	for _, foreign := range []string{name, name + ".", "x.json", "tldw_backup_20261123_104600.db", "." + name + ".json", "tldw_backup_20261123_104600_k3x9-2.json"} {
		if _, _, ok := BackupOf(foreign); ok {
			t.Errorf("%q is of a backup", foreign)
		}
	}
	for name, good := range map[string]bool{
		"a": true, "A-b_c.9": true, strings.Repeat("x", 200): true,
		"": false, ".": false, "..": false, ".a": false, "a..b": false, "a/b": false, `a\b`: false, "../a": false, "/a": false, "a:b": false, "a b": false, "ä": false, "a\n": false, "a\x00": false, strings.Repeat("x", 201): false,
	} {
		if err := CheckName(name); (err == nil) != good {
			t.Errorf("%q: %v", name, err)
		}
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for want, o := range map[string]Options{
		".db": {Compression: None}, ".db.zst": {}, ".db.zst.age": {Recipients: []age.Recipient{id.Recipient()}},
	} {
		if got := Extension("db", o); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	plain := content(16 << 20)
	for _, f := range forms(b) {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				w, err := NewWriter(io.Discard, f.o)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(w, bytes.NewReader(plain)); err != nil {
					b.Fatal(err)
				}
				if err := w.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	plain := content(16 << 20)
	for _, f := range forms(b) {
		stored, want := store(b, plain, f.o)
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			for b.Loop() {
				r, err := NewReader(bytes.NewReader(stored), f.o.Compression, f.ids, want)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
