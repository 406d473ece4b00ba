// Package oidctest is an OpenID provider for tests: it serves a discovery document and a key set on loopback, signs whatever
// tokens a test wants, and turns its keys, lies, stalls and dies on request. People sign in to it by another device alone; tests
// that need a browser's sign-in use a provider that pwb's authors did not write (demo).
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// ClientID is the client that the tokens are for.
const ClientID = "pwb-test"

// Issuer is a provider that listens until the test ends.
type Issuer struct {
	URL string

	t      testing.TB
	addr   string
	server *http.Server

	mu      sync.Mutex // guards what follows
	made    int        // keys in all; a key id is never given out twice
	keys    []key
	fetches map[string]int
	lie     func(w http.ResponseWriter, r *http.Request, truth []byte) // nil tells the truth
	devices []*device
}

// device is a sign-in that waits for a person (RFC 8628).
type device struct {
	code, userCode string
	username       string // who has signed in
	declined       bool
}

type key struct {
	id     string
	signer crypto.Signer
	alg    jose.SignatureAlgorithm
}

// New starts an issuer at http://127.0.0.1:PORT with below behind it, and one ES256 key: its tokens are short.
func New(t testing.TB, below string) *Issuer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &Issuer{t: t, addr: l.Addr().String(), URL: "http://" + l.Addr().String() + below, fetches: map[string]int{}}
	i.Rotate(false)
	i.serve(l)
	t.Cleanup(i.Stop)
	return i
}

func (i *Issuer) serve(l net.Listener) {
	i.server = &http.Server{Handler: i, ReadHeaderTimeout: time.Minute}
	go i.server.Serve(l)
}

// Stop closes the port and all connections: the provider is down.
func (i *Issuer) Stop() { i.server.Close() }

// Start listens again, at the same address and with the same keys.
func (i *Issuer) Start() {
	i.t.Helper()
	l, err := net.Listen("tcp", i.addr)
	if err != nil {
		i.t.Fatal(err)
	}
	i.serve(l)
}

// Rotate makes a new signing key; the old ones stay published unless they are withdrawn.
func (i *Issuer) Rotate(withdraw bool) {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	i.add(signer, jose.ES256, err, withdraw)
}

// RotateRSA is Rotate with a key of so many bits, for RS256.
func (i *Issuer) RotateRSA(bits int) {
	signer, err := rsa.GenerateKey(rand.Reader, bits)
	i.add(signer, jose.RS256, err, false)
}

func (i *Issuer) add(signer crypto.Signer, alg jose.SignatureAlgorithm, err error, withdraw bool) {
	i.t.Helper()
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if withdraw {
		i.keys = nil
	}
	i.made++
	i.keys = append(i.keys, key{fmt.Sprint(i.made), signer, alg})
}

// Lie has f answer every request from now on; truth is what would have been said. Nil ends that.
func (i *Issuer) Lie(f func(w http.ResponseWriter, r *http.Request, truth []byte)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lie = f
}

// Fetches returns how often the key set was asked for.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches["keys"]
}

// ServeHTTP answers as the provider.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	i.fetches[path.Base(r.URL.Path)]++
	lie, truth, status := i.lie, []byte(nil), http.StatusOK
	switch {
	case r.URL.Path == "/device", r.URL.Path == "/token":
		i.mu.Unlock()
		status, truth = i.answerDevice(r)
		i.mu.Lock()
	case strings.HasSuffix(r.URL.Path, "/keys"):
		truth = i.keySet()
	default:
		truth, _ = json.Marshal(map[string]any{
			"issuer": i.URL, "jwks_uri": i.URL + "/keys", "device_authorization_endpoint": i.URL + "/device", "authorization_endpoint": i.URL + "/authorize",
			"token_endpoint": i.URL + "/token", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256", "ES256"},
		})
	}
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if lie != nil {
		lie(w, r, truth)
		return
	}
	w.WriteHeader(status)
	w.Write(truth)
}

// answerDevice is both ends of the device flow.
func (i *Issuer) answerDevice(r *http.Request) (status int, body []byte) {
	answer := func(status int, fields map[string]any) (int, []byte) {
		b, _ := json.Marshal(fields)
		return status, b
	}
	if r.Method != http.MethodPost || r.PostFormValue("client_id") != ClientID {
		return answer(http.StatusBadRequest, map[string]any{"error": "invalid_client"})
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if r.URL.Path == "/device" {
		d := &device{code: rand.Text(), userCode: rand.Text()[:4] + "-" + rand.Text()[:4]}
		i.devices = append(i.devices, d)
		return answer(http.StatusOK, map[string]any{
			"device_code": d.code, "user_code": d.userCode, "verification_uri": i.URL + "/enter", "expires_in": 600, "interval": 1,
		})
	}
	for _, d := range i.devices {
		switch {
		case d.code != r.PostFormValue("device_code"):
		case d.declined:
			return answer(http.StatusBadRequest, map[string]any{"error": "access_denied"})
		case d.username != "":
			username := d.username
			i.mu.Unlock()
			defer i.mu.Lock()
			return answer(http.StatusOK, map[string]any{"access_token": "x", "token_type": "Bearer", "id_token": i.Mint(username)})
		default:
			return answer(http.StatusBadRequest, map[string]any{"error": "authorization_pending"})
		}
	}
	return answer(http.StatusBadRequest, map[string]any{"error": "expired_token"})
}

// Enter is the person at another device, who types the code and signs in, or declines when username is "".
func (i *Issuer) Enter(userCode, username string) {
	i.t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, d := range i.devices {
		if d.userCode == userCode {
			d.username, d.declined = username, username == ""
			return
		}
	}
	i.t.Errorf("nobody was given the code %q", userCode)
}

func (i *Issuer) keySet() []byte {
	set := jose.JSONWebKeySet{}
	for _, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.signer.Public(), KeyID: k.id, Use: "sig", Algorithm: string(k.alg)})
	}
	b, err := json.Marshal(set)
	if err != nil {
		i.t.Error(err)
	}
	return b
}

// Claims returns a good ID token's claims for a username; the subject is made from it.
func (i *Issuer) Claims(username string) map[string]any {
	now := time.Now()
	return map[string]any{
		"iss": i.URL, "aud": ClientID, "sub": "s-" + username, "preferred_username": username,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "jti": rand.Text()[:12],
	}
}

// Mint signs a good token for a username, with claims changed or, where the value is nil, left out.
func (i *Issuer) Mint(username string, changes ...map[string]any) string {
	i.t.Helper()
	claims := i.Claims(username)
	for _, c := range changes {
		maps.Copy(claims, c)
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	if err != nil {
		i.t.Fatal(err)
	}
	return i.Sign(payload, nil)
}

// Sign signs payload with the newest key. Header members are added to alg and kid, and may replace kid.
func (i *Issuer) Sign(payload []byte, header map[string]any) string {
	i.t.Helper()
	i.mu.Lock()
	k := i.keys[len(i.keys)-1]
	i.mu.Unlock()
	opts := (&jose.SignerOptions{}).WithHeader("kid", k.id)
	for name, v := range header {
		opts.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: k.alg, Key: k.signer}, opts)
	if err != nil {
		i.t.Fatal(err)
	}
	jws, err := signer.Sign(payload)
	if err != nil {
		i.t.Fatal(err)
	}
	token, err := jws.CompactSerialize()
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}
