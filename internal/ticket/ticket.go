// Package ticket judges OpenID Connect ID tokens that people hand in as passwords. It promises that a token is taken apart
// once, that the bytes whose signature was checked are the bytes that were judged, and that nothing of a token counts before
// all of it was judged. It refuses what go-oidc leaves to its caller: loose forms, doubled members, embedded keys, other
// audiences, tokens of other kinds, lives and ages beyond bounds.
//
// "Wrong" and "cannot tell" are different answers: ErrUnreachable is returned only when no usable key could be had.
package ticket

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/pwb-project/pwb/internal/account"
)

// What was found wrong with a ticket; errors of Verify wrap one of these.
var (
	ErrMalformed   = errors.New("not an ID token")
	ErrTruncated   = errors.New("the ticket was cut short on its way")
	ErrAlgorithm   = errors.New("signature algorithm not allowed")
	ErrSignature   = errors.New("signature does not verify")
	ErrIssuer      = errors.New("issued by another provider")
	ErrAudience    = errors.New("issued for another application")
	ErrExpired     = errors.New("expired")
	ErrNotYet      = errors.New("not valid yet")
	ErrClaims      = errors.New("claims are not an ID token's")
	ErrNonce       = errors.New("nonce does not fit")
	ErrUsername    = errors.New("no usable username claim")
	ErrUnreachable = errors.New("the identity provider's keys cannot be had")
)

// Config says which tokens are good. Issuer and ClientID are required; the zero value of everything else is the strict one.
type Config struct {
	Issuer            string
	ClientID          string
	UsernameClaim     string           // "" is preferred_username
	GroupsClaim       string           // "" reads no groups
	Algorithms        []string         // nil is RS256 and ES256; asymmetric ones only
	MaxAge            time.Duration    // since iat; 0 is 24 hours
	KeysMaxStale      time.Duration    // how long keys serve after they were last fetched; 0 is 24 hours
	KeysHost          string           // another host that the key set may be on; "" is the issuer's only
	CacheDir          string           // where key sets are kept for other processes and restarts; "" keeps none
	AllowLoopbackHTTP bool             // an issuer on http://127.0.0.1, ::1 or localhost
	RequireNonce      bool             // refuse tokens without one
	Client            *http.Client     // nil is a client with time-outs, without redirects; only its Transport is used
	Now               func() time.Time // nil is time.Now
	Report            func(error)      // told of what went wrong in the background; nil tells nobody
}

const (
	leeway      = 5 * time.Minute // clock difference granted to iat and nbf, as Microsoft's and go-oidc's own validators do
	longestLife = 24 * time.Hour  // Entra's longest configurable lifetime of an ID token
)

// Verifier judges tickets of one issuer. It is safe for concurrent use.
type Verifier struct {
	cfg    Config
	tenant string // of an Entra ID issuer, else ""
	keys   *keySet
}

