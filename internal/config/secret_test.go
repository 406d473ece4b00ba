package config

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/secret"
)

// "The guide page renders both keys on one line; that is HTML flattening; still, tolerate it."
func TestOneLineOfTwoKeys(t *testing.T) {
	for _, tt := range []struct{ text, id, secret, want string }{
		{"client-id=a client-secret=b\n", "a", "b", ""},
		{`client-id="a b" client-secret="c"`, "a b", "c", ""},
		{"client-secret = 'b#;' \t client-id = a", "a", "b#;", ""},
		{"client-id=a client-secret=b=c client-id=d", "a", "b=c client-id=d", ""},
		{"client-id=aclient-secret=b\nclient-secret=c", "aclient-secret=b", "c", ""},
		{"client-id=a client-secret=b\nclient-secret=c\n", "", "", ":2: client-secret stands in line 1 already"},
		{"client-id=a client-id=b\nclient-secret=c\n", "a client-id=b", "c", ""},
	} {
		files := guide("", "")
		files[SecretFile] = tt.text
		c, err := tree(t, files).Load()
		if tt.want != "" {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%q: %v, want %q", tt.text, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		got, err := c.Secret()
		if err != nil || c.ClientID != tt.id || got.Reveal() != tt.secret {
			t.Errorf("%q: %q, %q, %v; want %q, %q", tt.text, c.ClientID, got.Reveal(), err, tt.id, tt.secret)
		}
	}
}

func TestEncryptedSecrets(t *testing.T) {
	l := tree(t, guide("", ""))
	k, err := secret.CreateKey(l.Root.Join(KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	const cookie = "d3161166-e89b-4158-af3b-5980e3056cc6\n"
	os.WriteFile(l.Root.Join(CookieKey), []byte(cookie), 0o600)
	for _, tt := range []struct{ value, want, wantErr string }{
		{k.Seal("client-secret", "ours"), "ours", ""},
		{k.Seal("password", "ours"), "", "decrypt client-secret: damaged, or not meant for this setting; run pwb encrypt-password again on this machine"},
		{"pwb1:00000000:AAAA", "", "decrypt client-secret: encrypted with another key"},
		{"BFA25145OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCMBFA25145", "success", ""},
		{"BFA25146OoPWwVZMdN/K7eDJUD5gLg916yildo6m+XG0+Sld7r+SuKXS3Rsi/TC0qbVZ5uCMBFA25146", "", "fingerprint mismatch"},
		{"plain", "plain", ""},
	} {
		os.WriteFile(l.Root.Join(SecretFile), []byte("client-id=c\nclient-secret="+tt.value+"\n"), 0o600)
		c, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Secret()
		if got.Reveal() != tt.want || (err == nil) != (tt.wantErr == "") || !strings.Contains(message(err), tt.wantErr) {
			t.Errorf("%.20s: %q, %v; want %q, %q", tt.value, got.Reveal(), err, tt.want, tt.wantErr)
		}
	}
	os.Chmod(l.Root.Join(KeyFile), 0o640)
	os.WriteFile(l.Root.Join(SecretFile), []byte("client-id=c\nclient-secret="+k.Seal("client-secret", "x")+"\n"), 0o600)
	c, err := l.Load()
	if err != nil {
		t.Fatal(err) // tickets are judged without the secret
	}
	if _, err := c.Secret(); !strings.Contains(message(err), "key is readable by others (mode 0640); run: chmod 0600 ") {
		t.Errorf("a key that others can read: %v", err)
	}
}

// lesson 11, GHSA-p989-2f5w-9cf6: no secret in logs. Neither in a Config that somebody prints, nor in a problem about the file
// that it is in.
func TestTheSecretIsNotShown(t *testing.T) {
	for _, text := range []string{
		"client-id=a\nclient-secret=hunter2hunter2\n",
		"client-id=a\nhunter2hunter2==\n",                                        // base64, folded by an editor
		"client-id=a\nhunter2hunter2\n",                                          // the value alone
		"client-id=a\nclient-secret=x\nclient-secret=hunter2hunter2\n",           // twice
		"client-id=a\nclient-secret=x\nclient-secrets=hunter2hunter2\n",          // misspelt
		"client-id=a\nclient-secret=hunter2\u200bhunter2\n",                      // with something that cannot be seen
		"client-id=a\nclient-secret=hunter2\x01hunter2\n",                        // or sent
		"client-id=a\nclient-secret=hunter2hunter2\nhunter2 = b\nhunter2 = c\n",  // a key, twice
		"client-id=a client-secret=hunter2hunter2\nclient-secret=hunter2again\n", // on one line
	} {
		files := guide("", "")
		files[SecretFile] = text
		c, err := tree(t, files).Load()
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "error", err)
		for _, out := range []string{message(err), fmt.Sprintf("%v %+v %#v", c, *c, c), c.Warnings.Error(), log.String()} {
			if strings.Contains(out, "hunter2") {
				t.Errorf("%q is shown: %s", text, out)
			}
		}
	}
}

func TestPlaceholdersAndMissingKeys(t *testing.T) {
	for _, tt := range []struct {
		text, want string
		warning    bool
	}{
		{"client-id=<your-client-id>\nclient-secret=x\n", "openid-client-secret:1: warning: client-id is still the guide's placeholder", true},
		{"client-id=a\nclient-secret=<your-encrypted-client-secret>\n", "openid-client-secret:2: warning: client-secret is still the guide's placeholder", true},
		{"client-id=a\n", "openid-client-secret: warning: client-secret is missing", true},
		{"client-secret=a\n", "openid-client-secret: client-id is missing; Entra ID shows it as Application (client) ID", false},
		{"client-id=\nclient-secret=a\n", "openid-client-secret:1: client-id is empty", false},
		{"clientid=x\nclient-id=a\nclient-secret=b\n", "openid-client-secret:1: neither client-id nor client-secret stands before the '='; did you mean client-id?", false},
		{"auth-openid=1\nclient-id=a\nclient-secret=b\n", "openid-client-secret:1: neither client-id nor client-secret stands before the '='; it belongs into rserver.conf", false},
	} {
		files := guide("", "")
		files[SecretFile] = tt.text
		c, err := tree(t, files).Load()
		said := message(err)
		if tt.warning {
			said = c.Warnings.Error()
		}
		if (err == nil) != tt.warning || !strings.Contains(said, tt.want) || strings.Count(said, "\n") > 0 {
			t.Errorf("%q: %v, warnings %v; want %q alone", tt.text, err, c.Warnings, tt.want)
		}
	}
}
