package provision

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
)

// Holes of systems of our kind, by their numbers (docs/lessons.md). Each could have been ours.

func logIn(t *testing.T, p *Provisioner, e Evidence, wanted account.Name) account.Name {
	t.Helper()
	name, err := p.Login(ctx, e, wanted)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// authd: a uid was a hash of the name, so whoever chose a name chose a uid. Ours say nothing of the name.
func TestCVE20249312(t *testing.T) {
	ids := map[string][]account.UID{}
	for _, order := range [][]string{{"alice", "bob", "carol"}, {"carol", "bob", "alice"}} {
		p := registrar(t)
		for _, name := range order {
			logIn(t, p, evidence(name, name, name), "")
			ids[name] = append(ids[name], accountOf(t, p, account.Name(name)).UID)
		}
	}
	if ids["alice"][0] == ids["alice"][1] || ids["alice"][0] != ids["carol"][1] {
		t.Errorf("uids follow names, not the order of coming: %v", ids)
	}
}

// authd: the user whom the host had named was replaced after she was authenticated.
func TestCVE20249313(t *testing.T) {
	p := registrar(t)
	logIn(t, p, evidence("1", "a", "alice"), "alice")
	for _, e := range []Evidence{evidence("2", "b", "bob"), evidence("3", "b", "alice@elsewhere.example"), evidence("4", "c", "ALICE")} {
		if name, err := p.Login(ctx, e, "alice"); name != "" || err == nil {
			t.Errorf("%+v opened %q for alice", e.Identity, name)
		}
	}
}

// authd: before the first login an account of gid 0 stood in for the user. Ours is nowhere until it is whole.
func TestCVE20255689(t *testing.T) {
	p := registrar(t)
	if entry, err := p.LookUp(ctx, "alice"); err == nil {
		t.Errorf("before her first login alice is %+v", entry)
	}
	for _, u := range []snapshot.User{{Name: "alice"}, {Name: "alice", UID: 1500}} {
		u.Home, u.Shell = "/home/alice", "/bin/sh"
		if err := u.Check(); !errors.Is(err, snapshot.ErrEntry) {
			t.Errorf("%+v can be shown: %v", u, err)
		}
	}
}

// authd: an update from the provider set the primary group anew. A login changes labels and memberships, and nothing else.
func TestCVE20266970(t *testing.T) {
	p := registrar(t)
	logIn(t, p, told(evidence("1", "a", "alice"), true, "x"), "")
	before := accountOf(t, p, "alice")
	for i, e := range []Evidence{told(evidence("2", "a", "alice"), true, "y"), told(evidence("3", "a", "smith"), false), evidence("4", "a", "root")} {
		e.FullName = fmt.Sprint("Another Name ", i)
		logIn(t, p, e, "alice")
		if a := accountOf(t, p, "alice"); a.UID != before.UID || a.GID() != before.GID() || a.Home != before.Home || a.Shell != before.Shell {
			t.Errorf("login %d made %+v of %+v", i, a, before)
		}
	}
}

// guest-oslogin: people were put into adm, docker and lxd. A provider's word puts nobody into a group of the machine.
func TestCVE20208903(t *testing.T) {
	p := registrar(t)
	logIn(t, p, told(evidence("1", "a", "alice"), true, "sudo", "docker", "adm", "wheel", "lxd", "disk", "shadow", "kvm", "libvirt"), "")
	groups, err := p.Store.GroupsOf(ctx, "alice")
	if err != nil || len(groups) != 9 {
		t.Fatalf("%v, %v", groups, err)
	}
	for _, g := range groups {
		if account.Privileged(string(g.Name)) || g.GID < account.MinID {
			t.Errorf("alice is in %q, gid %d", g.Name, g.GID)
		}
	}
	pub := &Publisher{Store: p.Store.(*store.Store), Machine: p.Machine, GroupMap: map[string]string{"docker": "sudo", "adm": "data"}}
	extra, err := pub.extra(ctx)
	if err != nil || len(extra) != 1 {
		t.Errorf("group-map gives %v, %v; the machine's sudo is none to give", extra, err)
	}
}

// himmelblau and others: groups and ids of people who are gone were given to those who came. So were names.
func TestCVE20193843(t *testing.T) {
	p := registrar(t)
	logIn(t, p, evidence("1", "a", "alice"), "")
	was := accountOf(t, p, "alice").UID
	if err := p.Store.(*store.Store).SetDeleted(ctx, "alice", true); err != nil {
		t.Fatal(err)
	}
	p.Register.Suffix = true
	if name := logIn(t, p, evidence("2", "b", "alice"), ""); name == "alice" || accountOf(t, p, name).UID == was {
		t.Errorf("another alice is %q, uid %d", name, accountOf(t, p, name).UID)
	}
}

// nOAuth: a mutable label, an address that anybody can claim, decided who somebody is.
func TestNOAuth(t *testing.T) {
	p := registrar(t)
	logIn(t, p, evidence("1", "a", "alice@example.com"), "")
	e := evidence("2", "b", "alice@example.com")
	if name, err := p.Login(ctx, e, ""); err == nil {
		t.Errorf("another subject of the same address is %q", name)
	}
	e = evidence("3", "a", "alice@example.com")
	e.Identity.Issuer = "https://evil.example"
	if name, err := p.Login(ctx, e, ""); err == nil {
		t.Errorf("the same subject of another issuer is %q", name)
	}
}

// himmelblau: the group that a login needs was compared by its display name, which anybody who can make a group can choose.
func TestCVE202549012(t *testing.T) {
	p := registrar(t)
	p.Admission = Admission{RequiredGroups: []string{"data"}} // the machine's
	logIn(t, p, told(evidence("1", "a", "mallory"), true, "data"), "")
	if err := p.Admit(ctx, accountOf(t, p, "mallory")); !errors.Is(err, ErrNotAllowed) {
		t.Errorf("in the provider's group of that name: %v, want %v", err, ErrNotAllowed)
	}
	groups, err := p.Store.GroupsOf(ctx, "mallory")
	if err != nil || len(groups) != 1 || groups[0].Name == "data" {
		t.Errorf("the provider's group is %+v, %v; the machine has a data of its own", groups, err)
	}
}

// himmelblau, GHSA-x259-23ph-65m5: a name with a colon or a line end was written to /etc/subuid; OpenSSH, CVE-2026-35414: one with a
// comma was two. No such name becomes an account, nor is one shown that somebody has put into the store.
func TestCVE202635414(t *testing.T) {
	p := registrar(t)
	plain := regexp.MustCompile(`^[a-z][a-z0-9._-]*$`)
	for i, name := range []string{"alice:100000:65536", "alice\nroot:0:1", "alice,root", "alice root", "-alice", "..", "4711", "al\x00ice", "alice/x"} {
		if got, err := p.Login(ctx, evidence(fmt.Sprint(i), fmt.Sprint(i), name), ""); err == nil && !plain.MatchString(string(got)) {
			t.Errorf("%q is %q", name, got)
		}
		u := snapshot.User{Name: name, UID: 1500, GID: 1500, Home: "/home/x", Shell: "/bin/sh"}
		if err := sound(account.Name(name), 1500); err == nil {
			t.Errorf("%q in the store is sound", name)
		}
		if err := u.Check(); !errors.Is(err, snapshot.ErrEntry) && strings.ContainsAny(name, ":\n\x00,") {
			t.Errorf("%q can be shown: %v", name, err)
		}
	}
}
