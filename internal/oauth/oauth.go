// Package oauth asks a provider for tokens: a browser's authorization code for an ID token (RFC 6749 4.1 with PKCE, RFC 7636),
// and a person at another device (RFC 8628). It judges no token: what it returns goes to package ticket as it came.
//
// It promises that a provider which is slow, silent, hostile or down costs a bounded time and a bounded answer; that the
// client's secret goes to the endpoints of the issuer's own discovery document and nowhere else; and that no text of a
// provider's gets into an error: numbers and ids that its support will ask for do, its prose does not.
package oauth

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/pwb-project/pwb/internal/ticket"
)

// What went wrong; errors wrap one of these.
var (
	ErrUnreachable = errors.New("the identity provider does not answer")
	ErrAnswer      = errors.New("the identity provider's answer is none")
	ErrDenied      = errors.New("the sign-in was declined at the identity provider")
	ErrTooLate     = errors.New("the sign-in took too long")
	ErrRefused     = errors.New("the identity provider refuses")
	ErrIssuer      = errors.New("the answer is another provider's")
	ErrNoDevice    = errors.New("the identity provider has no sign-in by another device")
)

// Config says who asks whom. Issuer and ClientID are required.
type Config struct {
	Issuer            string
	ClientID          string
	Secret            func() (string, error) // asked for when it is needed; nil, or "", is a public client
	Scopes            []string
	AllowLoopbackHTTP bool
	HTTP              *http.Client     // nil is one with time-outs and without redirects; only its Transport is used
	Now               func() time.Time // nil is time.Now
}

const (
	keepEndpoints = time.Hour
	staleAtMost   = 24 * time.Hour
	pause         = 2 * time.Second // after a discovery that failed
	answerMax     = 1 << 20
)

// Client asks one provider. It is safe for concurrent use.
type Client struct {
	cfg  Config
	http *http.Client

	basic atomic.Bool // the provider wants the secret in a header

	turn      chan struct{} // held by who asks for the discovery document, and guards what follows
	endpoints ticket.Endpoints
	read      time.Time // when endpoints were
	failed    time.Time
	why       error
}

// Open makes a client. It uses no network.
func Open(cfg Config) (*Client, error) {
	if cfg.ClientID == "" {
		return nil, errors.New("client id is empty")
	}
	if err := ticket.CheckEndpoint(cfg.Issuer, cfg.AllowLoopbackHTTP); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", cfg.Issuer, err)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	c := &Client{cfg: cfg, http: ticket.NewClient(cfg.HTTP), turn: make(chan struct{}, 1)}
	c.http.Transport = wholeAnswers{c.http.Transport}
	return c, nil
}

// wholeAnswers reads an answer to its end, which must be a JSON object of bounded size. golang.org/x/oauth2 leaves the body of a
// device authorization open, and a "null" there panics it.
type wholeAnswers struct{ next http.RoundTripper }

func (w wholeAnswers) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := w.next.RoundTrip(req)
	if err != nil || req.Method != http.MethodPost { // the discovery document has a reader of its own
		return resp, err
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	resp.Body.Close()
	trimmed := bytes.TrimSpace(body)
	switch {
	case err != nil:
		return nil, err
	case len(body) > answerMax:
		return nil, fmt.Errorf("%w: over %d bytes", ErrAnswer, answerMax)
	case resp.StatusCode < 300 && (len(trimmed) == 0 || trimmed[0] != '{'):
		return nil, fmt.Errorf("%w: not a JSON object", ErrAnswer)
	}
	resp.Header.Set("Content-Type", "application/json") // else the library might take a text for a form
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// discover returns the endpoints: kept for an hour, and longer while the provider is down.
func (c *Client) discover(ctx context.Context) (ticket.Endpoints, error) {
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return ticket.Endpoints{}, fmt.Errorf("%w: %w", ErrUnreachable, context.Cause(ctx))
	}
	now := c.cfg.Now()
	age := now.Sub(c.read)
	if age >= 0 && age < keepEndpoints {
		return c.endpoints, nil
	}
	if now.Sub(c.failed).Abs() >= pause {
		e, err := ticket.Discover(ctx, c.http, c.cfg.Issuer, c.cfg.AllowLoopbackHTTP)
		if err == nil {
			c.endpoints, c.read = e, now
			return e, nil
		}
		c.why = err
		if ctx.Err() == nil {
			c.failed = c.cfg.Now() // not before it was asked: those who wait would each ask a silent provider, one after the other
		}
	}
	if age >= 0 && age < staleAtMost {
		return c.endpoints, nil
	}
	return ticket.Endpoints{}, fmt.Errorf("%w: %w", ErrUnreachable, c.why)
}

