// Package account says what an account is: the identity that a verified ticket proves, the login names that may stand for
// it, and the ids that are never given. It does no I/O and knows no other package of pwb.
package account

import "fmt"

// UID is a Linux user id.
type UID uint32

// GID is a Linux group id.
type GID uint32

// Identity is what a verified ticket proves. Issuer and Subject together name one person for ever (OpenID Connect Core
// 1.0, 5.7); every other field is a label that the provider may change at any time and that decides nothing.
type Identity struct {
	Issuer   string // the provider's issuer URL, byte for byte as configured
	Subject  string // Entra ID: "TENANT/OBJECT" (tid + oid); others: the sub claim
	Username string // the value of the configured username claim, as it came
}

// Key returns the identity's stable part in a form for messages and logs.
func (id Identity) Key() string {
	return fmt.Sprintf("%s#%s", id.Issuer, id.Subject)
}
