package ticket

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// Holes of systems of our kind, by their numbers (docs/lessons.md). Each could have been ours.

// openpubkey and opkssh: one parser verified the token, and another read it. Whatever form of a good token somebody else would
// read, here there is one.
func TestCVE20253757(t *testing.T) {
	i := oidctest.New(t, "")
	v := open(t, i, nil)
	good, other := strings.Split(i.Mint("alice"), "."), strings.Split(i.Mint("mallory"), ".")
	evil := base64.RawURLEncoding.EncodeToString(mustClaims(i))
	flat := fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, good[0], good[1], good[2])
	for _, token := range []string{
		flat,
		fmt.Sprintf(`{"payload":%q,"signatures":[{"protected":%q,"signature":%q}]}`, good[1], good[0], good[2]),
		base64.RawURLEncoding.EncodeToString([]byte(flat)),
		strings.Join([]string{good[0], evil, good[2]}, "."),
		strings.Join([]string{good[0], good[1], good[2], evil, other[2]}, "."),
		strings.Join([]string{good[0], other[1], good[2]}, "."),
		strings.Join([]string{other[0], good[1], other[2]}, "."),
		strings.Join([]string{good[0], good[1] + "%2e", good[2]}, "."),
		" " + strings.Join(good, "."),
		strings.Join(good, ".") + "\x00." + evil,
		strings.Join(good, ".") + "\n" + strings.Join(other, "."),
	} {
		if got, err := verify(v, token); got != nil || !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrTruncated) {
			t.Errorf("%.60q: %+v, %v", token, got, err)
		}
	}
	for _, member := range []string{"crit", "jku", "x5u", "x5c", "jwk", "zip"} {
		if _, err := verify(v, i.Sign(mustClaims(i), map[string]any{member: []string{"x"}})); !errors.Is(err, ErrMalformed) {
			t.Errorf("header with %q: %v, want %v", member, err, ErrMalformed)
		}
	}
	if _, err := verify(v, strings.Join(good, ".")); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// himmelblau: without its provider it took a wrong PIN. What is judged by keys that are kept is judged as strictly.
func TestCVE202553013(t *testing.T) {
	i := oidctest.New(t, "")
	c := &clock{at: time.Now()}
	v := open(t, i, func(cfg *Config) { cfg.Now = c.now })
	if _, err := verify(v, i.Mint("alice")); err != nil {
		t.Fatal(err)
	}
	i.Stop()
	c.add(11 * time.Hour)
	good := strings.Split(i.Mint("alice", c.claims()), ".")
	other := strings.Split(i.Mint("mallory", c.claims()), ".")
	for _, tt := range []struct {
		name, token string
		want        error
	}{
		{"another's signature", strings.Join([]string{good[0], good[1], other[2]}, "."), ErrSignature},
		{"no signature", good[0] + "." + good[1] + ".", ErrTruncated},
		{"expired", i.Mint("alice"), ErrExpired},
		{"another audience", i.Mint("alice", c.claims(), map[string]any{"aud": "other"}), ErrAudience},
		{"the good one", strings.Join(good, "."), nil},
	} {
		if _, err := verify(v, tt.token); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}
