package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/ticket"
	"github.com/pwb-project/pwb/internal/ticket/oidctest"
)

// withCarol is a tree with one account, whose provider is on loopback.
func withCarol(t *testing.T) (*tree, *oidctest.Issuer) {
	t.Helper()
	r, idp := newTree(t), oidctest.New(t, "")
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+idp.URL+"\nuser-provisioning-enabled=1\nuser-provisioning-register-on-first-login=1\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id="+oidctest.ClientID+"\nclient-secret=b\n", 0o600)
	r.write("/etc/rstudio/pwb.conf", "allow-loopback-http=1\n", 0o644)
	r.write("/people.csv", "carol,70001,s-carol@example.com,Carol Example\n", 0o600)
	if _, errs, status := r.pwb("", "users", "import", r.dir+"/people.csv"); status != 0 {
		t.Fatal(errs)
	}
	return r, idp
}

// tickets gives out tickets of the tree's store.
func (r *tree) tickets() *provision.Tickets {
	r.t.Helper()
	cfg, err := loadConfig(root0(r))
	if err != nil {
		r.t.Fatal(err)
	}
	s, err := openStore(r.t.Context(), root0(r), true)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { s.Close() })
	return ticketsFor(cfg, s)
}

var codeForm = regexp.MustCompile(`^pwb(-[0-9a-z]{4}){7}$`)

func TestIssueCode(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("issue-code is root's")
	}
	r, _ := withCarol(t)
	// Nothing that programs see is changed: that they cannot be shown anything must not withhold an emergency's code.
	if err := os.RemoveAll(filepath.Join(r.dir, "/var/lib/pwb-nss")); err != nil {
		t.Fatal(err)
	}
	r.write("/var/lib/pwb-nss", "not a folder", 0o644)
	out, errs, status := r.pwb("", "users", "issue-code", "carol", "--reason", "lost telephone", "--service=sshd", "--lifetime", "5m")
	if err := os.Remove(filepath.Join(r.dir, "/var/lib/pwb-nss")); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	code := lines[len(lines)-1]
	if status != 0 || !codeForm.MatchString(code) || strings.Contains(errs, code) || !strings.Contains(errs, "for carol, once, until ") {
		t.Fatalf("issue-code: %q, %q, %d", out, errs, status)
	}
	text, err := os.ReadFile(r.dir + auditPath)
	if err != nil || !strings.Contains(string(text), `"reason":"lost telephone"`) || !strings.Contains(string(text), `"event":"issue-code"`) || strings.Contains(string(text), code) {
		t.Errorf("the audit file: %s, %v", text, err)
	}
	db, err := os.ReadFile(r.dir + storePath)
	if err != nil || strings.Contains(string(db), strings.ReplaceAll(code, "-", "")) || strings.Contains(string(db), code) {
		t.Errorf("the code is in the store as it is: %v", err)
	}
	out, _, status = r.pwb(strings.ToUpper(code)+"\r\n", "ticket", "inspect")
	for _, want := range []string{"kind  code", `to "carol" by "pwb users issue-code"`, "neither; until ", `"sshd" alone`, "would be taken here; it is not spent"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("inspect: %d, without %q:\n%s", status, want, out)
		}
	}
	if strings.Contains(out, code[4:13]) {
		t.Errorf("inspect shows the code:\n%s", out)
	}
	for _, tt := range []struct {
		args   string
		want   string
		status int
	}{
		{"users issue-code carol", "--reason TEXT says why", 2},
		{"users issue-code --reason x", "one USER", 2},
		{"users issue-code carol --reason", "--reason has no value", 2},
		{"users issue-code carol --reason x --lifetime 2s", "--lifetime is a time from", 2},
		{"users issue-code carol --reason x --no-such y", "--no-such", 2},
		{"users issue-code nobody-here --reason x", "pwb users link nobody-here SUBJECT", 1},
		{"users issue-code daemon --reason x", "no such account", 1},
		{"users lock carol", "", 0},
		{"users issue-code carol --reason x", "the account is locked", 1},
		{"users unlock carol", "", 0},
	} {
		out, errs, status := r.pwb("", strings.Fields(tt.args)...)
		if status != tt.status || !strings.Contains(out+errs, tt.want) || codeForm.MatchString(strings.TrimSpace(out)) {
			t.Errorf("pwb %s: %d, %q %q", tt.args, status, out, errs)
		}
	}
}

