package archive

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"filippo.io/age"
)

// maxKeyFile bounds what is read of a file with keys, should somebody name another
// kind of file. A hybrid recipient has 2,000 characters.
const maxKeyFile = 1 << 20

// passphraseWork is scrypt's work factor for a passphrase. age's own choice, 2^18,
// takes 256 MiB, which a container does not have for it; this takes 32. A reader
// takes what the part was written with. The passphrase comes from a file, and so need
// not be one that a person remembers: shortPassphrase is where a warning begins.
const (
	passphraseWork  = 15
	shortPassphrase = 20
)

// ParseRecipients reads public keys: age1… (X25519) and age1pq1… (hybrid, against a
// quantum computer of the future). Those of the list come first, then those of the
// file, one a line, with comments behind #. An empty file name is none. All have to
// be of one kind, because the whole is only as good as its weakest recipient.
func ParseRecipients(list []string, file string) ([]age.Recipient, error) {
	var all []age.Recipient
	for i, text := range list {
		r, err := parseRecipient(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		all = append(all, r)
	}
	if file != "" {
		before := len(all)
		_, err := eachLine(file, func(line string) error {
			r, err := parseRecipient(line)
			all = append(all, r)
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(all) == before {
			return nil, fmt.Errorf("%s: no recipient is in it", file)
		}
	}
	hybrid := 0
	for _, r := range all {
		if _, ok := r.(*age.HybridRecipient); ok {
			hybrid++
		}
	}
	if hybrid > 0 && hybrid < len(all) {
		return nil, errors.New("recipients of two kinds: what is for an age1pq1… is not safe from a quantum computer if it is for an age1… too")
	}
	return all, nil
}

func parseRecipient(text string) (age.Recipient, error) {
	switch {
	case strings.HasPrefix(strings.ToUpper(text), "AGE-SECRET-KEY-"):
		return nil, errors.New("a secret key where a public one belongs: `age-keygen -y` shows that")
	case strings.HasPrefix(text, "age1pq1"):
		if r, err := age.ParseHybridRecipient(text); err == nil {
			return r, nil
		}
	case strings.HasPrefix(text, "age1"):
		if r, err := age.ParseX25519Recipient(text); err == nil {
			return r, nil
		}
	}
	// Not the text: it may be something secret.
	return nil, errors.New("not a public key of age (age1… or age1pq1…)")
}

// ParseIdentities reads the secret keys in the files, as age-keygen writes them: one
// a line, with comments behind #. The warnings are of files that others can read.
func ParseIdentities(files []string) (all []age.Identity, warnings []string, err error) {
	for _, file := range files {
		before := len(all)
		warning, err := eachLine(file, func(line string) error {
			id, err := parseIdentity(line)
			all = append(all, id)
			return err
		})
		if err != nil {
			return nil, nil, err
		}
		if len(all) == before {
			return nil, nil, fmt.Errorf("%s: no secret key is in it", file)
		}
		warnings = appendWarning(warnings, warning)
	}
	return all, warnings, nil
}

func parseIdentity(text string) (age.Identity, error) {
	switch {
	case strings.HasPrefix(text, "AGE-SECRET-KEY-PQ-1"):
		if id, err := age.ParseHybridIdentity(text); err == nil {
			return id, nil
		}
	case strings.HasPrefix(text, "AGE-SECRET-KEY-1"):
		if id, err := age.ParseX25519Identity(text); err == nil {
			return id, nil
		}
	case strings.HasPrefix(text, "age1"):
		return nil, errors.New("a public key where a secret one belongs")
	}
	// Neither the text nor age's own words about it: a secret key with a slip in it is
	// still most of a secret key.
	return nil, errors.New("not a secret key of age (AGE-SECRET-KEY-1… or AGE-SECRET-KEY-PQ-1…)")
}

// ReadPassphrase reads a passphrase from a file, all of its only line, and makes what
// encrypts and what opens. The warnings are of a file that others can read, and of a
// short passphrase.
func ReadPassphrase(file string) (r age.Recipient, id age.Identity, warnings []string, err error) {
	text, warning, err := readKeyFile(file)
	if err != nil {
		return nil, nil, nil, err
	}
	warnings = appendWarning(warnings, warning)
	text = strings.TrimRight(text, "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return nil, nil, nil, fmt.Errorf("%s: a file with a passphrase has one line, and that is it", file)
	}
	if len(text) < shortPassphrase {
		warnings = append(warnings, fmt.Sprintf("%s: a passphrase of fewer than %d characters can be guessed by whoever has the backup", file, shortPassphrase))
	}
	to, err := age.NewScryptRecipient(text)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	to.SetWorkFactor(passphraseWork)
	from, err := age.NewScryptIdentity(text)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	return to, from, warnings, nil
}

// Describe says for whom something is encrypted: the public keys, or "passphrase".
func Describe(recipients []age.Recipient) []string {
	var all []string
	for _, r := range recipients {
		if s, ok := r.(fmt.Stringer); ok {
			all = append(all, s.String())
		} else {
			all = append(all, "passphrase") // the only kind without a text
		}
	}
	return all
}

// eachLine calls f with each line of a file with keys that is neither empty nor a
// comment. The error names file and line.
func eachLine(file string, f func(line string) error) (warning string, err error) {
	text, warning, err := readKeyFile(file)
	if err != nil {
		return "", err
	}
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxKeyFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := f(line); err != nil {
			return "", fmt.Errorf("%s:%d: %w", file, n, err)
		}
	}
	return warning, lines.Err()
}

// readKeyFile reads a file with keys. The warning is empty, or says that others can
// read it: what a mounted secret often is, and so no error.
func readKeyFile(file string) (text, warning string, err error) {
	f, err := os.Open(file)
	if err != nil {
		return "", "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return "", "", err
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", "", err
	}
	if len(b) > maxKeyFile {
		return "", "", fmt.Errorf("%s: too long for a file with keys", file)
	}
	// Windows has no such mode.
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		warning = fmt.Sprintf("%s: others can read it (mode %04o); 0600 keeps it to its owner", file, mode)
	}
	return string(b), warning, nil
}

func appendWarning(all []string, warning string) []string {
	if warning == "" {
		return all
	}
	return append(all, warning)
}
