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

// newClient follows no redirect: a key set is where the issuer says, or nowhere. It takes no compressed answers, which could
// be small on the wire and endless in memory.
func newClient(like *http.Client) *http.Client {
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

// discover reads the discovery document (OpenID Connect Discovery 4) and returns where the keys are. A forged document could
// name an attacker's keys, so they must be where the issuer is.
func (k *keySet) discover(ctx context.Context) (string, error) {
	where := strings.TrimSuffix(k.cfg.Issuer, "/") + "/.well-known/openid-configuration"
	body, err := k.get(ctx, where)
	if err != nil {
		return "", fmt.Errorf("discovery: %w", err)
	}
	doc, err := object(body)
	if err != nil {
		return "", fmt.Errorf("discovery: %s: %w", where, err)
	}
	if doc["issuer"] != k.cfg.Issuer {
		return "", fmt.Errorf("discovery: %s is of issuer %.120q, not of %q; write the issuer exactly as the provider does", where, fmt.Sprint(doc["issuer"]), k.cfg.Issuer)
	}
	keys, _ := doc["jwks_uri"].(string)
	if err := k.checkKeysURL(keys); err != nil {
		return "", fmt.Errorf("discovery: %s: %w", where, err)
	}
	return keys, nil
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
	body, err := k.get(ctx, where)
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
func (k *keySet) get(ctx context.Context, where string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", where, plain(err))
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
		return nil, fmt.Errorf("GET %s: %w", where, plain(err))
	}
	if len(body) > documentMax {
		return nil, fmt.Errorf("GET %s: over %d bytes", where, documentMax)
	}
	return body, nil
}

// plain keeps what the network, TLS or the clock had against a request, and drops what quotes the answer: net/http puts a
// malformed status line or header into its error, as long as it came.
func plain(err error) error {
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
