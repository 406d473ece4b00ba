//go:build race

package provision

// The race detector makes SQLite fifteen times slower; make test has the storm at its full size without it.
const stormOfPeople = 1000
