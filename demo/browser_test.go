package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// TestMain runs the tests in the namespace of the demonstration.
func TestMain(m *testing.M) {
	if os.Getenv("PWB_BROWSER_INSIDE") != "" {
		os.Exit(m.Run())
	}
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "the browser's tests are left out: they need root, for a private mount namespace")
		return
	}
	private, err := os.MkdirTemp("", "pwb-browser.")
	if err != nil {
		panic(err)
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), "PWB_BROWSER_INSIDE="+private)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	os.RemoveAll(private)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		panic(err)
	}
}

const adminGroup = "5f0d2c9e-6a3b-4c57-9d18-2b7e4f60a1c3" // alice's

// stage is the demonstration's machine with everything running, and a browser.
type stage struct {
	t      *testing.T
	m      *machine
	source string
	shots  string
	axe    string
	ctx    context.Context
}

func newStage(t *testing.T) *stage {
	source := os.Getenv("PWB_SOURCE")
	if source == "" {
		source, _ = filepath.Abs("..")
	}
	s := &stage{t: t, source: source, shots: filepath.Join(source, "build", "screenshots")}
	axe, err := os.ReadFile(filepath.Join(source, "build", "axe.min.js"))
	if err != nil {
		t.Fatalf("run make test-browser: %v", err)
	}
	s.axe = string(axe)
	if err := os.MkdirAll(s.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	front = fmt.Sprintf("http://127.0.0.1:%d", port)
	moreServer = fmt.Sprintf("www-port=%d\nadmin-enabled=1\nadmin-group=%s\n", port, adminGroup)
	moreSettings = "support-contact=help@example.com\n"
	if s.m, err = prepare(os.Getenv("PWB_BROWSER_INSIDE"), source); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.m.end)
	p, err := startProvider()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	if err := operator(s.m, p, &narrator{m: s.m}); err != nil {
		t.Fatal(err)
	}
	if err := s.m.startWorker(); err != nil {
		t.Fatal(err)
	}
	if err := s.m.startServe(); err != nil {
		t.Fatal(err)
	}
	s.ctx = s.browser()
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(s.m.private, "serve.log"))
			t.Logf("pwb serve:\n%s\nworker:\n%s", log, s.m.logged(0))
		}
	})
	return s
}

// browser is a new Chromium, which reaches nothing but loopback.
func (s *stage) browser() context.Context {
	profile, err := os.MkdirTemp(s.m.private, "chromium.") // goes with the namespace: Chromium writes there until its last moment
	if err != nil {
		s.t.Fatal(err)
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("/usr/bin/chromium"), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost"), chromedp.UserDataDir(profile))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), opts...)
	s.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	s.t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*time.Minute)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *stage) run(what string, actions ...chromedp.Action) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(s.ctx); err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
	if err := chromedp.Run(ctx, actions...); err != nil {
		var where, text string
		chromedp.Run(s.ctx, chromedp.Location(&where), chromedp.Text("body", &text, chromedp.ByQuery))
		s.t.Fatalf("%s: %v; at %s:\n%s", what, err, where, text)
	}
}

func (s *stage) text() (text string) {
	s.t.Helper()
	s.run("read the page", chromedp.Text("body", &text, chromedp.ByQuery))
	return text
}

func (s *stage) want(words ...string) {
	s.t.Helper()
	text := s.text()
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Fatalf("no %q in\n%s", w, text)
		}
	}
}

// looks keeps pictures of a page as people see it, and has the accessibility checker look at it in each form.
func (s *stage) looks(name string) {
	s.t.Helper()
	for _, form := range []struct {
		name, scheme  string
		width, height int64
	}{{"light", "light", 1000, 900}, {"dark", "dark", 1000, 900}, {"phone", "light", 360, 780}} {
		var shot []byte
		var found string
		var wide bool
		var header int64
		s.run("a picture of "+name,
			emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: form.scheme}}),
			emulation.SetDeviceMetricsOverride(form.width, form.height, 1, form.width < 500),
			chromedp.FullScreenshot(&shot, 100),
			chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide),
			chromedp.Evaluate(`document.querySelector("header").offsetHeight`, &header),
			chromedp.Evaluate(s.axe+";0", nil),
			chromedp.Evaluate(`axe.run({runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}).then(r => JSON.stringify(r.violations.map(v => v.id + ": " + v.help + " " + v.nodes.map(n => n.html).join(" | "))))`,
				&found, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
		)
		if found != "[]" {
			s.t.Errorf("%s, %s: accessibility: %s", name, form.name, found)
		}
		if wide {
			s.t.Errorf("%s, %s: wider than the window", name, form.name)
		}
		if header > 110 {
			s.t.Errorf("%s, %s: the header is %d pixels high", name, form.name, header)
		}
		if err := os.WriteFile(filepath.Join(s.shots, name+"-"+form.name+".png"), shot, 0o644); err != nil {
			s.t.Error(err)
		}
	}
	s.run("back to a window", emulation.ClearDeviceMetricsOverride())
}

