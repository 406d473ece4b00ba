package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/provision"
)

// page is a server's sign-in page, as far as pwb login knows it, over real grants and codes; its person is carol, who agrees.
type page struct {
	*httptest.Server
	tickets *provision.Tickets
	browser func(back *url.URL) // goes where the page sends it
}

func newPage(t *testing.T, r *tree) *page {
	t.Helper()
	p := &page{tickets: r.tickets(), browser: visit}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login/cli", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		grant, err := p.tickets.Grant(r.Context(), "carol", q.Get("challenge"))
		if err != nil {
			t.Error(err)
		}
		p.browser(&url.URL{Scheme: "http", Host: "127.0.0.1:" + q.Get("port"), Path: "/callback", RawQuery: url.Values{"grant": {grant.Text}, "state": {q.Get("state")}}.Encode()})
	})
	mux.HandleFunc("POST /login/cli/code", func(w http.ResponseWriter, r *http.Request) {
		out, name, err := p.tickets.RedeemGrant(r.Context(), r.PostFormValue("grant"), r.PostFormValue("verifier"))
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		json.NewEncoder(w).Encode(map[string]any{"code": out.Text, "user": name})
	})
	p.Server = httptest.NewServer(mux)
	t.Cleanup(p.Close)
	return p
}

func visit(u *url.URL) {
	if resp, err := http.Get(u.String()); err == nil {
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

func (p *page) login(t *testing.T, user string) (code, name string, err error) {
	t.Helper()
	base, err := parseServer(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	l := &loopback{base: base, user: user, show: func(address string) { u, _ := url.Parse(address); go visit(u) }}
	return l.login(ctx)
}

func TestLoginByABrowser(t *testing.T) {
	r, _ := withCarol(t)
	p := newPage(t, r)
	code, name, err := p.login(t, "carol")
	if err != nil || name != "carol" || !codeForm.MatchString(code) {
		t.Fatalf("login = %q, %q, %v", code, name, err)
	}
	if out, _, status := r.pwb(code+"\n", "ticket", "inspect"); status != 0 || !strings.Contains(out, `to "carol" by "pwb login"`) {
		t.Errorf("the code: %d\n%s", status, out)
	}
	if _, _, err := p.login(t, "dave"); err == nil || !strings.Contains(err.Error(), `the code is "carol"'s, not "dave"'s`) {
		t.Errorf("for another user: %v", err)
	}
	// What another page has the browser call ends nothing and gives nothing.
	p.browser = func(back *url.URL) {
		for _, spoil := range []func(u *url.URL, q url.Values){
			func(u *url.URL, q url.Values) { q.Set("state", strings.Repeat("A", 43)) }, func(u *url.URL, q url.Values) { q.Del("state") },
			func(u *url.URL, q url.Values) { u.Path = "/" }, func(u *url.URL, q url.Values) { q.Set("error", "x") }, func(u *url.URL, q url.Values) { q.Del("grant") },
			func(u *url.URL, q url.Values) { u.Host = strings.Replace(u.Host, "127.0.0.1", "localhost", 1) },
		} {
			u, q := *back, back.Query()
			spoil(&u, q)
			u.RawQuery = q.Encode()
			visit(&u)
		}
		visit(back)
	}
	if _, _, err := p.login(t, ""); err != nil {
		t.Errorf("among strangers: %v", err)
	}
	// A local program that sees the redirect has no verifier; and it has used the grant up, which is noticed.
	p.browser = func(back *url.URL) {
		resp, err := http.PostForm(p.URL+"/login/cli/code", url.Values{"grant": {back.Query().Get("grant")}, "verifier": {random32()}})
		if err != nil || resp.StatusCode != http.StatusBadRequest {
			t.Errorf("without the verifier: %v, %v", resp, err)
		}
		visit(back)
	}
	if _, _, err := p.login(t, ""); err == nil || !strings.Contains(err.Error(), "status 400") {
		t.Errorf("a grant that was used: %v", err)
	}
	p.browser = func(back *url.URL) {
		visit(&url.URL{Scheme: "http", Host: back.Host, Path: "/callback", RawQuery: url.Values{"error": {"access_denied"}, "state": {back.Query().Get("state")}}.Encode()})
	}
	if _, _, err := p.login(t, ""); err == nil || !strings.Contains(err.Error(), "declined in the browser") {
		t.Errorf("declined: %v", err)
	}
	p.browser = func(*url.URL) {}
	if _, _, err := p.login(t, ""); err == nil || !strings.Contains(err.Error(), "nobody has signed in") {
		t.Errorf("nobody came: %v", err)
	}
}

// A grant is no code: no host takes it.
func TestAGrantIsNoCode(t *testing.T) {
	r, _ := withCarol(t)
	tickets := r.tickets()
	verifier := random32()
	sum := sha256.Sum256([]byte(verifier))
	grant, err := tickets.Grant(t.Context(), "carol", base64.RawURLEncoding.EncodeToString(sum[:]))
	if err != nil {
		t.Fatal(err)
	}
	code, err := tickets.Code(t.Context(), "carol", provision.CodeFor{})
	if err != nil {
		t.Fatal(err)
	}
	if out, _, status := r.pwb(grant.Text+"\n", "ticket", "inspect"); status != 1 || !strings.Contains(out, "refused by: kind") {
		t.Errorf("inspect: %d %s", status, out)
	}
	if _, _, err := tickets.RedeemGrant(t.Context(), code.Text, verifier); err == nil {
		t.Error("a code was taken for a grant")
	}
	if _, name, err := tickets.RedeemGrant(t.Context(), grant.Text, verifier); err != nil || name != "carol" {
		t.Errorf("RedeemGrant = %q, %v", name, err)
	}
	if _, _, err := tickets.RedeemGrant(t.Context(), grant.Text, verifier); err == nil {
		t.Error("a grant was taken twice")
	}
	for _, bad := range []string{"", "short", strings.Repeat("A", 44), strings.Repeat("=", 43)} {
		if _, err := tickets.Grant(t.Context(), "carol", bad); err == nil {
			t.Errorf("challenge %q was taken", bad)
		}
	}
}

// ssh calls its askpass program with the prompt alone, and takes what it prints.
func TestAskpass(t *testing.T) {
	r, _ := withCarol(t)
	p := newPage(t, r)
	home := t.TempDir()
	browser := filepath.Join(home, "browser")
	seen := filepath.Join(home, "address")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\nprintf '%s' \"$1\" >"+seen+".new; mv "+seen+".new "+seen+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	go func() { // the browser on the person's desktop
		for range 500 {
			if text, err := os.ReadFile(seen); err == nil {
				u, _ := url.Parse(string(text))
				visit(u)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}()
	ask := func(prompt string, env ...string) (string, string, int) {
		cmd := exec.Command("/proc/self/exe", prompt)
		cmd.Env = append(os.Environ(), append(env, "PWB_CHILD=pwb", "GORACE=atexit_sleep_ms=0", "HOME="+home, "XDG_CONFIG_HOME="+home, "BROWSER="+browser)...)
		var out, errs strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errs
		cmd.Run()
		return out.String(), errs.String(), cmd.ProcessState.ExitCode()
	}
	out, errs, status := ask("carol@127.0.0.1's password: ", "PWB_SERVER="+p.URL)
	if status != 0 || !codeForm.MatchString(strings.TrimSuffix(out, "\n")) || strings.Contains(errs, strings.TrimSpace(out)) {
		t.Errorf("askpass: %q, %q, %d", out, errs, status)
	}
	for _, tt := range []struct{ prompt, env, want string }{
		{"Are you sure you want to continue connecting (yes/no/[fingerprint])? ", "X=1", "not a question for a ticket"},
		{"Enter passphrase for key '/home/carol/.ssh/id_ed25519': ", "X=1", "not a question for a ticket"},
		{"Allow use of key x? ", "SSH_ASKPASS_PROMPT=confirm", "not a question for a ticket"},
		{"(carol@host) Ticket: ", "X=1", "no server; give its address, set PWB_SERVER"},
		{"(carol@host) Ticket: ", "PWB_SERVER=http://workbench.example.com", "is not https"},
		// A host that is not the server's gets no code: it could use it there.
		{"carol@evil.example's password: ", "PWB_SERVER=" + p.URL, `is not for host "evil.example"; if that takes them too, write hosts=evil.example into`},
		{"(carol@evil.example) Ticket: ", "PWB_SERVER=" + p.URL, `is not for host "evil.example"`},
		{"(carol@evil.example) carol@127.0.0.1's password: ", "PWB_SERVER=" + p.URL, `is not for host "evil.example"`},
		{"(carol@evil.example) (carol@127.0.0.1) Ticket: ", "PWB_SERVER=" + p.URL, `is not for host "evil.example"`},
		{"Ticket: ", "PWB_SERVER=" + p.URL, "not a question for a ticket"},
	} {
		if out, errs, status := ask(tt.prompt, tt.env); status != 1 || out != "" || !strings.Contains(errs, tt.want) {
			t.Errorf("%q: %q, %q, %d; want %q", tt.prompt, out, errs, status, tt.want)
		}
	}
	os.MkdirAll(filepath.Join(home, "pwb"), 0o755)
	os.WriteFile(filepath.Join(home, "pwb", "login.conf"), []byte("# mine\nserver = https://host.example:0/\nhosts = login1.example, login2.example\n"), 0o644)
	t.Setenv("XDG_CONFIG_HOME", home)
	t.Setenv("PWB_SERVER", "")
	if u, err := loginServer(""); err != nil || u.String() != "https://host.example:0" {
		t.Errorf("loginServer = %v, %v", u, err)
	}
	for host, want := range map[string]bool{"host.example": true, "LOGIN2.example": true, "login3.example": false, "": false} {
		if err := mayHaveCode(&url.URL{Host: "host.example:0"}, host); (err == nil) != want {
			t.Errorf("mayHaveCode(%q) = %v", host, err)
		}
	}
	for _, bad := range []string{"http://workbench.example.com", "https://a:b@host", "https://host/?x", "ftp://host", "https://", "http://127.0.0.1.evil.example"} {
		if u, err := parseServer(bad); err == nil {
			t.Errorf("parseServer(%q) = %v", bad, u)
		}
	}
}

func FuzzLoginAnswer(f *testing.F) {
	f.Add([]byte(`{"code":"pwb-0000-0000-0000-0000-0000-0000-0000","user":"alice"}`))
	f.Add([]byte("{\"code\":\"pwb-\x1b[2J\",\"user\":\"alice\"}"))
	f.Add([]byte(`{"code":7}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		code, name, err := parseLoginAnswer(body, "")
		if err == nil && (len(code) > 64 || strings.ContainsFunc(code+name, func(r rune) bool { return r <= ' ' || r >= 0x7f })) {
			t.Fatalf("%q of %q", code, name)
		}
	})
}
