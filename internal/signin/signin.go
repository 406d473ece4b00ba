// Package signin is the door for people with a browser: they sign in at the identity provider, see their account, and take a
// code to where a browser does not reach. It promises that an answer of the provider counts once, in the browser that asked,
// and from the provider that was asked; that a session is the identity's which signed in, ends with the account's right to log
// in, and cannot be chosen by anybody else; and that nothing a stranger sends becomes part of a page, a header or an address
// without having been judged. It keeps no ticket, code or cookie where it could be read later, and logs none.
package signin

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/metrics"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/secret"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/web"
)

// Config is what a Door works with. All is required, save what says otherwise.
type Config struct {
	URL     string // the front door's, without a slash at the end: every address that is given out begins with it
	Host    string // this machine's name, for people
	Contact string // whom people ask for help: an e-mail address, a URL or a sentence; "" is the machine's administrators
	Issuer  string
	Groups  bool // tickets speak of groups

	Idle         time.Duration // a session that nobody uses for so long is over; 0: never for that
	StaySignedIn time.Duration // a session's longest life; 0: it ends with the browser, and after a day
	SignOutBack  bool          // the provider sends people back after a sign-out there
	AdminGroups  []string      // whose members see the administrator's pages; nil: there are none

	Provider *oauth.Client
	Verifier *ticket.Verifier
	Accounts *provision.Provisioner
	Tickets  *provision.Tickets
	Store    *store.Store
	Publish  func(context.Context) error                     // shows accounts to every program after a change
	Audit    func(event string, fields map[string]any) error // keeps a decision
	Recent   func(n int) ([]Decision, error)                 // the last decisions kept, newest first; nil: not shown
	Tokens   func(context.Context) ([]ProviderToken, error)  // the tokens by which providers manage accounts; nil: not shown
	Log      *slog.Logger
	Metrics  *metrics.Set     // nil counts nothing
	Now      func() time.Time // nil is time.Now
}

// Decision is a line of the front's audit file.
type Decision struct {
	Time   time.Time
	Event  string
	Fields map[string]any
}

// ProviderToken is what may be shown of a token by which an identity provider manages accounts.
type ProviderToken struct {
	Name, Shown                string
	Created, Expires, LastUsed time.Time // zero is never
}

// Door answers browsers. It is safe for concurrent use.
type Door struct {
	cfg      Config
	prefix   string // of every path: "" or "/pwb"
	origin   string
	secure   bool // the front door has TLS
	key      *secret.Key
	handler  http.Handler
	starts   *web.Throttle // of sign-ins, by client
	requests *web.Throttle // of codes and tickets, by account
	notes    *web.Notes
}

// How often. Many people may share an address, so a start is held back only where a program makes them.
const (
	startBurst   = 100
	startEvery   = time.Second
	requestBurst = 20
	requestEvery = 3 * time.Second
)

// Open prepares a door. It asks the store for the key of cookies, and no one else for anything.
func Open(ctx context.Context, cfg Config) (*Door, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(u.Path, "/") {
		return nil, fmt.Errorf("sign-in: %q is no address of a front door", cfg.URL)
	}
	bytes, err := cfg.Store.WebKey(ctx)
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	key, err := secret.ParseKey([]byte(hex.EncodeToString(bytes[:]) + "\n"))
	if err != nil {
		return nil, fmt.Errorf("sign-in: %w", err)
	}
	d := &Door{cfg: cfg, prefix: u.Path, origin: u.Scheme + "://" + u.Host, secure: u.Scheme == "https", key: key,
		starts: web.NewThrottle(startBurst, startEvery), requests: web.NewThrottle(requestBurst, requestEvery), notes: web.NewNotes()}
	templates() // a broken one stops the service here, not its first visitor
	return d, d.route()
}

