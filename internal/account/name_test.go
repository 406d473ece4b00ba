package account

import (
	"strings"
	"testing"
)

func message(err error) string {
	if err == nil {
		return ""
	}
	return strings.TrimSuffix(err.Error(), ": "+ErrName.Error())
}

func TestLoginName(t *testing.T) {
	for _, tt := range []struct{ claim, want, wantErr string }{
		{"alice@example.com", "alice", ""},
		{"alice", "alice", ""},
		{"Alice.Smith@Example.COM", "alice.smith", ""},
		{"a-b_c.d9@example.com", "a-b_c.d9", ""},
		{"root@example.com", "", `login name "root" is reserved`},
		{"ROOT", "", `login name "root" is reserved`},
		{"docker@example.com", "", `login name "docker" is reserved`},
		{"systemd-network@example.com", "", `login name "systemd-network" is reserved`},
		{"_apt@example.com", "", `login name "_apt" is reserved`},
		{"../x@example.com", "", `login name "../x" begins with '.'`},
		{"a/b@example.com", "", `login name "a/b" has '/'`},
		{"-rf@example.com", "", `login name "-rf" begins with '-'`},
		{"..@example.com", "", `login name ".." begins with '.'`},
		{"0@example.com", "", `login name "0" begins with '0'`},
		{"a:0:0@example.com", "", `login name "a:0:0" has ':'`},
		{"a,b", "", `login name "a,b" has ','`},
		{"a b@example.com", "", `login name "a b" has ' '`},
		{"~root", "", `login name "~root" has '~'`},
		{"$(id)", "", `login name "$(id)" has '$'`},
		{"+@example.com", "", `login name "+" has '+'`},
		{"foo_home.com#EXT#@resource.onmicrosoft.com", "", `login name "foo_home.com#ext#" has '#'`},
		{"a\nb", "", `login name "a\nb" has a byte 0x0a`},
		{"a\x00b", "", `login name "a\x00b" has a byte 0x00`},
		{"\u202eecila@example.com", "", "login name \"\\u202eecila\" has a byte 0xe2"},
		{"\u212aelvin", "", "login name \"\u212aelvin\" has a byte 0xe2"}, // KELVIN SIGN lower-cases to k
		{"@example.com", "", "login name is empty"},
		{"", "", "login name is empty"},
		{"a@b@c", "", `login name "a@b@c" has two '@'`},
		{strings.Repeat("a", 32), strings.Repeat("a", 32), ""},
		{strings.Repeat("a", 33), "", `login name "` + strings.Repeat("a", 33) + `" has 33 characters, over 32`},
	} {
		got, err := NamePolicy{}.LoginName(tt.claim)
		if string(got) != tt.want || message(err) != tt.wantErr {
			t.Errorf("LoginName(%q) = %q, %q; want %q, %q", tt.claim, got, message(err), tt.want, tt.wantErr)
		}
	}
}

func TestLoginNameOfListedDomains(t *testing.T) {
	p := NamePolicy{Domains: []string{"example.com", "example.org"}}
	for _, tt := range []struct{ claim, want, wantErr string }{
		{"alice@example.com", "alice", ""},
		{"alice@EXAMPLE.org", "alice", ""},
		{"alice@evil.example", "", `username "alice@evil.example" is of no domain that username-domain allows`},
		{"alice", "", `username "alice" is of no domain that username-domain allows`},
		{"alice@example.com.evil.example", "", `username "alice@example.com.evil.example" is of no domain that username-domain allows`},
	} {
		got, err := p.LoginName(tt.claim)
		if string(got) != tt.want || message(err) != tt.wantErr {
			t.Errorf("LoginName(%q) = %q, %q; want %q, %q", tt.claim, got, message(err), tt.want, tt.wantErr)
		}
	}
}

func TestLoginNameThatKeepsItsDomain(t *testing.T) {
	p := NamePolicy{Keep: true}
	for _, tt := range []struct{ claim, want, wantErr string }{
		{"Alice@Example.com", "alice@example.com", ""},
		{"alice", "alice", ""},
		{"alice@exa/mple", "", `username "alice@exa/mple" has a domain that no login name can have`},
		{"root@example.com", "", `login name "root" is reserved`},
	} {
		got, err := p.LoginName(tt.claim)
		if string(got) != tt.want || message(err) != tt.wantErr {
			t.Errorf("LoginName(%q) = %q, %q; want %q, %q", tt.claim, got, message(err), tt.want, tt.wantErr)
		}
	}
}

func FuzzLoginName(f *testing.F) {
	f.Add("alice@example.com", false)
	f.Add("../\x00:", true)
	f.Fuzz(func(t *testing.T, claim string, keep bool) {
		name, err := NamePolicy{Keep: keep}.LoginName(claim)
		if err != nil {
			return
		}
		if name == "" || len(name) > maxFullName || strings.ContainsAny(string(name), "/:,\\\"'`$ \t\n\r\x00#~+*?!&|<>();") || strings.Trim(string(name), "0123456789") == "" || name[0] == '-' || name[0] == '.' {
			t.Errorf("LoginName(%q) = %q", claim, name)
		}
	})
}
