package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const issuer = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0"

// tree writes files below a root of its own: name to text, mode 0600 for the secret's, else 0644.
func tree(t testing.TB, files map[string]string) Loader {
	t.Helper()
	root := Root(t.TempDir())
	for name, text := range files {
		path := root.Join(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if name == SecretFile || name == KeyFile || name == CookieKey {
			mode = 0o600
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	return Loader{Root: root, ServiceUID: func() int { return -1 }}
}

func guide(server, own string) map[string]string {
	return map[string]string{
		ServerFile: "auth-openid=1\nauth-openid-issuer=" + issuer + "\n" + server,
		SecretFile: "client-id=\"example\"\nclient-secret = 'a#b;c$HOME=d\\e'\n",
		OwnFile:    own,
	}
}

func TestTheGuidesFiles(t *testing.T) {
	l := tree(t, guide("# comment\nserver-user=rstudio-server\n auth-openid-username-claim = upn \nuser-homedir-path=\"/mnt/home\"\nauth-required-user-group=a, b\n", "keys-max-stale=12h\nusername-domain=example.com\n"))
	c, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Secret()
	if err != nil || got.Reveal() != `a#b;c$HOME=d\e` || c.ClientID != "example" {
		t.Errorf("client %q, secret %q, %v", c.ClientID, got.Reveal(), err)
	}
	if c.Issuer != issuer || c.UsernameClaim != "upn" || c.HomePath != "/mnt/home" || c.KeysMaxStale != 12*time.Hour || !slices.Equal(c.Foreign, []string{"server-user"}) ||
		!slices.Equal(c.RequiredGroups, []string{"a", "b"}) || !slices.Equal(c.UsernameDomains, []string{"example.com"}) || c.MinUID != 1000 {
		t.Errorf("Load = %+v", c)
	}
	for _, s := range c.InForce {
		if s.Key == "user-homedir-path" && (s.Value != "/mnt/home" || s.Line != 6 || s.File != string(l.Root)+ServerFile) {
			t.Errorf("in force: %+v", s)
		}
		if strings.Contains(s.Value, "a#b") {
			t.Errorf("the secret is shown: %+v", s)
		}
	}
}

func TestEverythingThatIsWrongIsSaidAtOnce(t *testing.T) {
	l := tree(t, map[string]string{
		ServerFile: "auth-openid=1\nauth-openid-issuer=https://login.microsoftonline.com/common/v2.0\nauth-openid=1\nno equals sign\nauth-minimum-user-id=0\nauth-openid-isuer=x\n",
		SecretFile: "client-secret=x\nclient-name=y\n",
		OwnFile:    "allow-loopback-htttp=1\nticket-max-age=3 days\nticket-algorithms=HS256\ninsecure-reuse-tickets=1\nticket-require-nonce=yes\n",
	})
	_, err := l.Load()
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatalf("Load = %v", err)
	}
	said := strings.ReplaceAll(problems.Error(), string(l.Root), "")
	for _, want := range []string{
		`/etc/rstudio/rserver.conf:2: auth-openid-issuer=https://login.microsoftonline.com/common/v2.0: "common" stands for every tenant there is; write your own tenant's GUID`,
		"/etc/rstudio/rserver.conf:3: auth-openid stands in line 1 already",
		"/etc/rstudio/rserver.conf:4: not a line key=value",
		"/etc/rstudio/rserver.conf:5: auth-minimum-user-id=0: not a number from 1",
		"/etc/rstudio/rserver.conf:6: warning: auth-openid-isuer is not a key of pwb's; did you mean auth-openid-issuer?",
		"/etc/rstudio/openid-client-secret:2: neither client-id nor client-secret stands before the '='; did you mean client-",
		"/etc/rstudio/openid-client-secret: client-id is missing",
		`/etc/rstudio/pwb.conf:1: unknown key "allow-loopback-htttp"; did you mean allow-loopback-http?`,
		"/etc/rstudio/pwb.conf:2: ticket-max-age=3 days: not a time from 1m0s to 24h0m0s",
		`/etc/rstudio/pwb.conf:3: ticket-algorithms=HS256: "HS256" is none of`,
		"/etc/rstudio/pwb.conf:4: insecure-reuse-tickets is for tests",
		"/etc/rstudio/pwb.conf:5: ticket-require-nonce=yes: neither 0 nor 1",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("not said: %s\nsaid:\n%s", want, said)
		}
	}
}

func TestNotConfigured(t *testing.T) {
	for _, files := range []map[string]string{{}, {ServerFile: "www-port=8787\n"}, {ServerFile: "auth-openid=0\n"}} {
		if _, err := tree(t, files).Load(); !errors.Is(err, ErrNotConfigured) {
			t.Errorf("%v: %v, want %v", files, err, ErrNotConfigured)
		}
	}
}
