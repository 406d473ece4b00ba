package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

const pamService = `# What the guide writes, with pwb in place of a password.
auth     required  pam_pwb.so
account  required  pam_pwb.so
session  required  pam_pwb.so skel=/etc/skel umask=0077
`

// What a test adds to the operator's files.
var moreServer, moreSettings string

var steps = []string{"authenticate", "acct_mgmt", "setcred", "open_session", "close_session"}

// show tells the story: what the operator sets up, how a person gets in, and who does not.
func show(m *machine, serve bool) error {
	p, err := startProvider()
	if err != nil {
		return err
	}
	defer func() { p.stop() }()
	say := &narrator{m: m}
	for _, chapter := range []func(*machine, *provider, *narrator) error{operator, aliceGetsIn, bobGetsTheNextNumber, refusals, accessEnds, theProviderManages, providerDown, noWorker} {
		if err := chapter(m, p, say); err != nil {
			return err
		}
	}
	if err := keepServing(m, say, serve); err != nil {
		return err
	}
	say.chapter("Done", fmt.Sprintf("%d checks, all as they should be. Nothing of this stays on the machine.", say.checks))
	return nil
}

// operator is the guide's part: secret, files, PAM service, name service.
func operator(m *machine, p *provider, say *narrator) error {
	say.chapter("The operator follows the guide", "The provider is zitadel/oidc on loopback, at "+p.issuer+".")
	secret, err := say.command(clientSecret+"\n", 0, "", "pwb", "encrypt-password")
	if err != nil {
		return err
	}
	files := []struct {
		name, text string
		mode       os.FileMode
	}{
		{"/etc/rstudio/openid-client-secret", "client-id=" + clientID + "\nclient-secret=" + lastLine(secret) + "\n", 0o600},
		{"/etc/rstudio/rserver.conf", "# Enable OpenID Connect authentication\nauth-openid=1\nauth-openid-issuer=" + p.issuer + "\nauth-openid-username-claim=preferred_username\nauth-openid-groups-claim=groups\n" +
			"# Just-in-time provisioning\nuser-provisioning-enabled=1\nuser-provisioning-register-on-first-login=1\nuser-provisioning-start-uid=30000\ngroup-provisioning-start-gid=30000\n" + moreServer, 0o644},
		{"/etc/rstudio/pwb.conf", "# This provider has no certificate: it is on loopback.\nallow-loopback-http=1\n" + moreSettings, 0o644},
		{"/etc/pam.d/rstudio", pamService, 0o644},
		{"/etc/nsswitch.conf", "passwd: files pwb systemd\ngroup:  files pwb systemd\nshadow: files pwb\nhosts:  files dns\n", 0o644},
	}
	if err := os.MkdirAll("/etc/rstudio", 0o755); err != nil {
		return err
	}
	for _, f := range files {
		if err := os.WriteFile(f.name, []byte(f.text), f.mode); err != nil {
			return err
		}
		say.file(f.name, f.text)
	}
	say.note("Nobody has an account here, and nobody makes one.")
	if _, err := say.command("", 2, "", "getent", "passwd", "alice"); err != nil {
		return err
	}
	if _, err := say.command("", 0, "", "chown", "rstudio-server:", "/etc/rstudio/openid-client-secret"); err != nil {
		return err
	}
	_, err = say.command("", 0, p.issuer, "pwb", "config", "check")
	return err
}

func aliceGetsIn(m *machine, p *provider, say *narrator) error {
	say.chapter("Alice signs in", "Authorization code with PKCE; the ID token that comes back is her ticket.")
	if err := m.startWorker(); err != nil {
		return err
	}
	ticket, err := p.signIn("alice@example.com")
	if err != nil {
		return err
	}
	say.note(fmt.Sprintf("Her ticket has %d characters: %.40s…", len(ticket), ticket))
	if _, err := say.command(ticket+"\n", 0, "successfully authenticated", pamtester("alice", steps...)...); err != nil {
		return err
	}
	say.note("Her first ticket has made the account, and every program knows it.")
	for _, c := range []struct {
		want string
		argv []string
	}{
		{"alice:x:30000:30000:", []string{"getent", "passwd", "alice"}},
		{"30001(g-5f0d2c9e),30002(g-c41f7b52)", []string{"id", "alice"}},
		{"alice:*:", []string{"getent", "shadow", "alice"}},
		{"drwx------ ", []string{"ls", "-la", "/home/alice"}},
	} {
		if _, err := say.command("", 0, c.want, c.argv...); err != nil {
			return err
		}
	}
	if ticket, err = p.signIn("alice@example.com"); err != nil {
		return err
	}
	_, err = say.command(ticket+"\n", 0, "(alice)", "pwb", "session", "alice", "--", "sh", "-c", "id; pwd; ls -la")
	return err
}

