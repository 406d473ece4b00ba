package signin

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/web"
)

// flow is what is remembered of a sign-in while its person is at the provider. The browser keeps it, sealed, so that nothing
// grows here that a stranger could make grow; and so that the answer counts in that browser alone.
type flow struct {
	State    string `json:"state"`
	Nonce    string `json:"nonce"`
	Verifier string `json:"verifier"`
	Issuer   string `json:"issuer"` // who was asked: an answer for another one is a mix-up
	Next     string `json:"next"`
	Expires  int64  `json:"expires"`
}

const (
	flowLife = 10 * time.Minute
	maxFlows = 5 // tabs of one browser that are on their way at once
	maxCode  = 8 << 10
	maxHint  = 4 << 10 // of an ID token that is kept: it will be a part of an address
	maxNext  = 512
)

var (
	errNoFlow   = errors.New("an answer that this browser has not asked for, or not within ten minutes")
	errTwice    = errors.New("a parameter that is there twice, or too long")
	errTooMany  = errors.New("too many at once")
	errProvider = errors.New("the provider has refused")
)

// local holds a place to go to after the sign-in to our own pages: there is no way to name another site's.
func local(next string) string {
	u, err := url.Parse(next)
	switch {
	case err != nil, len(next) > maxNext, u.Scheme != "", u.Host != "", u.User != nil, u.Opaque != "", u.Fragment != "":
		return "/"
	case strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '\\' }), path.Clean(u.Path) != u.Path, u.Path != u.EscapedPath():
		return "/"
	case u.Path == "/login/cli", u.Path == "/admin", strings.HasPrefix(u.Path, "/admin/"):
		return next
	}
	return "/"
}

// start sends a person to the provider. Another site's link does not: it gets the page with our own link on it.
func (d *Door) start(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	next := local(q.Get("next"))
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		d.ask(w, r, next)
		return
	}
	if wait, ok := d.starts.Allow(web.Network(web.ClientOf(r).Addr).String(), d.cfg.Now()); !ok {
		d.tooMany(w, r, wait)
		return
	}
	f := flow{State: random(), Nonce: random(), Verifier: oauth.NewVerifier(), Issuer: d.cfg.Issuer, Next: next, Expires: d.cfg.Now().Add(flowLife).Unix()}
	ask := oauth.Request{RedirectURI: d.redirectURI(), State: f.State, Nonce: f.Nonce, Verifier: f.Verifier}
	if q.Get("as") == "other" {
		ask.Prompt = "select_account"
	}
	there, err := d.cfg.Provider.AuthURL(r.Context(), ask)
	if err != nil {
		d.note(r, "sign-in", err)
		d.refuse(w, r, err)
		return
	}
	d.keepFlow(w, r, f)
	w.Header().Set("Location", there)
	w.WriteHeader(http.StatusSeeOther)
}

// keepFlow gives the browser a flow. Several tabs may be on their way; what is more than a person has open is cleared.
func (d *Door) keepFlow(w http.ResponseWriter, r *http.Request, f flow) {
	var old []string
	for _, c := range r.Cookies() {
		if name, ours := strings.CutPrefix(c.Name, d.cookieName(flowCookie)); ours {
			old = append(old, flowCookie+name)
		}
	}
	if len(old) >= maxFlows {
		for _, name := range old {
			d.setCookie(w, name, "", -time.Second)
		}
	}
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is strings and a number
	}
	d.setCookie(w, flowName(f.State), d.key.Seal("sign-in", string(text)), flowLife)
}

func flowName(state string) string { return flowCookie + state[:8] }

// takeFlow finds the flow that an answer belongs to, and uses it up, whatever the answer is.
func (d *Door) takeFlow(w http.ResponseWriter, r *http.Request, state string) (f flow, err error) {
	if !looksRandom(state) {
		return f, fmt.Errorf("%w: no state", errNoFlow)
	}
	name := flowName(state)
	sealed := d.cookie(r, name)
	if sealed == "" {
		return f, fmt.Errorf("%w: no cookie", errNoFlow)
	}
	d.setCookie(w, name, "", -time.Second)
	text, err := d.key.Open("sign-in", sealed)
	if err != nil {
		return f, fmt.Errorf("%w: the cookie is not ours", errNoFlow)
	}
	if err := json.Unmarshal([]byte(text.Reveal()), &f); err != nil {
		return f, fmt.Errorf("%w: the cookie is not ours", errNoFlow)
	}
	expires := time.Unix(f.Expires, 0)
	switch {
	case subtle.ConstantTimeCompare([]byte(f.State), []byte(state)) != 1:
		return f, fmt.Errorf("%w: another state", errNoFlow)
	case f.Issuer != d.cfg.Issuer:
		return f, fmt.Errorf("%w: another provider was asked", errNoFlow)
	case !d.cfg.Now().Before(expires):
		return f, fmt.Errorf("%w: too late", errNoFlow)
	}
	return f, d.cfg.Store.Spend(r.Context(), derived("sign-in", state), expires)
}

