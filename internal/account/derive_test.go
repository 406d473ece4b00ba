package account

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDerive(t *testing.T) {
	long := strings.Repeat("a", 40)
	for _, tt := range []struct {
		policy               NamePolicy
		claim, want, wantErr string
	}{
		{NamePolicy{}, "Alice@example.com", "alice", ""},
		{NamePolicy{}, "jörg.müller@example.com", "jorg.muller", ""},
		{NamePolicy{}, "jo\u0308rg", "jorg", ""},
		{NamePolicy{}, "Straße", "strasse", ""},
		{NamePolicy{}, "Łukasz Ørsted", "lukasz_orsted", ""},
		{NamePolicy{}, "\u212aelvin", "kelvin", ""},
		{NamePolicy{}, "d'arcy", "d_arcy", ""},
		{NamePolicy{}, "foo_home.com#EXT#@resource.onmicrosoft.com", "foo_home.com_ext", ""},
		{NamePolicy{}, "007bond", "u007bond", ""},
		{NamePolicy{}, "-rf@example.com", "rf", ""},
		{NamePolicy{}, long, long[:28], ""},
		{NamePolicy{Full: true}, "alice@example.com", "alice_example.com", ""},
		{NamePolicy{Full: true}, "alice", "alice", ""},
		{NamePolicy{Domains: []string{"example.com"}}, "alice@EXAMPLE.com", "alice", ""},
		{NamePolicy{Domains: []string{"example.com"}}, "alice@evil.example", "", `username "alice@evil.example" is of no domain that username-domain allows`},
		{NamePolicy{Domains: []string{"example.com"}}, "alice", "", `username "alice" is of no domain that username-domain allows`},
		{NamePolicy{}, "12345", "", `username "12345" is a number`},
		{NamePolicy{}, "١٢٣", "", `username "١٢٣" has nothing that a login name is made of`},
		{NamePolicy{}, "..", "", `username ".." has nothing that a login name is made of`},
		{NamePolicy{}, "", "", `username "" has nothing that a login name is made of`},
		{NamePolicy{}, "山田", "", `username "山田" has nothing that a login name is made of`},
		{NamePolicy{}, "root", "", `login name "root" is reserved`},
		{NamePolicy{}, "röot", "", `login name "root" is reserved`},
		{NamePolicy{}, "~root", "", `login name "root" is reserved`},
		{NamePolicy{}, "ｒｏｏｔ", "", `login name "root" is reserved`},
		{NamePolicy{}, "systemd-network", "", `login name "systemd-network" is reserved`},
		{NamePolicy{}, "../x", "", `username "../x" has a character that no login name is made of`},
		{NamePolicy{}, `CORP\alice`, "", `username "CORP\\alice" has a character that no login name is made of`},
		{NamePolicy{}, "a:0:0", "", `username "a:0:0" has a character that no login name is made of`},
		{NamePolicy{}, "a\nb", "", `username "a\nb" has a character that no login name is made of`},
		{NamePolicy{}, "a\x00b", "", `username "a\x00b" has a character that no login name is made of`},
		{NamePolicy{}, "\u202eecila", "", `username "\u202eecila" has a character that no login name is made of`},
		{NamePolicy{}, "al\u200bice", "", `username "al\u200bice" has a character that no login name is made of`},
		{NamePolicy{}, "al\xffice", "", `username "al\xffice" has a character that no login name is made of`},
	} {
		got, err := tt.policy.Derive(tt.claim)
		if string(got) != tt.want || message(err) != tt.wantErr {
			t.Errorf("%+v: Derive(%q) = %q, %q; want %q, %q", tt.policy, tt.claim, got, message(err), tt.want, tt.wantErr)
		}
	}
}

func TestSuffixed(t *testing.T) {
	for _, tt := range []struct {
		name Name
		i    int
		want Name
	}{{"alice", 2, "alice-2"}, {Name(strings.Repeat("a", 32)), 10, Name(strings.Repeat("a", 29) + "-10")}} {
		if got, err := tt.name.Suffixed(tt.i); got != tt.want || err != nil {
			t.Errorf("%q.Suffixed(%d) = %q, %v; want %q", tt.name, tt.i, got, err, tt.want)
		}
	}
}

func TestGroupName(t *testing.T) {
	for _, tt := range []struct{ object, label, want string }{
		{"1a2b3c4d-1111-2222-3333-444444444444", "", "g-1a2b3c4d"},
		{"1a2b3c4d-1111-2222-3333-444444444444", "Data Science (EU)", "data_science_eu"},
		{"/engineering/data", "", "engineering_data"},
		{"analysts", "", "analysts"},
		{"sudo", "", "g-sudo"},
		{"1234", "", "g-1234"},
		{"山", "", "g"},
	} {
		if got, err := GroupName(tt.object, tt.label); string(got) != tt.want || err != nil {
			t.Errorf("GroupName(%q, %q) = %q, %v; want %q", tt.object, tt.label, got, err, tt.want)
		}
	}
	if got, err := GroupName("a\nb", ""); err == nil {
		t.Errorf("a group with a new line is called %q", got)
	}
}

func TestGecos(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"Alice Liddell", "Alice Liddell"},
		{"Müller, Jörg", "Müller Jörg"},
		{"x:0:0:root:/root:/bin/sh\nroot::0:0", "x 0 0 root /root /bin/sh root 0 0"},
		{"a & b", "a b"},
		{"\u202eecilA", "ecilA"},
		{"  ", ""},
	} {
		if got := Gecos(tt.name); got != tt.want {
			t.Errorf("Gecos(%q) = %q; want %q", tt.name, got, tt.want)
		}
	}
	if got := Gecos(strings.Repeat("ü", 80)); len(got) > maxGecos || !utf8.ValidString(got) {
		t.Errorf("80 ü became %d bytes, %q", len(got), got)
	}
}

func TestNextID(t *testing.T) {
	subuid := []IDRange{{100000, 165535}, {165536, 231071}}
	for _, tt := range []struct {
		from, want uint32
		ok         bool
	}{
		{0, 1000, true}, {1000, 1000, true}, {59999, 59999, true}, {60000, 65536, true}, {60578, 65536, true}, {61184, 65536, true},
		{65534, 65536, true}, {100000, 231072, true}, {200000, 231072, true}, {524288, 1879048192, true}, {MaxID, MaxID, true},
		{MaxID + 1, 0, false}, {1<<32 - 1, 0, false},
	} {
		if got, ok := NextID(tt.from, subuid); got != tt.want || ok != tt.ok {
			t.Errorf("NextID(%d) = %d, %v; want %d, %v", tt.from, got, ok, tt.want, tt.ok)
		}
	}
	if id, ok := NextID(1000, []IDRange{{1000, MaxID}}); ok {
		t.Errorf("out of a full range came %d", id)
	}
}

func FuzzDerive(f *testing.F) {
	f.Add("alice@example.com", false)
	f.Add("../\x00:", true)
	f.Add("\u202e\u0308ß", false)
	f.Fuzz(func(t *testing.T, claim string, full bool) {
		name, err := NamePolicy{Full: full}.Derive(claim)
		if err != nil {
			return
		}
		if again, err := ParseName(string(name)); again != name || err != nil || len(name) > 28 {
			t.Errorf("Derive(%q) = %q, which is no login name: %v", claim, name, err)
		}
		if g, err := GroupName(claim, ""); err == nil {
			if _, err := ParseName(string(g)); err != nil {
				t.Errorf("GroupName(%q) = %q: %v", claim, g, err)
			}
		}
	})
}
