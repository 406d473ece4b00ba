package provision

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("PWB_PROVISION_CHILD"); path != "" {
		child(path)
		return
	}
	os.Exit(m.Run())
}

func registrar(t testing.TB) *Provisioner {
	t.Helper()
	return registrarAt(t, filepath.Join(t.TempDir(), "pwb.db"))
}

func registrarAt(t testing.TB, path string) *Provisioner {
	t.Helper()
	s, err := store.Open(ctx, store.Config{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return &Provisioner{
		Store:    s,
		Machine:  &machine{users: map[string]account.UID{"local": 1001, "alicia": 1003}, groups: map[string]account.GID{"data": 1004, "sudo": 27}},
		Register: &Register{FirstLogin: true, StartUID: 1000, StartGID: 1000, HomePath: "/home", Shell: "/bin/bash"},
	}
}

func told(e Evidence, complete bool, objects ...string) Evidence {
	e.Groups = &store.Groups{Objects: objects, Complete: complete}
	return e
}

func accountOf(t testing.TB, p *Provisioner, name account.Name) store.Account {
	t.Helper()
	a, err := p.Store.ByName(ctx, name)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestTheFirstLoginMakesAnAccount(t *testing.T) {
	p := registrar(t)
	e := evidence("1", "a", "Alice@example.com")
	e.FullName = "Alice: Liddell"
	if name, err := p.Login(ctx, e, "alice"); name != "alice" || err != nil {
		t.Fatalf("Login = %q, %v", name, err)
	}
	a := accountOf(t, p, "alice")
	if a.UID != 1000 || a.GID() != 1000 || a.Home != "/home/alice" || a.Shell != "/bin/bash" || a.Gecos != "Alice Liddell" {
		t.Errorf("%+v", a)
	}
	for i, want := range []account.UID{1002, 1005} { // 1001 and 1003 are users of the machine, 1004 is a group of it
		name := account.Name(fmt.Sprintf("p%d", i))
		if _, err := p.Login(ctx, evidence("p"+string(name), string(name), string(name)), name); err != nil {
			t.Fatal(err)
		}
		if a := accountOf(t, p, name); a.UID != want {
			t.Errorf("%s has uid %d, want %d", name, a.UID, want)
		}
	}
	// A rename at the provider changes a label.
	if name, err := p.Login(ctx, evidence("2", "a", "smith@example.com"), "alice"); name != "alice" || err != nil {
		t.Errorf("renamed: %q, %v", name, err)
	}
	if a := accountOf(t, p, "alice"); a.UID != 1000 || a.Home != "/home/alice" || a.Identity.Username != "smith@example.com" {
		t.Errorf("renamed: %+v", a)
	}
}

func TestNamesThatAreTaken(t *testing.T) {
	p := registrar(t)
	if _, err := p.Login(ctx, evidence("1", "a", "alice@example.com"), ""); err != nil {
		t.Fatal(err)
	}
	p.Machine.(*machine).groups["staffers"] = 1007
	for _, tt := range []struct {
		suffix          bool
		username, want  string
		wantErr         error
		wantWordsInText string
	}{
		{false, "alice@other.example", "", ErrNameTaken, "another identity's"},
		{false, "local@example.com", "", ErrNameTaken, "run: pwb users link local s"},
		{true, "local@example.com", "", ErrNameTaken, "an account of the machine (uid 1001)"},
		{true, "staffers@example.com", "", ErrNameTaken, "a group of the machine (gid 1007)"},
		{false, "slow@example.com", "", store.ErrUnavailable, "no answer from the directory"},
		{false, "root@example.com", "", account.ErrName, "reserved"},
		{false, "../../etc@example.com", "", account.ErrName, "no login name is made of"},
		{true, "alice@other.example", "alice-2", nil, ""},
		{true, "ALICE@third.example", "alice-3", nil, ""},
	} {
		p.Register.Suffix = tt.suffix
		name, err := p.Login(ctx, evidence(tt.username, "s"+tt.username, tt.username), "")
		if string(name) != tt.want || !errors.Is(err, tt.wantErr) || err != nil && !strings.Contains(err.Error(), tt.wantWordsInText) {
			t.Errorf("%q: %q, %v; want %q, %v", tt.username, name, err, tt.want, tt.wantErr)
		}
	}
	// A ticket whose name was refused is not spent, and a host that has named somebody never gets another.
	p.Register.Suffix = true
	if _, err := p.Login(ctx, evidence("9", "other", "alice@nine.example"), "alice"); !errors.Is(err, ErrWrongUser) {
		t.Errorf("alice of another company, for alice: %v", err)
	}
	if name, err := p.Login(ctx, evidence("9", "other", "alice@nine.example"), ""); name != "alice-4" || err != nil {
		t.Errorf("the same ticket: %q, %v", name, err)
	}
}

// Files are opened by name and by number; who makes a local account of ours by hand must not be opened with a ticket.
func TestTheMachineTakesANameOrIdLater(t *testing.T) {
	p := registrar(t)
	m := p.Machine.(*machine)
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	m.users["alice"] = 1500
	if _, err := p.Login(ctx, evidence("2", "a", "alice"), "alice"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the name was taken: %v", err)
	}
	delete(m.users, "alice")
	m.users["intruder"] = 1000
	if _, err := p.Login(ctx, evidence("2", "a", "alice"), "alice"); !errors.Is(err, ErrNameTaken) {
		t.Errorf("the uid was taken: %v", err)
	}
	delete(m.users, "intruder")
	if _, err := p.Login(ctx, evidence("2", "a", "alice"), "alice"); err != nil {
		t.Errorf("both are free again: %v", err)
	}
}

func TestADeletedAccountIsNobodysToTake(t *testing.T) {
	p := registrar(t)
	s := p.Store.(*store.Store)
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDeleted(ctx, "alice", true); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Login(ctx, evidence("2", "a", "alice"), ""); !errors.Is(err, store.ErrInactive) {
		t.Errorf("the same person: %v", err)
	}
	if _, err := p.Login(ctx, evidence("3", "b", "alice"), ""); !errors.Is(err, ErrNameTaken) {
		t.Errorf("another of that name: %v", err)
	}
	if _, err := p.Login(ctx, evidence("4", "c", "carol"), ""); err != nil {
		t.Fatal(err)
	}
	if a := accountOf(t, p, "carol"); a.UID == 1000 {
		t.Error("a deleted account's uid was given again")
	}
	if err := s.SetDeleted(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	if name, err := p.Login(ctx, evidence("2", "a", "alice"), ""); name != "alice" || err != nil || accountOf(t, p, "alice").UID != 1000 {
		t.Errorf("restored: %q, %v", name, err)
	}
}

func names(groups []store.Group) (out []string) {
	for _, g := range groups {
		out = append(out, string(g.Name))
	}
	return out
}

func TestGroups(t *testing.T) {
	p := registrar(t)
	s := p.Store.(*store.Store)
	const guid = "1a2b3c4d-1111-2222-3333-444444444444"
	many := make([]string, maxGroups+1)
	for i := range many {
		many[i] = strconv.Itoa(i)
	}
	alice := evidence("", "a", "alice")
	for i, tt := range []struct {
		name     string
		evidence Evidence
		want     []string
		known    store.Known
	}{
		{"nothing is told", alice, nil, store.Untold},
		{"an overage tells nothing", told(alice, false), nil, store.Untold},
		{"by object", told(alice, true, guid, "analysts"), []string{"analysts", "g-1a2b3c4d"}, store.Told},
		{"names of the machine's groups", told(alice, true, "sudo", "data", guid), []string{"data-2", "g-1a2b3c4d", "g-sudo"}, store.Told},
		{"an overage keeps them", told(alice, false, "analysts"), []string{"data-2", "g-1a2b3c4d", "g-sudo"}, store.Stale},
		{"more than anybody has", told(alice, true, many...), []string{"data-2", "g-1a2b3c4d", "g-sudo"}, store.Stale},
		{"told again, in another order and twice", told(alice, true, guid, "data", "sudo", "data"), []string{"data-2", "g-1a2b3c4d", "g-sudo"}, store.Told},
		{"what is no name", told(alice, true, "a\nb", "", strings.Repeat("x", 300), "\xff", guid), []string{"g-1a2b3c4d"}, store.Told},
		{"her own name", told(alice, true, "alice"), []string{"alice-2"}, store.Told},
		{"two in one name", told(alice, true, "/r/d", "r_d"), []string{"r_d", "r_d-2"}, store.Told},
		{"none", told(alice, true), nil, store.Told},
	} {
		e := tt.evidence
		e.SpendKey[0] = byte(i)
		if _, err := p.Login(ctx, e, "alice"); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		groups, err := s.GroupsOf(ctx, "alice")
		if got := names(groups); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: groups %q, %v; want %q", tt.name, got, err, tt.want)
		}
		if a := accountOf(t, p, "alice"); a.Groups != tt.known {
			t.Errorf("%s: known %d, want %d", tt.name, a.Groups, tt.known)
		}
	}
	all, err := s.Groups(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[account.GID]bool{1000: true, 27: true, 1004: true}
	for _, g := range all {
		if seen[g.GID] || g.GID < 1000 {
			t.Errorf("group %+v has an id that is not its own", g)
		}
		seen[g.GID] = true
	}
	_, before, _ := s.Head(ctx)
	e := told(alice, true)
	e.SpendKey[0] = 99
	if _, err := p.Login(ctx, e, "alice"); err != nil {
		t.Fatal(err)
	}
	if _, after, _ := s.Head(ctx); after != before {
		t.Errorf("a login that changed nothing raised the revision from %d to %d", before, after)
	}
}

func TestPublishFailsAndTheLoginWaits(t *testing.T) {
	p := registrar(t)
	published := 0
	p.Publish = func(context.Context) error { published++; return errDown }
	if name, err := p.Login(ctx, evidence("1", "a", "alice"), "alice"); name != "" || !errors.Is(err, ErrNotShown) || !errors.Is(err, store.ErrUnavailable) || published != 1 {
		t.Errorf("Login = %q, %v; published %d times", name, err, published)
	}
}
