package signin

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

func TestASignInAndACode(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	resp, text := b.get("/")
	s.want("the first page", resp, text, 200, `href="`+s.url+`/sign-in?next=%2f"`, "help@example.com")
	asked := b.start("/sign-in")
	for name, want := range map[string]string{"response_type": "code", "redirect_uri": s.url + "/openid/callback", "code_challenge_method": "S256", "client_id": oidctest.ClientID} {
		if asked.Get(name) != want {
			t.Errorf("asked with %s=%q, want %q", name, asked.Get(name), want)
		}
	}
	if len(asked.Get("state")) != 43 || len(asked.Get("nonce")) != 43 || asked.Get("state") == asked.Get("nonce") {
		t.Errorf("state %q, nonce %q", asked.Get("state"), asked.Get("nonce"))
	}
	b.signIn("alice@example.com")
	resp, text = b.get("/")
	s.want("home", resp, text, 200, "Hello, Person", "alice@example.com", "<code>30000</code>", "/home/alice", "ssh alice@server.example")
	for name, want := range map[string]string{"Cache-Control": "no-store", "Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
		t.Errorf("policy %q", csp)
	}
	resp, text = b.post("/code", nil)
	s.want("a code", resp, text, 200, "Your code", "It works <strong>once</strong>")
	m := code.FindStringSubmatch(text)
	if m == nil || !strings.HasPrefix(m[1], "pwb-") || len(m[1]) > 64 {
		t.Fatalf("code %q", m)
	}
	if strings.Contains(s.log.String()+fmt.Sprint(s.audit), m[1]) {
		t.Error("the log holds the code")
	}
	resp, text = b.post("/code", url.Values{"service": {"sshd"}, "host": {"node1.example.com"}})
	s.want("a code for one place", resp, text, 200, "<code>sshd</code> only", "<code>node1.example.com</code> only")
	resp, text = b.post("/code", url.Values{"service": {"ss hd\n"}})
	s.want("a code for no place", resp, text, 400, "no name of a program")
	resp, text = b.post("/session-ticket", nil)
	s.want("a session ticket", resp, text, 200, "Your session ticket")
	if m := code.FindStringSubmatch(text); m == nil || strings.Count(m[1], ".") != 2 || len(m[1]) > 511 {
		t.Errorf("session ticket %q", m)
	}
	resp, text = b.get("/.well-known/pwb-session-keys.json")
	s.want("keys", resp, text, 200, `"keys"`)
	for _, secret := range []string{asked.Get("state"), asked.Get("nonce"), "id_token"} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}

func TestAnswersThatDoNotCount(t *testing.T) {
	s := newSite(t, nil)
	mallory := s.browser()
	strangers := s.agree(mallory.start("/sign-in"), "mallory@example.com")
	for _, tt := range []struct {
		name string
		path func(*browser) string
		want string
	}{
		{"another browser's answer (CSRF)", func(*browser) string { return strangers }, "cannot be completed"},
		{"another browser's code in our flow", func(b *browser) string {
			asked := b.start("/sign-in")
			return strings.Split(strangers, "&state=")[0] + "&state=" + asked.Get("state")
		}, "did not accept"},
		{"no state", func(b *browser) string { b.start("/sign-in"); return "/openid/callback?code=x" }, "cannot be completed"},
		{"a forged state", func(b *browser) string { b.start("/sign-in"); return "/openid/callback?code=x&state=" + random() }, "cannot be completed"},
		{"two states", func(b *browser) string {
			return s.agree(b.start("/sign-in"), "alice@example.com") + "&state=" + random()
		}, "cannot be completed"},
		{"two codes", func(b *browser) string { return s.agree(b.start("/sign-in"), "alice@example.com") + "&code=x" }, "cannot be completed"},
		{"another provider's (mix-up, RFC 9207)", func(b *browser) string {
			return s.agree(b.start("/sign-in"), "alice@example.com") + "&iss=https%3A%2F%2Fevil.example"
		}, "not accepted"},
		{"too late", func(b *browser) string {
			path := s.agree(b.start("/sign-in"), "alice@example.com")
			s.later(flowLife)
			return path
		}, "cannot be completed"},
		{"neither code nor error", func(b *browser) string { return "/openid/callback?state=" + b.start("/sign-in").Get("state") }, "cannot be completed"},
		{"a huge code", func(b *browser) string {
			return "/openid/callback?code=" + strings.Repeat("x", 9000) + "&state=" + b.start("/sign-in").Get("state")
		}, "cannot be completed"},
		{"half an escape", func(b *browser) string { return "/openid/callback?code=%zz" }, "cannot be completed"},
	} {
		b := s.browser()
		resp, text := b.get(tt.path(b))
		if resp.StatusCode < 400 || !strings.Contains(text, tt.want) {
			t.Errorf("%s: %d, no %q in\n%s", tt.name, resp.StatusCode, tt.want, text)
		}
		if b.signedIn() {
			t.Errorf("%s: signed in", tt.name)
		}
	}
}

