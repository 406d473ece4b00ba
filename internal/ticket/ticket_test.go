package ticket

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

const tenant = "72f988bf-0000-4000-8000-0000c0a57050"

func open(t testing.TB, i *oidctest.Issuer, change func(*Config)) *Verifier {
	t.Helper()
	cfg := Config{Issuer: i.URL, ClientID: oidctest.ClientID, AllowLoopbackHTTP: true}
	if change != nil {
		change(&cfg)
	}
	v, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func verify(v *Verifier, token string) (*Verified, error) {
	return v.Verify(context.Background(), []byte(token), Expect{})
}

func TestAGoodTicket(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, func(c *Config) { c.GroupsClaim = "groups" })
	token := i.Mint("alice@example.com", map[string]any{"groups": []string{"a", "b"}, "name": "Alice", "nonce": "n"})
	got, err := v.Verify(context.Background(), []byte(token), Expect{Nonce: "n"})
	if err != nil {
		t.Fatal(err)
	}
	if got.Identity.Issuer != i.URL || got.Identity.Subject != "s-alice@example.com" || got.Identity.Username != "alice@example.com" ||
		got.Name != "Alice" || len(got.Groups) != 2 || !got.GroupsComplete || got.Nonce != "n" || time.Until(got.Expires) > time.Hour {
		t.Errorf("Verify = %+v", got)
	}
	// "sudo takes 511 bytes": what tests send through real hosts must fit.
	if len(token) > 511 {
		t.Errorf("a plain token has %d bytes", len(token))
	}
}

func TestRefusedTickets(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	now := time.Now()
	payload := func(s string) string { return i.Sign([]byte(s), nil) }
	claim := func(name string, value any) string { return i.Mint("alice", map[string]any{name: value}) }
	good := i.Mint("alice")
	head, rest, _ := strings.Cut(good, ".")
	body, sig, _ := strings.Cut(rest, ".")
	enc := base64.RawURLEncoding.EncodeToString
	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"empty", "", ErrMalformed},
		{"a password", "correct horse battery staple", ErrMalformed},
		{"two parts", head + "." + body, ErrTruncated},
		{"four parts", good + ".x", ErrMalformed},
		{"a newline in a part", head + "." + body[:10] + "\n" + body[10:] + "." + sig, ErrMalformed},
		{"padding", good + "=", ErrMalformed},
		{"loose base64 tail", good[:len(good)-1] + looser(good[len(good)-1]), ErrMalformed},
		{"alg none", enc([]byte(`{"alg":"none","kid":"1"}`)) + "." + body + ".", ErrAlgorithm},
		{"alg HS256", enc([]byte(`{"alg":"HS256","kid":"1"}`)) + "." + body + "." + sig, ErrAlgorithm},
		{"alg twice", enc([]byte(`{"alg":"ES256","ALG":"none","kid":"1"}`)) + "." + body + "." + sig, ErrMalformed},
		{"crit", i.Sign([]byte(`{}`), map[string]any{"b64": true}), ErrMalformed},
		{"jwk", i.Sign([]byte(`{}`), map[string]any{"jku": "https://evil.example/"}), ErrMalformed},
		{"an access token's type", i.Sign([]byte(`{}`), map[string]any{"typ": "at+jwt"}), ErrMalformed},
		{"no key id", i.Sign([]byte(`{}`), map[string]any{"kid": ""}), ErrMalformed},
		{"unknown key id", i.Sign(mustClaims(i), map[string]any{"kid": "99"}), ErrSignature},
		{"another payload", head + "." + enc(mustClaims(i)) + "." + sig, ErrSignature},
		{"signature cut", good[:len(good)-4], ErrTruncated},
		{"payload no object", payload(`[]`), ErrMalformed},
		{"payload with a tail", payload(`{} {}`), ErrMalformed},
		{"payload not UTF-8", payload("{\"a\":\"\xff\"}"), ErrMalformed},
		{"payload deep", payload(`{"a":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`), ErrMalformed},
		{"aud and AUD", payload(`{"aud":"other","AUD":"pwb-test"}`), ErrMalformed},
		{"iss and i\u017f\u017f", payload(`{"iss":"other","i\u017f\u017f":"` + i.URL + `"}`), ErrMalformed}, // one name to encoding/json
		{"half a surrogate in sub", payload(strings.Replace(string(mustClaims(i)), `s-mallory`, `s-\ud800`, 1)), ErrClaims},
		{"another issuer", claim("iss", i.URL+"/"), ErrIssuer},
		{"no issuer", claim("iss", nil), ErrIssuer},
		{"another audience", claim("aud", "other"), ErrAudience},
		{"audiences without azp", claim("aud", []string{oidctest.ClientID, "other"}), ErrAudience},
		{"another azp", claim("azp", "other"), ErrAudience},
		{"no audience", claim("aud", nil), ErrAudience},
		{"expired", claim("exp", now.Add(-time.Second).Unix()), ErrExpired},
		{"exp a string", claim("exp", "9999999999"), ErrClaims},
		{"exp huge", payload(strings.Replace(string(mustClaims(i)), `"exp":1`, `"exp":1e`, 1)), ErrClaims},
		{"exp in ten years", claim("exp", now.AddDate(10, 0, 0).Unix()), ErrClaims},
		{"no iat", claim("iat", nil), ErrClaims},
		{"iat ahead", claim("iat", now.Add(10*time.Minute).Unix()), ErrNotYet},
		{"iat old", claim("iat", now.Add(-25*time.Hour).Unix()), ErrExpired},
		{"nbf ahead", claim("nbf", now.Add(10*time.Minute).Unix()), ErrNotYet},
		{"no sub", claim("sub", nil), ErrClaims},
		{"sub too long", claim("sub", strings.Repeat("s", 256)), ErrClaims},
		{"scp", claim("scp", "User.Read"), ErrClaims},
		{"typ Bearer", claim("typ", "Bearer"), ErrClaims},
		{"nonce a number", claim("nonce", 5), ErrNonce},
		{"no username", claim("preferred_username", nil), ErrUsername},
		{"username an array", claim("preferred_username", []string{"alice"}), ErrUsername},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := verify(v, tt.token)
			if !errors.Is(err, tt.want) || got != nil {
				t.Errorf("Verify = %v, %v; want %v", got, err, tt.want)
			}
			if err != nil && len(tt.token) > 40 && strings.Contains(err.Error(), tt.token[:40]) {
				t.Errorf("the error holds the ticket: %v", err)
			}
		})
	}
	if _, err := verify(v, good); err != nil {
		t.Errorf("the good one, in the end: %v", err)
	}
}

