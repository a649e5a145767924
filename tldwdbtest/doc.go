// Package tldwdbtest gives each test a database of its own.
package tldwdbtest
