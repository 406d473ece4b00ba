package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// The secret answers hidden questions, of every handle, and shows up nowhere.
func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write(t, file, "hunter2\nnot this\n")
	out, errs, status := command(t, showsToken, "", "--secret-file", file, "svc", "bob", "authenticate", "end", "start", "authenticate")
	if status != 0 || strings.Count(out, "hunter2") != 2 || strings.Contains(out+errs, "not this") {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
	out, errs, status = command(t, showsToken, "typed\nrest", "svc", "bob", "authenticate")
	if status != 0 || !strings.Contains(out, "typed") || !strings.Contains(errs, "Password: ") {
		t.Errorf("asked: %q, %q, %d", out, errs, status)
	}
	write(t, file, "hunter\x002\n")
	try(t, []example{
		{"a byte of zero", permit, "", []string{"--secret-file", file, "svc", "bob", "authenticate"}, "", "pamtester: read the secret: it has a byte of zero\n", 1},
		{"not there", permit, "", []string{"--secret-file", "/nowhere", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: open /nowhere: no such file or directory\n", 1},
		{"empty", permit, "", []string{"--secret-fd", "0", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: it is empty\n", 1},
		{"no descriptor", permit, "", []string{"--secret-fd", "77", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: bad file descriptor\n", 1},
	})
}
