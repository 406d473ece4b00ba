package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// traceObject is the module that traces, built for these tests; "" where it could not be.
var traceObject string

// This binary plays the program when it is told to.
func TestMain(m *testing.M) {
	if os.Getenv("PAMTESTER_CHILD") != "" {
		ownProcess()
		tracePath = os.Getenv("PAMTESTER_TRACE")
		os.Exit(run("pamtester", os.Args[1:]))
	}
	dir, err := os.MkdirTemp("", "pamtester-test")
	if err != nil {
		panic(err)
	}
	object := filepath.Join(dir, "traces.so")
	cc := exec.Command("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-Wl,--version-script=trace/pam_trace.map",
		"-o", object, "trace/pam_trace.c", "-lpam")
	cc.Stderr = os.Stderr
	if cc.Run() == nil {
		traceObject = object
	}
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

func program(args ...string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{"PAMTESTER_CHILD=1", "PAMTESTER_TRACE=" + traceObject, "PATH=/usr/bin:/bin", "GORACE=atexit_sleep_ms=0"} // the race detector sleeps a second at exit
	return cmd
}

// streams runs a command with some input, and returns its streams and status.
func streams(t testing.TB, cmd *exec.Cmd, input string) (out, errs string, status int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// service makes a folder with one service, svc, which is other as well.
func service(t testing.TB, stack string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"svc", "other"} {
		write(t, filepath.Join(dir, name), stack)
	}
	return dir
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// command runs pamtester with services of its own.
func command(t testing.TB, stack, input string, args ...string) (out, errs string, status int) {
	t.Helper()
	return streams(t, program(append([]string{"--confdir", service(t, stack)}, args...)...), input)
}

const (
	permit = "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\npassword required pam_permit.so\n"
	deny   = "auth required pam_deny.so\naccount required pam_permit.so\nsession required pam_deny.so\npassword required pam_deny.so\n"
	// pam_exec hands on what was answered.
	showsToken = "auth required pam_exec.so stdout expose_authtok /bin/cat\n"
)

// example is a row of a table: a stack, what is typed, the words, and what comes of it.
type example struct {
	name, stack, input string
	args               []string
	out, errs          string
	status             int
}

func try(t *testing.T, examples []example) {
	t.Helper()
	for _, tt := range examples {
		out, errs, status := command(t, tt.stack, tt.input, tt.args...)
		if out != tt.out || errs != tt.errs || status != tt.status {
			t.Errorf("%s: %q, %q, %d; want %q, %q, %d", tt.name, out, errs, status, tt.out, tt.errs, tt.status)
		}
	}
}

func TestCommand(t *testing.T) {
	try(t, []example{
		{"all six", permit, "", []string{"svc", "bob", "authenticate", "acct_mgmt", "setcred", "open_session", "close_session", "CHAUTHTOK"},
			"pamtester: successfully authenticated\npamtester: account management done.\npamtester: credential info has successfully been set.\npamtester: successfully opened a session\npamtester: session has successfully been closed.\npamtester: authentication token altered successfully.\n", "", 0},
		{"verbose", permit, "", []string{"-v", "svc", "bob", "authenticate"}, "pamtester: successfully authenticated\n", "pamtester: invoking pam_start(svc, bob, ...)\npamtester: performing operation - authenticate\n", 0},
		{"a name that is only begun", permit, "", []string{"-v", "svc", "bob", "setcred(PAM_RE)"}, "pamtester: credential info has successfully been set.\n", "pamtester: invoking pam_start(svc, bob, ...)\npamtester: performing operation - setcred\npamtester: warning: PAM_RE means PAM_REINITIALIZE_CRED\n", 0},
		{"a refusal stops", deny, "", []string{"svc", "bob", "authenticate", "acct_mgmt"}, "", "pamtester: Authentication failure\n", 1},
		{"no such operation", permit, "", []string{"svc", "bob", "dance"}, "", "pamtester: Unsupported operation \"dance\"\n", 1},
		{"no such item", permit, "", []string{"-Icolour=x", "svc", "bob", "authenticate"}, "", "pamtester: Unknown item type \"colour\"\n", 1},
		{"a service without a name", permit, "", []string{"-Iservice", "svc", "bob", "authenticate"}, "", "pamtester: a service needs a name\n", 1},
		{"no service", "", "", []string{"--confdir", "/nowhere", "svc", "bob", "authenticate"}, "", "pamtester: Initialization failure\n", 1},
		{"a terminal that is not there", permit, "", []string{"-Itty=auto", "svc", "bob", "authenticate"}, "", "pamtester: tty=auto: no standard stream is a terminal\n", 1},
		{"hex is refused", permit, "", []string{"svc", "bob", "setcred(0x4)"}, "", "pamtester: undefined constant \"0x4\"\n", 1},
		{"--hex", permit, "", []string{"--hex", "svc", "bob", "setcred(0x4)"}, "pamtester: credential info has successfully been set.\n", "", 0},
	})
}

func TestExpect(t *testing.T) {
	try(t, []example{
		{"expected", deny, "", []string{"svc", "bob", "authenticate=PAM_AUTH_ERR", "acct_mgmt"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), as expected\npamtester: account management done.\n", "", 0},
		{"expected otherwise", deny, "", []string{"--expect", "authenticate=PAM_SUCCESS", "svc", "bob", "authenticate"}, "", "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), expected PAM_SUCCESS\n", 1},
		{"success where none was expected", permit, "", []string{"svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 1},
	})
}

func TestExitCode(t *testing.T) {
	try(t, []example{
		{"the code", deny, "", []string{"--exit-code", "svc", "bob", "authenticate"}, "", "pamtester: Authentication failure\n", 7},
		{"no code", permit, "", []string{"--exit-code", "svc", "bob", "authenticate=7"}, "", "pamtester: authenticate: Success (PAM_SUCCESS), expected PAM_AUTH_ERR\n", 65},
		{"usage", permit, "", []string{"--exit-code", "svc"}, "", "pamtester: please specify user name.\n", 64},
	})
}

func TestOwnOperations(t *testing.T) {
	try(t, []example{
		{"environment in order", permit, "", []string{"-EB=2", "-EA=1", "-EB=3", "svc", "bob", "getenvlist"}, "B=3\nA=1\n", "", 0},
		{"items", permit, "", []string{"-I", "rhost=far", "svc", "bob", "getitem(rhost)", "getitem(TTY)", "getitem(user)"}, "rhost=far\ntty\nuser=bob\n", "", 0},
		{"a command in the session", permit, "", []string{"-EX=in the stack", "svc", "bob", "open_session", `run(echo "$X")`}, "pamtester: successfully opened a session\nin the stack\n", "", 0},
		{"the PAM environment wins", permit, "", []string{"-EPATH=/usr/bin:/bin:/pam", "svc", "bob", `run(echo "$PATH")`}, "/usr/bin:/bin:/pam\n", "", 0},
		{"a command that fails", permit, "", []string{"svc", "bob", "run(exit 3)", "authenticate"}, "", "pamtester: run: exit status 3\n", 1},
		{"a command that is killed", permit, "", []string{"svc", "bob", "run(kill -INT $$)"}, "", "pamtester: run: signal: interrupt\n", 1},
		{"two handles", permit, "", []string{"svc", "bob", "authenticate", "end", "start", "acct_mgmt"}, "pamtester: successfully authenticated\npamtester: account management done.\n", "", 0},
		{"no handle", permit, "", []string{"svc", "bob", "end", "authenticate"}, "", "pamtester: no handle: end came before authenticate\n", 1},
		{"sleep", permit, "", []string{"svc", "bob", "sleep(x)"}, "", "pamtester: sleep: \"x\" is no number of milliseconds\n", 1},
	})
}

func TestTimeout(t *testing.T) {
	out, errs, status := command(t, permit, "", "--timeout", "100ms", "svc", "bob", "sleep(60000)")
	if out != "" || errs != "pamtester: ended by --timeout after 100ms\n" || status != -1 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}

// After a failure what is open is closed.
func TestCleanup(t *testing.T) {
	stack := permit + "session optional pam_exec.so quiet stdout /usr/bin/printenv PAM_TYPE\n"
	for _, tt := range []struct {
		args []string
		out  string
	}{
		{[]string{"svc", "bob", "open_session", "dance"}, "open_session\npamtester: successfully opened a session\n"},
		{[]string{"--cleanup", "svc", "bob", "open_session", "dance"}, "open_session\npamtester: successfully opened a session\nclose_session\n"},
	} {
		if out, _, status := command(t, stack, "", tt.args...); out != tt.out || status != 1 {
			t.Errorf("%q: %q, %d; want %q", tt.args, out, status, tt.out)
		}
	}
}

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
	try(t, []example{
		{"not there", permit, "", []string{"--secret-file", "/nowhere", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: open /nowhere: no such file or directory\n", 1},
		{"empty", permit, "", []string{"--secret-fd", "0", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: it is empty\n", 1},
		{"no descriptor", permit, "", []string{"--secret-fd", "77", "svc", "bob", "authenticate"}, "", "pamtester: read the secret: bad file descriptor\n", 1},
	})
}

// --no-fail-delay: pam_faildelay asks for a minute.
func TestNoFailDelay(t *testing.T) {
	began := time.Now()
	_, _, status := command(t, "auth optional pam_faildelay.so delay=60000000\nauth required pam_deny.so\n", "", "--no-fail-delay", "svc", "bob", "authenticate")
	if status != 1 || time.Since(began) > 30*time.Second {
		t.Errorf("%d after %v", status, time.Since(began))
	}
}