func (d *Door) route() error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.signedIn(d.home))
	mux.HandleFunc("GET /sign-in", d.start)
	mux.HandleFunc("GET /openid/callback", d.callback)
	mux.HandleFunc("POST /code", d.signedIn(d.code))
	mux.HandleFunc("POST /session-ticket", d.signedIn(d.sessionTicket))
	mux.HandleFunc("POST /sign-out", d.signedIn(d.signOut))
	mux.HandleFunc("POST /sign-out/everywhere", d.signedIn(d.signOutEverywhere))
	mux.HandleFunc("GET /signed-out", d.signedOut)
	mux.HandleFunc("GET /login/cli", d.signedIn(d.consent))
	mux.HandleFunc("POST /login/cli", d.signedIn(d.grant))
	mux.HandleFunc("POST /login/cli/code", d.redeem)
	mux.HandleFunc("GET /.well-known/pwb-session-keys.json", d.sessionKeys)
	mux.HandleFunc("GET /static/{file}", static)
	if len(d.cfg.AdminGroups) > 0 {
		mux.HandleFunc("GET /admin", d.signedIn(d.administrator(d.users)))
		mux.HandleFunc("GET /admin/users/{name}", d.signedIn(d.administrator(d.user)))
		mux.HandleFunc("GET /admin/users/{name}/{act}", d.signedIn(d.administrator(d.confirm)))
		mux.HandleFunc("POST /admin/users/{name}/{act}", d.signedIn(d.administrator(d.change)))
		mux.HandleFunc("GET /admin/groups", d.signedIn(d.administrator(d.groups)))
		mux.HandleFunc("GET /admin/groups/{gid}", d.signedIn(d.administrator(d.group)))
		if d.cfg.Tokens != nil {
			mux.HandleFunc("GET /admin/tokens", d.signedIn(d.administrator(d.tokens)))
		}
		if d.cfg.Recent != nil {
			mux.HandleFunc("GET /admin/decisions", d.signedIn(d.administrator(d.decisions)))
		}
	}
	mux.HandleFunc("/", d.notFound)
	// Forms come from our own pages alone. Behind a proxy the Host header may be another than browsers know.
	forgery := http.NewCrossOriginProtection()
	if err := forgery.AddTrustedOrigin(d.origin); err != nil {
		return fmt.Errorf("sign-in: %w", err)
	}
	forgery.SetDenyHandler(http.HandlerFunc(d.foreignForm))
	d.handler = forgery.Handler(mux)
	return nil
}

const maxForm = 16 << 10

// ServeHTTP answers one request.
func (d *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.harden(w.Header())
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	d.handler.ServeHTTP(w, r)
}

// policy lets a page have what is ours, and nothing else; no script, style or address within the page itself.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'"

func (d *Door) harden(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	// Addresses hold codes and states, for no other site. With no-referrer a form's own Origin would be "null", by which browsers
	// without Sec-Fetch-Site (Safari before 16.4) are known to come from ours.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	h.Set("Cache-Control", "no-store")
	if d.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
}

// to is the path of one of our pages as browsers know it.
func (d *Door) to(path string) string { return d.prefix + path }

func (d *Door) redirectURI() string { return d.cfg.URL + "/openid/callback" }

// record keeps a decision about a person, for the log and for the audit file.
func (d *Door) record(r *http.Request, event string, err error, attrs ...any) {
	client := web.ClientOf(r)
	attrs = append([]any{"client", client.Addr.String(), "request", client.Request}, attrs...)
	if err != nil {
		attrs = append(attrs, "reason", err.Error())
	}
	fields := map[string]any{"accepted": err == nil}
	for i := 0; i+1 < len(attrs); i += 2 {
		fields[attrs[i].(string)] = attrs[i+1]
	}
	result := "accepted"
	if err != nil {
		result = "refused"
		d.cfg.Log.Warn(event, attrs...)
	} else {
		d.cfg.Log.Info(event, attrs...)
	}
	d.cfg.Metrics.Count(`pwb_web_decisions_total{event="` + event + `",result="` + result + `"}`)
	if err := d.cfg.Audit(event, fields); err != nil {
		d.cfg.Log.Error("audit", "error", err.Error())
	}
}

// note is about what no person was found behind: the log hears it until enough has been said, and the audit file does not, which
// a stranger could fill.
func (d *Door) note(r *http.Request, event string, err error) {
	client := web.ClientOf(r)
	level := slog.LevelInfo
	if errors.Is(err, store.ErrUnavailable) || errors.Is(err, oauth.ErrUnreachable) || errors.Is(err, oauth.ErrRefused) || errors.Is(err, oauth.ErrAnswer) {
		level = slog.LevelError
	}
	d.cfg.Log.Log(r.Context(), d.notes.Level(level, client.Addr, d.cfg.Now()), event, "client", client.Addr.String(), "request", client.Request, "reason", err.Error())
	d.cfg.Metrics.Count(`pwb_web_decisions_total{event="` + event + `",result="refused"}`)
}
