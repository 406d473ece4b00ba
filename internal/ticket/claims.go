package ticket

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pwb-project/pwb/internal/account"
)

const (
	maxSubject  = 255 // OpenID Connect Core 2
	maxUsername = 255
)

// judge holds the claims against OpenID Connect Core 3.1.3.7 and what attackers have made of its gaps. It sets the times.
func (v *Verifier) judge(t *token, expect Expect) error {
	if iss, _ := t.claims["iss"].(string); iss != v.cfg.Issuer {
		return fmt.Errorf("%w: %.120q", ErrIssuer, iss)
	}
	if err := t.audience(v.cfg.ClientID); err != nil {
		return err
	}
	if err := t.kind(); err != nil {
		return err
	}
	if err := t.times(v.cfg.Now(), v.cfg.MaxAge); err != nil {
		return err
	}
	if err := t.nonce(expect.Nonce, v.cfg.RequireNonce); err != nil {
		return err
	}
	if err := t.accessToken(expect.AccessToken); err != nil {
		return err
	}
	if sub, _ := t.claims["sub"].(string); !clean(sub, maxSubject) {
		return fmt.Errorf("%w: sub is missing or not a plain string", ErrClaims)
	}
	if v.tenant != "" {
		return t.entra(v.tenant)
	}
	return nil
}

// audience demands that the token is for this client, and when it is for others too, that this client asked for it
// (OpenID Connect Core 3.1.3.7, 3 to 5).
func (t *token) audience(client string) error {
	var all []any
	switch aud := t.claims["aud"].(type) {
	case string:
		all = []any{aud}
	case []any:
		all = aud
	}
	if !slices.Contains(all, any(client)) {
		return fmt.Errorf("%w: audience %.80q", ErrAudience, fmt.Sprint(t.claims["aud"]))
	}
	azp, there := t.claims["azp"]
	if there && azp != client {
		return fmt.Errorf("%w: authorized party %.80q", ErrAudience, fmt.Sprint(azp))
	}
	if len(all) > 1 && !there {
		return fmt.Errorf("%w: %d audiences and no authorized party (azp)", ErrAudience, len(all))
	}
	return nil
}

// kind refuses other tokens of the same provider: an access token for our own client id has the right issuer, audience and
// signature (token substitution).
func (t *token) kind() error {
	for _, name := range []string{"scp", "idtyp", "events", "cnf", "htm", "htu"} {
		if _, there := t.claims[name]; there {
			return fmt.Errorf("%w: %q is in access, logout or proof tokens", ErrClaims, name)
		}
	}
	_, scope := t.claims["scope"]
	if _, nonce := t.claims["nonce"]; scope && !nonce {
		return fmt.Errorf("%w: a scope and no nonce, as in access tokens", ErrClaims)
	}
	for name, id := range map[string]string{"typ": "ID", "token_use": "id"} {
		if kind, there := t.claims[name]; there && kind != id {
			return fmt.Errorf("%w: %s is %.20q", ErrClaims, name, fmt.Sprint(kind))
		}
	}
	return nil
}

// accessToken demands that the access token beside the ID token is the one that it was issued with (OpenID Connect Core 3.1.3.8).
func (t *token) accessToken(beside string) error {
	said, there := t.claims["at_hash"]
	if !there || beside == "" {
		return nil
	}
	var sum []byte
	switch alg := t.header.alg; {
	case strings.HasSuffix(alg, "256"):
		h := sha256.Sum256([]byte(beside))
		sum = h[:]
	case strings.HasSuffix(alg, "384"):
		h := sha512.Sum384([]byte(beside))
		sum = h[:]
	default: // the 512s, and EdDSA with Ed25519
		h := sha512.Sum512([]byte(beside))
		sum = h[:]
	}
	want := base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
	if got, _ := said.(string); subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
		return fmt.Errorf("%w: at_hash is of another access token", ErrClaims)
	}
	return nil
}

func (t *token) times(now time.Time, maxAge time.Duration) error {
	exp, err := t.instant("exp")
	if err != nil {
		return err
	}
	iat, err := t.instant("iat")
	if err != nil {
		return err
	}
	t.issued, t.expires = iat, exp
	if !now.Before(exp) {
		return fmt.Errorf("%w at %s", ErrExpired, exp.UTC().Format(time.RFC3339))
	}
	if iat.After(now.Add(leeway)) {
		return fmt.Errorf("%w: issued at %s", ErrNotYet, iat.UTC().Format(time.RFC3339))
	}
	if now.Sub(iat) > maxAge {
		return fmt.Errorf("%w: issued at %s, over %v ago", ErrExpired, iat.UTC().Format(time.RFC3339), maxAge)
	}
	if exp.Sub(iat) > longestLife+leeway {
		return fmt.Errorf("%w: valid for over %v", ErrClaims, longestLife)
	}
	if _, there := t.claims["nbf"]; there {
		nbf, err := t.instant("nbf")
		if err != nil {
			return err
		}
		if nbf.After(now.Add(leeway)) {
			return fmt.Errorf("%w: before %s", ErrNotYet, nbf.UTC().Format(time.RFC3339))
		}
	}
	return nil
}

