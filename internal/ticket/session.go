package ticket

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/pwb-project/pwb/internal/account"
)

// A session ticket is a JSON Web Token that pwb's own sign-in signs: {"alg":"EdDSA","kid":...,"typ":"pwb+jwt"} and exactly the
// claims aud, exp, iat, jti, sub (the login name) and who (the identity's hash). With the longest of each it has 501 bytes.
//
// EdDSA and ES256 sign in 64 bytes both. Ed25519 needs no random number to sign, has one form of each signature, and is not
// among the algorithms that ID tokens have by default.
const (
	sessionType    = "pwb+jwt"
	sessionAlg     = string(jose.EdDSA)
	maxSession     = 511              // sudo cuts a password there
	sessionLeeway  = 30 * time.Second // clock difference between nodes, which share a time service
	maxAudience    = 64               // HOST_NAME_MAX
	identityLength = 24               // 192 bits of a SHA-256
	sessionIDLen   = 16
	keyIDLen       = 12
)

// LongestSession is how long a session ticket can live, whatever it says.
const LongestSession = time.Hour

// Session is what a session ticket says.
type Session struct {
	Name     account.Name
	Who      string // HashIdentity of the identity that the account is bound to
	Audience string // a host's or a cluster's name
	Issued   time.Time
	Expires  time.Time
}

// VerifiedSession is a session ticket that was judged.
type VerifiedSession struct {
	Session
	KeyID    string
	SpendKey [sha256.Size]byte
}

// HashIdentity returns what a session ticket says of an identity: the same for its issuer and subject, another for every other,
// and nothing that tells either.
func HashIdentity(id account.Identity) string {
	sum := sha256.Sum256([]byte("pwb identity\n" + id.Issuer + "\n" + id.Subject))
	return base64.RawURLEncoding.EncodeToString(sum[:identityLength])
}

// CheckAudience says whether a text can be a session ticket's audience.
func CheckAudience(text string) error {
	if len(text) > maxAudience || !account.IsLabel(text, "._-") {
		return fmt.Errorf("%.70q is no host's or cluster's name of at most %d characters", text, maxAudience)
	}
	return nil
}

// SessionKey signs session tickets. Whoever has it can sign in as anybody.
type SessionKey struct{ private ed25519.PrivateKey }

// NewSessionKey makes a key.
func NewSessionKey() SessionKey {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return SessionKey{private}
}

// LoadSessionKey takes up a key from what Seed has returned.
func LoadSessionKey(seed []byte) (SessionKey, error) {
	if len(seed) != ed25519.SeedSize {
		return SessionKey{}, fmt.Errorf("a session key of %d bytes, not %d", len(seed), ed25519.SeedSize)
	}
	return SessionKey{ed25519.NewKeyFromSeed(seed)}, nil
}

// Public returns the key's public half.
func (k SessionKey) Public() []byte { return k.private.Public().(ed25519.PublicKey) }

// Seed returns the key's secret, to be kept.
func (k SessionKey) Seed() []byte { return k.private.Seed() }

// ID names the key: the beginning of its thumbprint (RFC 7638).
func (k SessionKey) ID() string { return keyID(k.private.Public().(ed25519.PublicKey)) }

func keyID(public ed25519.PublicKey) string {
	jwk := jose.JSONWebKey{Key: public}
	sum, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		panic(err) // an Ed25519 key has one
	}
	return base64.RawURLEncoding.EncodeToString(sum[:keyIDLen])
}

// Sign makes a session ticket. It refuses what no verifier would take.
func (k SessionKey) Sign(s Session) (string, error) {
	if err := CheckAudience(s.Audience); err != nil {
		return "", fmt.Errorf("sign a session ticket: %w", err)
	}
	if life := s.Expires.Sub(s.Issued); life <= 0 || life > LongestSession {
		return "", fmt.Errorf("sign a session ticket: a life of %v", life)
	}
	id := make([]byte, sessionIDLen)
	rand.Read(id)
	head, err := json.Marshal(map[string]any{"alg": sessionAlg, "kid": k.ID(), "typ": sessionType})
	if err != nil {
		return "", err
	}
	claims, err := json.Marshal(map[string]any{
		"aud": s.Audience, "exp": s.Expires.Unix(), "iat": s.Issued.Unix(), "jti": base64.RawURLEncoding.EncodeToString(id),
		"sub": s.Name, "who": s.Who,
	})
	if err != nil {
		return "", err
	}
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(claims)
	out := input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, []byte(input)))
	if len(out) > maxSession {
		return "", fmt.Errorf("sign a session ticket: it has %d bytes, over %d", len(out), maxSession)
	}
	return out, nil
}

// SessionKeys are public keys, by their ids.
type SessionKeys map[string]ed25519.PublicKey

// Add adds a key's public half.
func (keys SessionKeys) Add(k SessionKey) { keys[k.ID()] = k.private.Public().(ed25519.PublicKey) }

// AddPublic adds a public key under its id, which must be its own.
func (keys SessionKeys) AddPublic(id string, public []byte) error {
	if len(public) != ed25519.PublicKeySize || keyID(public) != id {
		return fmt.Errorf("key %.40q of session tickets is damaged", id)
	}
	keys[id] = public
	return nil
}

