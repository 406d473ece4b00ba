package config

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestKeysOfTheFront(t *testing.T) {
	for _, tt := range []struct {
		server, own string
		got         func(Web) any
		want        any
	}{
		{"", "", func(w Web) any { return w.Listen().String() }, "127.0.0.1:8787"},
		{"www-port=443\nwww-address=0.0.0.0", "", func(w Web) any { return w.Listen().String() }, "0.0.0.0:443"},
		{"ssl-enabled=1\nssl-certificate=/c\nssl-certificate-key=/k", "", func(w Web) any { return w.Listen().String() }, "[::]:8787"},
		{"", "", func(w Web) any { return w.URL("node") }, "http://127.0.0.1:8787"},
		{"ssl-enabled=1\nssl-certificate=/c\nssl-certificate-key=/k", "", func(w Web) any { return w.URL("node") }, "https://node:8787"},
		{"www-port=443\nssl-enabled=1\nssl-certificate=/c\nssl-certificate-key=/k", "", func(w Web) any { return w.URL("node") }, "https://node"},
		{"launcher-sessions-callback-address=https://Workbench.example.com/\nwww-root-path=/pwb/", "",
			func(w Web) any { return w.URL("node") }, "https://workbench.example.com/pwb"},
		{"auth-timeout-minutes=0\nauth-stay-signed-in-days=1", "", func(w Web) any { return []time.Duration{w.Idle, w.StaySignedIn} },
			[]time.Duration{0, 24 * time.Hour}},
		{"", "trusted-proxies=10.1.2.3, 10.2.0.0/16, fd00::/8", func(w Web) any { return len(w.Proxies) }, 3},
		{"", "on-deactivate=kill-now\ndeactivate-grace=0s", func(w Web) any { return []any{w.OnDeactivate, w.DeactivateGrace} },
			[]any{KillNow, time.Duration(0)}},
	} {
		c, err := tree(t, guide(tt.server+"\n", tt.own+"\n")).Load()
		if err != nil {
			t.Errorf("%q, %q: %v", tt.server, tt.own, err)
		} else if got := tt.got(c.Web); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q, %q: %v, want %v", tt.server, tt.own, got, tt.want)
		}
	}
}

func TestAFrontThatWouldBeOpen(t *testing.T) {
	for _, tt := range []struct{ server, own, want string }{
		{"www-address=localhost", "", "www-address=localhost: not an IP address"},
		{"www-port=0", "", "www-port=0: not a port"},
		{"www-root-path=pwb", "", "www-root-path=pwb: not an absolute path"},
		{"ssl-enabled=1", "", "ssl-enabled=1 needs ssl-certificate and ssl-certificate-key"},
		{"ssl-certificate=cert.pem", "", "not an absolute path"},
		{"launcher-sessions-callback-address=http://workbench.example.com", "", "not https"},
		{"launcher-sessions-callback-address=https://a.example.com/x", "", "not the front door's address"},
		{"", "trusted-proxies=0.0.0.0/0", `"0.0.0.0/0" is everybody`},
		{"", "trusted-proxies=proxy.example.com", "neither an address nor a range"},
		{"", "code-lifetime=10m", "not a time from 1m0s to 2m0s"},
		{"", "on-deactivate=kill", "none of suspend-new, kill-now, let-finish"},
	} {
		_, err := tree(t, guide(tt.server+"\n", tt.own+"\n")).Load()
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q, %q: %v; want %q", tt.server, tt.own, err, tt.want)
		}
	}
	c, err := tree(t, guide("www-address=0.0.0.0\n", "")).Load()
	if err != nil || !strings.Contains(c.Warnings.Error(), "pwb serve will refuse to start") {
		t.Errorf("plain HTTP for everybody: %v, warnings %v", err, c.Warnings)
	}
}

// A node that takes session tickets alone needs neither a provider nor a client's secret; its key file is root's.
func TestANodeWithoutAProvider(t *testing.T) {
	l := tree(t, map[string]string{OwnFile: "session-ticket-keys=/etc/rstudio/keys.json\nsession-ticket-audience=cluster\n", "/etc/rstudio/keys.json": "{}"})
	c, err := l.Load()
	if err != nil || c.OpenID || c.Web.TicketAudience != "cluster" {
		t.Fatalf("Load = %v", err)
	}
	if text, err := c.TicketKeys(); err != nil || string(text) != "{}" {
		t.Errorf("TicketKeys = %q, %v", text, err)
	}
	if err := os.Chmod(string(l.Root)+"/etc/rstudio/keys.json", 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := c.TicketKeys(); err == nil || !strings.Contains(err.Error(), "can be written by others") {
		t.Errorf("a file that others can write: %v", err)
	}
	for own, want := range map[string]string{
		"session-ticket-keys=keys.json\n":                           "session-ticket-keys=keys.json: not an absolute path",
		"session-ticket-audience=a b\n":                             "not a host's or cluster's name",
		"session-ticket-audience=" + strings.Repeat("a", 65) + "\n": "not a host's or cluster's name",
		"session-ticket-lifetime=2h\n":                              "not a time from 1m0s to 1h0m0s",
		"code-lifetime=5m\n":                                        "not a time from 1m0s to 2m0s",
		"device-flow=1\nticket-require-nonce=1\n":                   "device-flow=1 brings tokens without a nonce",
	} {
		if _, err := tree(t, guide("", own)).Load(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", own, err, want)
		}
	}
}
