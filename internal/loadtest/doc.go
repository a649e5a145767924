// Package loadtest has tests only: they put a service's load on a pool of
// tldwdb's, disturb it, and count every write. `make load` runs them for as long
// as is asked for and prints a table, go test for a moment.
package loadtest
