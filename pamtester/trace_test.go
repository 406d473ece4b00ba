package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func needTrace(t testing.TB) {
	t.Helper()
	if traceObject == "" {
		t.Skip("needs cc and libpam's headers, for the module that traces")
	}
}

type object1 struct {
	Op       string
	Code     int
	Name     string
	Messages []said1
	Trace    []struct {
		Service   string
		Explained bool
		Lines     []struct {
			File, Control, Module, Args, Effect, Why string
			Line, Code                               int
			Ran, Decided                             bool
			Said                                     []said1
		}
	}
}

type said1 struct{ Style, Text string }

func report(t testing.TB, args ...string) []object1 {
	t.Helper()
	out, _, _ := streams(t, program(append([]string{"--json"}, args...)...), "")
	var all []object1
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var o object1
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, o)
	}
	return all
}

// same runs a service with and without --trace: every code must be the same, and every walk explained.
func same(t *testing.T, about string, args ...string) {
	t.Helper()
	plain, traced := report(t, args...), report(t, append([]string{"--trace"}, args...)...)
	if len(plain) != len(traced) {
		t.Errorf("%s: %d objects without --trace, %d with it", about, len(plain), len(traced))
		return
	}
	for i, p := range plain {
		if p.Op != traced[i].Op || p.Code != traced[i].Code || !slices.Equal(p.Messages, traced[i].Messages) {
			t.Errorf("%s: %s is %s %q, with --trace %s %q", about, p.Op, p.Name, p.Messages, traced[i].Name, traced[i].Messages)
		}
		for _, pass := range traced[i].Trace {
			if !pass.Explained {
				t.Errorf("%s: %s: %s is not explained", about, p.Op, p.Name)
			}
		}
	}
}

var sixCalls = []string{"authenticate", "setcred", "acct_mgmt", "open_session", "close_session", "chauthtok"}

// goOn lets a sequence go on whatever a call answers: each call is a sequence of its own but for those that follow another.
var sequences = [][]string{{"authenticate"}, {"setcred"}, {"acct_mgmt"}, {"open_session"}, {"close_session"}, {"chauthtok"}, {"authenticate", "setcred"}, {"open_session", "close_session"}}

func TestTraceChangesNoAnswer(t *testing.T) {
	needTrace(t)
	for _, stack := range []string{
		permit, deny,
		"auth sufficient pam_permit.so\nauth required pam_deny.so\n",
		"auth requisite pam_deny.so\nauth required pam_permit.so\n",
		"auth [success=1 default=ignore] pam_permit.so\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
		"auth [success=9] pam_permit.so\n",
		"auth [default=ignore] pam_permit.so\n",
		"auth [success=ok junk=ok] pam_permit.so\n",
		"auth [success=reset] pam_permit.so\nauth required pam_permit.so\n",
		"auth required pam_nosuch.so\n", "-auth required pam_nosuch.so\nauth required pam_permit.so\n",
		"auth optional pam_nosuch.so\nauth required /lib/nosuch/pam_permit.so\n",
		"auth [module_unknown=ignore default=bad] $ISA/pam_nosuch.so\nauth required pam_permit.so\n",
		"account required pam_faildelay.so\n", // it has no such function
		"auth required\n", "bogus required pam_permit.so\n", "auth bogus pam_permit.so\n", "auth\n", "# nothing\n",
		"auth required pam_debug.so auth=perm_denied \\\n cred=cred_err # and a comment\n",
		"auth required pam_echo.so [a \\] b]\nauth required pam_permit.so\n", "auth required [pam_permit.so]\n",
		"auth required pam_debug.so auth=incomplete\n", "auth required pam_debug.so auth=ignore\n",
		"password optional pam_debug.so prechauthtok=try_again\n", "password required pam_debug.so chauthtok=authtok_err\npassword required pam_permit.so\n",
		"auth substack inc\nauth required pam_deny.so\n", "auth include inc\nauth required pam_deny.so\n", "auth include nosuch\n",
		"auth required pam_permit.so\nauth required pam_permit.so " + strings.Repeat("x", 960) + "\n",
	} {
		dir := service(t, stack)
		write(t, filepath.Join(dir, "inc"), "auth sufficient pam_permit.so\nauth required pam_deny.so\n")
		for _, ops := range sequences {
			if len(stack) > 900 {
				continue // a line too long to be traced is left alone, and nothing is claimed
			}
			same(t, stack+" "+strings.Join(ops, " "), append([]string{"--confdir", dir, "svc", "bob"}, ops...)...)
		}
	}
}

