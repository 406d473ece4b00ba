package config

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/secret"
)

// key is one setting: its name, what counts when it is not given, and where it goes.
type key struct {
	name     string
	fallback string
	set      func(c *Config, value string) error
	secret   bool
}

func names(keys []key) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.name
	}
	return out
}

// serverKeys are the keys of rserver.conf that pwb shares with Workbench, with the same meaning.
var serverKeys = append([]key{
	{name: "auth-openid", fallback: "0", set: boolean(func(c *Config) *bool { return &c.OpenID })},
	{name: "auth-openid-issuer", set: text(func(c *Config) *string { return &c.Issuer })},
	{name: "auth-openid-username-claim", fallback: "preferred_username",
		set: text(func(c *Config) *string { return &c.UsernameClaim })},
	{name: "auth-openid-groups-claim", set: text(func(c *Config) *string { return &c.GroupsClaim })},
	{name: "auth-openid-scopes", fallback: "openid profile email", set: func(c *Config, v string) error {
		c.Scopes = strings.Fields(v)
		if !slices.Contains(c.Scopes, "openid") {
			return errors.New("without the scope openid there is no ID token")
		}
		return nil
	}},
	// "auto" has been resolved when set is called.
	{name: "auth-minimum-user-id", fallback: "1000", set: number(1, func(c *Config) *uint32 { return &c.MinUID })},
	{name: "auth-required-user-group", set: list(func(c *Config) *[]string { return &c.RequiredGroups })},
	{name: "user-provisioning-enabled", fallback: "0",
		set: boolean(func(c *Config) *bool { return &c.Provisioning })},
	{name: "user-provisioning-register-on-first-login", fallback: "0",
		set: boolean(func(c *Config) *bool { return &c.RegisterOnFirstLogin })},
	{name: "user-provisioning-start-uid", fallback: "1000",
		set: startID(func(c *Config) *uint32 { return &c.StartUID })},
	{name: "group-provisioning-start-gid", fallback: "1000",
		set: startID(func(c *Config) *uint32 { return &c.StartGID })},
	{name: "user-homedir-path", fallback: "/home", set: homePath},
	{name: "auth-pam-sessions-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.PAMSessions })},
}, webServerKeys...)

// secretKeys are those of openid-client-secret.
var secretKeys = []key{
	{name: "client-id", set: text(func(c *Config) *string { return &c.ClientID })},
	{name: "client-secret", secret: true, set: func(c *Config, v string) error {
		c.clientSecret = secret.New(v)
		return nil
	}},
}

// ownKeys are those of pwb.conf; the file has no others.
var ownKeys = append([]key{
	{name: "username-domain", fallback: "strip", set: usernameDomain},
	{name: "username-format", fallback: "localpart", set: usernameFormat}, // behind username-domain
	{name: "username-collision", fallback: "reject", set: usernameCollision},
	{name: "scim-external-id", fallback: "object-id", set: externalID},
	{name: "default-shell", fallback: "/bin/bash", set: shell},
	{name: "allow-users", set: list(func(c *Config) *[]string { return &c.AllowUsers })},
	{name: "deny-users", set: list(func(c *Config) *[]string { return &c.DenyUsers })},
	{name: "deny-groups", set: list(func(c *Config) *[]string { return &c.DenyGroups })},
	{name: "group-map", set: groupMap},
	{name: "ticket-max-age", fallback: "24h",
		set: duration(time.Minute, 24*time.Hour, func(c *Config) *time.Duration { return &c.TicketMaxAge })},
	{name: "ticket-algorithms", fallback: "RS256,ES256", set: algorithms},
	{name: "ticket-require-nonce", fallback: "0",
		set: boolean(func(c *Config) *bool { return &c.TicketRequireNonce })},
	{name: "keys-max-stale", fallback: "24h",
		set: duration(time.Hour, 7*24*time.Hour, func(c *Config) *time.Duration { return &c.KeysMaxStale })},
	{name: "keys-host", set: keysHost},
	{name: "allow-loopback-http", fallback: "0", set: boolean(func(c *Config) *bool { return &c.AllowLoopbackHTTP })},
	{name: "insecure-reuse-tickets", fallback: "0",
		set: boolean(func(c *Config) *bool { return &c.InsecureReuseTickets })},
}, webOwnKeys...)

func text(to func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*to(c) = v
		return nil
	}
}

// boolean takes 0 and 1, as Workbench's files have them.
func boolean(to func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) error {
		switch v {
		case "0", "1":
			*to(c) = v == "1"
			return nil
		}
		return errors.New("neither 0 nor 1")
	}
}

// maxID keeps ids below what programs take for a sign, and below nobody's in 32 bits.
const maxID = 1<<31 - 2

func number(least uint64, to func(*Config) *uint32) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n < least || n > maxID {
			return fmt.Errorf("not a number from %d to %d", least, maxID)
		}
		*to(c) = uint32(n)
		return nil
	}
}

