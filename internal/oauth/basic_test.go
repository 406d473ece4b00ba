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
			io.WriteString(w, `{"error":"invalid_client"}`)
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
			t.Errorf("%s, %v", token, err)
		}
	}
	if got := strings.Join(asked, " "); got != "params basic basic" {
		t.Errorf("asked with %s", got)
	}
}