func bobGetsTheNextNumber(m *machine, p *provider, say *narrator) error {
	say.chapter("Bob comes, and the operator looks", "Numbers are given once, to users and groups from one sequence; groups are known by their object at the provider.")
	ticket, err := p.signIn("bob@example.com")
	if err != nil {
		return err
	}
	if _, err := say.command(ticket+"\n", 0, "(bob)", "pwb", "session", "bob", "--", "id"); err != nil {
		return err
	}
	for _, c := range []struct {
		want string
		argv []string
	}{
		{"g-c41f7b52:x:30002:alice,bob", []string{"getent", "group", "g-c41f7b52"}},
		{"", []string{"pwb", "groups", "rename", "g-c41f7b52", "everyone"}},
		{"everyone:x:30002:alice,bob", []string{"getent", "group", "30002"}},
		{"30003", []string{"pwb", "list-users"}},
		{"let in, with a good ticket", []string{"pwb", "explain-login", "bob", "rstudio"}},
	} {
		if _, err := say.command("", 0, c.want, c.argv...); err != nil {
			return err
		}
	}
	return nil
}

// accessEnds shows that a locked account is still known, since files have owners, and opens nothing.
func accessEnds(m *machine, p *provider, say *narrator) error {
	say.chapter("Bob's access ends", "His files keep their owner; no way in is left, with a ticket or without.")
	if _, err := say.command("", 0, "", "pwb", "lock-user", "bob"); err != nil {
		return err
	}
	ticket, err := p.signIn("bob@example.com")
	if err != nil {
		return err
	}
	if err := say.refusal("A good ticket of his", ticket, "Authentication failure", "locked", "bob"); err != nil {
		return err
	}
	for _, c := range []struct {
		status int
		want   string
		argv   []string
	}{
		{1, "User account has expired", pamtester("bob", "acct_mgmt")},
		{0, "bob:x:30003:", []string{"getent", "passwd", "bob"}},
		{1, "refused by: state", []string{"pwb", "explain-login", "bob"}},
		{0, "", []string{"pwb", "unlock-user", "bob"}},
		{0, "lines, whole", []string{"pwb", "audit", "verify"}},
	} {
		if _, err := say.command("", c.status, c.want, c.argv...); err != nil {
			return err
		}
	}
	return nil
}

func refusals(m *machine, p *provider, say *narrator) error {
	say.chapter("Who does not get in", "What the person sees, then what the log says.")
	ticket, err := p.signIn("alice@example.com")
	if err != nil {
		return err
	}
	if _, err := say.command(ticket+"\n", 0, "", pamtester("alice", "authenticate")...); err != nil {
		return err
	}
	if err := say.refusal("The same ticket again", ticket, "Authentication failure", "spent", "alice"); err != nil {
		return err
	}
	if ticket, err = p.signIn("bob@example.com"); err != nil {
		return err
	}
	if err := say.refusal("Somebody else's ticket: bob's, for alice", ticket, "Authentication failure", "bob", "alice"); err != nil {
		return err
	}
	p.lifetime.Store(int64(time.Second))
	ticket, err = p.signIn("alice@example.com")
	p.lifetime.Store(int64(time.Hour))
	if err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // until the ticket of one second is old
	return say.refusal("An expired ticket", ticket, "Authentication failure", "expired", "alice")
}

func providerDown(m *machine, p *provider, say *narrator) error {
	say.chapter("The provider is down", "Keys that were fetched before still verify; without them, pwb cannot tell, and says that.")
	first, err := p.signIn("alice@example.com")
	if err != nil {
		return err
	}
	second, err := p.signIn("alice@example.com")
	if err != nil {
		return err
	}
	p.stop()
	if _, err := say.command(first+"\n", 0, "successfully authenticated", pamtester("alice", "authenticate")...); err != nil {
		return err
	}
	say.note("Now without the keys: the worker starts anew, the cache is gone.")
	m.stopWorker()
	if err := quietly("sh", "-c", "rm -rf /var/cache/pwb/*"); err != nil {
		return err
	}
	if err := m.startWorker(); err != nil {
		return err
	}
	if err := say.refusal("Cannot tell", second, "Authentication service cannot retrieve authentication info", "connection refused", "alice"); err != nil {
		return err
	}
	say.note("The provider is back. The ticket was not spent, so it is still good.")
	if err := p.restart(); err != nil {
		return err
	}
	time.Sleep(time.Second) // for so long a failed question is not asked again
	_, err = say.command(second+"\n", 0, "successfully authenticated", pamtester("alice", "authenticate")...)
	return err
}

// noWorker shows the second transport: the module starts a worker for one call when nobody listens.
func noWorker(m *machine, p *provider, say *narrator) error {
	say.chapter("The worker is stopped", "The module then starts one for each call.")
	m.stopWorker()
	ticket, err := p.signIn("alice@example.com")
	if err != nil {
		return err
	}
	_, err = say.command(ticket+"\n", 0, "session has successfully been closed", pamtester("alice", steps...)...)
	return err
}

func pamtester(user string, ops ...string) []string {
	return append([]string{"pamtester", "--verbose", "rstudio", user}, ops...)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