// farthest is a second no token names in earnest; it keeps time arithmetic in range.
const farthest = 1 << 40

// instant reads a NumericDate. Fractions are allowed by RFC 7519 and cut off; everything that is no plain number is not.
func (t *token) instant(name string) (time.Time, error) {
	n, ok := t.claims[name].(json.Number)
	if !ok {
		return time.Time{}, fmt.Errorf("%w: %s is missing or no number", ErrClaims, name)
	}
	whole, _, _ := strings.Cut(n.String(), ".")
	seconds, err := json.Number(whole).Int64()
	if err != nil || seconds < 0 || seconds > farthest || strings.ContainsAny(n.String(), "eE") {
		return time.Time{}, fmt.Errorf("%w: %s is %.40q", ErrClaims, name, n.String())
	}
	return time.Unix(seconds, 0), nil
}

func (t *token) nonce(want string, required bool) error {
	claim, there := t.claims["nonce"]
	got, text := claim.(string)
	switch {
	case there && !text:
		return fmt.Errorf("%w: not a string", ErrNonce)
	case want != "" && subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1:
		return fmt.Errorf("%w: not this sign-in's", ErrNonce)
	case required && got == "":
		return fmt.Errorf("%w: missing", ErrNonce)
	}
	return nil
}

// entra demands Entra ID's own stable names: tid and oid, both GUIDs, of a version 2.0 token of the one tenant.
func (t *token) entra(tenant string) error {
	tid, _ := t.claims["tid"].(string)
	oid, _ := t.claims["oid"].(string)
	switch {
	case t.claims["ver"] != "2.0":
		return fmt.Errorf("%w: version %.10q, not 2.0", ErrClaims, fmt.Sprint(t.claims["ver"]))
	case !strings.EqualFold(tid, tenant):
		return fmt.Errorf("%w: tenant %.40q", ErrIssuer, tid)
	case !account.IsGUID(oid):
		return fmt.Errorf("%w: no object id (oid); the application must ask for the scope profile", ErrClaims)
	}
	return nil
}

// subject is the stable name: Entra's sub is another for each application, so there it is tenant and object.
func (t *token) subject(tenant string) string {
	if tenant != "" {
		oid, _ := t.claims["oid"].(string)
		return tenant + "/" + strings.ToLower(oid)
	}
	sub, _ := t.claims["sub"].(string)
	return sub
}

// username returns the claim that proposes a login name. An e-mail address counts only when the provider says that it is
// the person's: in Entra ID and others people write it themselves (nOAuth).
func (t *token) username(claim string) (string, error) {
	name, ok := t.claims[claim].(string)
	if !ok || !clean(name, maxUsername) {
		return "", fmt.Errorf("%w: configured username claim %q is not present in the OpenID response, or not a plain string", ErrUsername, claim)
	}
	if claim == "email" && t.claims["email_verified"] != true && t.claims["xms_edov"] != true {
		return "", fmt.Errorf("%w: the provider does not vouch for the e-mail address (email_verified)", ErrUsername)
	}
	return name, nil
}

// groups returns what the groups claim lists, and whether that is all. Entra ID leaves the list out when it is long, and names
// a place to ask, which is never asked from here: then nothing is known. A claim that is missing without such a word says that
// there are none, as Entra ID says it; a single group is a string at some providers.
func (t *token) groups(claim string) (groups []string, complete bool) {
	if claim == "" {
		return nil, false
	}
	elsewhere, _ := t.claims["_claim_names"].(map[string]any)
	if _, overage := elsewhere[claim]; overage {
		return nil, false
	}
	if _, has := t.claims["hasgroups"]; has {
		return nil, false
	}
	value, there := t.claims[claim]
	switch list := value.(type) {
	case string:
		return []string{list}, true
	case []any:
		for _, g := range list {
			s, ok := g.(string)
			if !ok {
				return nil, false
			}
			groups = append(groups, s)
		}
		return groups, true
	}
	return nil, !there
}

// spendKey names this token and no other, however it is spelled: by the provider's own id (uti in Entra ID, jti), else by
// what was signed. Never by the signature: ECDSA has two for every token.
func (t *token) spendKey(issuer string) [sha256.Size]byte {
	for _, name := range []string{"uti", "jti"} {
		if id, _ := t.claims[name].(string); id != "" {
			return sha256.Sum256([]byte(issuer + "\x00" + name + "\x00" + id))
		}
	}
	signed := t.raw[:strings.LastIndexByte(t.raw, '.')]
	return sha256.Sum256([]byte(issuer + "\x00jws\x00" + signed))
}

// clean says whether s is 1 to limit bytes of text without control characters. U+FFFD is what encoding/json makes of every
// half of a surrogate pair, so two names that differ would be one.
func clean(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}
