package signin

import (
	"net/url"
	"testing"
)

func TestForeignForms(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn("alice@example.com")
	token := b.token("/")
	other := s.browser()
	other.signIn("bob@example.com")
	for _, tt := range []struct {
		name    string
		token   string
		headers []string
	}{
		{"without a token", "", nil},
		{"with another session's token", other.token("/"), nil},
		{"from another site", token, []string{"Sec-Fetch-Site", "cross-site"}},
		{"from a neighbour", token, []string{"Sec-Fetch-Site", "same-site"}},
		{"of another origin", token, []string{"Origin", "https://evil.example"}},
		{"of no origin", token, []string{"Origin", "null"}},
	} {
		for _, path := range []string{"/code", "/session-ticket", "/sign-out", "/sign-out/everywhere", "/login/cli"} {
			resp, text := b.do("POST", path, url.Values{"token": {tt.token}}, tt.headers...)
			s.want(path+" "+tt.name, resp, text, 403, "This form is out of date")
		}
	}
	if !b.signedIn() {
		t.Error("a foreign form has signed alice out")
	}
	// Another site's link begins no sign-in.
	resp, text := b.do("GET", "/sign-in", nil, "Sec-Fetch-Site", "cross-site")
	s.want("another site's link", resp, text, 200, "<h1>Sign in</h1>")
}
