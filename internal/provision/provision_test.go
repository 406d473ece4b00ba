package provision

import (
	"context"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

var ctx = context.Background()

// machine is a machine for tests: accounts and groups that are there, and a directory that is down for one of them.
type machine struct {
	mu     sync.Mutex // guards what follows
	users  map[string]account.UID
	groups map[string]account.GID
	in     map[string][]account.GID
}

func (m *machine) ByUID(uid account.UID) (passwd.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, id := range m.users {
		if id == uid {
			return passwd.Entry{Name: name, UID: id}, nil
		}
	}
	return passwd.Entry{}, passwd.ErrNotFound
}

func (m *machine) GroupByName(name string) (account.GID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if gid, ok := m.groups[name]; ok {
		return gid, nil
	}
	if name == "slow" {
		return 0, errDown
	}
	return 0, passwd.ErrNotFound
}

func (m *machine) GroupByID(gid account.GID) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, id := range m.groups {
		if id == gid {
			return name, nil
		}
	}
	return "", passwd.ErrNotFound
}

func (m *machine) Groups(name string, gid account.GID) ([]account.GID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]account.GID{gid}, m.in[name]...), nil
}

var errDown = errors.New("no answer from the directory")

func (m *machine) ByName(name string) (passwd.Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if uid, ok := m.users[name]; ok {
		return passwd.Entry{Name: name, UID: uid, GID: account.GID(uid)}, nil
	}
	switch name {
	case "toor2":
		return passwd.Entry{Name: name, UID: 0}, nil
	case "service":
		return passwd.Entry{Name: name, UID: 999}, nil
	case "folded":
		return passwd.Entry{Name: "Folded", UID: 1003}, nil
	case "slow":
		return passwd.Entry{}, errDown
	}
	return passwd.Entry{}, passwd.ErrNotFound
}

func provisioner(t *testing.T) *Provisioner {
	t.Helper()
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "pwb.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Provisioner{Store: s, Machine: &machine{users: map[string]account.UID{"alice": 1000, "alicia": 1001, "bob": 1002}}}
}

func evidence(ticket, subject, username string) Evidence {
	return Evidence{
		Identity: account.Identity{Issuer: "https://idp.example.com", Subject: subject, Username: username},
		SpendKey: sha256.Sum256([]byte(ticket)), Expires: time.Now().Add(time.Hour),
	}
}

func TestLogin(t *testing.T) {
	p := provisioner(t)
	for _, tt := range []struct {
		name     string
		evidence Evidence
		wanted   account.Name
		want     account.Name
		wantErr  error
	}{
		{"the first login binds", evidence("1", "a", "alice@example.com"), "alice", "alice", nil},
		{"the same ticket", evidence("1", "a", "alice@example.com"), "alice", "", store.ErrSpent},
		{"another ticket", evidence("2", "a", "alice@example.com"), "alice", "alice", nil},
		{"no user named", evidence("3", "a", "alice@example.com"), "", "alice", nil},
		{"for somebody else", evidence("4", "b", "bob@example.com"), "alice", "", ErrWrongUser},
		{"that ticket is not spent", evidence("4", "b", "bob@example.com"), "bob", "bob", nil},
		{"a leaver's name given to a joiner", evidence("5", "c", "alice@example.com"), "alice", "", store.ErrBound},
		{"a renamed person keeps the account", evidence("6", "a", "alicia@example.com"), "alice", "alice", nil},
		{"and does not get another", evidence("7", "a", "alicia@example.com"), "alicia", "", ErrWrongUser},
		{"nobody's account", evidence("8", "d", "dora@example.com"), "dora", "", ErrNoAccount},
		{"uid 0 under another name", evidence("9", "e", "toor2@example.com"), "toor2", "", ErrSystemAccount},
		{"below the minimum", evidence("10", "f", "service@example.com"), "service", "", ErrSystemAccount},
		{"root", evidence("11", "g", "root@example.com"), "root", "", account.ErrName},
		{"a directory that folds", evidence("12", "h", "folded@example.com"), "folded", "", ErrNoAccount},
		{"a directory that is down", evidence("13", "i", "slow@example.com"), "slow", "", store.ErrUnavailable},
	} {
		got, err := p.Login(ctx, tt.evidence, tt.wanted)
		if got != tt.want || !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: Login = %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.wantErr)
		}
	}
}

func TestFind(t *testing.T) {
	p := provisioner(t)
	if _, err := p.Find(ctx, "alice"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("before the first login: %v", err)
	}
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(ctx, "alice"); err != nil {
		t.Errorf("after it: %v", err)
	}
	if err := p.Store.(*store.Store).SetActive(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Find(ctx, "alice"); !errors.Is(err, store.ErrInactive) {
		t.Errorf("locked: %v", err)
	}
	if _, err := p.Login(ctx, evidence("2", "a", "alice"), ""); !errors.Is(err, store.ErrInactive) {
		t.Errorf("log in to a locked account: %v", err)
	}
}
