package signin

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

func TestASessionCannotBeChosen(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	gift := random()
	b.Jar.SetCookies(mustURL(s.url), []*http.Cookie{{Name: sessionCookie, Value: gift, Path: "/"}})
	b.signIn("alice@example.com")
	var mine string
	for _, c := range b.Jar.Cookies(mustURL(s.url)) {
		if c.Name == sessionCookie {
			mine = c.Value
		}
	}
	if mine == gift || mine == "" {
		t.Error("the session has the name that it was given")
	}
	// Signing in again ends the session before, and its name.
	b.signIn("alice@example.com")
	other := s.browser()
	other.Jar.SetCookies(mustURL(s.url), []*http.Cookie{{Name: sessionCookie, Value: mine, Path: "/"}})
	if other.signedIn() || !b.signedIn() {
		t.Error("the session before goes on, or the new one does not")
	}
}

func TestSessionsEnd(t *testing.T) {
	s := newSite(t, nil)
	fresh := func() *browser { b := s.browser(); b.signIn("alice@example.com"); return b }
	b := fresh()
	s.restart()
	if !b.signedIn() {
		t.Error("a restart signs people out")
	}
	s.later(59 * time.Minute)
	if !b.signedIn() {
		t.Error("idle for 59 minutes, and out")
	}
	s.later(59 * time.Minute)
	if !b.signedIn() {
		t.Error("used within the hour, and out")
	}
	s.later(61 * time.Minute)
	if b.signedIn() {
		t.Error("idle for over an hour, and in")
	}
	b = fresh()
	if resp, _ := b.post("/sign-out", nil); resp.StatusCode != 303 || resp.Header.Get("Location") != "/signed-out" || b.signedIn() {
		t.Errorf("sign out: %d to %q", resp.StatusCode, resp.Header.Get("Location"))
	}
	one, two := fresh(), fresh()
	one.post("/sign-out/everywhere", nil)
	if one.signedIn() || two.signedIn() {
		t.Error("signed out everywhere, and in somewhere")
	}
	b = fresh()
	token := b.token("/")
	if err := s.store.SetActive(t.Context(), "alice", false); err != nil {
		t.Fatal(err)
	}
	resp, text := b.do("POST", "/code", url.Values{"token": {token}})
	s.want("a code for a locked account", resp, text, 403, "signed out")
	resp, text = b.get(s.agree(b.start("/sign-in"), "alice@example.com"))
	s.want("a sign-in to a locked account", resp, text, 403, "Your account is not active", "Reference")
	if !strings.Contains(fmt.Sprint(s.audit), "sign-in map[accepted:false") {
		t.Errorf("audit: %v", s.audit)
	}
	// Days of use do not add up to more than the longest life.
	s2 := newSite(t, func(c *Config) { c.Idle = 0; c.StaySignedIn = 24 * time.Hour })
	b = s2.browser()
	b.signIn("alice@example.com")
	s2.later(23 * time.Hour)
	if !b.signedIn() {
		t.Error("out before the end")
	}
	s2.later(time.Hour)
	if b.signedIn() {
		t.Error("in after the end")
	}
}

func TestSignOutAtTheProvider(t *testing.T) {
	s := newSite(t, func(c *Config) { c.SignOutBack = true })
	s.idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		if strings.HasSuffix(r.URL.Path, "openid-configuration") {
			truth = bytes.Replace(truth, []byte(`"issuer"`), []byte(`"end_session_endpoint":"`+s.idp.URL+`/logout","issuer"`), 1)
		}
		s.provide(w, r, truth)
	})
	b := s.browser()
	b.signIn("alice@example.com")
	resp, text := b.post("/sign-out", nil)
	s.want("leave", resp, text, 200, "Signing out")
	to := mustURL(strings.TrimPrefix(resp.Header.Get("Refresh"), "0; url="))
	q := to.Query()
	if to.Path != "/logout" || q.Get("client_id") != oidctest.ClientID || strings.Count(q.Get("id_token_hint"), ".") != 2 || q.Get("post_logout_redirect_uri") != s.url+"/openid/callback" {
		t.Errorf("to %v", to)
	}
	if b.signedIn() {
		t.Error("still signed in here")
	}
	resp, _ = b.get("/openid/callback")
	if resp.Header.Get("Location") != "/signed-out" {
		t.Errorf("back from there to %q", resp.Header.Get("Location"))
	}
}
