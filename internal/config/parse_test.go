package config

import (
	"strings"
	"testing"
)

// "# only at line start, split at the first =, trim, one pair of matching quotes off, no escapes, no expansion."
func TestParse(t *testing.T) {
	for _, tt := range []struct{ text, key, value, wantErr string }{
		{`client-secret=a#b;c$HOME=d\e`, "client-secret", `a#b;c$HOME=d\e`, ""},
		{`client-id="example"`, "client-id", "example", ""},
		{`client-id='example'`, "client-id", "example", ""},
		{`client-id="example'`, "client-id", `"example'`, ""},
		{`client-id=""example""`, "client-id", `"example"`, ""},
		{`client-id="`, "client-id", `"`, ""},
		{"\t client-id \t=\t a b \t\r", "client-id", "a b", ""},
		{"a=%(www-port)s", "a", "%(www-port)s", ""},
		{"a=", "a", "", ""},
		{"\ufeffa=b", "a", "b", ""},
		{"  # a=b", "", "", ""},
		{"", "", "", ""},
		{"\r", "", "", ""},
		{"stray", "", "", "f:1: not a line key=value"},
		{"=b", "", "", "f:1: not a line key=value"},
		{"[section]", "", "", "f:1: not a line key=value"},
		{"a b=c", "", "", "f:1: not a line key=value"},
		{"; a=b", "", "", "f:1: not a line key=value"},
		{"a=\x1b[2J", "", "", "f:1: a control character (U+001B)"},
		{"a=b\x00c", "", "", "f:1: a control character (U+0000)"},
		{"a=b\rc=d", "", "", "f:1: a control character (U+000D)"},
		{"a=\xff", "", "", "f:1: bytes that are no text (UTF-8)"},
	} {
		settings, problems := parse("f", []byte(tt.text))
		if tt.wantErr != "" {
			if len(settings) > 0 || problems.Error() != tt.wantErr {
				t.Errorf("parse(%q) = %v, %v; want %q", tt.text, settings, problems, tt.wantErr)
			}
			continue
		}
		var got setting
		if len(settings) > 0 {
			got = settings[0]
		}
		if got.key != tt.key || got.value != tt.value || len(problems) > 0 {
			t.Errorf("parse(%q) = %q, %q, %v; want %q, %q", tt.text, got.key, got.value, problems, tt.key, tt.value)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("a=b\n#c\n\"d\"='e'\n\x00=\n=\n a = \"x\" \n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, problems := parse("f", text)
		for _, s := range settings {
			if s.key == "" || strings.ContainsAny(s.key+s.value, "\n\x00") || s.line < 1 || !strings.Contains(s.raw, s.value) {
				t.Errorf("parse(%q) gave %+v", text, s)
			}
		}
		if lines := strings.Count(string(text), "\n") + 1; len(settings)+len(problems) > lines {
			t.Errorf("parse(%q) gave %d settings and %d problems for %d lines", text, len(settings), len(problems), lines)
		}
	})
}

// Whatever the three files hold, reading them ends in a Config that can be used or in problems, and shows nothing of the secret.
func FuzzLoad(f *testing.F) {
	g := guide("", "keys-max-stale=12h\n")
	f.Add(g[ServerFile], g[SecretFile], g[OwnFile])
	f.Add("auth-openid=1\nauth-openid-issuer=http://[::1%25x]/\n", "client-id=a client-secret=b", "allow-loopback-http=1\n")
	f.Add("auth-openid = '1'", "client-id=\"a\" client-secret=\"b\"\nx==", "username-domain=,\n")
	f.Fuzz(func(t *testing.T, server, clientSecret, own string) {
		const mark = "hunter2hunter2"
		load := func(texts ...string) (*Config, error) {
			r := newReading(Loader{})
			for i, from := range sources {
				r.text(from, from.name, []byte(texts[i]))
			}
			return r.finish()
		}
		c, err := load(server, clientSecret+"\n"+mark+"=\n", own)
		if err == nil {
			t.Errorf("a broken line in the secret's file is taken: %+v", c)
		} else if strings.Contains(err.Error(), mark) {
			t.Errorf("shown: %v", err)
		}
		c, err = load(server, clientSecret, own)
		if err == nil && (!c.OpenID || c.Issuer == "" || c.ClientID == "" || c.MinUID == 0 || len(c.TicketAlgorithms) == 0) {
			t.Errorf("taken: %+v", c)
		}
	})
}
