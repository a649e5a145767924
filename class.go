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
	return ErrorClass(dialect.FaultOf(err))
}

// ErrorClasses lists every word that [ClassOf] answers with.
func ErrorClasses() []ErrorClass {
	var all []ErrorClass
	for _, f := range dialect.Faults() {
		all = append(all, ErrorClass(f))
	}
	return all
}
