package config

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestKeysOfRserverConf(t *testing.T) {
	for _, tt := range []struct {
		line string
		got  func(*Config) any
		want any
	}{
		{"", func(c *Config) any { return c.UsernameClaim }, "preferred_username"},
		{"auth-openid-username-claim=upn", func(c *Config) any { return c.UsernameClaim }, "upn"},
		{"auth-openid-groups-claim=groups", func(c *Config) any { return c.GroupsClaim }, "groups"},
		{"auth-openid-scopes=openid  offline_access", func(c *Config) any { return c.Scopes }, []string{"openid", "offline_access"}},
		{"auth-minimum-user-id=100", func(c *Config) any { return c.MinUID }, uint32(100)},
		{"", func(c *Config) any { return c.RequiredGroups }, []string(nil)},
		{"auth-required-user-group= rstudio-users , staff,", func(c *Config) any { return c.RequiredGroups }, []string{"rstudio-users", "staff"}},
		{"", func(c *Config) any { return c.HomePath }, "/home"},
		{"user-homedir-path=/mnt/home/", func(c *Config) any { return c.HomePath }, "/mnt/home"},
		{`user-homedir-path="/mnt/my home"`, func(c *Config) any { return c.HomePath }, "/mnt/my home"},
		{"user-provisioning-enabled=1", func(c *Config) any { return c.Provisioning }, true},
		{"user-provisioning-register-on-first-login=1", func(c *Config) any { return c.RegisterOnFirstLogin }, true},
		{"", func(c *Config) any { return []uint32{c.StartUID, c.StartGID} }, []uint32{1000, 1000}},
		{"user-provisioning-start-uid=70000", func(c *Config) any { return c.StartUID }, uint32(70000)},
		{"group-provisioning-start-gid=60000", func(c *Config) any { return c.StartGID }, uint32(60000)},
		{"auth-pam-sessions-enabled=1", func(c *Config) any { return c.PAMSessions }, true},
	} {
		c, err := tree(t, guide(tt.line+"\n", "")).Load()
		if err != nil {
			t.Errorf("%q: %v", tt.line, err)
		} else if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.line, got, tt.want)
		}
	}
}

func TestKeysOfPwbConf(t *testing.T) {
	for _, tt := range []struct {
		line string
		got  func(*Config) any
		want any
	}{
		{"", func(c *Config) any { return []any{c.KeepDomain, c.UsernameDomains} }, []any{false, []string(nil)}},
		{"username-domain=strip", func(c *Config) any { return []any{c.KeepDomain, c.UsernameDomains} }, []any{false, []string(nil)}},
		{"username-domain=keep", func(c *Config) any { return []any{c.KeepDomain, c.UsernameDomains} }, []any{true, []string(nil)}},
		{"username-domain=example.com,b.example.com", func(c *Config) any { return c.UsernameDomains }, []string{"example.com", "b.example.com"}},
		{"", func(c *Config) any { return []time.Duration{c.TicketMaxAge, c.KeysMaxStale} }, []time.Duration{24 * time.Hour, 24 * time.Hour}},
		{"", func(c *Config) any { return []any{c.FullUsernames, c.SuffixNames, c.Shell, c.AllowUsers, c.GroupMap} },
			[]any{false, false, "/bin/bash", []string(nil), map[string]string{}}},
		{"username-format=full", func(c *Config) any { return c.FullUsernames }, true},
		{"username-collision=suffix", func(c *Config) any { return c.SuffixNames }, true},
		{"default-shell=/usr/bin/zsh", func(c *Config) any { return c.Shell }, "/usr/bin/zsh"},
		{"allow-users=alice, bob", func(c *Config) any { return c.AllowUsers }, []string{"alice", "bob"}},
		{"deny-users=mallory", func(c *Config) any { return c.DenyUsers }, []string{"mallory"}},
		{"deny-groups=interns,1a2b3c4d-1111-2222-3333-444444444444", func(c *Config) any { return c.DenyGroups },
			[]string{"interns", "1a2b3c4d-1111-2222-3333-444444444444"}},
		{"group-map=1a2b3c4d-1111-2222-3333-444444444444:gpu, urn:x:y:data", func(c *Config) any { return c.GroupMap },
			map[string]string{"1a2b3c4d-1111-2222-3333-444444444444": "gpu", "urn:x:y": "data"}},
		{"ticket-max-age=90m", func(c *Config) any { return c.TicketMaxAge }, 90 * time.Minute},
		{"keys-max-stale=168h", func(c *Config) any { return c.KeysMaxStale }, 168 * time.Hour},
		{"", func(c *Config) any { return c.TicketAlgorithms }, []string{"RS256", "ES256"}},
		{"ticket-algorithms=EdDSA, PS256", func(c *Config) any { return c.TicketAlgorithms }, []string{"EdDSA", "PS256"}},
		{"ticket-require-nonce=1", func(c *Config) any { return c.TicketRequireNonce }, true},
		{"keys-host=keys.example.com", func(c *Config) any { return c.KeysHost }, "keys.example.com"},
		{"allow-loopback-http=1", func(c *Config) any { return c.AllowLoopbackHTTP }, true},
	} {
		c, err := tree(t, guide("", tt.line+"\n")).Load()
		if err != nil {
			t.Errorf("%q: %v", tt.line, err)
		} else if got := tt.got(c); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %v, want %v", tt.line, got, tt.want)
		}
	}
}

