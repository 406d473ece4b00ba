package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/pwb-project/pwb/internal/account"
)

// Web is what "pwb serve" reads: where it listens, how it is reached, how long a sign-in lasts.
type Web struct {
	Address       netip.Addr // to listen on; the zero value is for Listen to choose
	Port          uint16
	RootPath      string // what a proxy has put before every path; "/" or "/pwb"
	TLS           bool
	Certificate   string // PEM files, absolute, below Root
	PrivateKey    string
	PublicAddress string         // the front door's URL without a path, "" when it is not given
	Proxies       []netip.Prefix // whose X-Forwarded headers count

	MetricsEnabled bool
	MetricsPort    uint16

	Idle         time.Duration // of a browser's session
	StaySignedIn time.Duration // its longest life
	Admin        bool
	AdminGroups  []string // whose members see the administrator's pages

	CodeLifetime   time.Duration
	TicketLifetime time.Duration // of a session ticket
	TicketKeys     string        // a file of keys that session tickets are verified by, below Root; "" asks the store
	TicketAudience string        // of session tickets, besides the machine's name; "" is none
	DeviceFlow     bool
	Contact        string // whom people ask for help; "" is the machine's administrators
	SignOutBack    bool   // the provider knows where to send people back to after a sign-out

	OnDeactivate    OnDeactivate
	DeactivateGrace time.Duration
}

// OnDeactivate says what happens to the sessions of an account whose access ends.
type OnDeactivate string

const (
	SuspendNew OnDeactivate = "suspend-new" // the running ones get DeactivateGrace
	KillNow    OnDeactivate = "kill-now"
	LetFinish  OnDeactivate = "let-finish"
)

// Listen returns the address and port to listen on. Plain HTTP stays on this machine unless an operator has named another
// address: tokens and cookies would cross the network in the clear.
func (w Web) Listen() netip.AddrPort {
	switch {
	case w.Address.IsValid():
		return netip.AddrPortFrom(w.Address, w.Port)
	case w.TLS:
		return netip.AddrPortFrom(netip.IPv6Unspecified(), w.Port)
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), w.Port)
}

// URL returns the front door's URL, without a slash at the end. host is this machine's name, for when the files name none.
func (w Web) URL(host string) string {
	prefix := strings.TrimSuffix(w.RootPath, "/")
	switch {
	case w.PublicAddress != "":
		return w.PublicAddress + prefix
	case w.TLS && w.Port == 443:
		return "https://" + host + prefix
	case w.TLS:
		return "https://" + net.JoinHostPort(host, strconv.Itoa(int(w.Port))) + prefix
	}
	return "http://" + w.Listen().String() + prefix
}

var webServerKeys = []key{
	{name: "www-address", set: func(c *Config, v string) (err error) {
		if v == "" {
			return nil
		}
		if c.Web.Address, err = netip.ParseAddr(v); err != nil {
			return errors.New("not an IP address")
		}
		return nil
	}},
	{name: "www-port", fallback: "8787", set: port(func(c *Config) *uint16 { return &c.Web.Port })},
	{name: "www-root-path", fallback: "/", set: rootPath},
	{name: "ssl-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Web.TLS })},
	{name: "ssl-certificate", set: absoluteFile(func(c *Config) *string { return &c.Web.Certificate })},
	{name: "ssl-certificate-key", set: absoluteFile(func(c *Config) *string { return &c.Web.PrivateKey })},
	{name: "launcher-sessions-callback-address", set: publicAddress},
	{name: "auth-timeout-minutes", fallback: "60", set: count(0, 60*24*365, func(c *Config, n int) {
		c.Web.Idle = time.Duration(n) * time.Minute
	})},
	{name: "auth-stay-signed-in-days", fallback: "30", set: count(0, 365, func(c *Config, n int) {
		c.Web.StaySignedIn = time.Duration(n) * 24 * time.Hour
	})},
	{name: "metrics-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Web.MetricsEnabled })},
	{name: "metrics-port", fallback: "8989", set: port(func(c *Config) *uint16 { return &c.Web.MetricsPort })},
	{name: "admin-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Web.Admin })},
	{name: "admin-group", set: list(func(c *Config) *[]string { return &c.Web.AdminGroups })},
}

var webOwnKeys = []key{
	{name: "trusted-proxies", set: proxies},
	{name: "code-lifetime", fallback: "90s",
		set: duration(60*time.Second, 120*time.Second, func(c *Config) *time.Duration { return &c.Web.CodeLifetime })},
	{name: "session-ticket-lifetime", fallback: "5m",
		set: duration(time.Minute, time.Hour, func(c *Config) *time.Duration { return &c.Web.TicketLifetime })},
	{name: "session-ticket-keys", set: absoluteFile(func(c *Config) *string { return &c.Web.TicketKeys })},
	{name: "session-ticket-audience", set: ticketAudience},
	{name: "support-contact", set: contact},
	{name: "sign-out-return", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Web.SignOutBack })},
	{name: "device-flow", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Web.DeviceFlow })},
	{name: "on-deactivate", fallback: string(SuspendNew), set: onDeactivate},
	{name: "deactivate-grace", fallback: "15m",
		set: duration(0, 24*time.Hour, func(c *Config) *time.Duration { return &c.Web.DeactivateGrace })},
}