func (s *stage) click(selector string) chromedp.Action {
	return chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible)
}

// signIn goes the whole way, as a person does.
func (s *stage) signIn(name string) {
	s.t.Helper()
	s.run("sign in as "+name, chromedp.Navigate(front+"/"), s.click("a.button"),
		chromedp.WaitVisible(`input[name="username"]`, chromedp.ByQuery),
		chromedp.SendKeys(`input[name="username"]`, name, chromedp.ByQuery),
		chromedp.SendKeys(`input[name="password"]`, password+"\r", chromedp.ByQuery),
		chromedp.WaitVisible(`#account`, chromedp.ByQuery))
}

func (s *stage) code() (code string) {
	s.t.Helper()
	s.run("get a code", chromedp.Click(`form[action$="/code"] button`, chromedp.ByQuery), chromedp.Text("#secret", &code, chromedp.ByQuery))
	return code
}

// login is "pwb login" on the person's own computer, with the browser that is signed in.
func (s *stage) login() {
	s.t.Helper()
	cmd := exec.Command("/usr/bin/pwb", "login", "--no-browser", front)
	cmd.Env = append(os.Environ(), "HOME="+s.t.TempDir())
	errs, err := cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out := new(strings.Builder)
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	defer cmd.Process.Kill()
	var address string
	lines := bufio.NewScanner(errs)
	for address == "" && lines.Scan() {
		if strings.HasPrefix(lines.Text(), front) {
			address = lines.Text()
		}
	}
	s.run("pwb login", chromedp.Navigate(address), s.click(`button[value="yes"]`), chromedp.Sleep(time.Second))
	s.want("You can close this window")
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil || !codeForm.MatchString(strings.TrimSpace(out.String())) {
		s.t.Fatalf("pwb login: %v, %q", err, out)
	}
	if got := s.m.run(out.String(), pamtester("alice", "authenticate")...); got.status != 0 {
		s.t.Errorf("pwb login's code: %+v", got)
	}
}

var codeForm = regexp.MustCompile(`^pwb-[a-z0-9-]{10,60}$`)

