package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// counting is a stack whose authentication appends a line to a file.
func counting(t *testing.T, script string) (stack, file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "calls")
	write(t, filepath.Join(dir, "script"), "echo called >>"+file+"\n"+script)
	return "auth required pam_exec.so quiet /bin/sh " + filepath.Join(dir, "script") + "\n" + permit, file
}

func lines(file string) int {
	text, _ := os.ReadFile(file)
	return strings.Count(string(text), "\n")
}

// Each of C processes makes W transactions that do not count, and together they make N that do.
func TestRepeat(t *testing.T) {
	const numbers = `( +\d+\.\d{3}){5}\n`
	for _, tt := range []struct {
		name  string
		args  []string
		calls int
		n     string
		by    string
	}{
		{"alone", []string{"--repeat", "3"}, 3, "3", "1 process"},
		{"warm", []string{"--repeat", "3", "--warmup", "2"}, 5, "3", "1 process"},
		{"two processes", []string{"--repeat", "5", "--warmup", "2", "--concurrency", "2"}, 9, "5", "2 processes"},
		{"more processes than transactions", []string{"--repeat", "2", "--concurrency", "8"}, 2, "2", "2 processes"},
	} {
		stack, file := counting(t, "")
		out, errs, status := command(t, stack, "", append(tt.args, "svc", "bob", "authenticate", "SLEEP(0)", "acct_mgmt")...)
		want := `^` + tt.n + ` transactions by ` + tt.by + ` in \d+\.\d{3} ms, \d+\.\d a second, \d+\.\d{3} ms of CPU each; in ms:\n` +
			` +n +min +p50 +p90 +p99 +max\n`
		for _, name := range []string{"start", "authenticate", "sleep", "acct_mgmt", "transaction"} {
			want += ` +` + name + ` +` + tt.n + numbers
		}
		if !regexp.MustCompile(want+`$`).MatchString(out) || errs != "" || status != 0 {
			t.Errorf("%s: %q, %q, %d; want %s", tt.name, out, errs, status, want)
		}
		if got := lines(file); got != tt.calls {
			t.Errorf("%s: %d calls, want %d", tt.name, got, tt.calls)
		}
	}
}

