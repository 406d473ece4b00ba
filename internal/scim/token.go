package scim

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"strings"
)

// A token is pwb_scim_ID_SECRETCHECK: an id of 8 characters to look it up by, 43 characters that hold 256 random bits, and a
// CRC-32 of all before it in 6 characters, by which scanners for lost secrets know it from other text. The alphabet is base62, so
// a double click takes all of it.
const (
	tokenPrefix = "pwb_scim_"
	idLength    = 8
	secretBits  = 256
	secretSize  = 43
	checkSize   = 6
	base62      = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// The scopes of a token.
const (
	ScopeWrite = "scim:write"
	ScopeRead  = "scim:read"
)

// MinFileToken is how long a token from a file must be, in characters.
const MinFileToken = 32

// NewToken makes a token.
func NewToken() (text, id string, hash [32]byte, err error) {
	return newToken(rand.Reader)
}

func newToken(random io.Reader) (text, id string, hash [32]byte, err error) {
	var raw [8 + secretBits/8]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", "", hash, fmt.Errorf("random bytes: %w", err)
	}
	id = inBase62(raw[:8], 11)[11-idLength:]
	text = tokenPrefix + id + "_" + inBase62(raw[8:], secretSize)
	text += check(text)
	return text, id, HashToken(text), nil
}

// HashToken is what is kept of a token. It needs no salt and no slow function: nobody guesses 256 bits.
func HashToken(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func check(text string) string {
	sum := crc32.ChecksumIEEE([]byte(text))
	return inBase62([]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}, checkSize)
}

func inBase62(raw []byte, size int) string {
	n, sixtyTwo, digit := new(big.Int).SetBytes(raw), big.NewInt(62), new(big.Int)
	out := make([]byte, size)
	for i := size - 1; i >= 0; i-- {
		n.DivMod(n, sixtyTwo, digit)
		out[i] = base62[digit.Int64()]
	}
	return string(out)
}

var errNoToken = errors.New("not a token of this service")

// parseToken returns the id of a token that was written without a mistake.
func parseToken(text string) (id string, err error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) != idLength+1+secretSize+checkSize || rest[idLength] != '_' {
		return "", errNoToken
	}
	body := text[:len(text)-checkSize]
	if check(body) != text[len(body):] {
		return "", errNoToken
	}
	return rest[:idLength], nil
}
