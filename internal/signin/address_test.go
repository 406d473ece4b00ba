package signin

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestPlacesToGoTo(t *testing.T) {
	for next, want := range map[string]string{
		"/": "/", "/admin": "/admin", "/admin/users/alice": "/admin/users/alice", "/login/cli?port=1&state=x": "/login/cli?port=1&state=x",
		"": "/", "https://evil.example": "/", "//evil.example": "/", `/\evil.example`: "/", `\\evil.example`: "/", "/admin/../../evil": "/",
		"/admin//evil.example": "/", "javascript:alert(1)": "/", "/%2f%2fevil.example": "/", "/admin\r\nSet-Cookie: x=y": "/", "/admin%0d%0aX: y": "/",
		"/sign-out": "/", "/admin#x": "/", "/openid/callback?code=x": "/", "/admin/" + strings.Repeat("x", 600): "/", "http:/admin": "/", "///admin": "/",
	} {
		if got := local(next); got != want {
			t.Errorf("local(%q) = %q, want %q", next, got, want)
		}
	}
	s := newSite(t, nil)
	b := s.browser()
	resp, _ := b.get(s.agree(b.start("/sign-in?next=%2F%2Fevil.example"), "alice@example.com"))
	if to := resp.Header.Get("Location"); to != "/" {
		t.Errorf("went to %q", to)
	}
}

func FuzzLocal(f *testing.F) {
	f.Add("/admin/users/alice")
	f.Add("//evil.example/admin")
	f.Fuzz(func(t *testing.T, next string) {
		got := local(next)
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t ") {
			t.Errorf("local(%q) = %q", next, got)
		}
	})
}

func TestBelowARootPathAndBehindTLS(t *testing.T) {
	s := newSite(t, func(c *Config) { c.URL = "https://front.example/pwb" })
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "evil.example"
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	if text := w.Body.String(); strings.Contains(text, "evil.example") || strings.Count(text, `href="/pwb/`) < 3 || strings.Contains(text, `href="/s`) {
		t.Errorf("links:\n%s", text)
	}
	if w.Header().Get("Strict-Transport-Security") == "" {
		t.Error("no HSTS")
	}
	r = httptest.NewRequest("GET", "/sign-in", nil)
	r.Host = "evil.example"
	w = httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	if to := mustURL(w.Header().Get("Location")); to.Query().Get("redirect_uri") != "https://front.example/pwb/openid/callback" {
		t.Errorf("redirect URI %q", to.Query().Get("redirect_uri"))
	}
	cookie := w.Header().Get("Set-Cookie")
	for _, want := range []string{"__Host-pwb-sign-in-", "; Secure", "; HttpOnly", "; SameSite=Lax", "; Path=/;"} {
		if !strings.Contains(cookie, want) {
			t.Errorf("cookie %q has no %q", cookie, want)
		}
	}
}
