package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// This binary plays the program when it is told to.
func TestMain(m *testing.M) {
	if os.Getenv("PAMTESTER_CHILD") != "" {
		ownProcess()
		os.Exit(run("pamtester", os.Args[1:]))
	}
	os.Exit(m.Run())
}

// command runs pamtester with services of its own, and returns its streams and status.
func command(t *testing.T, stack, input string, args ...string) (out, errs string, status int) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"svc", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(stack), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("/proc/self/exe", append([]string{"--confdir", dir}, args...)...)
	cmd.Env = []string{"PAMTESTER_CHILD=1", "PATH=/usr/bin:/bin"}
	cmd.Stdin = strings.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

const (
	permit = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\npassword required pam_permit.so\n"
	deny   = "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_deny.so\npassword required pam_deny.so\n"
)

func TestCommand(t *testing.T) {
	for _, tt := range []struct {
		name, stack, input string
		args               []string
		out, errs          string
		status             int
	}{
		{"all six", permit, "", []string{"svc", "bob", "authenticate", "acct_mgmt", "setcred", "open_session", "close_session", "CHAUTHTOK"},
			"pamtester: successfully authenticated\npamtester: account management done.\npamtester: credential info has successfully been set.\npamtester: successfully opened a session\npamtester: session has successfully been closed.\npamtester: authentication token altered successfully.\n", "", 0},
		{"verbose", permit, "", []string{"-v", "svc", "bob", "authenticate"}, "pamtester: successfully authenticated\n", "pamtester: invoking pam_start(svc, bob, ...)\npamtester: performing operation - authenticate\n", 0},
		{"a refusal stops", deny, "", []string{"svc", "bob", "authenticate", "acct_mgmt"}, "", "pamtester: Authentication failure\n", 1},
		{"its code", deny, "", []string{"--exit-code", "svc", "bob", "authenticate"}, "", "pamtester: Authentication failure\n", 7},
		{"expected", deny, "", []string{"svc", "bob", "authenticate=PAM_AUTH_ERR", "acct_mgmt"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), as expected\npamtester: account management done.\n", "", 0},
		{"expected otherwise", deny, "", []string{"--expect", "authenticate=PAM_SUCCESS", "svc", "bob", "authenticate"}, "", "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), expected PAM_SUCCESS\n", 1},
		{"success where none was expected", permit, "", []string{"svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 1},
		{"environment in order", permit, "", []string{"-EB=2", "-EA=1", "-EB=3", "svc", "bob", "getenvlist"}, "B=3\nA=1\n", "", 0},
		{"items", permit, "", []string{"-I", "rhost=far", "svc", "bob", "getitem(rhost)", "getitem(TTY)", "getitem(user)"}, "rhost=far\ntty\nuser=bob\n", "", 0},
		{"a command in the session", permit, "", []string{"-EX=in the stack", "svc", "bob", "open_session", `run(echo "$X")`}, "pamtester: successfully opened a session\nin the stack\n", "", 0},
		{"a command that fails", permit, "", []string{"svc", "bob", "run(exit 3)", "authenticate"}, "", "pamtester: run: exit status 3\n", 1},
		{"two handles", permit, "", []string{"svc", "bob", "authenticate", "end", "start", "acct_mgmt"}, "pamtester: successfully authenticated\npamtester: account management done.\n", "", 0},
		{"no handle", permit, "", []string{"svc", "bob", "end", "authenticate"}, "", "pamtester: no handle: end came before authenticate\n", 1},
		{"no such operation", permit, "", []string{"svc", "bob", "dance"}, "", "pamtester: Unsupported operation \"dance\"\n", 1},
		{"no such item", permit, "", []string{"-Icolour=x", "svc", "bob", "authenticate"}, "", "pamtester: Unknown item type \"colour\"\n", 1},
		{"a service without a name", permit, "", []string{"-Iservice", "svc", "bob", "authenticate"}, "", "pamtester: a service needs a name\n", 1},
		{"a secret that is not there", permit, "", []string{"--secret-file", "/nowhere", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: open /nowhere: no such file or directory\n", 1},
		{"the code in JSON", deny, "", []string{"--json", "svc", "bob", "authenticate"}, `"code":7`, "pamtester: Authentication failure\n", 1},
		{"too long", permit, "", []string{"--timeout", "100ms", "svc", "bob", "sleep(60000)"}, "", "", -1},
	} {
		out, errs, status := command(t, tt.stack, tt.input, tt.args...)
		if tt.name == "the code in JSON" && strings.Contains(out, tt.out) {
			out = tt.out
		}
		if out != tt.out || errs != tt.errs || status != tt.status {
			t.Errorf("%s: %q, %q, %d; want %q, %q, %d", tt.name, out, errs, status, tt.out, tt.errs, tt.status)
		}
	}
}

// The secret answers hidden questions, and shows up nowhere.
func TestSecret(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hunter2\nnot this\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// pam_exec hands on what was answered.
	stack := "auth required pam_exec.so stdout expose_authtok /bin/cat\n"
	out, errs, status := command(t, stack, "", "--secret-file", file, "svc", "bob", "authenticate")
	if status != 0 || !strings.Contains(out, "hunter2") || strings.Contains(out+errs, "not this") {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
	out, errs, status = command(t, stack, "typed\nrest", "svc", "bob", "authenticate")
	if status != 0 || !strings.Contains(out, "typed") || !strings.Contains(errs, "Password: ") {
		t.Errorf("asked: %q, %q, %d", out, errs, status)
	}
}
