package ticket

import (
	"bytes"
	"strings"
)

// Kind is what a person has given as a password.
type Kind int

// The kinds of tickets. What is neither a code nor a session ticket is an ID token, or will be found to be none.
const (
	KindIDToken Kind = iota
	KindCode
	KindSession
)

func (k Kind) String() string {
	return [...]string{"ID token", "code", "session ticket"}[k]
}

// KindOf recognises what raw is meant to be; it is the only place that does. It judges nothing: each kind's own verifier holds
// raw to everything that makes it one, the type in its header included, so that none is ever taken for another.
func KindOf(raw []byte) Kind {
	if len(raw) <= maxCodeText && strings.HasPrefix(squeeze(raw), codePrefix) && !bytes.ContainsRune(raw, '.') {
		return KindCode
	}
	head, _, dots := bytes.Cut(raw, []byte("."))
	if !dots || len(raw) > maxSession {
		return KindIDToken
	}
	first, err := decode(string(head))
	if err != nil {
		return KindIDToken
	}
	if members, err := object(first); err == nil && members["typ"] == sessionType {
		return KindSession
	}
	return KindIDToken
}