// looser returns a last character that decodes to the same bytes in a lenient decoder.
func looser(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)|1])
}

func mustClaims(i *oidctest.Issuer) []byte {
	token := i.Mint("mallory")
	b, _ := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	return b
}

func TestCutTicketsAreNamed(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	long := i.Mint("alice", map[string]any{"groups": strings.Repeat("g", 5000)})
	for _, tt := range []struct {
		size int
		want string
	}{
		{1023, "it has exactly 1023 bytes, where ssh and sshd's password method cut"},
		{4095, "it has exactly 4095 bytes, where terminals and libpam's conversation cut"},
	} {
		if _, err := verify(v, long[:tt.size]); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%d bytes: %v, want %q", tt.size, err, tt.want)
		}
	}
}

// A whole ticket may have such a size too: what nobody could judge is not called wrong.
func TestAWholeTicketOfAHostsSizeIsNotWrong(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	token := ofSize(t, i, 1023)
	if _, err := verify(v, token); err != nil {
		t.Errorf("with the provider up: %v", err)
	}
	cold := open(t, i, nil)
	i.Stop()
	if _, err := verify(cold, token); !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrTruncated) {
		t.Errorf("with the provider down: %v, want %v alone", err, ErrUnreachable)
	}
}

// ofSize mints a good token of exactly so many bytes. Base64 has no text of every length, so two headers are tried.
func ofSize(t *testing.T, i *oidctest.Issuer, size int) string {
	t.Helper()
	for _, header := range []map[string]any{nil, {"pad": "p"}} {
		for pad := range size {
			claims := strings.Replace(string(mustClaims(i)), "{", `{"pad":"`+strings.Repeat("p", pad)+`",`, 1)
			if token := i.Sign([]byte(claims), header); len(token) == size {
				return token
			} else if len(token) > size {
				break
			}
		}
	}
	t.Fatalf("no token has %d bytes", size)
	return ""
}

