package account

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

const (
	derivedName = 28 // leaves room in a login name for what tells two apart
	maxGecos    = 100
)

// Derive returns a login name for somebody whose account pwb makes: letters lose their marks, what no login name can have
// becomes '_'. What could be meant as more than a name (a path, a field of passwd(5), text that is not what it looks like)
// is refused, not mended. Names of existing accounts are never derived so: two people could meet in one.
func (p NamePolicy) Derive(claim string) (Name, error) {
	if strings.IndexFunc(claim, hostile) >= 0 {
		return "", fmt.Errorf("username %q has a character that no login name is made of: %w", claim, ErrName)
	}
	local, domain, has := strings.Cut(claim, "@")
	if err := p.allow(claim, domain); err != nil {
		return "", err
	}
	if has && p.Full {
		local += "_" + domain
	}
	return deriveName(local)
}

// ErrNothingLeft is in the error of a username all of whose letters are of other scripts.
var ErrNothingLeft = fmt.Errorf("%w", ErrName)

func deriveName(text string) (Name, error) {
	s := strings.Trim(plainLetters(text), "-._")
	switch {
	case s == "":
		return "", fmt.Errorf("username %q has nothing that a login name is made of: %w", text, ErrNothingLeft)
	case strings.Trim(s, "0123456789") == "": // programs take it for a uid
		return "", fmt.Errorf("username %q is a number: %w", text, ErrName)
	case s[0] >= '0' && s[0] <= '9':
		s = "u" + s
	}
	if len(s) > derivedName {
		s = strings.TrimRight(s[:derivedName], "-._")
	}
	return ParseName(s)
}

// Suffixed returns the nth name beside a taken one: alice-2.
func (n Name) Suffixed(i int) (Name, error) {
	tail := "-" + strconv.Itoa(i)
	return ParseName(string(n)[:min(len(n), maxName-len(tail))] + tail)
}

// hostile are the characters that are refused in a username rather than replaced.
func hostile(r rune) bool {
	return r == '/' || r == '\\' || r == ':' || r == unicode.ReplacementChar || unicode.IsControl(r) || unicode.Is(unicode.Cf, r) ||
		unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r)
}

// spelled are letters that have no plain letter inside, as those with marks have.
var spelled = strings.NewReplacer("ß", "ss", "ẞ", "SS", "æ", "ae", "Æ", "AE", "œ", "oe", "Œ", "OE", "ø", "o", "Ø", "O", "ł", "l", "Ł", "L",
	"đ", "d", "Đ", "D", "ð", "d", "Ð", "D", "þ", "th", "Þ", "TH", "ı", "i")

// plainLetters takes the marks off letters (Unicode NFKD) and joins runs of anything else in one '_'.
func plainLetters(text string) string {
	var out strings.Builder
	for _, r := range norm.NFKD.String(spelled.Replace(text)) {
		r = lower(r)
		switch {
		case unicode.Is(unicode.Mn, r):
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '-':
			out.WriteRune(r)
		case !strings.HasSuffix(out.String(), "_"):
			out.WriteByte('_')
		}
	}
	return strings.TrimRight(out.String(), "_")
}

// GroupName returns a readable name for a provider's group. label is its display name, or "" when only the object is known;
// Entra ID's objects are GUIDs, of which eight digits are enough to tell groups apart for people. A group of the provider
// never has the name of a group of the machine; what the caller finds taken gets a suffix.
func GroupName(object, label string) (Name, error) {
	if label == "" {
		label = object
		if IsGUID(object) {
			label = "g-" + object[:8]
		}
	}
	if strings.IndexFunc(label, unicode.IsControl) >= 0 {
		return "", fmt.Errorf("group %q has a control character: %w", label, ErrName)
	}
	if name, err := deriveName(strings.TrimLeft(label, "/")); err == nil {
		return name, nil
	}
	return deriveName("g-" + label) // reserved, a number, or nothing but signs
}

// Privileged says whether membership of a local group is power over the machine. Such a group is never joined on a
// provider's word (CVE-2020-8903).
func Privileged(group string) bool {
	return slices.Contains(privilegedGroups, group) || strings.HasPrefix(group, "systemd-")
}

var privilegedGroups = strings.Fields(`root wheel sudo adm admin docker lxd incus incus-admin libvirt libvirt-qemu podman disk shadow kmem
	mem tty utmp kvm staff operator backup bin daemon sys ssl-cert crontab sambashare lpadmin netdev rstudio-server pwb`)

// Gecos makes a person's name fit for a field of passwd(5): ':' would end it, ',' divides it (chfn(1)), and nobody reads 200 bytes.
func Gecos(name string) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r == ':' || r == ',' || r == '&' || unicode.IsControl(r): // finger(1) puts the login name for '&'
			return ' '
		case unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, name)
	clean = strings.Join(strings.Fields(clean), " ")
	for len(clean) > maxGecos {
		_, size := utf8.DecodeLastRuneInString(clean)
		clean = clean[:len(clean)-size]
	}
	return clean
}