// JSON returns the keys as a JSON Web Key Set, in the order of ids.
func (keys SessionKeys) JSON() ([]byte, error) {
	set := []json.RawMessage{}
	for _, id := range sortedKeys(keys) {
		one, err := json.Marshal(jose.JSONWebKey{Key: keys[id], KeyID: id, Use: "sig", Algorithm: sessionAlg})
		if err != nil {
			return nil, err
		}
		set = append(set, one)
	}
	out, err := json.MarshalIndent(map[string]any{"keys": set}, "", "  ")
	return append(out, '\n'), err
}

// ParseSessionKeys reads a key set of session tickets. Unlike a provider's, it is ours: a key that is not right spoils it.
func ParseSessionKeys(text []byte) (SessionKeys, error) {
	if _, err := object(text); err != nil {
		return nil, fmt.Errorf("a key set of session tickets: %w", err)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, errors.New("a key set of session tickets: not a key set")
	}
	keys := SessionKeys{}
	for _, raw := range set.Keys {
		var one jose.JSONWebKey
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, errors.New("a key set of session tickets: a key that cannot be read")
		}
		public, ok := one.Key.(ed25519.PublicKey)
		if !ok || !one.Valid() || one.Algorithm != sessionAlg || one.Use != "sig" || one.KeyID != keyID(public) {
			return nil, fmt.Errorf("a key set of session tickets: key %.40q is none of pwb's public keys", one.KeyID)
		}
		keys[one.KeyID] = public
	}
	if len(keys) == 0 {
		return nil, errors.New("a key set of session tickets: no key is in it")
	}
	return keys, nil
}

// SessionVerifier judges session tickets by public keys alone. The zero value refuses all.
type SessionVerifier struct {
	Keys      SessionKeys
	Audiences []string         // who we are; a ticket for another is refused
	Now       func() time.Time // nil is time.Now
}

// Verify judges raw, the whole of what was given as the password. It asks nobody.
func (v *SessionVerifier) Verify(raw []byte) (*VerifiedSession, error) {
	if len(raw) > maxSession {
		return nil, fmt.Errorf("%w: a session ticket over %d bytes", ErrMalformed, maxSession)
	}
	t, err := take(raw, []string{sessionAlg}, func(typ any, _ bool) bool { return typ == sessionType })
	if err != nil {
		return nil, err
	}
	s, err := v.judge(t)
	if err != nil {
		return nil, cutHint(raw, err)
	}
	key, known := v.Keys[t.header.kid]
	if !known {
		return nil, fmt.Errorf("%w: no session key %q is known here; keys may have been changed, see pwb ticket keys", ErrSignature, t.header.kid)
	}
	at := strings.LastIndexByte(t.raw, '.')
	signature, err := decode(t.raw[at+1:])
	if err != nil || !ed25519.Verify(key, []byte(t.raw[:at]), signature) {
		return nil, cutHint(raw, ErrSignature)
	}
	return s, nil
}

func (v *SessionVerifier) judge(t *token) (*VerifiedSession, error) {
	s, id, err := sessionClaims(t)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if v.Now != nil {
		now = v.Now()
	}
	mine := false
	for _, a := range v.Audiences {
		mine = mine || strings.EqualFold(a, s.Audience)
	}
	switch {
	case !mine:
		return nil, fmt.Errorf("%w: for %q, not for %q", ErrAudience, s.Audience, strings.Join(v.Audiences, ", "))
	case s.Expires.Sub(s.Issued) > LongestSession || !s.Expires.After(s.Issued):
		return nil, fmt.Errorf("%w: a life of %v", ErrClaims, s.Expires.Sub(s.Issued))
	case now.After(s.Expires.Add(sessionLeeway)):
		return nil, fmt.Errorf("%w %v ago", ErrExpired, now.Sub(s.Expires).Round(time.Second))
	case s.Issued.After(now.Add(sessionLeeway)):
		return nil, fmt.Errorf("%w: issued %v from now; do the clocks agree?", ErrNotYet, s.Issued.Sub(now).Round(time.Second))
	}
	return &VerifiedSession{Session: s, KeyID: t.header.kid, SpendKey: sha256.Sum256([]byte("pwb session ticket " + id))}, nil
}

// sessionClaims reads the claims, exactly those: what a later version says besides would be there for a reason.
func sessionClaims(t *token) (s Session, id string, err error) {
	if names := sortedKeys(t.claims); strings.Join(names, " ") != "aud exp iat jti sub who" {
		return s, "", fmt.Errorf("%w: they are %.80q", ErrClaims, names)
	}
	text := map[string]string{}
	for _, name := range []string{"aud", "jti", "sub", "who"} {
		text[name], _ = t.claims[name].(string)
	}
	for name, want := range map[string]int{"jti": sessionIDLen, "who": identityLength} {
		if b, err := decode(text[name]); err != nil || len(b) != want {
			return s, "", fmt.Errorf("%w: %s has not its form", ErrClaims, name)
		}
	}
	if err := CheckAudience(text["aud"]); err != nil {
		return s, "", fmt.Errorf("%w: %w", ErrClaims, err)
	}
	login, err := account.NamePolicy{Keep: true}.LoginName(text["sub"])
	if err != nil || string(login) != text["sub"] {
		return s, "", errors.Join(fmt.Errorf("%w: sub is no login name", ErrClaims), err)
	}
	s = Session{Name: login, Who: text["who"], Audience: text["aud"]}
	if s.Issued, err = t.instant("iat"); err != nil {
		return s, "", err
	}
	s.Expires, err = t.instant("exp")
	return s, text["jti"], err
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