func TestInspect(t *testing.T) {
	r, idp := withCarol(t)
	tickets := r.tickets()
	session, err := tickets.Session(t.Context(), "carol", "")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, _ := tickets.Session(t.Context(), "carol", "another-host")
	code, err := tickets.Code(t.Context(), "carol", provision.CodeFor{Host: "another-host", By: "test"})
	if err != nil {
		t.Fatal(err)
	}
	grant, err := tickets.Grant(t.Context(), "carol", strings.Repeat("A", 43))
	if err != nil {
		t.Fatal(err)
	}
	token := idp.Mint("carol@example.com")
	for _, tt := range []struct {
		name, ticket string
		status       int
		want         []string
	}{
		{"an ID token", token, 0, []string{"kind                ID token", "preferred_username  carol@example.com", "binding                  carol is ", "would be taken here"}},
		{"a newcomer's", idp.Mint("dave@example.com"), 0, []string{`this ticket would open "dave"`}},
		{"root's", idp.Mint("root@example.com"), 1, []string{"refused by: login name"}},
		{"another client's", idp.Mint("carol", map[string]any{"aud": "other", "nonce": "n-secret"}), 1, []string{"refused by: audience", "nonce               [present]"}},
		{"expired", idp.Mint("carol", map[string]any{"exp": time.Now().Unix() - 5}), 1, []string{"refused by: expired"}},
		{"changed", token[:len(token)-40] + "AAAA" + token[len(token)-36:], 1, []string{"refused by: signature"}},
		{"of a terminal's enemy", idp.Mint("carol@example.com", map[string]any{"name": "\x1b[2J\u202e"}), 0, []string{`"\x1b[2J\u202e"`}},
		{"a session ticket", session.Text, 0, []string{"kind  session ticket", "signature are good; key ", "would be taken here"}},
		{"another host's", elsewhere.Text, 1, []string{"refused by: audience"}},
		{"cut", session.Text[:len(session.Text)-3], 1, []string{"refused by: length"}},
		{"another host's code", code.Text, 1, []string{"refused by: host"}},
		{"a grant", grant.Text, 1, []string{"refused by: kind"}},
		{"a code of nobody's", ticket.NewCode(), 1, []string{"refused by: given out"}},
		{"a mistyped code", strings.Replace(code.Text, "-", "-0", 1), 1, []string{"refused by: form"}},
		{"a password", "hunter2", 1, []string{"refused by: form"}},
		{"nothing", "", 1, nil},
	} {
		out, errs, status := r.pwb(tt.ticket+"\n", "ticket", "inspect")
		for _, want := range append(tt.want, "") {
			if status != tt.status || !strings.Contains(out, want) {
				t.Errorf("%s: %d, want %d; without %q:\n%s%s", tt.name, status, tt.status, want, out, errs)
			}
		}
		if i := strings.LastIndex(tt.ticket, "."); strings.Contains(out+errs, "\x1b") || i > 0 && strings.Contains(out+errs, tt.ticket[i+1:]) || strings.Contains(out, "n-secret") {
			t.Errorf("%s: a secret, or a command to the terminal, is shown:\n%q%q", tt.name, out, errs)
		}
	}
	out, _, status := r.pwb(session.Text+"\n", "ticket", "inspect", "--json")
	var report struct {
		Kind   string
		Claims map[string]string

		Verified bool
		Taken    *bool
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || status != 0 || report.Kind != "session ticket" || report.Claims["sub"] != "carol" || !report.Verified || report.Taken == nil || !*report.Taken {
		t.Errorf("--json: %v, %d, %s", err, status, out)
	}
	r.write("/ticket", token+"\n", 0o600)
	if out, _, status := r.pwb("", "ticket", "inspect", r.dir+"/ticket"); status != 0 || !strings.Contains(out, "not yet, and not by this look") {
		t.Errorf("from a file: %d, %s", status, out)
	}
	idp.Stop()
	os.RemoveAll(r.dir + cachePath)
	if out, _, status := r.pwb(token+"\n", "ticket", "inspect"); status != statusCannotTell || !strings.Contains(out, "cannot be told") {
		t.Errorf("without keys: %d, %s", status, out)
	}
	if out, _, status := r.pwb(session.Text+"\n", "ticket", "inspect"); status != 0 {
		t.Errorf("a session ticket needs no provider: %d, %s", status, out)
	}
	if err := os.Chmod(r.dir+storePath, 0o644); err != nil {
		t.Fatal(err)
	}
	out, _, status = r.pwb(session.Text+"\n", "ticket", "inspect")
	for _, want := range []string{"carol", "NOT VERIFIED", "chmod 0600", "cannot be told whether"} {
		if status != statusCannotTell || !strings.Contains(out, want) {
			t.Errorf("a store that cannot be trusted: %d, without %q:\n%s", status, want, out)
		}
	}
	out, _, _ = r.pwb(session.Text+"\n", "ticket", "inspect", "--json")
	if !strings.Contains(out, `"verified": false`) || !strings.Contains(out, `"taken": null`) {
		t.Errorf("the same as JSON:\n%s", out)
	}
}

func TestKeysOfSessionTickets(t *testing.T) {
	r, _ := withCarol(t)
	first, _, status := r.pwb("", "ticket", "keys")
	if keys, err := ticket.ParseSessionKeys([]byte(first)); err != nil || len(keys) != 1 || status != 0 {
		t.Fatalf("keys: %q, %d, %v", first, status, err)
	}
	tickets := r.tickets()
	before, _ := tickets.Session(t.Context(), "carol", "")
	if _, errs, status := r.pwb("", "ticket", "rotate-key"); status != 0 || !strings.Contains(errs, "is published, and signs from ") {
		t.Errorf("rotate-key: %q, %d", errs, status)
	}
	both, _, _ := r.pwb("", "ticket", "keys")
	if keys, _ := ticket.ParseSessionKeys([]byte(both)); len(keys) != 2 {
		t.Errorf("after a rotation: %s", both)
	}
	during, _ := tickets.Session(t.Context(), "carol", "")
	for name, s := range map[string]provision.Issued{"from before": before, "from during": during} {
		if out, _, status := r.pwb(s.Text+"\n", "ticket", "inspect"); status != 0 {
			t.Errorf("a ticket %s the rotation: %d\n%s", name, status, out)
		}
	}
	if _, errs, status := r.pwb("", "ticket", "rotate-key", "--now"); status != 0 {
		t.Errorf("rotate-key --now: %q", errs)
	}
	if out, _, status := r.pwb(during.Text+"\n", "ticket", "inspect"); status != 1 || !strings.Contains(out, "refused by: signature") {
		t.Errorf("a ticket of a key that has got out: %d\n%s", status, out)
	}
	after, err := tickets.Session(t.Context(), "carol", "")
	if err != nil {
		t.Fatal(err)
	}
	if out, _, status := r.pwb(after.Text+"\n", "ticket", "inspect"); status != 0 {
		t.Errorf("a ticket of the new key: %d\n%s", status, out)
	}
	last, _, _ := r.pwb("", "ticket", "keys")
	if keys, _ := ticket.ParseSessionKeys([]byte(last)); len(keys) != 1 || strings.Contains(last, `"d"`) {
		t.Errorf("at last: %s", last)
	}
	if _, errs, status := r.pwb("", "ticket", "rotate-key", "--after", "-1h"); status != 2 {
		t.Errorf("--after -1h: %q, %d", errs, status)
	}
}

// What an operator's commands say on a node that has keys and no provider.
func TestANodeOfSessionTickets(t *testing.T) {
	front, _ := withCarol(t)
	keys, _, _ := front.pwb("", "ticket", "keys")
	r := newTree(t)
	r.write("/etc/rstudio/pwb.conf", "session-ticket-keys=/etc/rstudio/keys.json\n", 0o644)
	if _, errs, status := r.pwb("", "config", "check"); status != 1 || !strings.Contains(errs, "session-ticket-keys: /etc/rstudio/keys.json: no such file") {
		t.Errorf("without the file: %q, %d", errs, status)
	}
	r.write("/etc/rstudio/keys.json", "{}", 0o644)
	if _, errs, status := r.pwb("", "config", "check"); status != 1 || !strings.Contains(errs, "install the output of pwb ticket keys") {
		t.Errorf("with a file that is none: %q, %d", errs, status)
	}
	r.write("/etc/rstudio/keys.json", keys, 0o644)
	if out, errs, status := r.pwb("", "config", "check"); status != 0 {
		t.Errorf("config check: %q, %q, %d", out, errs, status)
	}
	if _, errs, status := r.pwb("", "users", "link", "carol", "somebody"); status != 1 || !strings.Contains(errs, "OpenID Connect is not configured") {
		t.Errorf("users link: %q, %d", errs, status)
	}
}
