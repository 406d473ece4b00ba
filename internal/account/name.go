package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Name is a login name that ParseName or a NamePolicy has accepted: safe as a path component, a field of passwd(5), a line of
// a log and an argument of a command.
type Name string

// ErrName is in the error of every text that is no login name for people.
var ErrName = errors.New("not a login name for people")

const (
	maxName     = 32 // utmp(5), useradd(8)
	maxFullName = 64 // with a domain
)

// ParseName holds s to the strictest rule that the machine's programs share: a lower-case letter or an underscore first, then
// letters, digits, '.', '_' and '-'; at most 32 bytes; not a name that programs, packages or groups of the system have.
func ParseName(s string) (Name, error) {
	return parseName(s, maxName)
}

func parseName(s string, limit int) (Name, error) {
	switch {
	case s == "":
		return "", fmt.Errorf("login name is empty: %w", ErrName)
	case len(s) > limit:
		return "", fmt.Errorf("login name %.70q has %d characters, over %d: %w", s, len(s), limit, ErrName)
	}
	for i, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z' || c == '_'
		other := c >= '0' && c <= '9' || c == '.' || c == '-'
		switch {
		case letter, other && i > 0:
		case other:
			return "", fmt.Errorf("login name %q begins with %q: %w", s, c, ErrName)
		case c < ' ' || c >= 0x7f:
			return "", fmt.Errorf("login name %q has a byte %#02x: %w", s, c, ErrName)
		default:
			return "", fmt.Errorf("login name %q has %q: %w", s, c, ErrName)
		}
	}
	if reserved(s) {
		return "", fmt.Errorf("login name %q is reserved: %w", s, ErrName)
	}
	return Name(s), nil
}

// NamePolicy makes a login name of a username claim. The zero value removes any domain, as Workbench does.
type NamePolicy struct {
	Domains []string // when set, the claim must have one of these domains, which is removed
	Keep    bool     // the domain stays a part of the name: alice@example.com
	Full    bool     // Derive makes it a part of the name: alice_example.com
}

// Of returns the name for an account that pwb makes: as Derive, but with a kept domain as LoginName.
func (p NamePolicy) Of(claim string) (Name, error) {
	if p.Keep {
		return p.LoginName(claim)
	}
	return p.Derive(claim)
}

// LoginName returns the login name that a claim proposes. Letters are folded to lower case, in ASCII only: directories do not
// tell Alice from alice, and the account's binding keeps two who differ in nothing else apart.
func (p NamePolicy) LoginName(claim string) (Name, error) {
	folded := strings.Map(lower, claim)
	local, domain, has := strings.Cut(folded, "@")
	if strings.Contains(domain, "@") {
		return "", fmt.Errorf("login name %q has two '@': %w", claim, ErrName)
	}
	if err := p.allow(claim, domain); err != nil {
		return "", err
	}
	name, err := ParseName(local)
	if err != nil || !p.Keep || !has {
		return name, err
	}
	if _, err := parseName("d"+domain, maxFullName); err != nil || len(folded) > maxFullName {
		return "", fmt.Errorf("username %q has a domain that no login name can have: %w", claim, ErrName)
	}
	return name + "@" + Name(domain), nil
}

// allow holds a claim to the domains that are let in.
func (p NamePolicy) allow(claim, domain string) error {
	if len(p.Domains) > 0 && !slices.ContainsFunc(p.Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
		return fmt.Errorf("username %q is of no domain that username-domain allows: %w", claim, ErrName)
	}
	return nil
}

func lower(r rune) rune {
	if r >= 'A' && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// reserved says whether a name means something on some machine already: accounts of the system, groups that are power
// (CVE-2020-8903), and the prefixes of systemd.
func reserved(s string) bool {
	return slices.Contains(reservedNames, s) || strings.HasPrefix(s, "systemd-") || strings.HasPrefix(s, "_")
}

var reservedNames = strings.Fields(`
	root toor daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc gnats nobody nfsnobody nogroup
	halt shutdown operator ftp sshd messagebus dbus polkitd tss chrony ntp avahi rtkit colord pulse geoclue gdm sddm lightdm
	adm tty disk kmem dialout fax voice cdrom floppy tape audio dip src shadow utmp video sasl plugdev staff users wheel sudo
	docker lxd libvirt kvm render input crontab ssh ssl-cert netdev lpadmin sgx i2c mem
	mysql postgres redis mongodb apache nginx tomcat named bind postfix exim dovecot squid cups saned usbmux munge slurm
	rstudio-server rstudio-launcher pwb jupyterhub vagrant administrator`)
