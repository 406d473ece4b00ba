package signin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"net/url"
	"strings"
	"testing"
)

func TestPwbLogin(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	verifier := random()
	sum := sha256.Sum256([]byte(verifier))
	ask := url.Values{"port": {"40000"}, "state": {random()}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
	path := "/login/cli?" + ask.Encode()
	resp, text := b.get(path)
	s.want("before a sign-in", resp, text, 200, "pwb login", "/sign-in?next=")
	resp, _ = b.get(s.agree(b.start("/sign-in?next="+url.QueryEscape(path)), "alice@example.com"))
	if to := resp.Header.Get("Location"); to != path {
		t.Fatalf("after the sign-in to %q", to)
	}
	resp, text = b.get(path)
	s.want("consent", resp, text, 200, "for <strong>alice</strong>", "port 40000", "Give it a code")
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasSuffix(csp, "form-action 'self' http://127.0.0.1:40000") {
		t.Errorf("policy %q", csp)
	}
	form := maps.Clone(ask)
	form.Set("answer", "no")
	resp, _ = b.post("/login/cli", form)
	if to := resp.Header.Get("Location"); to != "http://127.0.0.1:40000/callback?error=access_denied&state="+ask.Get("state") {
		t.Errorf("cancelled: to %q", to)
	}
	form.Set("answer", "yes")
	resp, _ = b.post("/login/cli", form)
	to := mustURL(resp.Header.Get("Location"))
	if to.Host != "127.0.0.1:40000" || to.Path != "/callback" || to.Query().Get("state") != ask.Get("state") {
		t.Fatalf("to %v", to)
	}
	program := s.browser()
	redeem := url.Values{"grant": {to.Query().Get("grant")}, "verifier": {verifier}}
	resp, text = program.do("POST", "/login/cli/code", redeem)
	s.want("redeem", resp, text, 200, `"code":"pwb-`, `"user":"alice"`)
	resp, text = program.do("POST", "/login/cli/code", redeem)
	s.want("redeem again", resp, text, 400, `"invalid_grant"`)
	for _, bad := range []url.Values{{"port": {"80"}}, {"port": {"0x9c40"}}, {"port": {"40000@evil.example"}}, {"port": {"99999"}}, {"state": {"short"}}, {"challenge": {""}}, {"user": {"a\r\nb"}}, {"port": {"40000", "40001"}}} {
		q := maps.Clone(ask)
		maps.Copy(q, bad)
		resp, text := b.get("/login/cli?" + q.Encode())
		s.want(fmt.Sprint(bad), resp, text, 400, "not a request of pwb login")
	}
	q := maps.Clone(ask)
	q.Set("user", "bob")
	resp, text = b.get("/login/cli?" + q.Encode())
	s.want("for somebody else", resp, text, 200, "This is for bob, and you are alice")
	if strings.Contains(text, "Give it a code") {
		t.Error("offers alice's code for bob")
	}
	q.Set("answer", "yes")
	resp, text = b.post("/login/cli", q)
	s.want("for somebody else, all the same", resp, text, 400)
}
