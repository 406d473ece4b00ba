package main

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// signIn does what a browser and a relying party do together: authorization code with PKCE (RFC 6749 4.1, RFC 7636), a
// password typed into the provider's own form, the code exchanged for tokens. It returns the ID token.
func (p *provider) signIn(name string) (string, error) {
	verifier, state := random(), random()
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Timeout: 10 * time.Second, Jar: jar, CheckRedirect: p.stopAtCallback}
	form, err := browser.Get(p.issuer + "/auth?" + url.Values{
		"client_id":             {clientID},
		"response_type":         {"code"},
		"scope":                 {"openid profile email"},
		"redirect_uri":          {p.callback()},
		"state":                 {state},
		"nonce":                 {random()},
		"code_challenge":        {challenge(verifier)},
		"code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		return "", fmt.Errorf("open the sign-in page: %w", err)
	}
	code, err := p.answerForm(browser, form, name, state)
	if err != nil {
		return "", fmt.Errorf("sign in as %s: %w", name, err)
	}
	return p.exchange(code, verifier)
}

var formID = regexp.MustCompile(`name="id" value="([^"]+)"`)

func (p *provider) answerForm(browser *http.Client, form *http.Response, name, state string) (code string, err error) {
	page, err := io.ReadAll(form.Body)
	form.Body.Close()
	id := formID.FindSubmatch(page)
	if err != nil || id == nil {
		return "", fmt.Errorf("no form in the sign-in page (%s)", form.Status)
	}
	back, err := browser.PostForm(p.issuer+"/login/username", url.Values{"id": {string(id[1])}, "username": {name}, "password": {password}})
	if err != nil {
		return "", err
	}
	back.Body.Close()
	to, err := back.Location()
	if err != nil || to.Query().Get("state") != state || to.Query().Get("code") == "" {
		return "", fmt.Errorf("the provider sent no code (%s)", back.Status)
	}
	return to.Query().Get("code"), nil
}

func (p *provider) exchange(code, verifier string) (string, error) {
	answer, err := http.PostForm(p.issuer+"/oauth/token", url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {code},
		"redirect_uri":  {p.callback()},
		"code_verifier": {verifier},
		"client_id":     {clientID},
		"client_secret": {clientSecret},
	})
	if err != nil {
		return "", fmt.Errorf("exchange the code: %w", err)
	}
	defer answer.Body.Close()
	var tokens struct {
		IDToken string `json:"id_token"`
		Error   string `json:"error_description"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&tokens); err != nil || tokens.IDToken == "" {
		return "", errors.Join(fmt.Errorf("exchange the code: %s %s", answer.Status, tokens.Error), err)
	}
	return tokens.IDToken, nil
}

// stopAtCallback follows every redirect but the last: nobody listens at the callback here.
func (p *provider) stopAtCallback(next *http.Request, _ []*http.Request) error {
	if strings.HasPrefix(next.URL.String(), p.callback()) {
		return http.ErrUseLastResponse
	}
	return nil
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