// startID is where ids begin to be given. Not in the middle of those that systemd gives to services, nor at nobody's
// (lesson 12: an account became a service's own user).
func startID(to func(*Config) *uint32) func(*Config, string) error {
	return func(c *Config, v string) error {
		if err := number(1000, to)(c, v); err != nil {
			return err
		}
		if n := *to(c); n >= 61184 && n <= 65535 {
			return errors.New("among the ids of systemd's services and nobody, 61184 to 65535")
		}
		return nil
	}
}

func duration(least, most time.Duration, to func(*Config) *time.Duration) func(*Config, string) error {
	return func(c *Config, v string) error {
		d, err := time.ParseDuration(v)
		if err != nil || d < least || d > most {
			return fmt.Errorf("not a time from %v to %v, such as 90m or 12h", least, most)
		}
		*to(c) = d
		return nil
	}
}

func list(to func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if *to(c) = split(v); v != "" && len(*to(c)) == 0 {
			return errors.New("names nothing between its commas")
		}
		return nil
	}
}

func split(v string) (out []string) {
	for one := range strings.SplitSeq(v, ",") {
		if one = strings.TrimSpace(one); one != "" {
			out = append(out, one)
		}
	}
	return out
}

func algorithms(c *Config, v string) error {
	known := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
	c.TicketAlgorithms = split(v)
	for _, a := range c.TicketAlgorithms {
		if !slices.Contains(known, a) {
			return fmt.Errorf("%q is none of %s", a, strings.Join(known, " "))
		}
	}
	if len(c.TicketAlgorithms) == 0 {
		return errors.New("no algorithm is left")
	}
	return nil
}

// homePath is checked as a field of passwd(5), where it ends up.
func homePath(c *Config, v string) error {
	switch {
	case !path.IsAbs(v):
		return errors.New("not an absolute path")
	case strings.ContainsAny(v, ":"):
		return errors.New("a home directory cannot have ':', which ends a field of passwd(5)")
	case path.Clean(v) != v && path.Clean(v)+"/" != v:
		return fmt.Errorf("not the shortest way to write it; that is %s", path.Clean(v))
	}
	c.HomePath = path.Clean(v)
	return nil
}

func usernameFormat(c *Config, v string) error {
	switch {
	case v != "localpart" && v != "full":
		return errors.New("neither localpart nor full")
	case v == "full" && c.KeepDomain:
		return errors.New("username-domain=keep has the domain in the name already")
	}
	c.FullUsernames = v == "full"
	return nil
}

func externalID(c *Config, v string) error {
	if v != "object-id" && v != "subject" {
		return errors.New("neither object-id nor subject")
	}
	c.ExternalIsSubject = v == "subject"
	return nil
}

func usernameCollision(c *Config, v string) error {
	if v != "reject" && v != "suffix" {
		return errors.New("neither reject nor suffix")
	}
	c.SuffixNames = v == "suffix"
	return nil
}

// shell is checked as a field of passwd(5). Whether it is there, the machine that people log in to knows.
func shell(c *Config, v string) error {
	if !path.IsAbs(v) || path.Clean(v) != v || strings.ContainsAny(v, ": \t") {
		return errors.New("not the absolute path of a program")
	}
	c.Shell = v
	return nil
}

// groupMap takes OBJECT:GROUP pairs: who is in the provider's group is in the machine's group too.
func groupMap(c *Config, v string) error {
	c.GroupMap = map[string]string{}
	for _, pair := range split(v) {
		i := strings.LastIndexByte(pair, ':')
		if i < 1 || i == len(pair)-1 {
			return fmt.Errorf("%q is not OBJECT:GROUP, a group's object id at the provider and the name of a group of this machine", pair)
		}
		object, local := pair[:i], pair[i+1:]
		if account.Privileged(local) {
			return fmt.Errorf("membership of %q is power over the machine, which no provider can give; name the provider's group in sudoers(5) instead", local)
		}
		if _, twice := c.GroupMap[object]; twice {
			return fmt.Errorf("%q stands twice", object)
		}
		c.GroupMap[object] = local
	}
	if v != "" && len(c.GroupMap) == 0 {
		return errors.New("names nothing between its commas")
	}
	return nil
}

func keysHost(c *Config, v string) error {
	if c.KeysHost = v; v != "" && !account.IsLabel(v, ".-") {
		return errors.New("not a host's name alone")
	}
	return nil
}

// usernameDomain takes strip, keep, or the domains that are let in. What is neither would let in nobody, or anybody.
func usernameDomain(c *Config, v string) error {
	switch v {
	case "strip":
		return nil
	case "keep":
		c.KeepDomain = true
		return nil
	}
	if err := list(func(c *Config) *[]string { return &c.UsernameDomains })(c, v); err != nil {
		return err
	}
	for _, d := range c.UsernameDomains {
		if near := nearest(d, []string{"strip", "keep"}); near != "" && editDistance(near, strings.ToLower(d)) <= 1 {
			return fmt.Errorf("%q is no domain; if you mean %s, it stands alone", d, near)
		}
		if !account.IsLabel(d, ".-") {
			return fmt.Errorf("%q is no domain, such as example.com; several are divided by commas", d)
		}
	}
	return nil
}