// A value that is none is refused, and not in force: least of all one of those that would let in more people.
func TestValuesThatAreNone(t *testing.T) {
	for _, tt := range []struct{ server, own, want string }{
		{"auth-required-user-group=", "", "auth-required-user-group is empty; give it a value, or remove the line for the default"},
		{"auth-required-user-group=\"\"", "", "auth-required-user-group is empty"},
		{"auth-required-user-group= , ", "", "auth-required-user-group=,: names nothing between its commas"},
		{"auth-required-user-group=staff # and me", "", "auth-required-user-group: a comment after a value would be part of it; put it on a line of its own"},
		{"", "username-format=fuller", "username-format=fuller: neither localpart nor full"},
		{"", "username-collision=merge", "neither reject nor suffix"},
		{"", "default-shell=bash", "not the absolute path of a program"},
		{"", "default-shell=/bin/sh:x", "not the absolute path of a program"},
		{"", "allow-users=,", "names nothing between its commas"},
		{"", "deny-users=", "deny-users is empty"},
		{"", "group-map=x", `"x" is not OBJECT:GROUP`},
		{"", "group-map=x:docker", `membership of "docker" is power over the machine`},
		{"", "group-map=x:gpu,x:data", `"x" stands twice`},
		{"", "username-format=full\nusername-domain=keep", "username-domain=keep has the domain in the name already"},
		{"auth-openid-scopes=profile", "", "without the scope openid there is no ID token"},
		{"auth-openid-username-claim=", "", "auth-openid-username-claim is empty"},
		{"auth-minimum-user-id=0", "", "auth-minimum-user-id=0: not a number from 1 to 2147483646"},
		{"auth-minimum-user-id=-1", "", "not a number from 1"},
		{"auth-minimum-user-id=4294967295", "", "not a number from 1"},
		{"user-provisioning-enabled=true", "", "user-provisioning-enabled=true: neither 0 nor 1"},
		{"user-provisioning-start-uid=999", "", "not a number from 1000"},
		{"user-provisioning-start-uid=61184", "", "among the ids of systemd's services and nobody"}, // lesson 12
		{"group-provisioning-start-gid=65534", "", "among the ids of systemd's services and nobody"},
		{"user-homedir-path=home", "", "not an absolute path"},
		{"user-homedir-path=/home/../root", "", "not the shortest way to write it; that is /root"},
		{"user-homedir-path=/home:/bin/sh", "", "cannot have ':'"},
		{"user-homedir-path=/home\u200b", "", "user-homedir-path: a character that cannot be seen"},
		{"", "username-domain=", "username-domain is empty"},
		{"", "username-domain=,", "names nothing between its commas"},
		{"", "username-domain=Strip", `"Strip" is no domain; if you mean strip, it stands alone`},
		{"", "username-domain=keep,example.com", `"keep" is no domain; if you mean keep`},
		{"", "username-domain=@example.com", `"@example.com" is no domain`},
		{"", "username-domain=a.example b.example", `"a.example b.example" is no domain`},
		{"", "ticket-max-age=25h", "ticket-max-age=25h: not a time from 1m0s to 24h0m0s, such as 90m or 12h"},
		{"", "ticket-max-age=3600", "not a time from 1m0s"},
		{"", "keys-max-stale=30m", "not a time from 1h0m0s"},
		{"", "ticket-algorithms=none", `"none" is none of RS256`},
		{"", "ticket-algorithms=RS256,HS256", `"HS256" is none of`},
		{"", "ticket-algorithms=,", "no algorithm is left"},
		{"", "keys-host=https://keys.example.com", "not a host's name alone"},
		{"", "insecure-reuse-tickets=1", "it needs allow-loopback-http=1 and an issuer on a loopback address"},
		{"", "allow-loopback-http=1\ninsecure-reuse-tickets=1", "it needs allow-loopback-http=1 and an issuer on a loopback address"},
	} {
		c, err := tree(t, guide(tt.server+"\n", tt.own+"\n")).Load()
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), "\n") > 0 {
			t.Errorf("%q, %q: %v; want %q alone", tt.server, tt.own, err, tt.want)
		}
		key, _, _ := strings.Cut(tt.server+tt.own, "=")
		whole := strings.Contains(tt.want, "needs") || strings.Contains(tt.want, "comment") || strings.Contains(tt.want, "seen")
		if !whole && slices.ContainsFunc(c.InForce, func(s InForce) bool { return s.Key == key }) {
			t.Errorf("%q, %q is in force", tt.server, tt.own)
		}
	}
}