func TestAnAnswerCountsOnce(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	asked := b.start("/sign-in")
	kept := b.Jar.Cookies(mustURL(s.url))
	first := s.agree(asked, "alice@example.com")
	if resp, text := b.get(first); resp.StatusCode != 303 {
		t.Fatalf("%d\n%s", resp.StatusCode, text)
	}
	for _, again := range []string{first, s.agree(asked, "alice@example.com")} {
		other := s.browser()
		other.Jar.SetCookies(mustURL(s.url), kept) // somebody who has seen both cookie and answer
		resp, text := other.get(again)
		s.want("replay", resp, text, 400, "cannot be completed")
	}
	// A restart in between changes nothing: the cookie's key and what is spent are in the store.
	b2 := s.browser()
	path := s.agree(b2.start("/sign-in"), "alice@example.com")
	s.restart()
	if resp, text := b2.get(path); resp.StatusCode != 303 {
		t.Errorf("after a restart: %d\n%s", resp.StatusCode, text)
	}
}

func TestTokensThatAreNotThisSignIns(t *testing.T) {
	for _, tt := range []struct {
		name   string
		claims map[string]any
		want   string
	}{
		{"another nonce", map[string]any{"nonce": "other"}, "not accepted"},
		{"no nonce", map[string]any{"nonce": nil}, "not accepted"},
		{"for another application", map[string]any{"aud": "other"}, "not accepted"},
		{"of another issuer", map[string]any{"iss": "https://evil.example"}, "not accepted"},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, "not accepted"},
		{"beside another access token", map[string]any{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, "not accepted"},
		{"beside no kind of access token", map[string]any{"at_hash": 7}, "not accepted"},
		{"for others too, and nobody says who asked", map[string]any{"aud": []string{oidctest.ClientID, "other"}}, "not accepted"},
		{"that another application asked for", map[string]any{"aud": []string{oidctest.ClientID, "other"}, "azp": "other"}, "not accepted"},
		{"no username", map[string]any{"preferred_username": nil}, "says no user name"},
		{"root", map[string]any{"preferred_username": "root@example.com"}, "no login name for you"},
	} {
		s := newSite(t, nil)
		s.extra = tt.claims
		b := s.browser()
		resp, text := b.get(s.agree(b.start("/sign-in"), "alice@example.com"))
		if resp.StatusCode < 400 || !strings.Contains(text, tt.want) || b.signedIn() {
			t.Errorf("%s: %d, want %q\n%s", tt.name, resp.StatusCode, tt.want, text)
		}
		if !strings.Contains(text, "Reference") || !strings.Contains(text, "help@example.com") {
			t.Errorf("%s: no reference, or nobody to ask", tt.name)
		}
	}
}

