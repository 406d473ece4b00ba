// Package arch holds the import table: which room of pwb may know which other, and in which one room each outside library
// lives. It has no code of its own; its test compares the table with what the go tool sees. A new import is a change to
// that table, and is argued in the commit that makes it.
package arch
