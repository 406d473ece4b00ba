package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	fetchLimit   = 5 * time.Second // one document, connecting included
	documentMax  = 1 << 20
	refreshAfter = time.Hour       // Microsoft: "refresh hourly"
	rediscover   = 24 * time.Hour  // the discovery document
	retryAfter   = 1 * time.Minute // after a fetch that failed, while old keys still serve
	askAgain     = 1 * time.Second // after one that failed when no key serves: a herd of logins is one question
	unknownEvery = 5 * time.Minute // for an unknown key id (Microsoft's figure) ...
	unknownBurst = 3               // ... but a few at once: keys may turn twice in a row
)

// keySet is the issuer's keys: in memory, on disk for other processes and restarts, and at the provider. go-oidc's own would
// fetch for each unknown key id, forget good keys for a bad answer, and wait for ever for a provider that hangs.
type keySet struct {
	cfg    Config
	issuer *url.URL
	tenant string
	client *http.Client
	flight singleflight.Group // one fetch at a time, whoever needs it

	mu    sync.Mutex // guards what follows; never held over I/O
	now   state
	stamp fileStamp // of the cache file that was read last
}

// state is what is known of the provider. It is what the cache file holds.
type state struct {
	Issuer     string            `json:"issuer"`
	KeysURL    string            `json:"jwks_uri"`
	Discovered time.Time         `json:"discovered"`
	Fetched    time.Time         `json:"fetched"` // the keys
	Failed     time.Time         `json:"failed"`  // the last fetch that brought nothing
	Unknown    []time.Time       `json:"unknown"` // fetches for unknown key ids, the newest last
	Keys       []json.RawMessage `json:"keys"`

	parsed []jose.JSONWebKey
	why    error // the last fetch failed, if this process made it
}

// age is how long ago the keys were fetched. A clock that was set back makes them old: their time is not known any more.
func (s state) age(at time.Time) time.Duration {
	if age := at.Sub(s.Fetched); age >= -leeway {
		return age
	}
	return math.MaxInt64
}

func openKeySet(cfg Config, issuer *url.URL, tenant string) *keySet {
	k := &keySet{cfg: cfg, issuer: issuer, tenant: tenant, client: newClient(cfg.Client)}
	k.now.Issuer = cfg.Issuer
	k.reload()
	return k
}

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

// verify returns the payload of jwt, whose signature a key of the issuer's has made.
func (k *keySet) verify(ctx context.Context, jwt string, h header) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(jwt, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(h.alg)})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	keys, err := k.find(ctx, h)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, err := jws.Verify(key); err == nil {
			return payload, nil
		}
	}
	return nil, fmt.Errorf("%w: not made by the issuer's key %.40q", ErrSignature, h.kid)
}

// find returns the keys that may have signed h. It fetches when it must, and only then waits for the provider.
func (k *keySet) find(ctx context.Context, h header) ([]jose.JSONWebKey, error) {
	at := k.cfg.Now()
	s := k.current()
	if s.age(at) > k.cfg.KeysMaxStale {
		if k.reload(); k.current().age(at) > k.cfg.KeysMaxStale {
			if err := k.refreshUnlessJustFailed(ctx, at, askAgain); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
			}
		}
		s = k.current()
	} else if s.age(at) > refreshAfter {
		k.renew(ctx, at)
		s = k.current()
	}
	if keys := s.matching(h); len(keys) > 0 {
		return keys, nil
	}
	return k.findUnknown(ctx, h, at)
}

// findUnknown asks for a key id that is not in the set, at a bounded rate over all processes that share the cache: anybody can
// make up key ids.
func (k *keySet) findUnknown(ctx context.Context, h header, at time.Time) ([]jose.JSONWebKey, error) {
	k.reload()
	if keys := k.current().matching(h); len(keys) > 0 {
		return keys, nil
	}
	if !k.takeUnknown(at) {
		return nil, fmt.Errorf("%w: key id %.40q is not the issuer's, as of %s", ErrSignature, h.kid, k.current().Fetched.UTC().Format(time.RFC3339))
	}
	if err := k.refresh(ctx, at); err != nil {
		return nil, fmt.Errorf("%w: for key id %.40q: %w", ErrUnreachable, h.kid, err)
	}
	if keys := k.current().matching(h); len(keys) > 0 {
		return keys, nil
	}
	return nil, fmt.Errorf("%w: key id %.40q is not the issuer's", ErrSignature, h.kid)
}

// takeUnknown takes one of the fetches that unknown key ids have, if there is one left.
func (k *keySet) takeUnknown(at time.Time) bool {
	k.mu.Lock()
	recent := slices.DeleteFunc(slices.Clone(k.now.Unknown), func(t time.Time) bool {
		return at.Sub(t) > unknownEvery || t.After(at.Add(unknownEvery))
	})
	if len(recent) >= unknownBurst {
		k.mu.Unlock()
		return false
	}
	k.now.Unknown = append(recent, at)
	k.now.Discovered = time.Time{} // an unknown key may also mean that the key set has moved
	s := k.now
	k.mu.Unlock()
	k.save(s)
	return true
}

