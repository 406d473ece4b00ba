package provision

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
)

// shownNow are the users that the snapshot shows.
func shownNow(t *testing.T, path string) map[string]uint32 {
	t.Helper()
	c, _, err := snapshot.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]uint32{}
	for _, u := range c.Users {
		users[u.Name] = u.UID
	}
	return users
}

// A database that comes back from a backup is behind what is shown; what came after it is shown no more, and what comes next is.
func TestABackupThatIsRestored(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db", "pwb.db")
	pub := &Publisher{Path: filepath.Join(dir, "nss", "users.snap"), Machine: &machine{}}
	login := func(names ...string) {
		t.Helper()
		s, err := store.Open(ctx, store.Config{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		pub.Store = s
		p := &Provisioner{Store: s, Machine: pub.Machine, Publish: pub.Publish, Register: &Register{FirstLogin: true, StartUID: 1000, StartGID: 1000, HomePath: "/home", Shell: "/bin/sh"}}
		for _, name := range names {
			if _, err := p.Login(ctx, evidence(name, name, name), ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	login("alice")
	backup, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	login("bob", "dave")
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	login("carol")
	if users := shownNow(t, pub.Path); len(users) != 2 || users["carol"] == 0 || users["alice"] == 0 {
		t.Errorf("after a backup of alice alone and a login of carol, %v are shown", users)
	}
}

// The store is written by a user who faces the network. What he writes into it beside pwb makes him no owner of the machine.
func TestRowsThatPwbDidNotWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "db", "pwb.db")
	p := registrarAt(t, path)
	p.HomePath = "/home"
	var reported []error
	pub := &Publisher{Path: filepath.Join(dir, "nss", "users.snap"), Store: p.Store.(*store.Store), Machine: p.Machine, HomePath: "/home",
		Report: func(err error) { reported = append(reported, err) }}
	for _, name := range []string{"alice", "bob", "carol", "dave", "erin"} {
		if _, err := p.Login(ctx, told(evidence(name, name, name), true, "team-"+name), ""); err != nil {
			t.Fatal(err)
		}
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, change := range []string{
		"UPDATE account SET home = '/etc/systemd/system/ssh.service.d' WHERE name = 'alice'",
		"UPDATE account SET id = 61184 WHERE name = 'bob'", // GHSA-6gp8-pp9v-gx45: a service's dynamic uid
		"UPDATE account SET id = 27 WHERE name = 'carol'",
		"UPDATE account SET id = 1001 WHERE name = 'dave'", // another's, on this machine
		"UPDATE provider_group SET name = 'docker' WHERE name = 'team-alice'",
		"UPDATE provider_group SET gid = 60578 WHERE name = 'team-bob'",
	} {
		if _, err := db.Exec("PRAGMA foreign_keys = OFF; " + change); err != nil {
			t.Fatalf("%s: %v", change, err)
		}
	}
	if err := pub.Publish(ctx); err != nil {
		t.Fatal(err)
	}
	c, _, err := snapshot.Read(pub.Path)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range c.Users {
		if u.Name == "alice" || u.Name == "bob" || u.Name == "carol" {
			t.Errorf("%+v is shown", u)
		}
	}
	for _, g := range c.Groups {
		if g.Name == "docker" || g.GID == 60578 {
			t.Errorf("%+v is shown", g)
		}
	}
	if len(reported) != 5 {
		t.Errorf("reported: %v", reported)
	}
	for name, want := range map[account.Name]error{"alice": ErrForeign, "bob": ErrForeign, "carol": ErrForeign, "dave": ErrNameTaken, "erin": nil} {
		a := accountOf(t, p, name)
		if err := p.Admit(ctx, a); !errors.Is(err, want) {
			t.Errorf("Admit(%q) = %v, want %v", name, err, want)
		}
		e := evidence("again"+string(name), string(name), string(name))
		if _, err := p.Login(ctx, e, name); !errors.Is(err, want) {
			t.Errorf("Login(%q) = %v, want %v", name, err, want)
		}
		if _, err := p.LookUp(ctx, string(name)); want == ErrForeign && !errors.Is(err, want) {
			t.Errorf("LookUp(%q) = %v, want %v", name, err, want)
		}
	}
}

// Every name that a policy gives is one that is shown and let in.
func TestNamesOfEveryPolicy(t *testing.T) {
	for want, policy := range map[account.Name]account.NamePolicy{"alice": {}, "alice_example.com": {Full: true}, "alice@example.com": {Keep: true}} {
		p := registrarAt(t, filepath.Join(t.TempDir(), "db", "pwb.db"))
		p.Names, p.HomePath = policy, "/home"
		pub := &Publisher{Path: filepath.Join(t.TempDir(), "nss", "users.snap"), Store: p.Store.(*store.Store), Machine: p.Machine, HomePath: "/home"}
		p.Publish = pub.Publish
		for _, ticket := range []string{"1", "2"} {
			if name, err := p.Login(ctx, evidence(ticket, "a", "Alice@example.com"), ""); name != want || err != nil {
				t.Errorf("Login = %q, %v; want %q", name, err, want)
			}
		}
		if err := p.Admit(ctx, accountOf(t, p, want)); err != nil {
			t.Errorf("Admit(%q) = %v", want, err)
		}
		if users := shownNow(t, pub.Path); users[string(want)] != 1000 {
			t.Errorf("%q is not shown: %v", want, users)
		}
	}
}
