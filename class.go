package tldwdb

import (
	"errors"

	"github.com/tldw/tldwdb/internal/dialect"
)

// ErrorClass says in one word what kind of failure an error is. There are few and
// fixed words, which name no server, account, table or statement: they may be the
// label of a metric, a key in the log, or the answer to a stranger.
type ErrorClass string

// ClassOf says what kind of failure err is, whatever it is wrapped in: an error of
// this package, or of any of the drivers. It is empty for nil, and "other" for what
// it does not know. [ErrorClasses] lists the words.
func ClassOf(err error) ErrorClass {
	if err == nil { // asked after every query
		return ""
	}
	if timeout, ok := errors.AsType[*PoolTimeoutError](err); ok && !timeout.full() {
		return ErrorClass(dialect.FaultOf(timeout.Err)) // it was the server that did not give one
	}
	for _, known := range []struct {
		err   error
		fault dialect.Fault
	}{
		{ErrPoolTimeout, dialect.FaultPoolExhausted},
		{ErrLockTimeout, dialect.FaultLocked},
		{ErrReadOnly, dialect.FaultReadOnly},
		{ErrFileReplaced, dialect.FaultMissingDatabase},
	} {
		if errors.Is(err, known.err) {
			return ErrorClass(known.fault)
		}
	}
	for _, own := range ownClasses {
		for _, kind := range own.kinds {
			if errors.Is(err, kind) {
				return own.class
			}
		}
	}
	if _, faulty := errors.AsType[*LoadError](err); faulty {
		return classFiles
	}
	return ErrorClass(dialect.FaultOf(err))
}

// classFiles is that of a [LoadError].
const classFiles ErrorClass = "files"

// ownClasses are what a migration alone can meet with.
var ownClasses = []struct {
	class ErrorClass
	kinds []error
}{
	{"lock_lost", []error{ErrLockLost, ErrLockUnproved}},
	{"half_applied", []error{ErrHalfApplied, ErrAmbiguous, ErrHalfLoaded}},
	{"history", []error{ErrChanged, ErrOutOfOrder, ErrNewer, ErrMissing, ErrPlanChanged, ErrUnknownVersion}},
	{"pending", []error{ErrPending}},
	{"backup", []error{ErrBackupDamaged, ErrBackupKey, ErrBackupNewer, ErrNoBackup}},
	{"refused", []error{ErrProtected, ErrIrreversible, ErrNotEmpty, ErrNoForeignHistory, ErrForeignState, ErrNotMapped, ErrSchemaDiffers}},
}

// ErrorClasses lists every word that [ClassOf] answers with.
func ErrorClasses() []ErrorClass {
	var all []ErrorClass
	for _, f := range dialect.Faults() {
		all = append(all, ErrorClass(f))
	}
	for _, own := range ownClasses {
		all = append(all, own.class)
	}
	all = append(all, classFiles)
	return all
}