// renew fetches keys that are old but still serve. Nobody waits long for it: the provider may be down.
func (k *keySet) renew(ctx context.Context, at time.Time) {
	if k.reload(); k.current().age(at) <= refreshAfter {
		return
	}
	short, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := k.refreshUnlessJustFailed(short, at, retryAfter); err != nil {
		k.cfg.Report(fmt.Errorf("renew keys, those of %s serve on: %w", k.current().Fetched.UTC().Format(time.RFC3339), err))
	}
}

var errJustFailed = errors.New("the last try has just failed")

func (k *keySet) refreshUnlessJustFailed(ctx context.Context, at time.Time, pause time.Duration) error {
	if failed := k.current().Failed; !failed.IsZero() && at.Sub(failed) >= 0 && at.Sub(failed) < pause {
		if why := k.current().why; why != nil {
			return fmt.Errorf("%w, at %s: %w", errJustFailed, failed.UTC().Format(time.RFC3339), why)
		}
		return fmt.Errorf("%w, at %s", errJustFailed, failed.UTC().Format(time.RFC3339))
	}
	return k.refresh(ctx, at)
}

// Maintain keeps the keys fresh until ctx ends, so that no login waits for it. A resident process runs it.
func (v *Verifier) Maintain(ctx context.Context) {
	for {
		at := v.cfg.Now()
		wait := refreshAfter - v.keys.current().age(at)
		if wait <= 0 {
			if err := v.keys.refresh(ctx, at); err != nil && ctx.Err() == nil {
				v.cfg.Report(fmt.Errorf("fetch keys: %w", err))
			}
			wait = retryAfter
		} else {
			wait -= 5*time.Minute + rand.N(5*time.Minute) // before the first login would have to; not all machines at once
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, retryAfter)):
		}
	}
}

// refresh fetches the key set now. Callers that come while a fetch is under way share it; each leaves when its own context ends.
func (k *keySet) refresh(ctx context.Context, at time.Time) error {
	done := k.flight.DoChan("", func() (_ any, err error) {
		defer func() { // singleflight would end the process, and all calls with it
			if p := recover(); p != nil {
				err = fmt.Errorf("bug: %v", p)
			}
		}()
		fetch, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*fetchLimit)
		defer cancel()
		return nil, k.fetch(fetch, at)
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *keySet) fetch(ctx context.Context, at time.Time) error {
	s := k.current()
	fetched, err := k.fetchState(ctx, s, at)
	k.mu.Lock()
	if err != nil {
		k.now.Failed, k.now.why = at, err
	} else {
		fetched.Unknown = k.now.Unknown
		k.now = fetched
	}
	s = k.now
	k.mu.Unlock()
	k.save(s)
	return err
}

// fetchState asks the provider. An answer without a usable key is a failure: what was known stays.
func (k *keySet) fetchState(ctx context.Context, s state, at time.Time) (state, error) {
	known := s.KeysURL != "" && at.Sub(s.Discovered) < rediscover
	if known {
		if raws, keys, err := k.fetchKeys(ctx, s.KeysURL); err == nil {
			s.Keys, s.parsed, s.Fetched, s.Failed = raws, keys, at, time.Time{}
			return s, nil
		}
	}
	keysURL, err := k.discover(ctx)
	if err != nil {
		return state{}, err
	}
	raws, keys, err := k.fetchKeys(ctx, keysURL)
	if err != nil {
		return state{}, err
	}
	return state{Issuer: k.cfg.Issuer, KeysURL: keysURL, Discovered: at, Fetched: at, Keys: raws, parsed: keys}, nil
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
	u, err := url.Parse(keys)
	if err != nil || keys == "" {
		return "", fmt.Errorf("discovery: %s names no key set", where)
	}
	if err := secureURL(u, k.cfg.AllowLoopbackHTTP); err != nil {
		return "", fmt.Errorf("discovery: key set at %.120q: %w", keys, err)
	}
	if k.tenant != "" && !strings.HasPrefix(strings.ToLower(u.Path), "/"+k.tenant+"/") {
		return "", fmt.Errorf("discovery: the key set at %.120q is not of tenant %s", keys, k.tenant) // one host, many tenants
	}
	if !k.mayHoldKeys(u) {
		return "", fmt.Errorf("discovery: the key set is on host %q, the issuer on %q; if that is right, set keys-host=%s in pwb.conf", u.Host, k.issuer.Host, u.Hostname())
	}
	return keys, nil
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
		return nil, err
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
		return nil, fmt.Errorf("GET %s: %w", where, err)
	}
	if len(body) > documentMax {
		return nil, fmt.Errorf("GET %s: over %d bytes", where, documentMax)
	}
	return body, nil
}

func (k *keySet) current() state {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.now
}

func (k *keySet) describe() []string {
	s := k.current()
	lines := []string{"keys from " + s.KeysURL}
	for _, key := range s.parsed {
		alg := key.Algorithm
		if alg == "" {
			alg = "any fitting algorithm"
		}
		lines = append(lines, fmt.Sprintf("key %.60q for %s", key.KeyID, alg))
	}
	return lines
}
