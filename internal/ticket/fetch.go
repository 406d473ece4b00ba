package ticket

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// NewClient returns a client for asking a provider. It follows no redirect: a key set is where the issuer says, or nowhere. It
// takes no compressed answers, which could be small on the wire and endless in memory. Of like, which may be nil, only the
// Transport is used.
func NewClient(like *http.Client) *http.Client {
	var transport http.RoundTripper
	if like != nil && like.Transport != nil {
		transport = like.Transport
	} else {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true
		t.MaxResponseHeaderBytes = 64 << 10
		t.IdleConnTimeout = 10 * time.Second
		transport = t
	}
	return &http.Client{
		Transport:     transport,
		Timeout:       fetchLimit,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// fetchState asks the provider. An answer without a usable key is a failure: what was known stays. With again it looks anew
// where the keys are, but a discovery document that is down does not take away a key set that is not.
func (k *keySet) fetchState(ctx context.Context, s state, at time.Time, again bool) (state, error) {
	known := at.Sub(s.Discovered) < rediscover && k.checkKeysURL(s.KeysURL) == nil // the configuration may have changed since
	if known && !again {
		if raws, keys, err := k.fetchKeys(ctx, s.KeysURL); err == nil {
			return k.fetched(s.KeysURL, s.Discovered, at, raws, keys), nil
		}
	}
	discovered := at
	where, err := k.discover(ctx)
	if err != nil && known && again {
		where, discovered, err = s.KeysURL, s.Discovered, nil
	}
	if err != nil {
		return state{}, err
	}
	raws, keys, err := k.fetchKeys(ctx, where)
	if err != nil {
		return state{}, err
	}
	return k.fetched(where, discovered, at, raws, keys), nil
}

func (k *keySet) fetched(where string, discovered, at time.Time, raws []json.RawMessage, keys []jose.JSONWebKey) state {
	return state{Issuer: k.cfg.Issuer, KeysURL: where, Discovered: discovered, Fetched: at, Keys: raws, parsed: keys}
}

// discover returns where the keys are. A forged document could name an attacker's keys, so they must be where the issuer is.
func (k *keySet) discover(ctx context.Context) (string, error) {
	where, doc, err := discover(ctx, k.client, k.cfg.Issuer)
	if err != nil {
		return "", err
	}
	keys, _ := doc["jwks_uri"].(string)
	if err := k.checkKeysURL(keys); err != nil {
		return "", fmt.Errorf("discovery: %s: %w", where, err)
	}
	return keys, nil
}

// discover reads the discovery document (OpenID Connect Discovery 4) and returns it with where it was.
func discover(ctx context.Context, client *http.Client, issuer string) (where string, doc map[string]any, err error) {
	where = strings.TrimSuffix(issuer, "/") + "/.well-known/openid-configuration"
	body, err := get(ctx, client, where)
	if err != nil {
		return where, nil, fmt.Errorf("discovery: %w", err)
	}
	if doc, err = object(body); err != nil {
		return where, nil, fmt.Errorf("discovery: %s: %w", where, err)
	}
	if doc["issuer"] != issuer {
		return where, nil, fmt.Errorf("discovery: %s is of issuer %.120q, not of %q; write the issuer exactly as the provider does", where, fmt.Sprint(doc["issuer"]), issuer)
	}
	return where, doc, nil
}

// Endpoints is what a provider's discovery document says of its doors. An empty one is not there.
type Endpoints struct {
	Authorization       string
	Token               string
	DeviceAuthorization string
	EndSession          string
	SendsIssuer         bool // with its answer in the browser (RFC 9207)
}

// Discover reads a provider's endpoints with a client of NewClient's. Each is https, or http on a loopback address where that
// is allowed: the client's secret goes there.
func Discover(ctx context.Context, client *http.Client, issuer string, allowLoopbackHTTP bool) (Endpoints, error) {
	where, doc, err := discover(ctx, client, issuer)
	if err != nil {
		return Endpoints{}, err
	}
	var e Endpoints
	for name, to := range map[string]*string{
		"authorization_endpoint": &e.Authorization, "token_endpoint": &e.Token,
		"device_authorization_endpoint": &e.DeviceAuthorization, "end_session_endpoint": &e.EndSession,
	} {
		value, given := doc[name]
		if !given || value == nil {
			continue
		}
		text, _ := value.(string)
		if err := CheckEndpoint(text, allowLoopbackHTTP); err != nil {
			return Endpoints{}, fmt.Errorf("discovery: %s: %s %.120q: %w", where, name, fmt.Sprint(value), err)
		}
		*to = text
	}
	e.SendsIssuer = doc["authorization_response_iss_parameter_supported"] == true
	return e, nil
}

// CheckEndpoint refuses what is not the absolute URL of a door: https, or http on a loopback address where that is allowed.
func CheckEndpoint(text string, allowLoopbackHTTP bool) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return errors.New("not an endpoint's URL")
	}
	return secureURL(u, allowLoopbackHTTP)
}

