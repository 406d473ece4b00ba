package ticket

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Contents is what a ticket says, before anybody has judged it. Its signature is not in it, nor a code's symbols.
type Contents struct {
	Kind   Kind
	Header []Said
	Claims []Said
	Err    error // why it could not be read to its end
}

// Said is one member of a header or of the claims, fit to be printed.
type Said struct {
	Name, Value string
	Means       string // for people; "" when the value says it all
}

// Inspect reads what can be read of a ticket, and believes none of it.
func Inspect(raw []byte) Contents {
	c := Contents{Kind: KindOf(raw)}
	if c.Kind == KindCode {
		_, c.Err = ParseCode(raw)
		return c
	}
	parts := strings.Split(string(raw), ".")
	if len(parts) != 3 || len(raw) > maxToken {
		c.Err = fmt.Errorf("%w: %d bytes in %d parts between dots, not three", ErrMalformed, len(raw), len(parts))
		return c
	}
	var problems [2]error
	for i, to := range []*[]Said{&c.Header, &c.Claims} {
		what := []string{"header", "claims"}[i]
		text, err := decode(parts[i])
		if err == nil {
			var members map[string]any
			if members, err = object(text); err == nil {
				*to = says(members)
			}
		}
		if err != nil {
			problems[i] = fmt.Errorf("%w: %s: %w", ErrMalformed, what, err)
		}
	}
	c.Err = errors.Join(problems[:]...)
	return c
}

func says(members map[string]any) (all []Said) {
	for _, name := range slices.Sorted(maps.Keys(members)) {
		s := Said{Name: printable(name), Means: meanings[name]}
		switch value := members[name].(type) {
		case string:
			s.Value = printable(value)
		default:
			text, err := json.Marshal(value)
			if err != nil {
				text = []byte("?")
			}
			s.Value = printable(string(text))
			if n, ok := value.(json.Number); ok && slices.Contains([]string{"exp", "iat", "nbf", "auth_time"}, name) {
				if seconds, err := n.Int64(); err == nil && seconds > 0 && seconds < farthest {
					s.Means = strings.TrimSpace(s.Means + " " + time.Unix(seconds, 0).UTC().Format(time.RFC3339))
				}
			}
		}
		if name == "nonce" { // binds the token to the browser that asked for it
			s.Value = "[present]"
		}
		all = append(all, s)
	}
	return all
}

const maxShown = 400

// printable is a stranger's text on an operator's terminal: nothing that commands it, turns its direction or fills it.
func printable(text string) string {
	if len(text) > maxShown {
		text = strings.ToValidUTF8(text[:maxShown], "") + "…"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.QuoteToASCII(text)
	}
	return text
}

var meanings = map[string]string{
	"alg": "how it is signed", "kid": "the key that signed it", "typ": "what kind of token it is", "iss": "who issued it", "aud": "whom it is for",
	"azp": "who asked for it", "sub": "whose it is", "exp": "until", "iat": "issued", "nbf": "not before", "auth_time": "the password was asked for",
	"jti": "its number", "uti": "its number", "who": "the identity's hash", "tid": "the tenant", "oid": "the person, in the tenant", "ver": "version",
	"preferred_username": "a label", "name": "a label", "email": "a label", "groups": "memberships", "_claim_names": "claims that were left out",
}