func TestSpendKeys(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	key := func(token string) [32]byte {
		t.Helper()
		got, err := verify(v, token)
		if err != nil {
			t.Fatal(err)
		}
		return got.SpendKey
	}
	if one, two := key(i.Mint("alice")), key(i.Mint("alice")); one == two {
		t.Error("two tokens have one spend key")
	}
	// ECDSA: the same claims signed twice are two strings and one token.
	claims := mustClaims(i)
	if a, b := i.Sign(claims, nil), i.Sign(claims, nil); a == b || key(a) != key(b) {
		t.Error("one token signed twice has two spend keys")
	}
	same := map[string]any{"jti": nil, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()}
	if key(i.Mint("alice", same)) == key(i.Mint("bob", same)) {
		t.Error("without jti, two tokens have one spend key")
	}
}

func TestNonce(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, func(c *Config) { c.RequireNonce = true })
	with := i.Mint("alice", map[string]any{"nonce": "one"})
	for _, tt := range []struct {
		token, expect string
		want          error
	}{
		{with, "one", nil}, {with, "", nil}, {with, "two", ErrNonce}, {i.Mint("alice"), "", ErrNonce}, {i.Mint("alice"), "one", ErrNonce},
	} {
		if _, err := v.Verify(context.Background(), []byte(tt.token), Expect{Nonce: tt.expect}); !errors.Is(err, tt.want) {
			t.Errorf("expecting %q: %v, want %v", tt.expect, err, tt.want)
		}
	}
}

func TestEntra(t *testing.T) {
	i := oidctest.New(t, "/"+tenant+"/v2.0")
	v := open(t, i, nil)
	entra := map[string]any{"tid": tenant, "oid": "11111111-1111-4111-8111-111111111111", "ver": "2.0", "uti": "u1", "sub": "pairwise"}
	got, err := verify(v, i.Mint("alice", entra))
	if err != nil || got.Identity.Subject != tenant+"/11111111-1111-4111-8111-111111111111" {
		t.Fatalf("Verify = %+v, %v", got, err)
	}
	for _, tt := range []struct {
		claim string
		value any
		want  error
	}{
		{"tid", "9188040d-6c67-4c5b-b112-36a304b66dad", ErrIssuer}, {"tid", nil, ErrIssuer}, {"tid", []string{tenant}, ErrIssuer},
		{"oid", nil, ErrClaims}, {"oid", "alice", ErrClaims}, {"ver", "1.0", ErrClaims}, {"ver", nil, ErrClaims},
	} {
		if _, err := verify(v, i.Mint("alice", entra, map[string]any{tt.claim: tt.value})); !errors.Is(err, tt.want) {
			t.Errorf("%s = %v: %v, want %v", tt.claim, tt.value, err, tt.want)
		}
	}
}

// nOAuth: in many directories people write their e-mail address themselves.
func TestAnAddressNobodyVouchesForIsNoName(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, func(c *Config) { c.UsernameClaim = "email" })
	if _, err := verify(v, i.Mint("a", map[string]any{"email": "alice@example.com"})); !errors.Is(err, ErrUsername) {
		t.Errorf("unverified: %v", err)
	}
	if _, err := verify(v, i.Mint("a", map[string]any{"email": "alice@example.com", "email_verified": true})); err != nil {
		t.Errorf("verified: %v", err)
	}
}