func (k *keySet) checkKeysURL(keys string) error {
	u, err := url.Parse(keys)
	if err != nil || keys == "" {
		return errors.New("names no key set")
	}
	if err := secureURL(u, k.cfg.AllowLoopbackHTTP); err != nil {
		return fmt.Errorf("key set at %.120q: %w", keys, err)
	}
	if k.tenant != "" && !strings.HasPrefix(strings.ToLower(u.Path), "/"+k.tenant+"/") {
		return fmt.Errorf("the key set at %.120q is not of tenant %s", keys, k.tenant) // one host, many tenants
	}
	if !k.mayHoldKeys(u) {
		return fmt.Errorf("the key set is on host %.120q, the issuer on %q; if that is right, set keys-host=%.120q in pwb.conf", u.Host, k.issuer.Host, u.Hostname())
	}
	return nil
}

// Google's keys are on a host of their own; other such providers need an operator's word.
func (k *keySet) mayHoldKeys(u *url.URL) bool {
	return strings.EqualFold(u.Host, k.issuer.Host) ||
		k.cfg.KeysHost != "" && strings.EqualFold(u.Hostname(), k.cfg.KeysHost) ||
		k.issuer.Host == "accounts.google.com" && u.Host == "www.googleapis.com"
}

func (k *keySet) fetchKeys(ctx context.Context, where string) ([]json.RawMessage, []jose.JSONWebKey, error) {
	body, err := get(ctx, k.client, where)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, nil, fmt.Errorf("keys: %s is no key set", where)
	}
	raws, keys := k.usable(set.Keys)
	if len(keys) == 0 {
		return nil, nil, fmt.Errorf("keys: none of the %d at %s is usable", len(set.Keys), where)
	}
	return raws, keys, nil
}

// get reads a document. Its text never gets into an error: it is a stranger's.
func get(ctx context.Context, client *http.Client, where string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", where, Plain(err))
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: status %d", where, resp.StatusCode)
	}
	if enc := resp.Header.Get("Content-Encoding"); enc != "" && enc != "identity" {
		return nil, fmt.Errorf("GET %s: a compressed answer, not asked for", where)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == "text/html" {
		return nil, fmt.Errorf("GET %s: a web page in place of JSON", where)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, documentMax+1))
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", where, Plain(err))
	}
	if len(body) > documentMax {
		return nil, fmt.Errorf("GET %s: over %d bytes", where, documentMax)
	}
	return body, nil
}

// Plain keeps what the network, TLS or the clock had against a request, and drops what quotes the answer: net/http puts a
// malformed status line or header into its error, as long as it came.
func Plain(err error) error {
	var (
		wire    *net.OpError
		cert    *tls.CertificateVerificationError
		timeout net.Error
	)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("the connection ended early")
	case errors.As(err, &wire):
		return wire
	case errors.As(err, &cert):
		return fmt.Errorf("its certificate is not trusted: %.200q", cert.Err.Error())
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer in time")
	case errors.Is(err, context.Canceled):
		return context.Canceled
	}
	return errors.New("no answer that can be used")
}
