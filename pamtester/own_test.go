package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestOwnOperations(t *testing.T) {
	try(t, []example{
		{"environment in order", permit, "", []string{"-EB=2", "-EA=1", "-EB=3", "svc", "bob", "getenvlist"}, "B=3\nA=1\n", "", 0},
		{"items", permit, "", []string{"-I", "rhost=far", "svc", "bob", "getitem(rhost)", "getitem(TTY)", "getitem(user)"}, "rhost=far\ntty\nuser=bob\n", "", 0},
		{"a command in the session", permit, "", []string{"-EX=in the stack", "svc", "bob", "open_session", `run(echo "$X")`}, "pamtester: successfully opened a session\nin the stack\n", "", 0},
		{"the PAM environment wins", permit, "", []string{"-EPATH=/usr/bin:/bin:/pam", "svc", "bob", `run(echo "$PATH")`}, "/usr/bin:/bin:/pam\n", "", 0},
		{"a command that fails", permit, "", []string{"svc", "bob", "run(exit 3)", "authenticate"}, "", "pamtester: run: exit status 3\n", 1},
		{"a command that is killed", permit, "", []string{"svc", "bob", "run(kill -TERM $$)"}, "", "pamtester: run: signal: terminated\n", 1},
		{"two handles", permit, "", []string{"svc", "bob", "authenticate", "end", "start", "acct_mgmt"}, "pamtester: successfully authenticated\npamtester: account management done.\n", "", 0},
		{"no handle", permit, "", []string{"svc", "bob", "end", "authenticate"}, "", "pamtester: no handle: end came before authenticate\n", 1},
		{"sleep", permit, "", []string{"svc", "bob", "sleep(x)"}, "", "pamtester: sleep: \"x\" is no number of milliseconds\n", 1},
	})
}

// Where the caller ignores SIGCHLD, as some services do, the end of a command is seen all the same, and of the processes of --repeat.
func TestIgnoredChildren(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		errs   string
		status int
	}{
		{[]string{"--stack", permit, "svc", "bob", "run(exit 3)"}, "pamtester: run: exit status 3\n", 1},
		{[]string{"--repeat", "4", "--concurrency", "2", "--stack", permit, "svc", "bob", "authenticate"}, "", 0},
	} {
		_, errs, status := streams(t, wrapped(program(t, tt.args...), "env", "--ignore-signal=CHLD"), "")
		if errs != tt.errs || status != tt.status {
			t.Errorf("%q: %q, %d", tt.args, errs, status)
		}
	}
	// Modules find what the caller wants, also in those processes.
	stack, file := counting(t, "grep SigIgn: /proc/$PPID/status >>$0.sees\n")
	streams(t, wrapped(program(t, "--repeat", "2", "--concurrency", "2", "--stack", stack, "svc", "bob", "authenticate"), "env", "--ignore-signal=CHLD"), "")
	seen, _ := os.ReadFile(filepath.Join(filepath.Dir(file), "script.sees"))
	ignored := 0
	for _, word := range strings.Fields(string(seen)) {
		if set, err := strconv.ParseUint(word, 16, 64); err == nil && set&(1<<(syscall.SIGCHLD-1)) != 0 {
			ignored++
		}
	}
	if ignored != 2 {
		t.Errorf("modules find %s", seen)
	}
}
