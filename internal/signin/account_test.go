package signin

import (
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
)

func TestAGreeting(t *testing.T) {
	for claim, want := range map[any]string{"Alice Liddell": "Hello, Alice Liddell", "alice@example.com": "Hello, alice<", "": "Hello, alice<", nil: "Hello, alice<", "<b>": "Hello, &lt;b&gt;"} {
		s := newSite(t, nil)
		s.extra = map[string]any{"name": claim}
		b := s.browser()
		b.signIn("alice@example.com")
		if resp, text := b.get("/"); !strings.Contains(text, want) {
			t.Errorf("%v: %d, no %q in\n%s", claim, resp.StatusCode, want, text)
		}
	}
}

// Another person with the same name, as after a leaver's address was given to a joiner, gets no account and a reason.
func TestANameThatIsTaken(t *testing.T) {
	s := newSite(t, nil)
	s.browser().signIn("alice@example.com")
	s.extra = map[string]any{"sub": "another-person"}
	b := s.browser()
	resp, text := b.get(s.agree(b.start("/sign-in"), "alice@example.com"))
	s.want("another alice", resp, text, 403, "Your login name is taken", "belongs to somebody else", "help@example.com", "Reference")
	if b.signedIn() {
		t.Error("another alice is signed in")
	}
}

// The provider's word ends a session for good, and is not an administrator's to take back.
func TestAnAccountThatTheProviderDeactivates(t *testing.T) {
	s := newSite(t, nil)
	accounts := s.cfg.Accounts
	accounts.Directory = &provision.Directory{
		Store: s.store, Issuer: s.idp.URL, Suffix: true, Leave: provision.Leaving("suspend-new", time.Minute),
		Subject: func(id string) (string, bool) { return id, true }, Audit: s.cfg.Audit, Report: func(err error) { t.Error(err) },
	}
	bob := store.ScimUser{ID: "1", UserName: "bob@example.com", ExternalID: "s-bob@example.com", Active: true, Doc: []byte(`{"userName":"bob@example.com"}`)}
	if _, err := accounts.CreateUser(t.Context(), bob, provision.Actor{}); err != nil {
		t.Fatal(err)
	}
	active := func(active bool) {
		if _, err := accounts.ChangeUser(t.Context(), "1", func(u *store.ScimUser) error { u.Active = active; return nil }, provision.Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	b := s.browser()
	begun := s.agree(b.start("/sign-in"), "bob@example.com")
	b.signIn("bob@example.com")
	active(false)
	resp, text := b.get(begun)
	s.want("deactivated on the way", resp, text, 403, "Your account is not active")
	s.extra = map[string]any{"groups": []string{admins}}
	alice := s.browser()
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin/users/bob")
	if s.want("bob's page", resp, text, 200, "The identity provider has deactivated this account"); strings.Contains(text, "Unlock") {
		t.Error("a button that would do nothing")
	}
	if active(true); b.signedIn() {
		t.Error("bob is signed in again by being active again")
	}
	b.signIn("bob@example.com")
}

func TestRulesOfTheMachine(t *testing.T) {
	s := newSite(t, func(c *Config) { c.Accounts.Admission.DenyUsers = []string{"bob"} })
	b := s.browser()
	resp, text := b.get(s.agree(b.start("/sign-in"), "bob@example.com"))
	s.want("bob", resp, text, 403, "You may not use this server")
	b.signIn("alice@example.com")
	s.cfg.Accounts.Admission.DenyUsers = []string{"alice"}
	resp, text = b.post("/code", nil)
	s.want("a code for alice, who is not let in any more", resp, text, 403, "You may not use this server")
}