// one returns the only value of a parameter.
func one(q url.Values, name string, limit int) (string, error) {
	if len(q[name]) > 1 || len(q.Get(name)) > limit {
		return "", fmt.Errorf("%s: %w", name, errTwice)
	}
	return q.Get(name), nil
}

// callback is where the provider sends people back to, from a sign-in and from a sign-out.
func (d *Door) callback(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err == nil && len(q) == 0 {
		d.redirect(w, "/signed-out")
		return
	}
	if err != nil {
		err = fmt.Errorf("%w: an address that is none", errNoFlow)
	}
	var next string
	var who []any
	if err == nil {
		next, who, err = d.answer(w, r, q)
	}
	switch {
	case err != nil && who == nil:
		d.note(r, "sign-in", err)
	default:
		d.record(r, "sign-in", err, who...)
	}
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	d.redirect(w, next)
}

// answer judges what the provider has sent, in the order of what can be told the cheapest and proves the most. who is of the
// person, once there is one.
func (d *Door) answer(w http.ResponseWriter, r *http.Request, q url.Values) (next string, who []any, err error) {
	state, err1 := one(q, "state", 200)
	iss, err2 := one(q, "iss", 2<<10)
	code, err3 := one(q, "code", maxCode)
	refusal, err4 := one(q, "error", 200)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return "", nil, err
	}
	f, err := d.takeFlow(w, r, state)
	if err != nil {
		return "", nil, err
	}
	if err := d.cfg.Provider.CheckIssuer(r.Context(), iss); err != nil { // RFC 9207
		return "", nil, err
	}
	if refusal != "" {
		return "", nil, refusedBy(refusal, q.Get("error_description"))
	}
	if code == "" {
		return "", nil, fmt.Errorf("%w: neither a code nor an error", errNoFlow)
	}
	tokens, err := d.cfg.Provider.Exchange(r.Context(), code, d.redirectURI(), f.Verifier)
	if err != nil {
		return "", nil, err
	}
	defer clear(tokens.ID)
	verified, err := d.cfg.Verifier.Verify(r.Context(), tokens.ID, ticket.Expect{Nonce: f.Nonce, AccessToken: tokens.Access})
	if err != nil {
		return "", nil, fmt.Errorf("verify the ID token: %w", err)
	}
	who = []any{"subject", verified.Identity.Key(), "username", verified.Identity.Username}
	name, err := d.logIn(r, verified)
	if name != "" {
		who = append(who, "user", string(name))
	}
	if err != nil {
		return "", who, err
	}
	return f.Next, who, d.beginSession(w, r, name, verified.Identity, tokens.ID)
}

// logIn finds or makes the account, and holds it to the rules of this machine. The name is there with an error too, once known.
func (d *Door) logIn(r *http.Request, v *ticket.Verified) (account.Name, error) {
	evidence := provision.Evidence{Identity: v.Identity, SpendKey: v.SpendKey, Expires: v.Expires, FullName: v.Name}
	if d.cfg.Groups {
		evidence.Groups = &store.Groups{Objects: v.Groups, Complete: v.GroupsComplete}
	}
	name, err := d.cfg.Accounts.Login(r.Context(), evidence, "")
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	a, err := d.cfg.Accounts.Find(r.Context(), name)
	if err != nil {
		return name, err
	}
	return name, d.cfg.Accounts.Admit(r.Context(), a)
}

// refusal is an error that the provider has answered with, as far as it may be shown: its texts are a stranger's.
type refusal struct {
	code   string // of the RFCs' form
	number string // AADSTS...
	trace  string // a GUID by which the provider's people find it
}

var (
	errorCode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[a-z][a-z_]{1,40}$`) })
	aadsts    = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\bAADSTS[0-9]{4,8}\b`) })
	traceID   = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`(?i)\btrace id: ([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\b`)
	})
)

func refusedBy(code, description string) error {
	e := refusal{code: "an error of no known form"}
	if errorCode().MatchString(code) {
		e.code = code
	}
	if len(description) > 4<<10 {
		description = description[:4<<10]
	}
	e.number = aadsts().FindString(description)
	if m := traceID().FindStringSubmatch(description); m != nil {
		e.trace = strings.ToLower(m[1])
	}
	return e
}

func (e refusal) Error() string {
	text := errProvider.Error() + ": " + e.code
	if e.number != "" {
		text += " " + e.number
	}
	if e.trace != "" {
		text += " trace " + e.trace
	}
	return text
}

func (e refusal) Is(target error) bool { return target == errProvider }
