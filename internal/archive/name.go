package archive

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/tldw/tldwdb/internal/lazyregexp"
)

// prefix is how the name of every backup begins.
const prefix = "tldw_backup_"

var (
	backupName = lazyregexp.New(`^` + prefix + `[0-9]{8}_[0-9]{6}_[a-z0-9]{4}$`)
	objectName = lazyregexp.New(`^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$`)
)

// NewName is the name of a backup that is begun at the given time:
// tldw_backup_20261123_104600_k3x9. The time is in UTC, so that names sort by it
// whatever clocks do in autumn; the end keeps two of one second apart.
func NewName(at time.Time) string {
	return prefix + at.UTC().Format("20060102_150405") + "_" + strings.ToLower(rand.Text()[:4])
}

// IsName reports whether it is the name of a backup.
func IsName(name string) bool { return backupName.MatchString(name) }

// BackupOf is the backup that an object of a store belongs to, and what its name has
// beside that. ok is false of objects that are not of a backup.
func BackupOf(object string) (backup, rest string, ok bool) {
	backup, rest, ok = strings.Cut(object, ".")
	return backup, rest, ok && rest != "" && IsName(backup)
}

// CheckName says what is wrong with the name of an object of a store. A good one
// consists of letters, digits, dots, underscores and hyphens, does not begin with a
// dot, and has at most 200 characters: every store and file system can have it, and
// it leads out of none.
func CheckName(object string) error {
	if !objectName.MatchString(object) || strings.Contains(object, "..") {
		return fmt.Errorf("not the name of an object of a store: %q; it may have letters, digits, single dots, underscores and hyphens", object)
	}
	return nil
}

// TimeOf is when a backup of that name was begun, or the zero time where the name
// has digits that are no time.
func TimeOf(backup string) time.Time {
	text := strings.TrimPrefix(backup, prefix)
	at, err := time.Parse("20060102_150405", text[:min(len(text), len("20060102_150405"))])
	if err != nil {
		return time.Time{}
	}
	return at
}
