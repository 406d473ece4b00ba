package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
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
	renewLimit   = 1 * time.Second // how long a login waits for new keys while old ones serve
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

	maintained atomic.Bool // Maintain runs: renewing is its business

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

func (s state) fetchedAt() string { return s.Fetched.UTC().Format(time.RFC3339) }

// justFailed says why there is no point in asking the provider again so soon; nil is that there is.
func (s state) justFailed(at time.Time, pause time.Duration) error {
	if s.Failed.IsZero() || at.Sub(s.Failed).Abs() >= pause {
		return nil
	}
	when := s.Failed.UTC().Format(time.RFC3339)
	if s.why == nil {
		return fmt.Errorf("the last try has just failed, at %s", when)
	}
	return fmt.Errorf("the last try has just failed, at %s: %w", when, s.why)
}

func openKeySet(cfg Config, issuer *url.URL, tenant string) *keySet {
	k := &keySet{cfg: cfg, issuer: issuer, tenant: tenant, client: NewClient(cfg.Client)}
	k.now.Issuer = cfg.Issuer
	k.reload()
	return k
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
	switch age := k.current().age(at); {
	case age > k.cfg.KeysMaxStale:
		if err := k.need(ctx, at); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
	case age > refreshAfter:
		k.renew(ctx, at)
	}
	if keys := k.current().matching(h); len(keys) > 0 {
		return keys, nil
	}
	return k.findUnknown(ctx, h, at)
}

// need waits for keys: there are none that may serve.
func (k *keySet) need(ctx context.Context, at time.Time) error {
	if k.reload(); k.current().age(at) <= k.cfg.KeysMaxStale {
		return nil
	}
	if err := k.current().justFailed(at, askAgain); err != nil {
		return err
	}
	return k.refresh(ctx, at, false)
}

// renew fetches keys that are old but still serve. It waits a moment at most, and not at all where Maintain runs: the provider
// may be down.
func (k *keySet) renew(ctx context.Context, at time.Time) {
	if k.maintained.Load() {
		return
	}
	if k.reload(); k.current().age(at) <= refreshAfter || k.current().justFailed(at, retryAfter) != nil {
		return
	}
	moment, cancel := context.WithTimeout(ctx, renewLimit)
	defer cancel()
	err := k.refresh(moment, at, false)
	if err == nil || ctx.Err() != nil {
		return
	}
	if moment.Err() != nil {
		k.failed(err) // this process may end before the fetch does, and the next need not wait as well
	}
	k.cfg.Report(fmt.Errorf("renew keys, those of %s serve on: %w", k.current().fetchedAt(), err))
}

// findUnknown asks for a key id that is not in the set, at a bounded rate over all processes that share the cache: anybody can
// make up key ids.
func (k *keySet) findUnknown(ctx context.Context, h header, at time.Time) ([]jose.JSONWebKey, error) {
	k.reload()
	if keys := k.current().matching(h); len(keys) > 0 {
		return keys, nil
	}
	if err := k.askForUnknown(ctx, at); err != nil {
		return nil, fmt.Errorf("%w: for key id %.40q: %w", ErrUnreachable, h.kid, err)
	}
	if keys := k.current().matching(h); len(keys) > 0 {
		return keys, nil
	}
	return nil, fmt.Errorf("%w: key id %.40q is not the issuer's, as of %s", ErrSignature, h.kid, k.current().fetchedAt())
}

var errAskedEnough = errors.New("not in the keys that are known, and new ones were asked for too often to ask again now")

// askForUnknown fetches for an unknown key id. When the keys turn, all who come at once share one fetch. Where no fetch is left,
// keys that are new enough are the answer (nil), and old ones are none: the provider may be down while its keys have turned.
func (k *keySet) askForUnknown(ctx context.Context, at time.Time) error {
	return k.once(ctx, "unknown", func(ctx context.Context) error {
		if k.takeUnknown(at) {
			return k.refresh(ctx, at, true) // an unknown key may also mean that the key set has moved
		}
		if k.current().age(at) > unknownEvery {
			return errAskedEnough
		}
		return nil
	})
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
	s := k.now
	k.mu.Unlock()
	k.save(s)
	return true
}

// Maintain keeps the keys fresh until ctx ends, so that no login waits for it. A resident process runs it.
func (v *Verifier) Maintain(ctx context.Context) {
	k := v.keys
	k.maintained.Store(true)
	defer k.maintained.Store(false)
	life := min(refreshAfter, k.cfg.KeysMaxStale)
	life -= life/12 + rand.N(life/12+1) // before a login would have to; not all machines at once
	for {
		at := k.cfg.Now()
		k.reload()
		wait := life - k.current().age(at)
		if wait <= 0 {
			if err := k.refresh(ctx, at, false); err != nil && ctx.Err() == nil {
				k.cfg.Report(fmt.Errorf("fetch keys: %w", err))
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, retryAfter)):
		}
	}
}

// refresh fetches the key set now; with again, after a new look at where it is. Callers that come while a fetch is under way
// share it.
func (k *keySet) refresh(ctx context.Context, at time.Time, again bool) error {
	return k.once(ctx, "fetch", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 2*fetchLimit)
		defer cancel()
		return k.fetch(ctx, at, again)
	})
}

// once runs f unless it runs already under this name. All who ask get its answer; each leaves when its own context ends, and f
// goes on.
func (k *keySet) once(ctx context.Context, name string, f func(context.Context) error) error {
	done := k.flight.DoChan(name, func() (_ any, err error) {
		defer func() { // singleflight would end the process, and all calls with it
			if p := recover(); p != nil {
				err = fmt.Errorf("bug: %v", p)
			}
		}()
		return nil, f(context.WithoutCancel(ctx))
	})
	select {
	case r := <-done:
		return r.Err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (k *keySet) fetch(ctx context.Context, at time.Time, again bool) error {
	fetched, err := k.fetchState(ctx, k.current(), at, again)
	if err != nil {
		k.failed(err)
		return err
	}
	k.reload() // others have perhaps used up fetches for unknown key ids
	k.mu.Lock()
	fetched.Unknown = k.now.Unknown
	k.now = fetched
	k.mu.Unlock()
	k.save(fetched)
	return nil
}

// failed remembers that a fetch has brought nothing, for other processes too. What one of them has fetched meanwhile stays.
func (k *keySet) failed(why error) {
	k.reload()
	k.mu.Lock()
	k.now.Failed, k.now.why = k.cfg.Now(), why
	s := k.now
	k.mu.Unlock()
	k.save(s)
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
