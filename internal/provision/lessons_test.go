package provision

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
)

// Holes of systems of our kind, by their numbers. Each could have been ours.

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
