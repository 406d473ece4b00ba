package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/nstest"
)

// This binary plays the program when it is told to. The tests run in a private namespace, where modules find no syslog and may
// write what they write.
func TestMain(m *testing.M) {
	if os.Getenv("PAMTESTER_CHILD") != "" {
		ownProcess()
		tracePath = os.Getenv("PAMTESTER_TRACE")
		if conf := os.Getenv("PAMTESTER_CONF"); conf != "" {
			systemFolders, pamConf = func() []string { return []string{"/nowhere", "/nowhere/else"} }, conf
		}
		os.Exit(run("pamtester", os.Args[1:]))
	}
	nstest.Main(m, "/mnt", "/run", "/var/log")
}

// built is a file that a command makes: in the private namespace once for all tests.
func built(t testing.TB, name string, command ...string) string {
	t.Helper()
	dir := "/mnt"
	if !nstest.Inside() {
		dir = t.TempDir()
	}
	file := filepath.Join(dir, name)
	if _, err := os.Stat(file); err == nil {
		return file
	}
	if out, err := exec.Command(command[0], append(command[1:], "-o", file)...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", command, err, out)
	}
	return file
}

func traceModuleBuilt(t testing.TB) string {
	t.Helper()
	return built(t, "trace.so", "cc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared",
		"-Wl,--version-script=trace/pam_trace.map", "trace/pam_trace.c", "-lpam")
}

// program is pamtester with some words.
func program(t testing.TB, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = []string{"PAMTESTER_CHILD=1", "PAMTESTER_TRACE=" + traceModuleBuilt(t), "PATH=/usr/bin:/bin", "GORACE=atexit_sleep_ms=0"} // the race detector sleeps a second at exit
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
	return streams(t, program(t, append([]string{"--confdir", service(t, stack)}, args...)...), input)
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
		{"no such operation, expected", permit, "", []string{"svc", "bob", "-EA=1"}, "", "pamtester: Unsupported operation \"-EA=1\"\n", 1},
		{"capitals are ASCII", permit, "", []string{"svc", "bob", "chauthto\u212a"}, "", "pamtester: Unsupported operation \"chauthto\u212a\"\n", 1},
		{"no such item", permit, "", []string{"-Icolour=x", "svc", "bob", "authenticate"}, "", "pamtester: Unknown item type \"colour\"\n", 1},
		{"a service without a name", permit, "", []string{"-Iservice", "svc", "bob", "authenticate"}, "", "pamtester: a service needs a name\n", 1},
		{"no service", "", "", []string{"--confdir", "/nowhere", "svc", "bob", "authenticate"}, "", "pamtester: Initialization failure\n", 1},
		{"a terminal that is not there", permit, "", []string{"-Itty=auto", "svc", "bob", "authenticate"}, "", "pamtester: tty=auto: no standard stream is a terminal\n", 1},
		{"hex is refused", permit, "", []string{"svc", "bob", "setcred(0x4)"}, "", "pamtester: undefined constant \"0x4\"\n", 1},
		{"--hex", permit, "", []string{"--hex", "svc", "bob", "setcred(0x4)"}, "pamtester: credential info has successfully been set.\n", "", 0},
	})
}

func compile(source, module string) ([]byte, error) {
	return exec.Command("cc", "-fPIC", "-shared", "-o", module, source).CombinedOutput()
}
