package ticket

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

var person = account.Identity{Issuer: "https://idp.example.com", Subject: "s-alice", Username: "alice@example.com"}

func session(now time.Time) Session {
	return Session{Name: "alice", Who: HashIdentity(person), Audience: "node1.example.com", Issued: now, Expires: now.Add(5 * time.Minute)}
}

func verifierOf(now time.Time, keys ...SessionKey) *SessionVerifier {
	v := &SessionVerifier{Keys: SessionKeys{}, Audiences: []string{"node1.example.com", "cluster"}, Now: func() time.Time { return now }}
	for _, k := range keys {
		v.Keys.Add(k)
	}
	return v
}

func sign(t *testing.T, k SessionKey, s Session) string {
	t.Helper()
	text, err := k.Sign(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// "at most 511 bytes so that even sudo lets it through": with the longest names there are.
func TestASessionTicketFitsThroughSudo(t *testing.T) {
	longest := Session{
		Name: account.Name(strings.Repeat("a", 32) + "@" + strings.Repeat("b", 27) + ".com"), Who: HashIdentity(person),
		Audience: strings.Repeat("n", maxAudience), Issued: time.Unix(1<<34, 0), Expires: time.Unix(1<<34, 0).Add(LongestSession),
	}
	key := NewSessionKey()
	text := sign(t, key, longest)
	if len(longest.Name) != 64 || len(text) > 511 {
		t.Errorf("a session ticket for %d characters of name has %d bytes", len(longest.Name), len(text))
	}
	v := verifierOf(longest.Issued, key)
	v.Audiences = []string{longest.Audience}
	got, err := v.Verify([]byte(text))
	if err != nil || got.Session != longest || KindOf([]byte(text)) != KindSession {
		t.Errorf("Verify = %+v, %v", got, err)
	}
	t.Logf("longest %d bytes, usual %d", len(text), len(sign(t, key, session(time.Now()))))
}

func TestSessionTickets(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key, other := NewSessionKey(), NewSessionKey()
	v := verifierOf(now, key)
	good := sign(t, key, session(now))
	got, err := v.Verify([]byte(good))
	if err != nil || got.Session != session(now) || got.KeyID != key.ID() {
		t.Fatalf("Verify = %+v, %v", got, err)
	}
	again, _ := v.Verify([]byte(sign(t, key, session(now))))
	if again.SpendKey == got.SpendKey {
		t.Error("two tickets have one spend key")
	}
	for _, tt := range []struct {
		name string
		raw  string
		want error
	}{
		{"the audience in other letters", sign(t, key, change(now, func(s *Session) { s.Audience = "NODE1.Example.COM" })), nil},
		{"the cluster's", sign(t, key, change(now, func(s *Session) { s.Audience = "cluster" })), nil},
		{"another node's", sign(t, key, change(now, func(s *Session) { s.Audience = "node2.example.com" })), ErrAudience},
		{"another's key", sign(t, other, session(now)), ErrSignature},
		{"expired", sign(t, key, change(now.Add(-6*time.Minute), nil)), ErrExpired},
		{"within the clocks' difference", sign(t, key, change(now.Add(-5*time.Minute-20*time.Second), nil)), nil},
		{"issued by a clock that is a little ahead", sign(t, key, change(now.Add(20*time.Second), nil)), nil},
		{"issued by a clock that is far ahead", sign(t, key, change(now.Add(2*time.Minute), nil)), ErrNotYet},
		{"cut", good[:len(good)-1], ErrTruncated},
		{"with a blank", good + " ", ErrMalformed},
		{"a bit of its signature", flip(good), ErrSignature},
		{"under another's name", tamper(t, good, func(c map[string]any) { c["sub"] = "bob" }), ErrSignature},
		{"empty", "", ErrMalformed},
	} {
		if _, err := v.Verify([]byte(tt.raw)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
	if _, err := new(SessionVerifier).Verify([]byte(good)); err == nil {
		t.Error("the zero value takes a ticket")
	}
}

func change(issued time.Time, f func(*Session)) Session {
	s := session(issued)
	if f != nil {
		f(&s)
	}
	return s
}

// flip changes a bit in the middle of the signature.
func flip(text string) string {
	at := len(text) - 40
	c := byte('A')
	if text[at] == c {
		c = 'B'
	}
	return text[:at] + string(c) + text[at+1:]
}

// tamper changes the claims and leaves the signature.
func tamper(t *testing.T, text string, f func(map[string]any)) string {
	t.Helper()
	parts := strings.Split(text, ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	d := json.NewDecoder(strings.NewReader(string(payload)))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	f(claims)
	changed, _ := json.Marshal(claims)
	return parts[0] + "." + base64.RawURLEncoding.EncodeToString(changed) + "." + parts[2]
}

// resign signs any header and claims with a good key.
func resign(k SessionKey, header, claims map[string]any) string {
	h := map[string]any{"alg": "EdDSA", "kid": k.ID(), "typ": "pwb+jwt"}
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(_ string, v any) bool { return v == nil })
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	head, _ := json.Marshal(h)
	body, _ := json.Marshal(claims)
	input := base64.RawURLEncoding.EncodeToString(head) + "." + base64.RawURLEncoding.EncodeToString(body)
	return input + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(k.private, []byte(input)))
}

// Even under a good signature nothing else is taken.
func TestWhatASessionTicketMaySay(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	key := NewSessionKey()
	v := verifierOf(now, key)
	claims := func(changes map[string]any) map[string]any {
		c := map[string]any{"aud": "cluster", "exp": now.Unix() + 300, "iat": now.Unix(), "jti": "AAAAAAAAAAAAAAAAAAAAAA", "sub": "alice", "who": HashIdentity(person)}
		maps.Copy(c, changes)
		return c
	}
	if _, err := v.Verify([]byte(resign(key, nil, claims(nil)))); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string]string{
		"typ JWT": resign(key, map[string]any{"typ": "JWT"}, claims(nil)), "no typ": resign(key, map[string]any{"typ": nil}, claims(nil)),
		"typ in other letters": resign(key, map[string]any{"typ": "PWB+JWT"}, claims(nil)), "no alg": resign(key, map[string]any{"alg": nil}, claims(nil)),
		"alg none": resign(key, map[string]any{"alg": "none"}, claims(nil)), "alg HS256": resign(key, map[string]any{"alg": "HS256"}, claims(nil)),
		"crit": resign(key, map[string]any{"crit": []string{"exp"}}, claims(nil)), "jwk": resign(key, map[string]any{"jwk": map[string]any{}}, claims(nil)),
		"no kid": resign(key, map[string]any{"kid": nil}, claims(nil)), "a claim more": resign(key, nil, claims(map[string]any{"iss": "x"})),
		"no exp": resign(key, nil, claims(map[string]any{"exp": nil})), "exp as text": resign(key, nil, claims(map[string]any{"exp": "1800000300"})),
		"a long life": resign(key, nil, claims(map[string]any{"exp": now.Unix() + 86400})), "exp before iat": resign(key, nil, claims(map[string]any{"exp": now.Unix() - 1})),
		"root": resign(key, nil, claims(map[string]any{"sub": "root"})), "a path": resign(key, nil, claims(map[string]any{"sub": "../x"})),
		"capitals": resign(key, nil, claims(map[string]any{"sub": "Alice"})), "a list of audiences": resign(key, nil, claims(map[string]any{"aud": []string{"cluster"}})),
		"no jti": resign(key, nil, claims(map[string]any{"jti": ""})), "a short who": resign(key, nil, claims(map[string]any{"who": "AAAA"})),
		"huge exp": resign(key, nil, claims(map[string]any{"exp": json.Number("1e300")})),
	} {
		if got, err := v.Verify([]byte(raw)); err == nil {
			t.Errorf("%s was taken: %+v", name, got)
		}
	}
}

// A session ticket is no ID token and an ID token is no session ticket, whoever signed it and whatever it says.
func TestKindsAreNotConfused(t *testing.T) {
	idp := oidctest.New(t, "")
	now := time.Now()
	key := NewSessionKey()
	sessions := verifierOf(now, key)
	sessions.Audiences = []string{oidctest.ClientID}
	tokens, err := Open(Config{Issuer: idp.URL, ClientID: oidctest.ClientID, AllowLoopbackHTTP: true, Algorithms: []string{"RS256", "ES256", "EdDSA"}})
	if err != nil {
		t.Fatal(err)
	}
	good := sign(t, key, change(now, func(s *Session) { s.Audience = oidctest.ClientID }))
	if _, err := sessions.Verify([]byte(good)); err != nil {
		t.Fatal(err)
	}
	if _, err := tokens.Verify(context.Background(), []byte(good), Expect{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("a session ticket for an ID token: %v", err)
	}
	token := idp.Mint("alice")
	if _, err := sessions.Verify([]byte(token)); err == nil {
		t.Error("an ID token for a session ticket was taken")
	}
	// The provider signs with a type of ours, or a session key signs an ID token's claims.
	claims := idp.Claims("alice")
	payload, _ := json.Marshal(claims)
	typed := idp.Sign(payload, map[string]any{"typ": "pwb+jwt"})
	if _, err := tokens.Verify(context.Background(), []byte(typed), Expect{}); !errors.Is(err, ErrMalformed) {
		t.Errorf("an ID token of a session ticket's type: %v", err)
	}
	if _, err := sessions.Verify([]byte(typed)); err == nil {
		t.Error("the provider's signature was taken for pwb's")
	}
	if _, err := tokens.Verify(context.Background(), []byte(resign(key, map[string]any{"typ": "JWT"}, claims)), Expect{}); !errors.Is(err, ErrSignature) && !errors.Is(err, ErrMalformed) {
		t.Errorf("pwb's signature for the provider's: %v", err)
	}
	for raw, want := range map[string]Kind{
		good: KindSession, token: KindIDToken, typed: KindSession, NewCode(): KindCode, "": KindIDToken, "hunter2": KindIDToken, "pwb": KindCode,
		"pwb." + token: KindIDToken, "PWB-x": KindCode, good + strings.Repeat(" ", 511): KindIDToken, "e30.e30.": KindIDToken,
	} {
		if got := KindOf([]byte(raw)); got != want {
			t.Errorf("KindOf(%.60q) = %v, want %v", raw, got, want)
		}
	}
}

func TestKeySetsOfSessionTickets(t *testing.T) {
	one, two := NewSessionKey(), NewSessionKey()
	keys := SessionKeys{}
	keys.Add(one)
	keys.Add(two)
	text, err := keys.JSON()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseSessionKeys(text)
	if err != nil || len(back) != 2 || !back[one.ID()].Equal(keys[one.ID()]) {
		t.Errorf("ParseSessionKeys = %v, %v of %s", back, err, text)
	}
	if strings.Contains(string(text), `"d"`) {
		t.Errorf("a private key is in the public set: %s", text)
	}
	loaded, err := LoadSessionKey(one.Seed())
	if err != nil || loaded.ID() != one.ID() {
		t.Errorf("LoadSessionKey = %v, %v", loaded.ID(), err)
	}
	if _, err := LoadSessionKey(one.Seed()[:31]); err == nil {
		t.Error("a short seed was taken")
	}
	for name, bad := range map[string]string{
		"nothing": "", "no keys": `{"keys":[]}`, "a list": `[]`, "another's kid": strings.ReplaceAll(string(text), one.ID(), two.ID()+"x"),
		"an RSA key's": strings.ReplaceAll(string(text), "OKP", "RSA"), "use enc": strings.ReplaceAll(string(text), `"sig"`, `"enc"`),
		"doubled": `{"keys":[],"KEYS":[]}`, "two documents": string(text) + string(text), "a key that is text": `{"keys":["x"]}`,
	} {
		if keys, err := ParseSessionKeys([]byte(bad)); err == nil {
			t.Errorf("%s was taken: %v", name, keys)
		}
	}
}

func FuzzKindOf(f *testing.F) {
	key := NewSessionKey()
	text, _ := key.Sign(session(time.Now()))
	f.Add([]byte(text))
	f.Add([]byte(NewCode()))
	f.Add([]byte("eyJhbGciOiJFZERTQSIsInR5cCI6InB3Yitqd3QifQ.e30.AA"))
	f.Add([]byte("eyJ0eXAiOiJwd2Irand0IiwiVFlQIjoiSldUIn0.e30.AA"))
	v := verifierOf(time.Now(), NewSessionKey())
	f.Fuzz(func(t *testing.T, raw []byte) {
		kind := KindOf(raw)
		if _, err := ParseCode(raw); err == nil && kind != KindCode {
			t.Fatalf("a code is taken for a %v", kind)
		}
		if _, err := v.Verify(raw); err == nil {
			t.Fatal("a ticket of an unknown key was taken")
		}
		if _, err := take(raw, asymmetric, idTokenType); err == nil && kind != KindIDToken {
			t.Fatalf("what may be an ID token is taken for a %v", kind)
		}
	})
}

func FuzzParseSessionKeys(f *testing.F) {
	keys := SessionKeys{}
	keys.Add(NewSessionKey())
	text, _ := keys.JSON()
	f.Add(text)
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AA","kid":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if keys, err := ParseSessionKeys(text); err == nil && len(keys) == 0 {
			t.Fatal("a set without keys was taken")
		}
	})
}
