package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
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
var serverKeys = []key{
	{name: "auth-openid", fallback: "0", set: boolean(func(c *Config) *bool { return &c.OpenID })},
	{name: "auth-openid-issuer", set: text(func(c *Config) *string { return &c.Issuer })},
	{name: "auth-openid-username-claim", fallback: "preferred_username", set: word(func(c *Config) *string { return &c.UsernameClaim })},
	{name: "auth-openid-groups-claim", set: text(func(c *Config) *string { return &c.GroupsClaim })},
	{name: "auth-openid-scopes", fallback: "openid profile email", set: func(c *Config, v string) error {
		c.Scopes = strings.Fields(v)
		if !slices.Contains(c.Scopes, "openid") {
			return errors.New("without the scope openid there is no ID token")
		}
		return nil
	}},
	{name: "auth-minimum-user-id", fallback: "auto", set: func(c *Config, v string) error {
		if v == "auto" {
			c.MinUID = c.uidMin()
			return nil
		}
		return number(1, func(c *Config) *uint32 { return &c.MinUID })(c, v)
	}},
	{name: "auth-required-user-group", set: list(func(c *Config) *[]string { return &c.RequiredGroups })},
	{name: "user-provisioning-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.Provisioning })},
	{name: "user-provisioning-register-on-first-login", fallback: "0", set: boolean(func(c *Config) *bool { return &c.RegisterOnFirstLogin })},
	{name: "user-provisioning-start-uid", fallback: "1000", set: number(1000, func(c *Config) *uint32 { return &c.StartUID })},
	{name: "group-provisioning-start-gid", fallback: "1000", set: number(1000, func(c *Config) *uint32 { return &c.StartGID })},
	{name: "user-homedir-path", fallback: "/home", set: func(c *Config, v string) error {
		if c.HomePath = v; !strings.HasPrefix(v, "/") {
			return errors.New("not an absolute path")
		}
		return nil
	}},
	{name: "auth-pam-sessions-enabled", fallback: "0", set: boolean(func(c *Config) *bool { return &c.PAMSessions })},
}

// secretKeys are those of openid-client-secret.
var secretKeys = []key{
	{name: "client-id", set: text(func(c *Config) *string { return &c.ClientID })},
	{name: "client-secret", set: text(func(c *Config) *string { return &c.ClientSecret }), secret: true},
}

// ownKeys are those of pwb.conf; the file has no others.
var ownKeys = []key{
	{name: "username-domain", fallback: "strip", set: func(c *Config, v string) error {
		switch v {
		case "strip":
		case "keep":
			c.KeepDomain = true
		default:
			return list(func(c *Config) *[]string { return &c.UsernameDomains })(c, v)
		}
		return nil
	}},
	{name: "ticket-max-age", fallback: "24h", set: duration(time.Minute, 24*time.Hour, func(c *Config) *time.Duration { return &c.TicketMaxAge })},
	{name: "ticket-algorithms", fallback: "RS256,ES256", set: func(c *Config, v string) error {
		known := []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
		for _, a := range split(v) {
			if !slices.Contains(known, a) {
				return fmt.Errorf("%q is none of %s", a, strings.Join(known, " "))
			}
			c.TicketAlgorithms = append(c.TicketAlgorithms, a)
		}
		if len(c.TicketAlgorithms) == 0 {
			return errors.New("no algorithm is left")
		}
		return nil
	}},
	{name: "ticket-require-nonce", fallback: "0", set: boolean(func(c *Config) *bool { return &c.TicketRequireNonce })},
	{name: "keys-max-stale", fallback: "24h", set: duration(time.Hour, 7*24*time.Hour, func(c *Config) *time.Duration { return &c.KeysMaxStale })},
	{name: "keys-host", set: text(func(c *Config) *string { return &c.KeysHost })},
	{name: "allow-loopback-http", fallback: "0", set: boolean(func(c *Config) *bool { return &c.AllowLoopbackHTTP })},
	{name: "insecure-reuse-tickets", fallback: "0", set: boolean(func(c *Config) *bool { return &c.InsecureReuseTickets })},
}

func text(to func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		*to(c) = v
		return nil
	}
}

func word(to func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if *to(c) = v; v == "" {
			return errors.New("empty")
		}
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

func number(least uint64, to func(*Config) *uint32) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil || n < least || n > 1<<31-2 {
			return fmt.Errorf("not a number from %d to %d", least, 1<<31-2)
		}
		*to(c) = uint32(n)
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
		*to(c) = split(v)
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
