package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/config"
)

const entra = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"

func (r *tree) root() config.Root { return config.Root(r.dir) }

// The guide's "complete minimal configuration", with ids in the place of its examples.
const guidesExample = `www-port=8787
server-health-check-enabled=1
# auth-minimum-user-id=100
launcher-sessions-enabled=1
# Use localhost as your launcher address
launcher-address=localhost
launcher-port=5559
# Use the https address of your load balancer, proxy, or server
launcher-sessions-callback-address=https://workbench.example.com
launcher-default-cluster=Local
# OpenID
auth-openid=1
auth-openid-issuer=` + entra + `
# JIT
user-provisioning-enabled=1
user-provisioning-register-on-first-login=1
auth-pam-sessions-enabled=1
`

func TestConfigCheckOfTheGuidesExample(t *testing.T) {
	r := newTree(t)
	r.write("/etc/rstudio/rserver.conf", guidesExample, 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=\"6731de76-14a6-49ae-97bc-6eba6914391e\"\nclient-secret=\"example\"\n", 0o600)
	r.write("/etc/login.defs", "UID_MIN 500\n", 0o644)
	out, errs, status := r.pwb("", "config", "check", "--offline")
	if status != 0 || errs != "" {
		t.Errorf("config check: %q, %d", errs, status)
	}
	for _, want := range [][]string{
		{"auth-openid", "1", "/etc/rstudio/rserver.conf:12"},
		{"auth-openid-issuer", entra, "/etc/rstudio/rserver.conf:13"},
		{"auth-openid-username-claim", "preferred_username", "default"},
		{"auth-minimum-user-id", "500", "/etc/login.defs:1"},
		{"client-id", "6731de76-14a6-49ae-97bc-6eba6914391e", "/etc/rstudio/openid-client-secret:1"},
		{"client-secret", "[plain text; pwb encrypt-password encrypts it]", "/etc/rstudio/openid-client-secret:2"},
		{"username-domain", "strip", "default"},
	} {
		if !slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return slices.Equal(strings.Fields(line), strings.Fields(strings.Join(want, " ")))
		}) {
			t.Errorf("no line %v in:\n%s", want, out)
		}
	}
	if want := "other keys of rserver.conf, not pwb's: server-health-check-enabled launcher-sessions-enabled " +
		"launcher-address launcher-port launcher-default-cluster\n"; !strings.HasSuffix(out, want) {
		t.Errorf("the end of %q is not %q", out, want)
	}
}

// Every problem at once, and what is right all the same; as JSON too.
func TestConfigCheckSaysEverything(t *testing.T) {
	r := newTree(t)
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+entra+"\nauth-required-user-group=\n", 0o644)
	r.write("/etc/rstudio/openid-client-secret", "client-id=x\nclient-secret=y\n", 0o644)
	r.write("/etc/rstudio/pwb.conf", "ticket-max-age=1h\nkeys-max-stael=1h\n", 0o644)
	out, errs, status := r.pwb("", "config", "check")
	const want = "pwb: /etc/rstudio/openid-client-secret: client secret is readable by others (mode 0644); run: chmod 0600 /etc/rstudio/openid-client-secret\n" +
		"pwb: /etc/rstudio/pwb.conf:2: unknown key \"keys-max-stael\"; did you mean keys-max-stale?\n" +
		"pwb: /etc/rstudio/rserver.conf:3: auth-required-user-group is empty; give it a value, or remove the line for the default\n"
	if errs != want || status != 1 {
		t.Errorf("config check: %q, %d; want %q", errs, status, want)
	}
	if !strings.Contains(out, "ticket-max-age") || strings.Contains(out, "auth-required-user-group") {
		t.Errorf("in force: %s", out)
	}
	out, errs, status = r.pwb("", "config", "check", "--json")
	rep := parseReport(t, out)
	if errs != "" || status != 1 || len(rep.Problems) != 3 || rep.Problems[1].Line != 2 || rep.Problems[1].Warning || rep.Foreign == nil || rep.Provider == nil {
		t.Errorf("--json: %q, %d, %+v", errs, status, rep)
	}
}

// Entra shows a secret's Value and its Secret ID side by side; the guide warns of the mistake.
func TestConfigCheckOfASecretThatIsAnID(t *testing.T) {
	r := newTree(t)
	const id = "6731de76-14a6-49ae-97bc-6eba6914391e"
	value, _, _ := r.pwb(id+"\n", "encrypt-password")
	for issuer, warned := range map[string]bool{entra: true, "https://keycloak.example.com/realms/people": false} {
		r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+issuer+"\n", 0o644)
		r.write("/etc/rstudio/openid-client-secret", "client-id=x\nclient-secret="+value, 0o600)
		_, errs, status := r.pwb("", "config", "check", "--offline")
		if status != 0 || strings.Contains(errs, "warning: client-secret "+likeID) != warned || strings.Contains(errs, id) {
			t.Errorf("%s: %q, %d", issuer, errs, status)
		}
	}
}

// config check finds what the worker never looks at: whether the secret can be decrypted.
func TestConfigCheckOfEncryptedSecrets(t *testing.T) {
	r := newTree(t)
	r.write("/etc/rstudio/rserver.conf", "auth-openid=1\nauth-openid-issuer="+entra+"\n", 0o644)
	r.write("/etc/rstudio/secure-cookie-key", "d3161166-e89b-4158-af3b-5980e3056cc6\n", 0o600)
	const vector = "OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCM"
	for _, tt := range []struct{ value, shown, errs string }{
		{"BFA25145" + vector + "BFA25145", "[encrypted by Workbench]", ""},
		{"BFA25146" + vector + "BFA25146", "[encrypted by Workbench]", "pwb: /etc/rstudio/openid-client-secret: decrypt client-secret: encrypted with another key: fingerprint mismatch, the value has BFA25146, secure-cookie-key BFA25145\n"},
		{"pwb1:00000000:AAAA", "[encrypted by pwb]", "pwb: /etc/rstudio/openid-client-secret: decrypt client-secret: /etc/rstudio/pwb-secret.key: no such file or directory; it comes from the machine where pwb encrypt-password ran, or run that again\n"},
	} {
		r.write("/etc/rstudio/openid-client-secret", "client-id=x\nclient-secret="+tt.value+"\n", 0o600)
		out, errs, status := r.pwb("", "config", "check", "--offline")
		if errs != tt.errs || (status == 0) != (tt.errs == "") || !strings.Contains(out, tt.shown) || strings.Contains(out, "success") {
			t.Errorf("%s: %q, %q, %d; want %q, %q", tt.value, out, errs, status, tt.shown, tt.errs)
		}
	}
}
