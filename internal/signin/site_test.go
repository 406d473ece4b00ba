package signin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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

func mustURL(s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		panic(err)
	}
	return u
}
