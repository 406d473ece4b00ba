package ticket

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// A code is "pwb-" and 28 symbols in groups of four, 38 characters in all: 26 are random, 130 bits, and two are a checksum that
// tells a slip of the hand from a guess. The symbols are Crockford's, which has no letters that look like digits.
const (
	codePrefix   = "pwb"
	codeSymbols  = 26
	codeChecks   = 2
	codeAlphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	maxCodeText  = 128 // with all the blanks that a paste may bring along
)

// ErrCode is in the error of every text that looks like a code and is none.
var ErrCode = errors.New("not a code")

// NewCode returns a new code, as it is shown to a person.
func NewCode() string {
	random := make([]byte, codeSymbols)
	rand.Read(random)
	for i, b := range random {
		random[i] = codeAlphabet[b&31]
	}
	symbols := string(random) + checksum(string(random))
	var out strings.Builder
	out.WriteString(codePrefix)
	for i := 0; i < len(symbols); i += 4 {
		out.WriteString("-" + symbols[i:i+4])
	}
	return out.String()
}

func checksum(symbols string) string {
	sum := sha256.Sum256([]byte("pwb code " + symbols))
	return string([]byte{codeAlphabet[sum[0]&31], codeAlphabet[sum[1]&31]})
}

// Code is a code as the store knows it: its hash. Who reads the store cannot use one.
type Code [sha256.Size]byte

// ParseCode reads a code as people paste and type it: in any letters, with blanks, line ends and hyphens wherever they are, and
// with the letters that Crockford reads as digits. The error is ErrCode, and never repeats the text.
func ParseCode(raw []byte) (Code, error) {
	symbols, err := codeText(raw)
	if err != nil {
		return Code{}, err
	}
	if len(symbols) != codeSymbols+codeChecks {
		return Code{}, fmt.Errorf("%w: %d symbols, not %d", ErrCode, len(symbols), codeSymbols+codeChecks)
	}
	if random := symbols[:codeSymbols]; checksum(random) != symbols[codeSymbols:] {
		return Code{}, fmt.Errorf("%w: mistyped, or not one of pwb's", ErrCode)
	}
	return sha256.Sum256([]byte("pwb code " + symbols)), nil
}

// codeText returns a code's symbols, in small letters and without all that stands between them.
func codeText(raw []byte) (string, error) {
	if len(raw) > maxCodeText {
		return "", fmt.Errorf("%w: over %d bytes", ErrCode, maxCodeText)
	}
	symbols, ok := strings.CutPrefix(squeeze(raw), codePrefix)
	if !ok {
		return "", fmt.Errorf("%w: it does not begin with %s-", ErrCode, codePrefix)
	}
	symbols = strings.NewReplacer("o", "0", "i", "1", "l", "1").Replace(symbols)
	if strings.ContainsFunc(symbols, func(r rune) bool { return !strings.ContainsRune(codeAlphabet, r) }) {
		return "", fmt.Errorf("%w: a character that no code has", ErrCode)
	}
	return symbols, nil
}

// squeeze takes out what pastes and typists put between letters: blanks, line ends, every kind of hyphen, and marks that have no
// width.
func squeeze(raw []byte) string {
	return strings.Map(func(r rune) rune {
		const minus = '\u2212'
		if unicode.IsSpace(r) || r == minus || unicode.In(r, unicode.Pd, unicode.Cf) {
			return -1
		}
		return unicode.ToLower(r)
	}, string(raw))
}
