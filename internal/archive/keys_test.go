package archive

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

// keyFile writes a file with keys that only its owner can read.
func keyFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestKeys(t *testing.T) {
	t.Parallel()
	var ids []*age.X25519Identity
	for range 3 {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, id)
	}
	to, err := ParseRecipients([]string{" " + ids[0].Recipient().String() + "\n"}, keyFile(t, "# of the night shift\r\n"+ids[1].Recipient().String()+"\r\n\r\n"+ids[2].Recipient().String()))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{ids[0].Recipient().String(), ids[1].Recipient().String(), ids[2].Recipient().String()}; !slices.Equal(Describe(to), want) {
		t.Errorf("%v, want %v", Describe(to), want)
	}
	stored, want := store(t, content(1000), Options{Recipients: to})
	for i, id := range ids { // each of them opens it
		from, warnings, err := ParseIdentities([]string{keyFile(t, "# created: today\n# public key: "+id.Recipient().String()+"\n"+id.String()+"\n")})
		if err != nil || len(warnings) > 0 {
			t.Fatal(warnings, err)
		}
		if _, err := load(bytes.NewReader(stored), form{o: Options{Compression: Zstd}, ids: from}, want); err != nil {
			t.Errorf("identity %d: %v", i, err)
		}
	}
	if to, err := ParseRecipients(nil, ""); err != nil || len(to) > 0 {
		t.Error(to, err)
	}
}

func TestHybridKeys(t *testing.T) {
	t.Parallel()
	hybrid, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	x25519, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	to, err := ParseRecipients([]string{hybrid.Recipient().String()}, "")
	if err != nil {
		t.Fatal(err)
	}
	from, _, err := ParseIdentities([]string{keyFile(t, hybrid.String())})
	if err != nil {
		t.Fatal(err)
	}
	stored, want := store(t, content(1000), Options{Recipients: to})
	if _, err := load(bytes.NewReader(stored), form{o: Options{Compression: Zstd}, ids: from}, want); err != nil {
		t.Error(err)
	}
	if _, err := ParseRecipients([]string{hybrid.Recipient().String()}, keyFile(t, x25519.Recipient().String())); err == nil {
		t.Error("no error for recipients of two kinds")
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	to, id, warnings, err := ReadPassphrase(keyFile(t, "correct horse battery staple\n"))
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if got := Describe([]age.Recipient{to}); !slices.Equal(got, []string{"passphrase"}) {
		t.Error(got)
	}
	stored, want := store(t, content(1000), Options{Recipients: []age.Recipient{to}})
	if _, err := load(bytes.NewReader(stored), form{o: Options{Compression: Zstd}, ids: []age.Identity{id}}, want); err != nil {
		t.Error(err)
	}
	_, other, warnings, err := ReadPassphrase(keyFile(t, "correct horse"))
	if err != nil || len(warnings) != 1 {
		t.Errorf("%v, %v", warnings, err)
	}
	if _, err := load(bytes.NewReader(stored), form{o: Options{Compression: Zstd}, ids: []age.Identity{other}}, want); !errors.Is(err, ErrKey) {
		t.Error(err)
	}
	for _, text := range []string{"", "\n", "one\ntwo\n"} {
		if _, _, _, err := ReadPassphrase(keyFile(t, text)); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

// The errors name file and line, and show nothing of what is there: it may be secret.
func TestBadKeys(t *testing.T) {
	t.Parallel()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	secret, public := id.String(), id.Recipient().String()
	slip := secret[:len(secret)-1] + "!"
	identities := func(text string) error {
		_, _, err := ParseIdentities([]string{keyFile(t, text)})
		return err
	}
	recipients := func(text string) error {
		_, err := ParseRecipients(nil, keyFile(t, text))
		return err
	}
	for _, test := range []struct {
		parse func(string) error
		text  string
		want  string
	}{
		{identities, "# one\n" + slip, "keys:2: not a secret key of age"},
		{identities, secret + "\n" + public, "keys:2: a public key where a secret one belongs"},
		{identities, "ssh-ed25519 AAAA", "keys:1: not a secret key of age"},
		{identities, "# nothing\n", "keys: no secret key is in it"},
		{identities, strings.Repeat("#\n", 600_000), "keys: too long"},
		{recipients, public + "\n\n" + secret, "keys:3: a secret key where a public one belongs"},
		{recipients, public[:20], "keys:1: not a public key of age"},
		{recipients, "age1pq1xyz", "keys:1: not a public key of age"},
		{recipients, strings.Repeat("x", 100_000), "keys:1: not a public key of age"},
		{recipients, "", "keys: no recipient is in it"},
		{func(text string) error { _, err := ParseRecipients([]string{public, text}, ""); return err }, secret, "recipient 2: a secret key"},
	} {
		err := test.parse(test.text)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%v, want …%s…", err, test.want)
			continue
		}
		if strings.Contains(err.Error(), secret[20:40]) {
			t.Errorf("the error shows a secret key: %v", err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none")
	if _, err := ParseRecipients(nil, missing); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if _, _, err := ParseIdentities([]string{missing}); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

func TestKeyFileThatOthersCanRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no such mode")
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	file := keyFile(t, id.String())
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	ids, warnings, err := ParseIdentities([]string{file})
	if err != nil || len(ids) != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "0644") {
		t.Error(len(ids), warnings, err)
	}
}
