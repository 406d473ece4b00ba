package signin

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestAdministrators(t *testing.T) {
	s := newSite(t, nil)
	bob := s.browser()
	bob.signIn("bob@example.com")
	for _, path := range []string{"/admin", "/admin/groups", "/admin/decisions", "/admin/users/bob", "/admin/users/bob/lock"} {
		resp, text := bob.get(path)
		s.want("bob at "+path, resp, text, 403, "for administrators")
	}
	resp, text := bob.post("/admin/users/bob/lock", nil)
	s.want("bob locks", resp, text, 403, "for administrators")
	s.extra = map[string]any{"groups": []string{admins}}
	alice := s.browser()
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin")
	s.want("users", resp, text, 200, "/admin/users/bob", "bob@example.com", "30000")
	resp, text = alice.get("/admin?q=ali")
	if s.want("search", resp, text, 200, "/admin/users/alice"); strings.Contains(text, "/admin/users/bob") {
		t.Error("bob found for ali")
	}
	resp, text = alice.get("/admin?q=%22%3E%3Cscript%3E")
	if s.want("a hostile search", resp, text, 200); strings.Contains(text, "<script>\"") || strings.Contains(text, `"><script`) {
		t.Errorf("hostile search:\n%s", text)
	}
	resp, text = alice.get("/admin/groups")
	s.want("groups", resp, text, 200, admins)
	gid := regexp.MustCompile(`/admin/groups/([0-9]+)`).FindStringSubmatch(text)
	resp, text = alice.get("/admin/groups/" + gid[1])
	s.want("group", resp, text, 200, "/admin/users/alice")
	resp, text = alice.get("/admin/decisions")
	s.want("decisions", resp, text, 200, "&lt;b&gt;sign-in")
	resp, text = alice.get("/admin/tokens")
	s.want("tokens", resp, text, 200, "Entra ID", "pwbt_1…", "never")
	resp, text = alice.get("/admin/users/bob/lock")
	s.want("confirm", resp, text, 200, "Lock bob?", "It is kept that alice did it")
	if !bob.signedIn() {
		t.Error("bob is out before he is locked")
	}
	resp, _ = alice.post("/admin/users/bob/lock", nil)
	if resp.StatusCode != 303 || bob.signedIn() {
		t.Errorf("locked: %d, and bob signed in: %v", resp.StatusCode, bob.signedIn())
	}
	if !strings.Contains(fmt.Sprint(s.audit), "by:alice") {
		t.Errorf("audit: %v", s.audit)
	}
	resp, text = alice.post("/admin/users/alice/lock", nil)
	s.want("herself", resp, text, 403, "your own account")
	alice.post("/admin/users/bob/unlock", nil)
	s.extra = nil
	bob.signIn("bob@example.com")
	for _, path := range []string{"/admin/users/nobody", "/admin/users/bob/delete", "/admin/groups/1", "/admin/groups/x"} {
		resp, text = alice.get(path)
		s.want(path, resp, text, 404)
	}
	// A list that the provider leaves out opens nothing.
	s.extra = map[string]any{"groups": nil, "hasgroups": true}
	alice.signIn("alice@example.com")
	resp, text = alice.get("/admin")
	s.want("after an overage", resp, text, 403, "for administrators")
}