// Stacks made by chance, of every control and code, with includes and substacks: what is drawn ends in libpam's own answer.
func TestTraceFollowsLibpam(t *testing.T) {
	needTrace(t)
	r := rand.New(rand.NewSource(1))
	pick := func(of ...string) string { return of[r.Intn(len(of))] }
	codes := strings.Fields("success success success auth_err perm_denied ignore new_authtok_reqd user_unknown abort cred_err acct_expired module_unknown")
	line := func() string {
		control := pick("required", "requisite", "sufficient", "optional", "[default=die]", "["+pick(codes...)+"="+pick("ok", "done", "bad", "die", "reset", "ignore", "1", "2", "3")+" default="+pick("ok", "bad", "ignore", "reset", "1", "2")+"]")
		return "auth " + control + " pam_debug.so auth=" + pick(codes...) + " cred=" + pick(codes...) + "\n"
	}
	for n := range 120 {
		dir := t.TempDir()
		for _, name := range []string{"c", "b", "svc"} {
			text := ""
			for range 1 + r.Intn(4) {
				text += line()
				if name != "c" && r.Intn(3) == 0 {
					text += "auth " + pick("include", "substack") + " " + map[string]string{"svc": pick("b", "c"), "b": "c"}[name] + "\n"
				}
			}
			write(t, filepath.Join(dir, name), text)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "svc"))
		for _, ops := range sequences[:2] {
			same(t, fmt.Sprintf("stack %d: %s", n, text), append([]string{"--confdir", dir, "svc", "bob"}, ops...)...)
		}
		same(t, fmt.Sprintf("stack %d: %s", n, text), "--expect", "authenticate="+report(t, "--confdir", dir, "svc", "bob", "authenticate")[0].Name, "--confdir", dir, "svc", "bob", "authenticate", "setcred")
	}
}

// The services of this machine, as far as they change nothing.
func TestTraceOfRealServices(t *testing.T) {
	needTrace(t)
	services, _ := filepath.Glob("/etc/pam.d/*")
	if len(services) == 0 {
		t.Skip("no /etc/pam.d here")
	}
	for _, path := range services {
		for _, op := range []string{"authenticate", "acct_mgmt", "setcred"} {
			same(t, path, "--no-fail-delay", filepath.Base(path), "nobody", op)
		}
	}
}

func TestTraceOfPamMatrix(t *testing.T) {
	needTrace(t)
	modules, _ := filepath.Glob("/usr/lib/*/pam_wrapper/pam_matrix.so")
	if len(modules) == 0 {
		t.Skip("needs pam_wrapper's modules")
	}
	passwords := filepath.Join(t.TempDir(), "passwords")
	write(t, passwords, "bob:secret:svc\n")
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "secret\n")
	stack := ""
	for _, typ := range []string{"auth", "account", "session", "password"} {
		stack += typ + " required " + modules[0] + " passdb=" + passwords + " verbose\n"
	}
	same(t, "pam_matrix", append([]string{"--secret-file", secret, "--confdir", service(t, stack), "svc", "bob"}, sixCalls[:5]...)...)
	same(t, "pam_matrix", "--secret-file", secret, "--confdir", service(t, stack), "svc", "bob", "chauthtok")
}

// What a person sees.
func TestTraceDrawing(t *testing.T) {
	needTrace(t)
	dir := service(t, "auth required pam_debug.so auth=ignore\nauth include inc\nauth optional pam_nosuch.so\n")
	write(t, filepath.Join(dir, "inc"), "auth [success=1 default=ignore] pam_debug.so auth=user_unknown\nauth requisite pam_deny.so\nauth required pam_permit.so\n")
	_, drawn, status := streams(t, program("--trace", "--confdir", dir, "svc", "bob", "authenticate"), "")
	var lines []string
	for _, l := range strings.Split(drawn, "\n") {
		lines = append(lines, strings.Join(strings.Fields(l), " "))
	}
	got := strings.Join(lines, "\n")
	for _, want := range []string{
		"svc:2 include inc\n", "inc:1 [success=1 default=ignore] pam_debug.so auth=user_unknown PAM_USER_UNKNOWN ", "says \"auth=user_unknown\"\n", "> inc:2 requisite pam_deny.so PAM_AUTH_ERR ",
		" die: ends the stack\n", "inc:3 required pam_permit.so - - not run\n", "decided by inc:2\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, drawn)
		}
	}
	if status != 1 {
		t.Errorf("status %d", status)
	}
}

// A trace names what cannot be called, and leaves nothing behind.
func TestTraceNamesWhatIsMissing(t *testing.T) {
	needTrace(t)
	tmp := t.TempDir()
	cmd := program("--trace", "--stack", "auth optional pam_nosuch.so\nauth required pam_permit.so", "svc", "bob", "authenticate")
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	_, drawn, status := streams(t, cmd, "")
	if status != 0 || !strings.Contains(drawn, "cannot be called: ") || !strings.Contains(drawn, "pam_nosuch.so: cannot open shared object file") {
		t.Errorf("%d, %s", status, drawn)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}
