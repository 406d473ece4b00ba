package provision

import (
	"errors"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

func TestAdmission(t *testing.T) {
	p := registrar(t)
	m := p.Machine.(*machine)
	m.in = map[string][]account.GID{"alice": {1004}}
	login := func(e Evidence) {
		t.Helper()
		e.SpendKey = [32]byte{byte(len(e.Groups.Objects)), 1, byte(e.Identity.Subject[0])}
		if _, err := p.Login(ctx, e, ""); err != nil {
			t.Fatal(err)
		}
	}
	login(told(evidence("1", "a", "alice"), true, "analysts"))
	login(told(evidence("2", "b", "bob"), true, "analysts", "interns"))
	login(told(evidence("3", "c", "carol"), true, "analysts", "x", "y"))
	login(told(evidence("4", "c", "carol"), false))
	login(told(evidence("5", "d", "dave"), true, "data", "sudo"))
	login(told(evidence("6", "e", "erin"), false)) // an overage from the first ticket on
	if err := p.Store.(*store.Store).Link(ctx, "local", account.Identity{Issuer: "i", Subject: "l"}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		rules Admission
		who   account.Name
		want  error
	}{
		{"no rules", Admission{}, "alice", nil},
		{"listed", Admission{AllowUsers: []string{"bob", "alice"}}, "alice", nil},
		{"not listed", Admission{AllowUsers: []string{"bob"}}, "alice", ErrNotAllowed},
		{"denied, and listed too", Admission{AllowUsers: []string{"alice"}, DenyUsers: []string{"alice"}}, "alice", ErrNotAllowed},
		{"in the group", Admission{RequiredGroups: []string{"nosuch", "analysts"}}, "alice", nil},
		{"in a group of the machine", Admission{RequiredGroups: []string{"data"}}, "alice", nil},
		{"not in the group", Admission{RequiredGroups: []string{"interns"}}, "alice", ErrNotAllowed},
		{"in a denied group", Admission{DenyGroups: []string{"interns"}, RequiredGroups: []string{"analysts"}}, "bob", ErrNotAllowed},
		{"in a denied group of the machine", Admission{DenyGroups: []string{"data"}}, "alice", ErrNotAllowed},
		{"in no denied group", Admission{DenyGroups: []string{"interns"}}, "alice", nil},
		{"groups unknown, one required", Admission{RequiredGroups: []string{"analysts"}}, "carol", ErrNotAllowed},
		{"groups unknown, one denied", Admission{DenyGroups: []string{"interns"}}, "carol", ErrNotAllowed},
		// CVE-2025-49012: anybody who can make a group at the provider can call it "data"; the machine's is another.
		{"in the provider's group of that name, the machine's is required", Admission{RequiredGroups: []string{"data"}}, "dave", ErrNotAllowed},
		{"in the provider's group of that name, the machine's is denied", Admission{DenyGroups: []string{"data"}}, "dave", ErrNotAllowed},
		{"in the provider's group, by our name for it", Admission{RequiredGroups: []string{"data-2"}}, "dave", nil},
		{"groups never told, one denied", Admission{DenyGroups: []string{"interns"}}, "erin", ErrNotAllowed},
		{"groups never told, one required", Admission{RequiredGroups: []string{"analysts"}}, "erin", ErrNotAllowed},
		{"groups never told, one of the machine's denied", Admission{DenyGroups: []string{"data"}}, "erin", nil},
		{"a linked account, the provider's groups are not kept", Admission{DenyGroups: []string{"interns"}}, "local", ErrNotAllowed},
		{"a linked account, one of the machine's denied", Admission{DenyGroups: []string{"data"}}, "local", nil},
		{"groups unknown, one of the machine's denied", Admission{DenyGroups: []string{"data"}}, "carol", nil},
		{"groups unknown, none asked", Admission{AllowUsers: []string{"carol"}}, "carol", nil},
		{"a directory that is down", Admission{DenyGroups: []string{"slow"}}, "alice", store.ErrUnavailable},
		{"a directory that is down, required", Admission{RequiredGroups: []string{"slow"}}, "alice", store.ErrUnavailable},
	} {
		p.Admission = tt.rules
		if err := p.Admit(ctx, accountOf(t, p, tt.who)); !errors.Is(err, tt.want) {
			t.Errorf("%s: Admit(%q) = %v, want %v", tt.name, tt.who, err, tt.want)
		}
	}
}
