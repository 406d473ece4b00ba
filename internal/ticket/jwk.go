package ticket

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

const minRSABits = 2048

// usable picks the keys that may verify an ID token, each judged alone: one bad key does not spoil the others.
func (k *keySet) usable(raws []json.RawMessage) (kept []json.RawMessage, keys []jose.JSONWebKey) {
	for _, raw := range raws {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil {
			continue
		}
		if !k.mayVerify(&key) || !k.issuedFor(raw) {
			continue
		}
		kept = append(kept, raw)
		keys = append(keys, key)
	}
	return kept, keys
}

func (k *keySet) mayVerify(key *jose.JSONWebKey) bool {
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" || key.Algorithm != "" && !slices.Contains(k.cfg.Algorithms, key.Algorithm) {
		return false
	}
	switch pub := key.Key.(type) {
	case *rsa.PublicKey:
		return pub.N.BitLen() >= minRSABits && pub.E >= 3 && pub.E%2 == 1
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return key.Valid()
	}
	return false // private and symmetric keys have no place in a public set
}

// issuedFor heeds the member that Entra ID adds to its keys: shared endpoints list the keys of several issuers.
func (k *keySet) issuedFor(raw json.RawMessage) bool {
	var extra struct {
		Issuer *string `json:"issuer"`
	}
	if json.Unmarshal(raw, &extra) != nil {
		return false
	}
	return extra.Issuer == nil || k.tenant == "" || strings.ReplaceAll(*extra.Issuer, "{tenantid}", k.tenant) == k.cfg.Issuer
}

// matching returns the keys of the token's key id. Some providers list two under one id while they turn.
func (s state) matching(h header) (keys []jose.JSONWebKey) {
	for _, key := range s.parsed {
		if key.KeyID == h.kid && (key.Algorithm == "" || key.Algorithm == h.alg) {
			keys = append(keys, key)
		}
	}
	return keys
}
