package signin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// bare is a machine without accounts and groups of its own.
type bare struct{}

func (bare) ByName(string) (passwd.Entry, error)               { return passwd.Entry{}, passwd.ErrNotFound }
func (bare) ByUID(account.UID) (passwd.Entry, error)           { return passwd.Entry{}, passwd.ErrNotFound }
func (bare) GroupByName(string) (account.GID, error)           { return 0, passwd.ErrNotFound }
func (bare) GroupByID(account.GID) (string, error)             { return "", passwd.ErrNotFound }
func (bare) Groups(string, account.GID) ([]account.GID, error) { return nil, nil }

const admins = "9d1c0000-0000-4000-8000-000000000001"

// site is a door with a real store and a provider whose sign-in the test plays.
type site struct {
	t     *testing.T
	idp   *oidctest.Issuer
	store *store.Store
	cfg   Config
	log   *bytes.Buffer
	url   string

	mu    sync.Mutex // guards what follows
	ahead time.Duration
	codes map[string]url.Values // of authorization requests that were granted
	who   map[string]string
	extra map[string]any // claims of the next tokens
	audit []string
	door  *Door
}

func newSite(t *testing.T, change func(*Config)) *site {
	s := &site{t: t, idp: oidctest.New(t, ""), log: new(bytes.Buffer), codes: map[string]url.Values{}, who: map[string]string{}}
	var err error
	if s.store, err = store.Open(t.Context(), store.Config{Path: filepath.Join(t.TempDir(), "pwb", "pwb.db"), Now: s.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.store.Close() })
	s.idp.Lie(s.provide)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.door.ServeHTTP(w, r) }))
	t.Cleanup(server.Close)
	s.url = server.URL
	verifier, err := ticket.Open(ticket.Config{Issuer: s.idp.URL, ClientID: oidctest.ClientID, GroupsClaim: "groups", AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	provider, err := oauth.Open(oauth.Config{Issuer: s.idp.URL, ClientID: oidctest.ClientID, Scopes: []string{"openid"}, AllowLoopbackHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	s.cfg = Config{
		URL: server.URL, Host: "server.example", Contact: "help@example.com", Issuer: s.idp.URL, Groups: true,
		Idle: time.Hour, StaySignedIn: 30 * 24 * time.Hour, AdminGroups: []string{admins},
		Provider: provider, Verifier: verifier, Store: s.store,
		Accounts: &provision.Provisioner{Store: s.store, Machine: bare{}, Register: &provision.Register{FirstLogin: true, StartUID: 30000, StartGID: 30000, HomePath: "/home", Shell: "/bin/bash"}},
		Tickets:  &provision.Tickets{Store: s.store, CodeLifetime: 90 * time.Second, SessionLifetime: 5 * time.Minute, Audience: "server"},
		Publish:  func(context.Context) error { return nil },
		Log:      slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:      s.now,
		Recent: func(int) ([]Decision, error) {
			return []Decision{{Time: s.now(), Event: "<b>sign-in</b>", Fields: map[string]any{"accepted": true}}}, nil
		},
		Tokens: func(context.Context) ([]ProviderToken, error) {
			return []ProviderToken{{Name: "Entra ID", Shown: "pwbt_1…", Created: s.now()}}, nil
		},
		Audit: func(event string, fields map[string]any) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.audit = append(s.audit, fmt.Sprint(event, " ", fields))
			return nil
		},
	}
	if change != nil {
		change(&s.cfg)
	}
	s.restart()
	return s
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.ahead)
}

func (s *site) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// restart is a new process over the same store.
func (s *site) restart() {
	s.t.Helper()
	door, err := Open(s.t.Context(), s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.door = door
}

// provide is the provider's token endpoint; it holds to PKCE, as all do.
func (s *site) provide(w http.ResponseWriter, r *http.Request, truth []byte) {
	if r.URL.Path != "/token" {
		w.Write(truth)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	asked, granted := s.codes[r.FormValue("code")]
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !granted || base64.RawURLEncoding.EncodeToString(sum[:]) != asked.Get("code_challenge") || asked.Get("code_challenge_method") != "S256" || r.FormValue("redirect_uri") != asked.Get("redirect_uri") {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant","error_description":"AADSTS70008: <b>The provided</b> code"}`)
		return
	}
	delete(s.codes, r.FormValue("code"))
	claims := map[string]any{"nonce": asked.Get("nonce"), "groups": []string{}, "name": "Person"}
	maps.Copy(claims, s.extra)
	json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": s.idp.Mint(s.who[r.FormValue("code")], claims)})
}

// browser is a person's, with cookies; it follows no redirect by itself.
type browser struct {
	*http.Client
	s *site
}

func (s *site) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{&http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, s}
}

func (b *browser) do(method, address string, form url.Values, headers ...string) (*http.Response, string) {
	b.s.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = b.s.url + address
	}
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		b.s.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.Do(req)
	if err != nil {
		b.s.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		b.s.t.Fatal(err)
	}
	return resp, string(text)
}

func (b *browser) get(address string) (*http.Response, string) {
	b.s.t.Helper()
	return b.do("GET", address, nil)
}

// start begins a sign-in and returns what the provider is asked.
func (b *browser) start(path string) url.Values {
	b.s.t.Helper()
	resp, text := b.get(path)
	to, err := resp.Location()
	if err != nil || !strings.HasPrefix(to.String(), b.s.idp.URL+"/authorize?") {
		b.s.t.Fatalf("start: %d, %v, %v\n%s", resp.StatusCode, to, err, text)
	}
	return to.Query()
}

// agree is the provider's answer: somebody has signed in there.
func (s *site) agree(asked url.Values, username string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	code := random()
	s.codes[code], s.who[code] = asked, username
	return "/openid/callback?" + url.Values{"code": {code}, "state": {asked.Get("state")}}.Encode()
}

func (b *browser) signIn(username string) {
	b.s.t.Helper()
	resp, text := b.get(b.s.agree(b.start("/sign-in"), username))
	if to := resp.Header.Get("Location"); resp.StatusCode != http.StatusSeeOther || to != b.s.door.to("/") {
		b.s.t.Fatalf("sign in as %s: %d to %q\n%s", username, resp.StatusCode, to, text)
	}
}

var formToken = regexp.MustCompile(`name="token" value="([^"]+)"`)

func (b *browser) token(path string) string {
	b.s.t.Helper()
	_, text := b.get(path)
	m := formToken.FindStringSubmatch(text)
	if m == nil {
		b.s.t.Fatalf("no form in %s:\n%s", path, text)
	}
	return m[1]
}

func (b *browser) post(path string, form url.Values) (*http.Response, string) {
	b.s.t.Helper()
	if form == nil {
		form = url.Values{}
	}
	form.Set("token", b.token("/"))
	return b.do("POST", path, form)
}

func (b *browser) signedIn() bool {
	b.s.t.Helper()
	_, text := b.get("/")
	return strings.Contains(text, "Sign out")
}

// want is a status and words of a page.
func (s *site) want(what string, resp *http.Response, text string, status int, words ...string) {
	s.t.Helper()
	if resp.StatusCode != status {
		s.t.Errorf("%s: status %d, want %d\n%s", what, resp.StatusCode, status, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			s.t.Errorf("%s: no %q in\n%s", what, w, text)
		}
	}
}

var code = regexp.MustCompile(`<output id="secret">([^<]+)</output>`)

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

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
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

func TestAGreeting(t *testing.T) {
	for claim, want := range map[any]string{"Alice Liddell": "Hello, Alice Liddell", "alice@example.com": "Hello, alice<", "": "Hello, alice<", nil: "Hello, alice<", "<b>": "Hello, &lt;b&gt;"} {
		s := newSite(t, nil)
		s.extra = map[string]any{"name": claim}
		b := s.browser()
		b.signIn("alice@example.com")
		if resp, text := b.get("/"); !strings.Contains(text, want) {
			t.Errorf("%v: %d, no %q in\n%s", claim, resp.StatusCode, want, text)
		}
	}
}

// Another person with the same name, as after a leaver's address was given to a joiner, gets no account and a reason.
func TestANameThatIsTaken(t *testing.T) {
	s := newSite(t, nil)
	s.browser().signIn("alice@example.com")
	s.extra = map[string]any{"sub": "another-person"}
	b := s.browser()
	resp, text := b.get(s.agree(b.start("/sign-in"), "alice@example.com"))
	s.want("another alice", resp, text, 403, "Your login name is taken", "belongs to somebody else", "help@example.com", "Reference")
	if b.signedIn() {
		t.Error("another alice is signed in")
	}
}

// The provider's word ends a session for good, and is not an administrator's to take back.
func TestAnAccountThatTheProviderDeactivates(t *testing.T) {
	s := newSite(t, nil)
	accounts := s.cfg.Accounts
	accounts.Directory = &provision.Directory{
		Store: s.store, Issuer: s.idp.URL, Suffix: true, Leave: provision.Leaving("suspend-new", time.Minute),
		Subject: func(id string) (string, bool) { return id, true }, Audit: s.cfg.Audit, Report: func(err error) { t.Error(err) },
	}
	bob := store.ScimUser{ID: "1", UserName: "bob@example.com", ExternalID: "s-bob@example.com", Active: true, Doc: []byte(`{"userName":"bob@example.com"}`)}
	if _, err := accounts.CreateUser(t.Context(), bob, provision.Actor{}); err != nil {
		t.Fatal(err)
	}
	active := func(active bool) {
		if _, err := accounts.ChangeUser(t.Context(), "1", func(u *store.ScimUser) error { u.Active = active; return nil }, provision.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	b := s.browser()
	begun := s.agree(b.start("/sign-in"), "bob@example.com")
	b.signIn("bob@example.com")
	active(false)
	resp, text := b.get(begun)
	s.want("deactivated on the way", resp, text, 403, "Your account is not active")
	s.extra = map[string]any{"groups": []string{admins}}
	alice := s.browser()
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin/users/bob")
	if s.want("bob's page", resp, text, 200, "The identity provider has deactivated this account"); strings.Contains(text, "Unlock") {
		t.Error("a button that would do nothing")
	}
	if active(true); b.signedIn() {
		t.Error("bob is signed in again by being active again")
	}
	b.signIn("bob@example.com")
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

func TestTheProvidersRefusals(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	q := url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65004: <script>alert(1)</script> Trace ID: 0c1d2e3f-0000-4000-8000-0123456789ab Correlation ID: x"}, "state": {b.start("/sign-in").Get("state")}}
	resp, text := b.get("/openid/callback?" + q.Encode())
	s.want("declined", resp, text, 403, "You were not signed in", "AADSTS65004", "0c1d2e3f-0000-4000-8000-0123456789ab")
	if strings.Contains(text, "alert(1)") {
		t.Error("the provider's words are on the page")
	}
	q = url.Values{"error": {"<b>x"}, "state": {b.start("/sign-in").Get("state")}}
	resp, text = b.get("/openid/callback?" + q.Encode())
	s.want("no known error", resp, text, 502, "an error of no known form")
	s.idp.Stop()
	other := newSite(t, nil)
	other.idp.Stop()
	resp, text = other.browser().get("/sign-in")
	other.want("provider down", resp, text, 503, "does not answer")
}

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

func TestForeignForms(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn("alice@example.com")
	token := b.token("/")
	other := s.browser()
	other.signIn("bob@example.com")
	for _, tt := range []struct {
		name    string
		token   string
		headers []string
	}{
		{"without a token", "", nil},
		{"with another session's token", other.token("/"), nil},
		{"from another site", token, []string{"Sec-Fetch-Site", "cross-site"}},
		{"from a neighbour", token, []string{"Sec-Fetch-Site", "same-site"}},
		{"of another origin", token, []string{"Origin", "https://evil.example"}},
		{"of no origin", token, []string{"Origin", "null"}},
	} {
		for _, path := range []string{"/code", "/session-ticket", "/sign-out", "/sign-out/everywhere", "/login/cli"} {
			resp, text := b.do("POST", path, url.Values{"token": {tt.token}}, tt.headers...)
			s.want(path+" "+tt.name, resp, text, 403, "This form is out of date")
		}
	}
	if !b.signedIn() {
		t.Error("a foreign form has signed alice out")
	}
	// Another site's link begins no sign-in.
	resp, text := b.do("GET", "/sign-in", nil, "Sec-Fetch-Site", "cross-site")
	s.want("another site's link", resp, text, 200, "<h1>Sign in</h1>")
}

func TestPlacesToGoTo(t *testing.T) {
	for next, want := range map[string]string{
		"/": "/", "/admin": "/admin", "/admin/users/alice": "/admin/users/alice", "/login/cli?port=1&state=x": "/login/cli?port=1&state=x",
		"": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/", "/admin/../../evil": "/",
		"/admin//evil.example": "/", "javascript:alert(1)": "/", "/%2f%2fevil.example": "/", "/admin\r\nSet-Cookie: x=y": "/", "/admin%0d%0aX: y": "/",
		"/sign-out": "/", "/admin#x": "/", "/openid/callback?code=x": "/", "/admin/" + strings.Repeat("x", 600): "/", "http:/admin": "/", "///admin": "/",
	} {
		if got := local(next); got != want {
			t.Errorf("local(%q) = %q, want %q", next, got, want)
		}
	}
	s := newSite(t, nil)
	b := s.browser()
	resp, _ := b.get(s.agree(b.start("/sign-in?next=%2F%2Fevil.example"), "alice@example.com"))
	if to := resp.Header.Get("Location"); to != "/" {
		t.Errorf("went to %q", to)
	}
}

func FuzzLocal(f *testing.F) {
	f.Add("/admin/users/alice")
	f.Add("//evil.example/admin")
	f.Fuzz(func(t *testing.T, next string) {
		got := local(next)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t ") {
			t.Errorf("local(%q) = %q", next, got)
		}
	})
}

func TestBelowARootPathAndBehindTLS(t *testing.T) {
	s := newSite(t, func(c *Config) { c.URL = "https://front.example/pwb" })
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "evil.example"
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	if text := w.Body.String(); strings.Contains(text, "evil.example") || strings.Count(text, `href="/pwb/`) < 3 || strings.Contains(text, `href="/s`) {
		t.Errorf("links:\n%s", text)
	}
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS")
	}
	r = httptest.NewRequest("GET", "/sign-in", nil)
	r.Host = "evil.example"
	w = httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	if to := mustURL(w.Header().Get("Location")); to.Query().Get("redirect_uri") != "https://front.example/pwb/openid/callback" {
		t.Errorf("redirect URI %q", to.Query().Get("redirect_uri"))
	}
	cookie := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-pwb-sign-in-", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/;"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q has no %q", cookie, want)
		}
	}
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

func TestAdministrators(t *testing.T) {
	s := newSite(t, nil)
	bob := s.browser()
	bob.signIn("bob@example.com")
	for _, path := range []string{"/admin", "/admin/groups", "/admin/decisions", "/admin/users/bob", "/admin/users/bob/lock"} {
		resp, text := bob.get(path)
		s.want("bob at "+path, resp, text, 403, "for administrators")
	}
	resp, text := bob.post("/admin/users/bob/lock", nil)
	s.want("bob locks", resp, text, 403, "for administrators")
	s.extra = map[string]any{"groups": []string{admins}}
	alice := s.browser()
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin")
	s.want("users", resp, text, 200, "/admin/users/bob", "bob@example.com", "30000")
	resp, text = alice.get("/admin?q=ali")
	if s.want("search", resp, text, 200, "/admin/users/alice"); strings.Contains(text, "/admin/users/bob") {
		t.Error("bob found for ali")
	}
	resp, text = alice.get("/admin?q=%22%3E%3Cscript%3E")
	if s.want("a hostile search", resp, text, 200); strings.Contains(text, "<script>\"") || strings.Contains(text, `"><script`) {
		t.Errorf("hostile search:\n%s", text)
	}
	resp, text = alice.get("/admin/groups")
	s.want("groups", resp, text, 200, admins)
	gid := regexp.MustCompile(`/admin/groups/([0-9]+)`).FindStringSubmatch(text)
	resp, text = alice.get("/admin/groups/" + gid[1])
	s.want("group", resp, text, 200, "/admin/users/alice")
	resp, text = alice.get("/admin/decisions")
	s.want("decisions", resp, text, 200, "&lt;b&gt;sign-in")
	resp, text = alice.get("/admin/tokens")
	s.want("tokens", resp, text, 200, "Entra ID", "pwbt_1…", "never")
	resp, text = alice.get("/admin/users/bob/lock")
	s.want("confirm", resp, text, 200, "Lock bob?", "It is kept that alice did it")
	if !bob.signedIn() {
		t.Error("bob is out before he is locked")
	}
	resp, _ = alice.post("/admin/users/bob/lock", nil)
	if resp.StatusCode != 303 || bob.signedIn() {
		t.Errorf("locked: %d, and bob signed in: %v", resp.StatusCode, bob.signedIn())
	}
	if !strings.Contains(fmt.Sprint(s.audit), "by:alice") {
		t.Errorf("audit: %v", s.audit)
	}
	resp, text = alice.post("/admin/users/alice/lock", nil)
	s.want("herself", resp, text, 403, "your own account")
	alice.post("/admin/users/bob/unlock", nil)
	s.extra = nil
	bob.signIn("bob@example.com")
	for _, path := range []string{"/admin/users/nobody", "/admin/users/bob/delete", "/admin/groups/1", "/admin/groups/x"} {
		resp, text = alice.get(path)
		s.want(path, resp, text, 404)
	}
	// A list that the provider leaves out opens nothing.
	s.extra = map[string]any{"groups": nil, "hasgroups": true}
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin")
	s.want("after an overage", resp, text, 403, "for administrators")
}

func TestRulesOfTheMachine(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Accounts.Admission.DenyUsers = []string{"bob"} })
	b := s.browser()
	resp, text := b.get(s.agree(b.start("/sign-in"), "bob@example.com"))
	s.want("bob", resp, text, 403, "You may not use this server")
	b.signIn("alice@example.com")
	s.cfg.Accounts.Admission.DenyUsers = []string{"alice"}
	resp, text = b.post("/code", nil)
	s.want("a code for alice, who is not let in any more", resp, text, 403, "You may not use this server")
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

func TestAStoreThatCannotTell(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn("alice@example.com")
	s.store.Close()
	resp, text := b.get("/")
	s.want("home", resp, text, 503, "cannot be looked up right now")
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

func TestStaticFiles(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	_, names := assets()
	for name, file := range names {
		resp, _ := b.get("/static/" + file)
		if resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") || resp.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %d, %v", name, resp.StatusCode, resp.Header)
		}
		if resp, _ := b.do("GET", "/static/"+file, nil, "If-None-Match", resp.Header.Get("ETag")); resp.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %d", name, resp.StatusCode)
		}
	}
	if resp, _ := b.get("/static/..%2fpage%2fhome.html"); resp.StatusCode != 404 {
		t.Errorf("a file outside: %d", resp.StatusCode)
	}
}

func TestErrorsThatNobodyKnowsSayNothing(t *testing.T) {
	if p := judge(errors.New("secret")); p.status != 500 || strings.Contains(fmt.Sprint(p), "secret") {
		t.Errorf("%+v", p)
	}
}