// config is the library's view of the provider.
func (c *Client) config(e ticket.Endpoints) (*oauth2.Config, error) {
	out := &oauth2.Config{
		ClientID: c.cfg.ClientID, Scopes: c.cfg.Scopes,
		Endpoint: oauth2.Endpoint{AuthURL: e.Authorization, TokenURL: e.Token, DeviceAuthURL: e.DeviceAuthorization, AuthStyle: oauth2.AuthStyleInParams},
	}
	if c.cfg.Secret == nil {
		return out, nil
	}
	secret, err := c.cfg.Secret()
	out.ClientSecret = secret
	if c.basic.Load() {
		out.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return out, err
}

// exchange tries the other way to give a secret when the provider does not know the client by the first: which of them a client
// is registered with, the provider's metadata does not say. RFC 6749 5.2 calls that invalid_client; some use other words, and the status that
// the RFC gives it. A code is not used up by that.
func (c *Client) exchange(ctx context.Context, cfg *oauth2.Config, code, verifier string) (*oauth2.Token, error) {
	token, err := cfg.Exchange(c.withHTTP(ctx), code, oauth2.VerifierOption(verifier))
	var answer *oauth2.RetrieveError
	if !errors.As(err, &answer) || cfg.ClientSecret == "" {
		return token, err
	}
	if answer.ErrorCode != "invalid_client" && (answer.Response == nil || answer.Response.StatusCode != http.StatusUnauthorized) {
		return token, err
	}
	basic := cfg.Endpoint.AuthStyle != oauth2.AuthStyleInHeader
	cfg.Endpoint.AuthStyle = oauth2.AuthStyleInParams
	if basic {
		cfg.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	token, again := cfg.Exchange(c.withHTTP(ctx), code, oauth2.VerifierOption(verifier))
	if again != nil {
		return nil, err // the first answer, which is about the way that is usual
	}
	c.basic.Store(basic)
	return token, nil
}

func (c *Client) withHTTP(ctx context.Context) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, c.http)
}

// NewVerifier returns a new PKCE verifier, to be kept until the code comes back.
func NewVerifier() string { return oauth2.GenerateVerifier() }

// Request is what a person's browser is sent to the provider with. All but Prompt, LoginHint and MaxAge are required.
type Request struct {
	RedirectURI string
	State       string
	Nonce       string
	Verifier    string
	Prompt      string        // "login" asks for the password again, "select_account" who it is
	LoginHint   string        // a username
	MaxAge      time.Duration // since the provider last asked; 0 leaves that to the provider
}

// AuthURL returns where the browser goes. The error is ErrUnreachable, or ErrAnswer from a provider that has no such door.
func (c *Client) AuthURL(ctx context.Context, r Request) (string, error) {
	if r.RedirectURI == "" || r.State == "" || r.Nonce == "" || r.Verifier == "" {
		return "", errors.New("a sign-in without redirect URI, state, nonce or verifier")
	}
	e, err := c.discover(ctx)
	if err != nil {
		return "", err
	}
	if e.Authorization == "" {
		return "", fmt.Errorf("%w: it names no authorization endpoint", ErrAnswer)
	}
	cfg := &oauth2.Config{ClientID: c.cfg.ClientID, Scopes: c.cfg.Scopes, RedirectURL: r.RedirectURI, Endpoint: oauth2.Endpoint{AuthURL: e.Authorization}}
	opts := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(r.Verifier), oauth2.SetAuthURLParam("nonce", r.Nonce)}
	for name, value := range map[string]string{"prompt": r.Prompt, "login_hint": r.LoginHint} {
		if value != "" {
			opts = append(opts, oauth2.SetAuthURLParam(name, value))
		}
	}
	if r.MaxAge > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("max_age", fmt.Sprint(int(r.MaxAge.Seconds()))))
	}
	return cfg.AuthCodeURL(r.State, opts...), nil
}

// CheckIssuer holds the iss parameter of the answer in the browser to RFC 9207: it must be our issuer when it is there, and it
// must be there when the provider says that it sends it. Without it a code of one provider could be taken to another.
func (c *Client) CheckIssuer(ctx context.Context, iss string) error {
	if iss == c.cfg.Issuer {
		return nil
	}
	if iss != "" {
		return fmt.Errorf("%w: issuer %.120q", ErrIssuer, iss)
	}
	e, err := c.discover(ctx)
	if err == nil && e.SendsIssuer {
		return fmt.Errorf("%w: the answer names no issuer, and %s says that its answers do", ErrIssuer, c.cfg.Issuer)
	}
	return err
}