// What certified providers may send besides.
func TestTokensThatAreThisSignIns(t *testing.T) {
	half := sha256.Sum256([]byte("a")) // the access token of provide
	for name, claims := range map[string]map[string]any{
		"with at_hash":          {"at_hash": base64.RawURLEncoding.EncodeToString(half[:16])},
		"with more audiences":   {"aud": []string{"other", oidctest.ClientID}, "azp": oidctest.ClientID},
		"with auth_time":        {"auth_time": time.Now().Unix(), "acr": "0", "amr": []string{"pwd"}, "sid": "x"},
		"with a group as text":  {"groups": "one"},
		"without groups":        {"groups": nil},
		"without a person name": {"name": nil},
	} {
		s := newSite(t, nil)
		s.extra = claims
		b := s.browser()
		if resp, text := b.get(s.agree(b.start("/sign-in"), "alice@example.com")); resp.StatusCode != http.StatusSeeOther || !b.signedIn() {
			t.Errorf("%s: %d\n%s\n%s", name, resp.StatusCode, text, s.log)
		}
	}
}

func TestKeysThatTurnDuringASignIn(t *testing.T) {
	s := newSite(t, nil)
	s.browser().signIn("bob@example.com")
	for _, withdraw := range []bool{false, true} {
		b := s.browser()
		asked := b.start("/sign-in")
		s.idp.Rotate(withdraw)
		if resp, text := b.get(s.agree(asked, "alice@example.com")); resp.StatusCode != http.StatusSeeOther || !b.signedIn() {
			t.Errorf("withdrawn %v: %d\n%s\n%s", withdraw, resp.StatusCode, text, s.log)
		}
	}
}

// A sign-in that another person has begun, or ended, does not count in this browser: not with the flow's cookie of this one, not
// with the answer of that one.
func TestAnAnswerOfAnotherBrowser(t *testing.T) {
	s := newSite(t, nil)
	mallory, alice := s.browser(), s.browser()
	theirs := s.agree(mallory.start("/sign-in"), "mallory@example.com")
	mine := alice.start("/sign-in")
	resp, text := alice.get(theirs)
	s.want("mallory's link", resp, text, 400, "cannot be completed")
	u, _ := url.Parse(theirs)
	q := u.Query()
	q.Set("state", mine.Get("state")) // mallory's code in alice's own flow: PKCE and the nonce are alice's
	resp, text = alice.get("/openid/callback?" + q.Encode())
	if resp.StatusCode < 400 || alice.signedIn() {
		t.Errorf("mallory's code: %d\n%s", resp.StatusCode, text)
	}
	if resp, _ := mallory.get(theirs); resp.StatusCode != http.StatusSeeOther {
		t.Errorf("mallory's own: %d, used up by another browser", resp.StatusCode)
	}
}

// People open localhost, an alias or an old name. The provider sends them back to the front door, so that is where they begin.
func TestASignInFromAnotherName(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	resp, text := b.get(strings.Replace(s.url, "127.0.0.1", "localhost", 1) + "/")
	s.want("by another name", resp, text, 200, `href="`+s.url+`/sign-in`)
	resp, text = b.do("GET", "/sign-in", nil, "Sec-Fetch-Site", "cross-site")
	s.want("come from there", resp, text, 200, `href="`+s.url+`/sign-in`)
}

func TestManyStarts(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	for range startBurst {
		b.get("/sign-in")
	}
	resp, text := b.get("/sign-in")
	s.want("one too many", resp, text, 429, "Too many at once")
	if resp.Header.Get("Retry-After") == "" {
		t.Error("not said when")
	}
	if n := len(b.Jar.Cookies(mustURL(s.url))); n > maxFlows {
		t.Errorf("%d cookies", n)
	}
	s.later(2 * time.Second)
	b.start("/sign-in")
}

func TestManyAtOnce(t *testing.T) {
	s := newSite(t, nil)
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			b := s.browser()
			b.signIn(fmt.Sprintf("person%d@example.com", i%4))
			if !b.signedIn() {
				t.Error("not signed in")
			}
		})
	}
	group.Wait()
}