func TestGroups(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, func(c *Config) { c.GroupsClaim = "groups" })
	overage := map[string]any{"groups": "src1"}
	sources := map[string]any{"src1": map[string]any{"endpoint": "https://evil.example"}}
	for _, tt := range []struct {
		claims   map[string]any
		want     []string
		complete bool
	}{
		{map[string]any{"groups": []string{"a", "b"}}, []string{"a", "b"}, true},
		{map[string]any{"groups": "a"}, []string{"a"}, true},
		{map[string]any{"groups": []string{}}, nil, true},
		{map[string]any{}, nil, true},
		{map[string]any{"groups": map[string]any{"a": 1}}, nil, false},
		{map[string]any{"groups": []any{"a", 5}}, nil, false},
		{map[string]any{"hasgroups": true}, nil, false},
		{map[string]any{"hasgroups": "false", "groups": []string{"a"}}, nil, false},
		{map[string]any{"_claim_names": overage, "_claim_sources": sources}, nil, false},
		{map[string]any{"_claim_names": overage, "_claim_sources": sources, "groups": []string{"a"}}, nil, false},
		{map[string]any{"_claim_names": map[string]any{"roles": "src1"}, "_claim_sources": sources, "groups": []string{"a"}}, []string{"a"}, true},
	} {
		got, err := verify(v, i.Mint("alice", tt.claims))
		if err != nil || !slices.Equal(got.Groups, tt.want) || got.GroupsComplete != tt.complete {
			t.Errorf("%v: %+v, %v; want %q, complete %v", tt.claims, got, err, tt.want, tt.complete)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"no client", Config{Issuer: "https://idp.example.com"}, "client id is empty"},
		{"no issuer", Config{ClientID: "c"}, "is not an absolute URL"},
		{"plain http", Config{Issuer: "http://idp.example.com", ClientID: "c", AllowLoopbackHTTP: true}, "not https"},
		{"plain http to loopback", Config{Issuer: "http://127.0.0.1:1", ClientID: "c"}, "allow-loopback-http=1"},
		{"common", Config{Issuer: "https://login.microsoftonline.com/common/v2.0", ClientID: "c"}, "write the GUID of your own"},
		{"organizations", Config{Issuer: "https://login.microsoftonline.us/organizations/v2.0", ClientID: "c"}, "write the GUID of your own"},
		{"everybody at home", Config{Issuer: "https://login.microsoftonline.com/" + personalAccounts + "/v2.0", ClientID: "c"}, "write the GUID of your own"},
		{"common elsewhere", Config{Issuer: "https://login.example.com/common/v2.0", ClientID: "c"}, "write the GUID of your own"},
		{"a domain", Config{Issuer: "https://login.microsoftonline.com/contoso.onmicrosoft.com/v2.0", ClientID: "c"}, `GUID in place of "contoso.onmicrosoft.com"`},
		{"version 1", Config{Issuer: "https://sts.windows.net/" + tenant + "/", ClientID: "c"}, "ends in /v2.0"},
		{"HS256", Config{Issuer: "https://idp.example.com", ClientID: "c", Algorithms: []string{"HS256"}}, "only asymmetric"},
		{"no algorithm", Config{Issuer: "https://idp.example.com", ClientID: "c", Algorithms: []string{}}, "no signature algorithm"},
	} {
		if _, err := Open(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// FuzzObject: what the strict reader takes is JSON, and encoding/json reads the same from it, also into a struct, for which it
// folds names.
func FuzzObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"iss":"a","aud":["b",1.5e3,null,true]}`, `{"iss":"a","ISS":"b"}`, `{"a":{"b":[{}]}}`, `[1,]`, `{"a":1}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := object(b)
		if err != nil {
			return
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.UseNumber()
		var want map[string]any
		if err := d.Decode(&want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("object(%q) = %v; encoding/json: %v, %v", b, got, want, err)
		}
		var folded struct{ Iss any }
		if _, there := got["iss"]; there && json.Unmarshal(b, &folded) == nil && fmt.Sprint(folded.Iss) != fmt.Sprint(loose(got["iss"])) {
			t.Errorf("object(%q) has iss %v; go-oidc would read %v", b, got["iss"], folded.Iss)
		}
	})
}

// loose is v as encoding/json reads it without UseNumber.
func loose(v any) any {
	b, _ := json.Marshal(v)
	var out any
	json.Unmarshal(b, &out)
	return out
}

func FuzzVerify(f *testing.F) {
	i := oidctest.New(f, "")
	v := open(f, i, nil)
	f.Add([]byte(i.Mint("alice")), []byte(`{"alg":"ES256","kid":"1"}`), mustClaims(i))
	f.Add([]byte("a.b.c"), []byte(`{"alg":"none"}`), []byte(`{"iss":1,"exp":1e400,"aud":[[]]}`))
	f.Fuzz(func(t *testing.T, raw, head, body []byte) {
		enc := base64.RawURLEncoding.EncodeToString
		for _, token := range []string{string(raw), enc(head) + "." + enc(body) + "." + enc(make([]byte, 64))} {
			got, err := verify(v, token)
			if err == nil && !strings.HasPrefix(got.Identity.Subject, "s-") {
				t.Errorf("accepted %q", token)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	i := oidctest.New(b, "")
	v := open(b, i, nil)
	token := i.Mint("alice")
	for b.Loop() {
		if _, err := verify(v, token); err != nil {
			b.Fatal(err)
		}
	}
}