// Tokens is what a code was worth. The ID token is still to be judged, with the access token that came beside it.
type Tokens struct {
	ID     []byte
	Access string
}

// Exchange gives an authorization code for tokens.
func (c *Client) Exchange(ctx context.Context, code, redirectURI, verifier string) (Tokens, error) {
	e, err := c.discover(ctx)
	if err != nil {
		return Tokens{}, err
	}
	if e.Token == "" {
		return Tokens{}, fmt.Errorf("%w: it names no token endpoint", ErrAnswer)
	}
	cfg, err := c.config(e)
	if err != nil {
		return Tokens{}, err
	}
	cfg.RedirectURL = redirectURI
	token, err := c.exchange(ctx, cfg, code, verifier)
	if err != nil {
		return Tokens{}, fmt.Errorf("exchange the code: %w", classify(err))
	}
	id, err := idToken(token)
	return Tokens{ID: id, Access: token.AccessToken}, err
}

func idToken(token *oauth2.Token) ([]byte, error) {
	raw, ok := token.Extra("id_token").(string)
	if !ok || raw == "" {
		return nil, fmt.Errorf("%w: there is no ID token in it; is openid among the scopes?", ErrAnswer)
	}
	return []byte(raw), nil
}

// LogoutURL returns where a browser ends the session at the provider (OpenID Connect RP-Initiated Logout 1.0), or "" when the
// provider has no such door.
func (c *Client) LogoutURL(ctx context.Context, idTokenHint, back, state string) (string, error) {
	e, err := c.discover(ctx)
	if err != nil || e.EndSession == "" {
		return "", err
	}
	u, err := url.Parse(e.EndSession)
	if err != nil {
		return "", fmt.Errorf("%w: end_session_endpoint", ErrAnswer)
	}
	q := u.Query()
	q.Set("client_id", c.cfg.ClientID)
	for name, value := range map[string]string{"id_token_hint": idTokenHint, "post_logout_redirect_uri": back, "state": state} {
		if value != "" {
			q.Set(name, value)
		}
	}
	u.RawQuery = q.Encode()
	return u.String(), nil
}

var (
	errorCode = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.:-]{1,60}$`) })
	// What Entra ID's support asks for.
	entraNumber = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^AADSTS[0-9]{1,9}`) })
	entraID     = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(?i)\b(trace|correlation) id: ([0-9a-f-]{36})`) })
)

// classify says what a library's error means, in words of ours.
func classify(err error) error {
	var answer *oauth2.RetrieveError
	switch {
	case errors.As(err, &answer):
		return classifyAnswer(answer)
	case errors.Is(err, ErrAnswer):
		return fmt.Errorf("%w that can be used", ErrAnswer)
	case strings.HasPrefix(err.Error(), "oauth2: ") || strings.HasPrefix(err.Error(), "unmarshal "): // the library's own words, which quote
		return fmt.Errorf("%w: it has not the form that it must have", ErrAnswer)
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, ticket.Plain(err))
}

func classifyAnswer(answer *oauth2.RetrieveError) error {
	status := 0
	if answer.Response != nil {
		status = answer.Response.StatusCode
	}
	code := answer.ErrorCode
	if !errorCode().MatchString(code) {
		code = ""
	}
	kind := ErrRefused
	switch code {
	case "access_denied", "authorization_declined":
		kind = ErrDenied
	case "expired_token":
		kind = ErrTooLate
	case "temporarily_unavailable", "server_error":
		kind = ErrUnreachable
	case "":
		if kind = ErrAnswer; status >= 500 || status == http.StatusTooManyRequests {
			kind = ErrUnreachable
		}
	}
	says := []string{fmt.Sprintf("status %d", status)}
	if code != "" {
		says = append(says, code)
	}
	if number := entraNumber().FindString(answer.ErrorDescription); number != "" {
		says = append(says, number)
	}
	for _, id := range entraID().FindAllStringSubmatch(answer.ErrorDescription, 2) {
		says = append(says, strings.ToLower(id[1])+" id "+id[2])
	}
	return fmt.Errorf("%w: %s", kind, strings.Join(says, ", "))
}
