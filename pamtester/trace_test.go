package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/pwb-project/pwb/internal/nstest"
)

type reported struct {
	Op       string
	Code     int
	Name     string
	Messages []spoken
	Trace    []struct {
		Service   string
		Explained bool
		Lines     []struct {
			File, Control, Module, Args, Effect, Why string
			Line, Code                               int
			Ran, Decided                             bool
			Said                                     []spoken
		}
	}
}

type spoken struct{ Style, Text string }

func report(t testing.TB, args ...string) []reported {
	t.Helper()
	out, _, _ := streams(t, program(t, append([]string{"--json"}, args...)...), "")
	var all []reported
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		var o reported
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

// sequences are of operations: each call alone, and those that follow another behind it.
var sequences = [][]string{{"authenticate"}, {"setcred"}, {"acct_mgmt"}, {"open_session"}, {"close_session"}, {"chauthtok"}, {"authenticate", "setcred"}, {"open_session", "close_session"}}

func TestTraceChangesNoAnswer(t *testing.T) {
	modules, _ := filepath.Glob("/usr/lib*/*/security/pam_permit.so")
	modules = append(modules, "/usr/lib64/security/pam_permit.so") // where there are no more
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
		"-@include inc\nauth required pam_deny.so\n", "auth required pam_debug.so \\ # c\nauth required pam_deny.so\n",
		"auth required pam_permit.so\x00 junk\n\x00auth required pam_deny.so\n", "auth required pam_permit.so\r\nauth required pam_permit.so x\r\n",
		"auth required " + filepath.Dir(modules[0]) + "/$ISA/pam_permit.so\n", // Debian's $ISA is no folder to stand there
		"auth required $ISA/pam_permit.so\nauth required pam_permit.so\n", "auth required .so\n", "auth required []\n", "auth required ?\n", "auth required ..\n",
		"auth include folder\nauth required pam_permit.so\n", "auth include /dev/null\nauth required pam_permit.so\n",
		"\u017fession required pam_permit.so\nsession required pam_permit.so\n", "auth include lacks\n",
		"auth required \\\n# c\n pam_permit.so\n", "auth required \\\n\n pam_permit.so\n", "auth required pam_permit.so\x00 \\\nauth required pam_deny.so\n",
		"auth optional pam_permit.so\nauth include broken\n", "auth substack broken\nauth required pam_permit.so\n", "auth required pam_permit.so\nauth required pam_deny.so \\\n",
	} {
		dir := service(t, stack)
		write(t, filepath.Join(dir, "inc"), "auth sufficient pam_permit.so\nauth required pam_deny.so\n")
		write(t, filepath.Join(dir, "lacks"), "auth required pam_permit.so\n@include nosuch\n")
		write(t, filepath.Join(dir, "broken"), "auth optional pam_debug.so auth=cred_err\nauth required pam_debug.so auth=maxtries \\\n")
		if err := os.Mkdir(filepath.Join(dir, "folder"), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, ops := range sequences {
			same(t, stack+" "+strings.Join(ops, " "), append([]string{"--confdir", dir, "svc", "bob"}, ops...)...)
		}
	}
}

// Stacks made by chance, of every control and code, with includes and substacks: what is drawn ends in libpam's own answer.
func TestTraceFollowsLibpam(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	pick := func(of ...string) string { return of[r.Intn(len(of))] }
	codes := strings.Fields("success success success auth_err perm_denied ignore new_authtok_reqd user_unknown abort cred_err acct_expired module_unknown")
	typ, first, then := "", "", "" // the type, and pam_debug's words for its two calls
	line := func() string {
		control := pick("required", "requisite", "sufficient", "optional", "[default=die]", "["+pick(codes...)+"="+pick("ok", "done", "bad", "die", "reset", "ignore", "1", "2", "3")+" default="+pick("ok", "bad", "ignore", "reset", "1", "2")+"]")
		return typ + " " + control + " pam_debug.so " + first + "=" + pick(codes...) + " " + then + "=" + pick(codes...) + "\n"
	}
	for n := range 120 {
		dir := t.TempDir()
		typ, first, then = "auth", "auth", "cred"
		calls := []string{"authenticate", "setcred"}
		if n%3 == 0 {
			typ, first, then = "session", "open_session", "close_session"
			calls = []string{first, then}
		}
		for _, name := range []string{"c", "b", "svc"} {
			text := ""
			for range 1 + r.Intn(4) {
				text += line()
				if name != "c" && r.Intn(3) == 0 {
					text += pick(typ+" include ", typ+" substack ", "@include ") + map[string]string{"svc": pick("b", "c"), "b": "c"}[name] + "\n"
				}
			}
			write(t, filepath.Join(dir, name), text)
		}
		text, _ := os.ReadFile(filepath.Join(dir, "svc"))
		about := fmt.Sprintf("stack %d: %s", n, text)
		for _, call := range calls {
			same(t, about, "--confdir", dir, "svc", "bob", call)
		}
		answer := report(t, "--confdir", dir, "svc", "bob", calls[0])[0].Name
		same(t, about, "--confdir", dir, "svc", "bob", calls[0]+"="+answer, calls[1])
	}
}

// The services of this machine, in the private namespace, where /etc cannot be written.
func TestTraceOfRealServices(t *testing.T) {
	nstest.Need(t)
	if err := syscall.Mount("/etc", "/etc", "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	defer syscall.Unmount("/etc", syscall.MNT_DETACH)
	if err := syscall.Mount("", "/etc", "", syscall.MS_REMOUNT|syscall.MS_BIND|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	services, _ := filepath.Glob("/etc/pam.d/*")
	if len(services) == 0 {
		t.Fatal("no /etc/pam.d here")
	}
	for _, path := range services {
		for _, op := range []string{"authenticate", "acct_mgmt", "setcred"} {
			same(t, path, "--no-fail-delay", filepath.Base(path), "nobody", op)
		}
	}
}

func TestTraceOfPamMatrix(t *testing.T) {
	modules, _ := filepath.Glob("/usr/lib/*/pam_wrapper/pam_matrix.so")
	if len(modules) == 0 {
		t.Skip("needs pam_wrapper's modules: ./deps test")
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

// inOneLine undoes how lines are broken, which depends on how long modules take.
func inOneLine(drawn string) string { return strings.Join(strings.Fields(drawn), " ") }

// What libpam itself did.
func TestTraceDrawing(t *testing.T) {
	dir := service(t, "auth required pam_debug.so auth=ignore\nauth include inc\nauth optional pam_nosuch.so\n")
	write(t, filepath.Join(dir, "inc"), "auth [success=1 default=ignore] pam_debug.so auth=user_unknown\nauth requisite pam_deny.so\nauth required pam_permit.so\n")
	_, drawn, status := streams(t, program(t, "--trace", "--confdir", dir, "svc", "bob", "authenticate"), "")
	for _, want := range []string{
		" svc:2 include inc user_unknown ignore ", ` inc:1 [success=1 default=ignore] pam_debug.so auth=user_unknown says "auth=user_unknown" > auth_err die `,
		" inc:2 requisite pam_deny.so die: ends the stack not run inc:3 required pam_permit.so not run svc:3 ", " ms, decided by inc:2, pam_deny.so ",
	} {
		if !strings.Contains(inOneLine(drawn), want) {
			t.Errorf("no %q in %s", want, drawn)
		}
	}
	if status != 1 {
		t.Errorf("status %d", status)
	}
}

// Whether a line that jumps counts as ok in close_session, this libpam has not shown, and its answer is the same: no line is marked.
func TestTraceOfJumpsThatMayCount(t *testing.T) {
	_, drawn, _ := command(t, "session required pam_permit.so\nsession [success=1 default=ignore] pam_permit.so\nsession required pam_deny.so\n"+
		"session optional pam_debug.so open_session=ignore close_session=ignore\n", "", "--trace", "svc", "bob", "open_session", "close_session")
	_, closing, _ := strings.Cut(drawn, "trace: close_session")
	if strings.Contains(closing, ">") || !strings.HasSuffix(closing, ", decided by svc:1 or svc:2\n") {
		t.Error(drawn)
	}
	if !strings.Contains(drawn, ", decided by svc:1, pam_permit.so\n") {
		t.Error("open_session knows: " + drawn)
	}
	// Here the answer tells.
	_, drawn, status := command(t, "session [success=1] pam_permit.so\nsession required pam_deny.so\n", "", "--trace", "svc", "bob", "open_session=6", "close_session")
	want := map[int]string{0: ", decided by svc:1, pam_permit.so\n", 1: ", as no line decided\npamtester: Permission denied\n"}[status]
	if !strings.HasSuffix(drawn, want) {
		t.Error(drawn)
	}
}

// An answer that is not counted is not said to be, when an earlier one makes it ok.
func TestTraceOfIgnoreThatWasOk(t *testing.T) {
	_, drawn, _ := command(t, "auth required pam_permit.so\nauth optional pam_debug.so auth=success cred=ignore\n", "", "--trace", "svc", "bob", "authenticate", "setcred")
	if !strings.Contains(drawn, "  ok, but ignored (by the earlier PAM_SUCCESS)\n") || !strings.HasSuffix(drawn, ", decided by svc:1, pam_permit.so\n") {
		t.Error(drawn)
	}
}

// The same of a done: nothing has failed before, and yet it does not end the stack.
func TestTraceOfIgnoreThatWasDone(t *testing.T) {
	_, drawn, _ := command(t, "auth sufficient pam_debug.so auth=success cred=ignore\nauth required pam_permit.so\n", "", "--trace", "svc", "bob", "authenticate", "setcred")
	if !strings.Contains(drawn, "  done, but ignored (by the earlier PAM_SUCCESS)\n") || !strings.HasSuffix(drawn, ", decided by svc:2, pam_permit.so\n") {
		t.Error(drawn)
	}
}

// libpam never answers PAM_IGNORE for a line that refuses: the drawing says what it answers in its place.
func TestTraceOfIgnoreThatRefuses(t *testing.T) {
	for _, control := range []string{"[default=die]", "[default=bad]"} {
		_, drawn, _ := command(t, "auth "+control+" pam_debug.so auth=ignore\n", "", "--trace", "svc", "bob", "authenticate")
		if !strings.Contains(drawn, ", as PAM_PERM_DENIED\n") || !strings.Contains(drawn, "  = PAM_PERM_DENIED in ") {
			t.Error(drawn)
		}
	}
}

// A file that cannot be read is not taken for a line that cannot.
func TestTraceOfMissingFile(t *testing.T) {
	_, drawn, _ := command(t, "auth include nosuch\n", "", "--trace", "svc", "bob", "authenticate")
	if !strings.Contains(drawn, "  bad (libpam cannot read this file)\n") || strings.Count(drawn, "include nosuch") != 1 {
		t.Error(drawn)
	}
}

// A question to a pipe has no end of its own: the drawing begins on a line.
func TestTraceBehindQuestion(t *testing.T) {
	_, drawn, _ := command(t, "auth required pam_unix.so\n", "no\n", "--trace", "--no-fail-delay", "svc", "nobody", "authenticate")
	if !strings.HasPrefix(drawn, "Password: \ntrace: authenticate") {
		t.Errorf("%s", drawn)
	}
}

// A trace names what cannot be called, and leaves nothing behind.
func TestTraceNamesWhatIsMissing(t *testing.T) {
	tmp := t.TempDir()
	cmd := program(t, "--trace", "--stack", "auth optional pam_nosuch.so\nauth required pam_permit.so", "svc", "bob", "authenticate")
	cmd.Env = append(cmd.Env, "TMPDIR="+tmp)
	_, drawn, status := streams(t, cmd, "")
	if status != 0 || !strings.Contains(inOneLine(drawn), "/pam_nosuch.so: cannot open shared object file") || !strings.Contains(drawn, "  cannot be called:") {
		t.Errorf("%d, %s", status, drawn)
	}
	if left, _ := os.ReadDir(tmp); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
}

// Modules that were called as the files do not explain are listed all the same, by file and line: here a file that is too long to be
// copied has more.
func TestTraceOfWhatIsNotExplained(t *testing.T) {
	long := filepath.Join(t.TempDir(), "long")
	write(t, long, strings.Repeat("# "+strings.Repeat("x", 100)+"\n", maxServiceFile/100)+"auth required pam_deny.so\n")
	_, drawn, status := command(t, "auth required pam_permit.so\nauth include "+long+"\nauth required pam_permit.so\n", "", "--trace", "svc", "bob", "authenticate")
	if plain := strings.Count(drawn, "  svc:"); plain != 2 || !strings.Contains(drawn, "  svc:3  required pam_permit.so\n") ||
		!strings.Contains(drawn, "the service files do not explain this order") {
		t.Errorf("%d, %s", status, drawn)
	}
}

// A folder for temporary files in which somebody else could put another in place of the copy is not used.
func TestTraceAvoidsFoldersOfOthers(t *testing.T) {
	for _, tt := range []struct {
		mode os.FileMode
		want bool
	}{{0o700, true}, {0o777, false}, {os.ModeSticky | 0o777, true}, {0o770, false}} {
		dir := t.TempDir()
		if err := os.Chmod(dir, tt.mode); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", dir)
		if got := temporary() == dir; got != tt.want {
			t.Errorf("mode %v is used: %v", tt.mode, got)
		}
		link := filepath.Join(t.TempDir(), "link")
		if err := os.Symlink(dir, link); err != nil {
			t.Fatal(err)
		}
		t.Setenv("TMPDIR", link)
		if got := temporary(); got != "/tmp" {
			t.Errorf("a link leads to %s", got)
		}
	}
}

// With a descriptor that is not pamtester's the module that traces writes nothing: it may be anybody's, when a module has closed all.
func TestTraceModuleElsewhere(t *testing.T) {
	trace := traceModuleBuilt(t)
	out, errs, status := command(t, "auth required "+trace+" 1:0 pam_debug.so auth=cred_err\n", "", "svc", "bob", "authenticate=PAM_CRED_ERR")
	if want := "auth=cred_err\npamtester: authenticate: Failure setting user credentials (PAM_CRED_ERR), as expected\n"; out != want || errs != "" || status != 0 {
		t.Errorf("%q, %q, %d", out, errs, status)
	}
}

// Beside a program in a folder for all, anybody may have put a module.
func TestTraceModuleBeside(t *testing.T) {
	dir := t.TempDir()
	program, module := filepath.Join(dir, "pamtester"), filepath.Join(dir, "pam_trace.so")
	write(t, program, "")
	if sameOwner(program, module) {
		t.Error("a module that is not there")
	}
	write(t, module, "")
	if !sameOwner(program, module) {
		t.Error("a module of the same owner is not used")
	}
	if err := os.Chmod(module, 0o666); err != nil {
		t.Fatal(err)
	}
	if sameOwner(program, module) {
		t.Error("a module that all may write is used")
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(module, 0o600), os.Chown(module, 1000, 1000)); err != nil {
			t.Fatal(err)
		}
		if sameOwner(program, module) {
			t.Error("a module of somebody else is used")
		}
	}
}