func TestBrowser(t *testing.T) {
	s := newStage(t)
	s.run("open", chromedp.Navigate(front+"/"))
	s.want("Sign in with your organisation’s account", "help@example.com")
	s.looks("1-sign-in")
	s.signIn("alice@example.com")
	s.want("Hello, Alice", "30000", "/home/alice", "g-5f0d2c9e")
	s.looks("2-home")
	if out := s.m.run("", "getent", "passwd", "alice"); out.status != 0 {
		t.Errorf("getent: %+v", out)
	}
	code := s.code()
	if !codeForm.MatchString(code) {
		t.Fatalf("code %q", code)
	}
	s.looks("3-code")
	if out := s.m.run(code+"\n", "pwb", "session", "alice", "--", "id"); out.status != 0 || !strings.Contains(out.output, "uid=30000(alice)") {
		t.Errorf("pwb session with the code: %+v", out)
	}
	if out := s.m.run(code+"\n", pamtester("alice", "authenticate")...); out.status == 0 {
		t.Errorf("the code again: %+v", out)
	}
	var copied string
	s.run("copy", chromedp.Click(`[data-copy]`, chromedp.ByQuery), chromedp.Sleep(200*time.Millisecond), chromedp.Text("[data-copy]", &copied, chromedp.ByQuery))
	if copied != "Copied" && copied != "Selected" {
		t.Errorf("the button says %q", copied)
	}
	s.run("session ticket", chromedp.Navigate(front+"/"), chromedp.Evaluate(`document.querySelectorAll("details").forEach(d => d.open = true)`, nil))
	s.looks("4-home-open")
	var ticket string
	s.run("session ticket", chromedp.Click(`form[action$="/session-ticket"] button`, chromedp.ByQuery), chromedp.Text("#secret", &ticket, chromedp.ByQuery))
	if out := s.m.run(ticket+"\n", pamtester("alice", "authenticate")...); out.status != 0 {
		t.Errorf("pamtester with the session ticket: %+v", out)
	}
	s.run("administration", chromedp.Navigate(front+"/admin"))
	s.looks("5-admin-users")
	s.run("administration", chromedp.Navigate(front+"/admin/users/alice"))
	s.want("This is your own account")
	s.looks("6-admin-user")
	for path, name := range map[string]string{"/admin/groups": "7-admin-groups", "/admin/decisions": "8-admin-decisions"} {
		s.run(path, chromedp.Navigate(front+path))
		s.looks(name)
	}
	s.run("a page that is not", chromedp.Navigate(front+"/nothing"))
	s.looks("9-error")
	challenge := strings.Repeat("A", 43)
	s.run("pwb login", chromedp.Navigate(front+"/login/cli?port=40000&state="+challenge+"&challenge="+challenge))
	s.want("Go on only if you have just run pwb login yourself")
	s.looks("10-consent")

	s.login()

	alice := s.ctx
	s.ctx = s.browser()
	s.run("without JavaScript", emulation.SetScriptExecutionDisabled(true))
	s.signIn("bob@example.com")
	bobs := s.code()
	s.want("It works once, until", "seconds from when this page was made")
	if out := s.m.run(bobs+"\n", pamtester("bob", "authenticate")...); out.status != 0 {
		t.Errorf("bob's code, without JavaScript: %+v", out)
	}
	s.run("bob at an administrator's page", chromedp.Navigate(front+"/admin"))
	s.want("This page is for administrators")
	s.run("with JavaScript", emulation.SetScriptExecutionDisabled(false), chromedp.Navigate(front+"/"))
	bob := s.ctx

	s.ctx = alice
	s.run("lock bob", chromedp.Navigate(front+"/admin/users/bob/lock"))
	s.looks("11-lock")
	s.run("lock bob", s.click("button.danger"), chromedp.WaitVisible(`.state.locked`, chromedp.ByQuery))
	s.ctx = bob
	s.run("bob is out", chromedp.Navigate(front+"/"))
	s.want("Sign in")
	s.run("bob comes again", s.click("a.button"), chromedp.WaitVisible(`.notice, input[name="username"]`, chromedp.ByQuery))
	if strings.Contains(s.text(), "sername") {
		s.run("bob comes again", chromedp.SendKeys(`input[name="username"]`, "bob@example.com", chromedp.ByQuery),
			chromedp.SendKeys(`input[name="password"]`, password+"\r", chromedp.ByQuery), chromedp.WaitVisible(".notice", chromedp.ByQuery))
	}
	s.want("Your account is not active", "Reference", "help@example.com")
	s.looks("12-locked")

	s.ctx = alice
	s.m.stopServe()
	if err := s.m.startServe(); err != nil {
		t.Fatal(err)
	}
	s.run("after a restart", chromedp.Navigate(front+"/"))
	s.want("Sign out")
	var cookies []*network.Cookie
	s.run("cookies", chromedp.ActionFunc(func(ctx context.Context) (err error) {
		cookies, err = network.GetCookies().Do(ctx)
		return err
	}))
	for _, c := range cookies {
		if strings.Contains(c.Name, "pwb") && (!c.HTTPOnly || c.SameSite != network.CookieSameSiteLax) {
			t.Errorf("cookie %+v", c)
		}
	}
	s.run("sign out", s.click(`form[action$="/sign-out"] button`), chromedp.Sleep(time.Second))
	s.run("signed out", chromedp.Navigate(front+"/signed-out"))
	s.looks("13-signed-out")
	s.run("signed out", chromedp.Navigate(front+"/"))
	s.want("Sign in with your organisation’s account")
	log, err := os.ReadFile(filepath.Join(s.m.private, "serve.log"))
	if err != nil || strings.Contains(string(log), code) || strings.Contains(string(log), ticket) || strings.Contains(string(log), "state=") {
		t.Errorf("the log holds a secret, or is not there: %v", err)
	}
}