// Open checks the configuration and reads the key cache. It uses no network; the first Verify may.
func Open(cfg Config) (*Verifier, error) {
	if cfg.ClientID == "" {
		return nil, errors.New("client id is empty")
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Host == "" || issuer.User != nil || issuer.RawQuery != "" || issuer.Fragment != "" {
		return nil, fmt.Errorf("issuer %q is not an absolute URL without query", cfg.Issuer)
	}
	if err := secureURL(issuer, cfg.AllowLoopbackHTTP); err != nil {
		return nil, fmt.Errorf("issuer %q: %w", cfg.Issuer, err)
	}
	tenant, err := entraTenant(issuer)
	if err != nil {
		return nil, fmt.Errorf("issuer %q: %w", cfg.Issuer, err)
	}
	if cfg.Algorithms == nil {
		cfg.Algorithms = []string{oidc.RS256, oidc.ES256}
	}
	if err := checkAlgorithms(cfg.Algorithms); err != nil {
		return nil, err
	}
	fillDefaults(&cfg)
	return &Verifier{cfg: cfg, tenant: tenant, keys: openKeySet(cfg, issuer, tenant)}, nil
}

func fillDefaults(cfg *Config) {
	if cfg.UsernameClaim == "" {
		cfg.UsernameClaim = "preferred_username"
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = longestLife
	}
	if cfg.KeysMaxStale == 0 {
		cfg.KeysMaxStale = 24 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Report == nil {
		cfg.Report = func(error) {}
	}
}

var asymmetric = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

func checkAlgorithms(algorithms []string) error {
	if len(algorithms) == 0 {
		return errors.New("no signature algorithm is allowed")
	}
	for _, a := range algorithms {
		if !slices.Contains(asymmetric, a) {
			return fmt.Errorf("signature algorithm %q: only asymmetric ones can be allowed", a)
		}
	}
	return nil
}

// Expect is what the caller knows about the ticket that is to come.
type Expect struct {
	Nonce       string // of the flow that obtained the token; "" expects none in particular
	AccessToken string // that came with it, to which at_hash must belong when there is one; "" has not been seen
}

// Verified is the evidence that a ticket gave.
type Verified struct {
	Identity       account.Identity
	SpendKey       [sha256.Size]byte // the same for every form of this token, different for every other
	Issued         time.Time
	Expires        time.Time
	Nonce          string
	Name           string // for people: the name claim
	Email          string
	Groups         []string
	GroupsComplete bool // false when the provider has left groups out; then absence means nothing
}

// Verify judges raw, the whole of what was given as the password.
func (v *Verifier) Verify(ctx context.Context, raw []byte, expect Expect) (*Verified, error) {
	t, err := take(raw, v.cfg.Algorithms, idTokenType)
	if err != nil {
		return nil, err
	}
	// Claims first: a token that is not for us, or not any more, is never a reason to ask the provider for keys.
	if err := v.judge(t, expect); err != nil {
		return nil, cutHint(raw, err)
	}
	call := &callKeys{keys: v.keys, header: t.header}
	verifier := oidc.NewVerifier(v.cfg.Issuer, call, &oidc.Config{ClientID: v.cfg.ClientID, SupportedSigningAlgs: v.cfg.Algorithms, Now: v.cfg.Now})
	if _, err := verifier.Verify(ctx, t.raw); err != nil {
		if call.err != nil {
			return nil, cutHint(raw, call.err)
		}
		return nil, fmt.Errorf("%w: %v", ErrClaims, err)
	}
	if subtle.ConstantTimeCompare(call.payload, t.payload) != 1 {
		return nil, fmt.Errorf("%w: another payload than the one judged", ErrSignature) // CVE-2025-3757
	}
	return v.evidence(t)
}

// callKeys lends the key set to go-oidc for one token, and keeps what go-oidc would flatten to text.
type callKeys struct {
	keys    *keySet
	header  header
	payload []byte
	err     error
}

func (c *callKeys) VerifySignature(ctx context.Context, jwt string) ([]byte, error) {
	c.payload, c.err = c.keys.verify(ctx, jwt, c.header)
	return c.payload, c.err
}

func (v *Verifier) evidence(t *token) (*Verified, error) {
	username, err := t.username(v.cfg.UsernameClaim)
	if err != nil {
		return nil, err
	}
	out := &Verified{
		Identity: account.Identity{Issuer: v.cfg.Issuer, Subject: t.subject(v.tenant), Username: username},
		SpendKey: t.spendKey(v.cfg.Issuer),
		Issued:   t.issued,
		Expires:  t.expires,
	}
	out.Nonce, _ = t.claims["nonce"].(string)
	out.Name, _ = t.claims["name"].(string)
	out.Email, _ = t.claims["email"].(string)
	out.Groups, out.GroupsComplete = t.groups(v.cfg.GroupsClaim)
	return out, nil
}

// Check asks the provider and says what is in force, for an operator's eyes.
func (v *Verifier) Check(ctx context.Context) ([]string, error) {
	if err := v.keys.refresh(ctx, v.cfg.Now(), true); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return v.keys.describe(), nil
}
