package signin

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestTheProvidersRefusals(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	q := url.Values{"error": {"access_denied"}, "error_description": {"AADSTS65004: <script>alert(1)</script> Trace ID: 0c1d2e3f-0000-4000-8000-0123456789ab Correlation ID: x"}, "state": {b.start("/sign-in").Get("state")}}
	resp, text := b.get("/openid/callback?" + q.Encode())
	s.want("declined", resp, text, 403, "You were not signed in", "AADSTS65004", "0c1d2e3f-0000-4000-8000-0123456789ab")
	if strings.Contains(text, "alert(1)") {
		t.Error("the provider's words are on the page")
	}
	q = url.Values{"error": {"<b>x"}, "state": {b.start("/sign-in").Get("state")}}
	resp, text = b.get("/openid/callback?" + q.Encode())
	s.want("no known error", resp, text, 502, "an error of no known form")
	s.idp.Stop()
	other := newSite(t, nil)
	other.idp.Stop()
	resp, text = other.browser().get("/sign-in")
	other.want("provider down", resp, text, 503, "does not answer")
}

func TestAStoreThatCannotTell(t *testing.T) {
	s := newSite(t, nil)
	b := s.browser()
	b.signIn("alice@example.com")
	s.store.Close()
	resp, text := b.get("/")
	s.want("home", resp, text, 503, "cannot be looked up right now")
}

func TestErrorsThatNobodyKnowsSayNothing(t *testing.T) {
	if p := judge(errors.New("secret")); p.status != 500 || strings.Contains(fmt.Sprint(p), "secret") {
		t.Errorf("%+v", p)
	}
}