// ticketAudience is the name that the nodes of a cluster share. Its length is bounded by sudo, which cuts long tickets.
func ticketAudience(c *Config, v string) error {
	if v != "" && (len(v) > 64 || !account.IsLabel(v, "._-")) {
		return errors.New("not a host's or cluster's name of at most 64 letters, digits, '.', '-' and '_'")
	}
	c.Web.TicketAudience = v
	return nil
}

func port(to func(*Config) *uint16) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 16)
		if err != nil || n == 0 {
			return errors.New("not a port, 1 to 65535")
		}
		*to(c) = uint16(n)
		return nil
	}
}

func count(least, most int, to func(*Config, int)) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("not a number from %d to %d", least, most)
		}
		to(c, n)
		return nil
	}
}

func rootPath(c *Config, v string) error {
	if !path.IsAbs(v) || path.Clean(v) != v && path.Clean(v)+"/" != v || strings.ContainsAny(v, "?#%\\ \"") {
		return errors.New("not an absolute path, such as /pwb")
	}
	c.Web.RootPath = path.Clean(v)
	return nil
}

func absoluteFile(to func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if v != "" && !path.IsAbs(v) {
			return errors.New("not an absolute path")
		}
		*to(c) = v
		return nil
	}
}

// publicAddress is Workbench's name for where browsers find the server.
func publicAddress(c *Config, v string) error {
	if v == "" {
		return nil
	}
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return errors.New("not the front door's address, such as https://workbench.example.com")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopbackURL(v)):
		return errors.New("not https; over plain http anybody on the way could take a person's sign-in")
	}
	c.Web.PublicAddress = u.Scheme + "://" + strings.ToLower(u.Host)
	return nil
}

// proxies takes addresses and prefixes of proxies, which say who is behind them.
func proxies(c *Config, v string) error {
	for _, one := range split(v) {
		prefix, err := netip.ParsePrefix(one)
		if err != nil {
			addr, addrErr := netip.ParseAddr(one)
			if addrErr != nil {
				return fmt.Errorf("%q is neither an address nor a range such as 10.0.0.0/24", one)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Bits() == 0 {
			return fmt.Errorf("%q is everybody; name the proxies alone", one)
		}
		c.Web.Proxies = append(c.Web.Proxies, prefix.Masked())
	}
	if v != "" && len(c.Web.Proxies) == 0 {
		return errors.New("names nothing between its commas")
	}
	return nil
}

// contact is shown on pages as it is written.
func contact(c *Config, v string) error {
	if len(v) > 200 || strings.ContainsFunc(v, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return errors.New("not an e-mail address, a https URL or a short sentence")
	}
	c.Web.Contact = v
	return nil
}

func onDeactivate(c *Config, v string) error {
	known := []OnDeactivate{SuspendNew, KillNow, LetFinish}
	if !slices.Contains(known, OnDeactivate(v)) {
		return errors.New("none of suspend-new, kill-now, let-finish")
	}
	c.Web.OnDeactivate = OnDeactivate(v)
	return nil
}

// web checks what the front's keys say together.
func (r *reading) web() {
	w := r.config.Web
	plain := !w.TLS && !w.Listen().Addr().Unmap().IsLoopback()
	if s := r.given["www-address"]; plain && len(w.Proxies) == 0 {
		r.warning(s.file, s.line, "www-address=%s without ssl-enabled=1: pwb serve will refuse to start; give it a certificate, "+
			"name the proxy in trusted-proxies, or listen on 127.0.0.1", w.Address)
	}
	if s := r.given["ssl-enabled"]; w.TLS && (w.Certificate == "" || w.PrivateKey == "") {
		r.problem(s.file, s.line, "ssl-enabled=1 needs ssl-certificate and ssl-certificate-key")
	}
	if s := r.given["device-flow"]; w.DeviceFlow && r.config.TicketRequireNonce {
		r.problem(s.file, s.line, "device-flow=1 brings tokens without a nonce, which ticket-require-nonce=1 refuses; remove one of the two")
	}
	if s := r.given["device-flow"]; w.DeviceFlow && !r.config.OpenID {
		r.warning(s.file, s.line, "device-flow=1 does nothing without auth-openid=1 in rserver.conf")
	}
	if s := r.given["admin-enabled"]; w.Admin && len(w.AdminGroups) == 0 {
		r.warning(s.file, s.line, "admin-enabled=1 without admin-group: nobody is an administrator")
	}
}
