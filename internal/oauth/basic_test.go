package oauth

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// A client that is registered for client_secret_basic, the default of OpenID Connect Registration, is known by nothing else.
func TestAProviderThatWantsTheSecretInAHeader(t *testing.T) {
	// RFC 6749 5.2 has invalid_client for it. Auth0 says access_denied, Keycloak unauthorized_client; the status is the same.
	for _, says := range []string{`{"error":"invalid_client"}`, `{"error":"access_denied"}`, `{"error":"unauthorized_client"}`, `no JSON`} {
		wantsHeader(t, says)
	}
}

func wantsHeader(t *testing.T, says string) {
	idp := oidctest.New(t, "")
	asked := []string{}
	idp.Lie(func(w http.ResponseWriter, r *http.Request, truth []byte) {
		if !strings.HasSuffix(r.URL.Path, "/token") {
			w.Write(truth)
			return
		}
		id, secret, basic := r.BasicAuth()
		if !basic || id != oidctest.ClientID || secret != "s%3A" || r.FormValue("client_secret") != "" {
			asked = append(asked, "params")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, says)
			return
		}
		asked = append(asked, "basic")
		json.NewEncoder(w).Encode(map[string]string{"access_token": "a", "token_type": "Bearer", "id_token": "x.y.z"})
	})
	c, err := Open(Config{Issuer: idp.URL, ClientID: oidctest.ClientID, AllowLoopbackHTTP: true, Secret: func() (string, error) { return "s:", nil }})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if token, err := c.Exchange(t.Context(), "code", "http://127.0.0.1/cb", NewVerifier()); err != nil || string(token.ID) != "x.y.z" {
			t.Errorf("%s: %s, %v", says, token, err)
		}
	}
	if got := strings.Join(asked, " "); got != "params basic basic" {
		t.Errorf("%s: asked with %s", says, got)
	}
}
