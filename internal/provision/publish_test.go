package provision

import (
	"os"
	"path/filepath"
	"testing"

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
		p := &Provisioner{Store: s, Machine: pub.Machine, Publish: pub.Publish, Register: &Register{StartUID: 1000, StartGID: 1000, HomePath: "/home", Shell: "/bin/sh"}}
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