// Tickets may be used again in tests only: with http, and on a loopback address.
func TestReuseOfTickets(t *testing.T) {
	files := guide("", "allow-loopback-http=1\ninsecure-reuse-tickets=1\n")
	files[ServerFile] = "auth-openid=1\nauth-openid-issuer=http://127.0.0.1:9998\n"
	c, err := tree(t, files).Load()
	if err != nil || !c.InsecureReuseTickets || !strings.Contains(c.Warnings.Error(), "pwb.conf:2: warning: tickets are not spent") {
		t.Errorf("Load = %v, %v, warnings %v", c.InsecureReuseTickets, err, c.Warnings)
	}
}

// What stands in the wrong file, or nearly right.
func TestKeysOutOfPlace(t *testing.T) {
	for _, tt := range []struct{ server, own, want string }{
		{"auth-openid-isuer=x", "", "rserver.conf:3: warning: auth-openid-isuer is not a key of pwb's; did you mean auth-openid-issuer?"},
		{"Auth-OpenID-Issuer=x", "", "rserver.conf:3: warning: Auth-OpenID-Issuer is not a key of pwb's; did you mean auth-openid-issuer?"},
		{"allow-loopback-http=1", "", "rserver.conf:3: warning: allow-loopback-http is not read from this file; it belongs into pwb.conf"},
		{"client-secret=x", "", "rserver.conf:3: warning: client-secret is not read from this file; it belongs into openid-client-secret"},
		{"server-user=a\nserver-user=b", "", "rserver.conf:4: warning: server-user stands in the file twice; pwb does not read it"},
		{"user-provisioning-register-on-first-login=1", "", "does nothing without user-provisioning-enabled=1"},
		{"", "auth-openid=1", `pwb.conf:1: unknown key "auth-openid"; it belongs into rserver.conf`},
		{"", "ticket_max_age=1h", `pwb.conf:1: unknown key "ticket_max_age"; did you mean ticket-max-age?`},
		{"", "colour=blue", `pwb.conf:1: unknown key "colour"; see pwb.conf(5)`},
		{"", "ticket-max\u00adage=1h", `pwb.conf:1: unknown key "ticket-max\u00adage"; did you mean ticket-max-age?`},
		{"", "\u200bkeys-host=x", "pwb.conf:1: keys-host: a character that cannot be seen, as web pages have them; type the line anew"},
	} {
		c, err := tree(t, guide(tt.server+"\n", tt.own+"\n")).Load()
		said := message(err) + c.Warnings.Error()
		if (err == nil) != (tt.own == "") || !strings.Contains(said, tt.want) || strings.Count(said, "\n") > 0 {
			t.Errorf("%q, %q: %v, warnings %v; want %q alone", tt.server, tt.own, err, c.Warnings, tt.want)
		}
	}
}

// Keys of Workbench's that look like ours are no mistakes.
func TestForeignKeysAreLeftAlone(t *testing.T) {
	const server = "www-port=8787\nserver-health-check-enabled=1\nlauncher-sessions-enabled=1\nlauncher-address=localhost\n" +
		"auth-pam-sessions-profile=su\nauth-pam-sessions-use-password=1\nauth-pam-sessions-close=1\nauth-saml=0\nauth-timeout-minutes=60\n"
	c, err := tree(t, guide(server, "")).Load()
	if err != nil || len(c.Warnings) > 0 || len(c.Foreign) != 7 || !slices.Contains(c.Foreign, "auth-pam-sessions-close") {
		t.Errorf("Load = %v, warnings %v, foreign %v", err, c.Warnings, c.Foreign)
	}
}

// The manual has every key, and every default that is not nothing or 0.
func TestTheManualHasEveryKey(t *testing.T) {
	page, err := os.ReadFile("pwb.conf.5")
	if err != nil {
		t.Fatal(err)
	}
	for _, from := range sources {
		for _, k := range from.keys {
			if !regexp.MustCompile(`(?m)^\.It Cm .*\b` + regexp.QuoteMeta(k.name) + `( |$)`).Match(page) {
				t.Errorf("pwb.conf(5) does not have %s", k.name)
			}
			if !strings.Contains(string(page), k.fallback) {
				t.Errorf("pwb.conf(5) does not have the default of %s, %s", k.name, k.fallback)
			}
		}
	}
}
