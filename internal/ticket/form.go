package ticket

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxToken = 64 << 10 // 200 groups of Entra ID are 10 KiB
	maxDepth = 16
	maxKeyID = 256
)

// token is a ticket taken apart. Nothing in it is verified before Verify says so.
type token struct {
	raw     string
	header  header
	payload []byte
	claims  map[string]any // numbers are json.Number

	issued, expires time.Time
}

type header struct {
	alg, kid string
}

// take reads the compact form of RFC 7515 and nothing looser: three parts, strict base64, one JSON object each, no member
// twice whatever its letters' case (encoding/json would take the last of "aud" and "AUD").
func take(raw []byte, algorithms []string, rightType func(typ any, given bool) bool) (*token, error) {
	if len(raw) > maxToken {
		return nil, fmt.Errorf("%w: over %d bytes", ErrMalformed, maxToken)
	}
	parts := strings.Split(string(raw), ".")
	if len(parts) < 3 && strings.HasPrefix(parts[0], `eyJ`) { // {" in base64
		return nil, cutHint(raw, fmt.Errorf("%w: %d bytes arrived, without a signature", ErrTruncated, len(raw)))
	}
	if len(parts) != 3 {
		return nil, cutHint(raw, fmt.Errorf("%w: %d parts, not three", ErrMalformed, len(parts)))
	}
	first, err := decode(parts[0])
	if err != nil {
		return nil, cutHint(raw, fmt.Errorf("%w: header: %w", ErrMalformed, err))
	}
	members, err := object(first)
	if err != nil {
		return nil, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	head, err := judgeHeader(members, algorithms, rightType)
	if err != nil {
		return nil, err
	}
	if n := signatureLength(head.alg); len(parts[2]) < base64.RawURLEncoding.EncodedLen(n) {
		return nil, fmt.Errorf("%w: its signature is too short for %s", ErrTruncated, head.alg)
	}
	payload, err := decode(parts[1])
	if err != nil {
		return nil, cutHint(raw, fmt.Errorf("%w: payload: %w", ErrMalformed, err))
	}
	if _, err := decode(parts[2]); err != nil {
		return nil, cutHint(raw, fmt.Errorf("%w: signature: %w", ErrMalformed, err))
	}
	claims, err := object(payload)
	if err != nil {
		return nil, cutHint(raw, fmt.Errorf("%w: payload: %w", ErrMalformed, err))
	}
	return &token{raw: string(raw), header: head, payload: payload, claims: claims}, nil
}

// judgeHeader allows what an ID token needs. Keys that come with a token prove nothing, and what must be understood
// ("crit") is not (CVE-2025-3757; RFC 7515 4.1.11).
func judgeHeader(members map[string]any, algorithms []string, rightType func(any, bool) bool) (header, error) {
	for name := range members {
		switch strings.ToLower(name) {
		case "crit", "b64", "zip", "cty", "jku", "x5u", "jwk", "x5c":
			return header{}, fmt.Errorf("%w: header has %q", ErrMalformed, name)
		}
	}
	if typ, there := members["typ"]; !rightType(typ, there) {
		return header{}, fmt.Errorf("%w: header says type %.20q", ErrMalformed, fmt.Sprint(typ))
	}
	alg, _ := members["alg"].(string)
	kid, _ := members["kid"].(string)
	allowed := false
	for _, a := range algorithms {
		allowed = allowed || a == alg
	}
	if !allowed {
		return header{}, fmt.Errorf("%w: %.20q", ErrAlgorithm, alg)
	}
	if kid == "" || len(kid) > maxKeyID {
		return header{}, fmt.Errorf("%w: header has no usable key id", ErrMalformed)
	}
	return header{alg, kid}, nil
}

// idTokenType takes what an ID token's header may say of its type: nothing, or JWT. Other kinds of JSON Web Tokens have types of
// their own (RFC 8725 3.11), session tickets too.
func idTokenType(typ any, given bool) bool {
	s, ok := typ.(string)
	return !given || ok && strings.EqualFold(s, "JWT")
}

// signatureLength returns how long a signature is at least; keys of RSA have 2048 bits or more here.
func signatureLength(alg string) int {
	switch alg {
	case "ES256", "EdDSA":
		return 64
	case "ES384":
		return 96
	case "ES512":
		return 132
	}
	return minRSABits / 8
}

// decode takes base64url without padding, without white space, and without bits that decode to nothing.
func decode(part string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(part)
	if err != nil || strings.ContainsAny(part, "\r\n") {
		return nil, errors.New("not base64url")
	}
	return b, nil
}

// Hosts cut what they carry at sizes of their own: sudo at 511 bytes, OpenSSH's client at 1,023,
// libpam's own conversation at 4,095.
var cuts = map[int]string{511: "sudo", 1023: "ssh and sshd's password method", 4095: "terminals and libpam's conversation"}

// cutHint says that a ticket was cut when its length says so and it was found wrong. One that nobody could judge is not wrong.
func cutHint(raw []byte, err error) error {
	who, cut := cuts[len(raw)]
	if !cut || errors.Is(err, ErrUnreachable) {
		return err
	}
	return fmt.Errorf("%w: it has exactly %d bytes, where %s cut (%w)", ErrTruncated, len(raw), who, err)
}

// object reads one JSON object, strictly. Numbers stay text.
func object(b []byte) (map[string]any, error) {
	if !utf8.Valid(b) {
		return nil, fmt.Errorf("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	v, err := value(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one JSON value")
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("not a JSON object")
	}
	return m, nil
}

func value(d *json.Decoder, depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested over %d deep", maxDepth)
	}
	tok, err := d.Token()
	if err != nil {
		return nil, fmt.Errorf("not JSON")
	}
	switch tok {
	case json.Delim('{'):
		return members(d, depth)
	case json.Delim('['):
		return elements(d, depth)
	}
	if _, ok := tok.(json.Delim); ok {
		return nil, fmt.Errorf("not JSON")
	}
	return tok, nil
}

func members(d *json.Decoder, depth int) (map[string]any, error) {
	out, seen := map[string]any{}, map[string]bool{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("not JSON")
		}
		s, ok := name.(string)
		if !ok {
			return nil, fmt.Errorf("not JSON")
		}
		folded := fold(s)
		if seen[folded] {
			return nil, fmt.Errorf("member %.40q stands twice", s)
		}
		seen[folded] = true
		if out[s], err = value(d, depth+1); err != nil {
			return nil, err
		}
	}
	_, err := d.Token()
	return out, err
}

// fold makes one of all names that encoding/json takes for the same: besides "ISS", "i\u017f\u017f" is "iss" to it.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, name)
}

func elements(d *json.Decoder, depth int) ([]any, error) {
	out := []any{}
	for d.More() {
		v, err := value(d, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	_, err := d.Token()
	return out, err
}