func TestRepeatFailures(t *testing.T) {
	killed, _ := counting(t, "kill -KILL $PPID\n")
	for _, tt := range []struct {
		name, stack string
		args        []string
		errs        string
		status      int
	}{
		{"a refusal", deny, []string{"svc", "bob", "acct_mgmt", "authenticate", "setcred"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), 4 of 4 times\n", 1},
		{"one that is expected", deny, []string{"svc", "bob", "authenticate=7", "acct_mgmt"}, "", 0},
		{"no service", deny, []string{"--confdir", "/nowhere", "svc", "bob", "authenticate"}, "pamtester: start: Critical error - immediate abort (PAM_ABORT), 4 of 4 times\n", 1},
		{"no answer", showsToken, []string{"--concurrency", "2", "svc", "bob", "authenticate"}, "pamtester: authenticate: no answer for a question, 4 of 4 times\n", 1},
		{"an operation that is not libpam's", permit, []string{"svc", "bob", "getenvlist"}, "pamtester: Unsupported operation \"getenvlist\" with --repeat\n", 1},
		{"bad flags", permit, []string{"svc", "bob", "setcred(x)"}, "pamtester: undefined constant \"x\"\n", 1},
		{"a process that dies", killed, []string{"--concurrency", "2", "svc", "bob", "authenticate"}, "pamtester: repeat: a process died: signal: killed\n", 1},
		{"--exit-code", deny, []string{"--exit-code", "svc", "bob", "authenticate"}, "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), 4 of 4 times\n", 65},
	} {
		_, errs, status := command(t, tt.stack, "", append([]string{"--repeat", "4"}, tt.args...)...)
		if errs != tt.errs || status != tt.status {
			t.Errorf("%s: %q, %d; want %q, %d", tt.name, errs, status, tt.errs, tt.status)
		}
	}
}

// Answers for once are there again in each transaction, and modules are not heard.
func TestRepeatAnswers(t *testing.T) {
	file := filepath.Join(t.TempDir(), "answers")
	write(t, file, "once /^Password/ = hunter2\n")
	out, errs, status := command(t, showsToken, "", "--answers", file, "--repeat", "3", "svc", "bob", "authenticate")
	if strings.Contains(out+errs, "hunter2") || errs != "" || status != 0 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}

// A question that nobody answers is of its own transaction.
func TestRepeatUnanswered(t *testing.T) {
	dir := t.TempDir()
	script, answers := filepath.Join(dir, "script"), filepath.Join(dir, "answers")
	write(t, script, "! mkdir "+filepath.Join(dir, "seen")+" 2>/dev/null\n")
	write(t, answers, "")
	stack := "auth [success=1 default=ignore] pam_exec.so quiet /bin/sh " + script + "\nauth required pam_unix.so\nauth required pam_permit.so\n"
	_, errs, _ := command(t, stack, "", "--answers", answers, "--repeat", "3", "--no-fail-delay", "svc", "nobody", "authenticate")
	if want := "pamtester: authenticate: no answer for a question, 1 of 3 times\n"; errs != want {
		t.Errorf("%q, want %q", errs, want)
	}
}

func TestRepeatJSON(t *testing.T) {
	out, errs, status := command(t, deny, "", "--json", "--repeat", "2", "svc", "bob", "acct_mgmt", "authenticate")
	out = microseconds.ReplaceAllString(out, `${1}us":0`)
	row := func(op, n, failed string) string {
		return `{"op":"` + op + `","n":` + n + `,"failed":` + failed + `,"min_us":0,"p50_us":0,"p90_us":0,"p99_us":0,"max_us":0}`
	}
	want := `{"op":"repeat","transactions":2,"processes":1,"us":0,"cpu_us":0,"steps":[` + row("start", "2", "0") + "," + row("acct_mgmt", "2", "0") + "," +
		row("authenticate", "2", "2") + "," + row("transaction", "2", "2") + "]}\n"
	first, last, _ := strings.Cut(out, "\n")
	if first+"\n" != want || !strings.HasPrefix(last, `{"op":"summary","service":"svc"`) || !strings.HasSuffix(last, `"status":1}`+"\n") || status != 1 ||
		errs != "pamtester: authenticate: Authentication failure (PAM_AUTH_ERR), 2 of 2 times\n" {
		t.Errorf("%q, %q, %d; want %q", out, errs, status, want)
	}
}

// What --cleanup does for one run it does for each of many: what was opened is closed, and no more.
func TestRepeatCleanup(t *testing.T) {
	for _, tt := range []struct {
		ops  []string
		want string
	}{
		{[]string{"open_session", "authenticate=0"}, "open_session close_session open_session close_session"},
		{[]string{"open_session", "close_session", "authenticate"}, "open_session close_session open_session close_session"},
		{[]string{"close_session", "open_session", "authenticate"}, "close_session open_session close_session close_session open_session close_session"},
	} {
		dir := t.TempDir()
		file := filepath.Join(dir, "calls")
		write(t, filepath.Join(dir, "script"), "echo $PAM_TYPE >>"+file+"\n")
		stack := "auth required pam_deny.so\nsession required pam_exec.so quiet /bin/sh " + filepath.Join(dir, "script") + "\n"
		command(t, stack, "", append([]string{"--cleanup", "--repeat", "2", "svc", "bob"}, tt.ops...)...)
		text, _ := os.ReadFile(file)
		if got := strings.Join(strings.Fields(string(text)), " "); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.ops, got, tt.want)
		}
	}
}

// Loading modules is no part of a transaction: they stay from one to the next. The constructor of a module that was unloaded runs again.
func TestRepeatKeepsModules(t *testing.T) {
	dir := t.TempDir()
	source, file := filepath.Join(dir, "m.c"), filepath.Join(dir, "loads")
	write(t, source, `#include <fcntl.h>
#include <unistd.h>
__attribute__((constructor)) static void loaded(void) { int fd = open("`+file+`", O_WRONLY | O_CREAT | O_APPEND, 0600); if (write(fd, "x\n", 2) < 0) _exit(9); close(fd); }
int pam_sm_authenticate(void *h, int f, int n, const char **v) { (void)h; (void)f; (void)n; (void)v; return 0; }
`)
	module := filepath.Join(dir, "m.so")
	if out, err := compile(source, module); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if _, errs, status := command(t, "auth required "+module+"\n", "", "--repeat", "50", "--warmup", "5", "svc", "bob", "authenticate"); errs != "" || status != 0 {
		t.Errorf("%q, %d", errs, status)
	}
	if got := lines(file); got != 1 {
		t.Errorf("the module was loaded %d times", got)
	}
}
