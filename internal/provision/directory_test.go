package provision

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

const issuer = "https://idp.example.com"

// managed is a Provisioner whose accounts the provider manages; the object id X is the subject oid-X.
func managed(t testing.TB, firstLogin bool) (*Provisioner, *store.Store, *[]string) {
	t.Helper()
	s, err := store.Open(ctx, store.Config{Path: filepath.Join(t.TempDir(), "pwb.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	p := registrar(t)
	p.Store = s
	p.Register.FirstLogin = firstLogin
	var mu sync.Mutex
	events := new([]string)
	p.Directory = &Directory{
		Store: s, Issuer: issuer, Suffix: true, Leave: Leaving("suspend-new", time.Minute),
		Subject: func(id string) (string, bool) { return id, strings.HasPrefix(id, "oid-") },
		Audit: func(event string, fields map[string]any) error {
			mu.Lock()
			defer mu.Unlock()
			*events = append(*events, fmt.Sprint(event, " ", fields["result"]))
			return nil
		},
		Report: func(err error) { t.Error(err) },
	}
	return p, s, events
}

func person(id, userName, externalID string) store.ScimUser {
	return store.ScimUser{ID: id, UserName: userName, ExternalID: externalID, Active: true, Doc: []byte(`{"userName":"` + userName + `"}`)}
}

func (p *Provisioner) setActive(t testing.TB, id string, active bool) {
	t.Helper()
	if _, err := p.ChangeUser(ctx, id, func(u *store.ScimUser) error { u.Active = active; return nil }, Actor{}); err != nil {
		t.Error(err)
	}
}

func TestWhoIsLetInByTheDirectory(t *testing.T) {
	p, s, events := managed(t, false)
	for _, u := range []store.ScimUser{person("1", "alice@example.com", "oid-alice"), person("2", "bob@example.com", "bob"), person("3", "off@example.com", "oid-off")} {
		if _, err := p.CreateUser(ctx, u, Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	p.setActive(t, "3", false)
	for i, tt := range []struct {
		subject, username string
		want              account.Name
		err               error
	}{
		{"stranger", "nobody@example.com", "", ErrNotProvided},
		{"oid-alice", "renamed@example.com", "alice", nil},   // by the object id, whatever the name
		{"mallory", "alice@example.com", "", store.ErrBound}, // a second person with a linked userName
		{"oid-off", "off@example.com", "", store.ErrInactive},
		{"b1", "BOB@example.com", "bob", nil},         // nobody's until now
		{"b2", "bob@example.com", "", store.ErrBound}, // and somebody's from now on
		{"b1", "other@example.com", "bob", nil},
	} {
		name, err := p.Login(ctx, evidence(fmt.Sprint(i), tt.subject, tt.username), "")
		if name != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s as %s: %q, %v; want %q, %v", tt.subject, tt.username, name, err, tt.want, tt.err)
		}
	}
	if !slices.Contains(*events, "link-user <nil>") {
		t.Errorf("no line about the link: %q", *events)
	}
	p.setActive(t, "3", true)
	if name, err := p.Login(ctx, evidence("off", "oid-off", "off@example.com"), ""); name != "off" || err != nil {
		t.Errorf("active again: %q, %v", name, err)
	}
	// Before the first login an external id may be corrected; after it the account is its person's for ever.
	for id, want := range map[string]string{"2": "b1"} {
		p.ChangeUser(ctx, id, func(u *store.ScimUser) error { u.ExternalID = "oid-new"; return nil }, Actor{})
		if u, err := s.ScimUser(ctx, id, false); err != nil || u.ExternalID != "oid-new" || u.Account.Identity.Subject != want {
			t.Errorf("%+v, %v", u, err)
		}
	}
}

func TestAPersonWhoComesBackHasTheSameAccount(t *testing.T) {
	p, s, _ := managed(t, true)
	// Made by a login, then by the directory, deleted, and made again.
	if _, err := p.Login(ctx, told(evidence("1", "oid-a", "alice@example.com"), true, "g1"), ""); err != nil {
		t.Fatal(err)
	}
	first := accountOf(t, p, "alice")
	u, err := p.CreateUser(ctx, person("1", "a.liddell@example.com", "oid-a"), Actor{})
	if err != nil || u.Account.Name != "alice" || u.Account.UID != first.UID {
		t.Fatalf("%+v, %v", u, err)
	}
	if groups, err := s.GroupsOf(ctx, "alice"); err != nil || len(groups) != 0 {
		t.Errorf("still in %+v, %v: what a ticket said is nobody's to take back", groups, err)
	}
	if err := p.DeleteUser(ctx, "1", func(store.ScimUser) error { return nil }, Actor{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Login(ctx, evidence("2", "oid-a", "alice@example.com"), ""); !errors.Is(err, store.ErrInactive) {
		t.Errorf("deleted: %v", err)
	}
	other, err := p.CreateUser(ctx, person("2", "alice@example.com", "oid-b"), Actor{})
	if err != nil || other.Account.Name != "alice-2" || other.Account.UID == first.UID {
		t.Errorf("another person: %+v, %v", other.Account, err)
	}
	if err := s.SetDeleted(ctx, "alice", false); err != nil { // an operator may want her back before the provider does
		t.Fatal(err)
	}
	if a, err := p.Find(ctx, "alice"); err != nil || a.Managed {
		t.Errorf("restored: %+v, %v", a, err)
	}
	again, err := p.CreateUser(ctx, person("3", "alice.l@example.com", "oid-a"), Actor{})
	if err != nil || again.Account.Name != "alice" || again.Account.UID != first.UID || again.Account.Home != first.Home {
		t.Errorf("back: %+v, %v", again.Account, err)
	}
	if name, err := p.Login(ctx, evidence("3", "oid-a", "x@example.com"), ""); name != "alice" || err != nil {
		t.Errorf("back: %q, %v", name, err)
	}
}

func TestJITLeavesAloneWhatTheDirectoryManages(t *testing.T) {
	p, s, _ := managed(t, true)
	u, err := p.CreateUser(ctx, person("1", "alice@example.com", "oid-a"), Actor{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := p.CreateGroup(ctx, store.ScimGroup{ID: "g", DisplayName: "Data Team", ExternalID: "g1", Doc: []byte(`{}`)}, []string{"1"}, Actor{})
	if err != nil || g.Name != "data_team" {
		t.Fatal(g, err)
	}
	if _, err := p.Login(ctx, told(evidence("1", "oid-a", "alice@example.com"), true, "g9"), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Login(ctx, told(evidence("2", "jit", "joe@example.com"), true, "g1", "g2"), ""); err != nil {
		t.Fatal(err)
	}
	if members, err := s.MembersOf(ctx, g.GID); err != nil || !slices.Equal(members, []string{"alice"}) {
		t.Errorf("members %q, %v; want alice alone", members, err)
	}
	if groups, _ := s.GroupsOf(ctx, "joe"); len(groups) != 1 || groups[0].Object != "g2" {
		t.Errorf("joe is in %+v", groups)
	}
	// A group that logins have made is taken over with its gid, and gets its name.
	old, err := s.GroupOf(ctx, issuer, "g2")
	if err != nil {
		t.Fatal(err)
	}
	taken, err := p.CreateGroup(ctx, store.ScimGroup{ID: "h", DisplayName: "sudo", ExternalID: "g2", Doc: []byte(`{}`)}, nil, Actor{})
	if err != nil || taken.GID != old.GID || taken.Name == "sudo" { // CVE-2025-49012
		t.Errorf("%+v, %v", taken, err)
	}
	// Renamed there and back: its own name is its own; deleted and made again: the same gid.
	for _, name := range []string{"Analytics", "Data Team"} {
		after, err := p.ChangeGroup(ctx, "g", func(g *store.ScimGroup, _ func() ([]store.Member, error)) ([]store.MemberChange, error) {
			g.DisplayName = name
			return nil, nil
		}, Actor{})
		if want, _ := account.GroupName("", name); err != nil || after.Name != want || after.GID != g.GID {
			t.Errorf("%s: %+v, %v", name, after, err)
		}
	}
	if err := p.DeleteGroup(ctx, "g", func(store.ScimGroup) error { return nil }, Actor{}); err != nil {
		t.Fatal(err)
	}
	back, err := p.CreateGroup(ctx, store.ScimGroup{ID: "i", DisplayName: "Data Team", ExternalID: "g1", Doc: []byte(`{}`)}, nil, Actor{})
	if err != nil || back.GID != g.GID || back.Name != "data_team" {
		t.Errorf("back: %+v, %v", back, err)
	}
	if u.Account.UID == account.UID(g.GID) {
		t.Error("a user and a group share an id")
	}
}

// A login and the directory make the same person's account in the same moment: it is one.
func TestJITAndTheDirectoryAtOnce(t *testing.T) {
	p, s, _ := managed(t, true)
	var wg sync.WaitGroup
	const people = 40
	for i := range people {
		oid, name := fmt.Sprintf("oid-%d", i), fmt.Sprintf("p%d@example.com", i)
		wg.Go(func() {
			if _, err := p.Login(ctx, evidence("t"+oid, oid, name), ""); err != nil {
				t.Errorf("login %s: %v", name, err)
			}
		})
		wg.Go(func() {
			if _, err := p.CreateUser(ctx, person(fmt.Sprintf("%08d", i), name, oid), Actor{}); err != nil {
				t.Errorf("create %s: %v", name, err)
			}
		})
	}
	wg.Wait()
	all, err := s.Accounts(ctx)
	if err != nil || len(all) != people {
		t.Errorf("%d accounts, %v; want %d", len(all), err, people)
	}
	seen := map[account.UID]bool{}
	for _, a := range all {
		if !a.Managed || !strings.HasPrefix(a.Identity.Subject, "oid-") || seen[a.UID] {
			t.Errorf("%+v", a)
		}
		seen[a.UID] = true
	}
}

// Once the directory has been told that somebody is locked, no login passes any more: none that began before it either.
func TestADeactivationAgainstLogins(t *testing.T) {
	p, s, _ := managed(t, false)
	if _, err := p.CreateUser(ctx, person("1", "alice@example.com", "oid-a"), Actor{}); err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		var wg sync.WaitGroup
		var mu sync.Mutex // guards locked
		locked := false
		for i := range 8 {
			wg.Go(func() {
				mu.Lock()
				was := locked
				mu.Unlock()
				_, err := p.Login(ctx, evidence(fmt.Sprint(round, "-", i), "oid-a", "alice@example.com"), "")
				if was && !errors.Is(err, store.ErrInactive) || !was && err != nil && !errors.Is(err, store.ErrInactive) {
					t.Errorf("round %d: %v, locked before it: %v", round, err, was)
				}
			})
		}
		wg.Go(func() {
			p.setActive(t, "1", false)
			mu.Lock()
			locked = true
			mu.Unlock()
		})
		wg.Wait()
		if _, err := p.Find(ctx, "alice"); !errors.Is(err, store.ErrInactive) {
			t.Errorf("account phase: %v", err)
		}
		if _, err := p.Login(ctx, evidence(fmt.Sprint(round), "oid-a", "alice@example.com"), ""); !errors.Is(err, store.ErrInactive) {
			t.Errorf("round %d: %v", round, err)
		}
		if all, err := s.Evictions(ctx); err != nil || len(all) != 1 || all[0].Policy != "suspend-new" {
			t.Errorf("Evictions = %+v, %v", all, err)
		}
		p.setActive(t, "1", true)
		if all, err := s.Evictions(ctx); err != nil || len(all) != 0 {
			t.Errorf("Evictions = %+v, %v", all, err)
		}
	}
	if err := s.SetActive(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	p.setActive(t, "1", false)
	p.setActive(t, "1", true)
	if _, err := p.Find(ctx, "alice"); !errors.Is(err, store.ErrInactive) {
		t.Errorf("the operator's lock did not outlive the provider's word: %v", err)
	}
}

// To a provider that knows case in ASCII alone, a Kelvin sign and a k are two people; the second never gets the first's account.
func TestAUsernameThatLooksAlikeClaimsNothing(t *testing.T) {
	p, _, _ := managed(t, true)
	for i, name := range []string{"kate@example.com", "sam@example.com"} {
		if _, err := p.CreateUser(ctx, person(fmt.Sprint(i), name, ""), Actor{}); err != nil {
			t.Fatal(err)
		}
	}
	for i, username := range []string{"\u212aate@example.com", "\u017fam@example.com"} {
		name, err := p.Login(ctx, evidence(fmt.Sprint(i), "mallory", username), "")
		if name != "" || !errors.Is(err, store.ErrBound) {
			t.Errorf("Login as %q = %q, %v; want %v", username, name, err, store.ErrBound)
		}
	}
	if name, err := p.Login(ctx, evidence("9", "kate", "KATE@example.com"), ""); name != "kate" || err != nil {
		t.Errorf("Login = %q, %v", name, err)
	}
}

// An id that was left over and that an operator has given by hand since is not offered again and again.
func TestALeftOverIDThatIsTakenMeanwhile(t *testing.T) {
	p, s, _ := managed(t, false)
	id, err := p.freeID(ctx, p.Register.StartUID)
	if err != nil {
		t.Fatal(err)
	}
	p.Directory.giveBack(id)
	err = s.Import(ctx, []store.Imported{{Name: "olga", Identity: account.Identity{Issuer: issuer, Subject: "oid-olga"}, New: store.New{ID: id, Home: "/home/olga", Shell: "/bin/sh"}}})
	if err != nil {
		t.Fatal(err)
	}
	u, err := p.CreateUser(ctx, person("000000001", "alice@example.com", "oid-alice"), Actor{})
	if err != nil || u.Account.UID == account.UID(id) {
		t.Errorf("CreateUser = %d, %v; want another id than %d", u.Account.UID, err, id)
	}
}

// An operator may say whose an account of the directory's is, once, before anybody has used it.
func TestAnOperatorLinksAnAccountOfTheDirectory(t *testing.T) {
	p, s, _ := managed(t, false)
	for i, u := range []store.ScimUser{person("1", "alice@example.com", ""), person("2", "bob@example.com", "oid-bob"), person("3", "gone@example.com", "")} {
		if _, err := p.CreateUser(ctx, u, Actor{}); err != nil {
			t.Fatal(i, err)
		}
	}
	if err := p.DeleteUser(ctx, "3", func(store.ScimUser) error { return nil }, Actor{}); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    account.Name
		subject string
		err     error
	}{
		{"alice", "oid-bob", store.ErrBound}, // who has an account
		{"bob", "oid-mallory", store.ErrBound},
		{"gone", "oid-mallory", store.ErrBound}, // files of whoever that was
		{"alice", "oid-alice", nil},
		{"alice", "oid-mallory", store.ErrBound},
	} {
		if err := s.Link(ctx, tt.name, account.Identity{Issuer: issuer, Subject: tt.subject}); !errors.Is(err, tt.err) {
			t.Errorf("Link(%s, %s) = %v, want %v", tt.name, tt.subject, err, tt.err)
		}
	}
	if name, err := p.Login(ctx, evidence("1", "oid-alice", "whatever@example.com"), ""); name != "alice" || err != nil {
		t.Errorf("Login = %q, %v", name, err)
	}
}

// Deactivated and back within an hour, or deleted and made again: a browser that was signed in before must ask the provider anew.
func TestBrowsersSessionsDoNotComeBackWithTheAccount(t *testing.T) {
	for what, away := range map[string]func(*Provisioner){
		"deactivated": func(p *Provisioner) {
			p.setActive(t, "1", false)
			p.setActive(t, "1", true)
		},
		"deactivated, and sessions may finish": func(p *Provisioner) {
			p.Directory.Leave = Leaving("let-finish", 0)
			p.setActive(t, "1", false)
			p.setActive(t, "1", true)
		},
		"deleted": func(p *Provisioner) {
			p.DeleteUser(ctx, "1", func(store.ScimUser) error { return nil }, Actor{})
			p.CreateUser(ctx, person("2", "alice@example.com", "oid-a"), Actor{})
		},
	} {
		p, s, _ := managed(t, false)
		if _, err := p.CreateUser(ctx, person("1", "alice@example.com", "oid-a"), Actor{}); err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		w := store.WebSession{ID: [32]byte{1}, Account: "alice", Identity: accountOf(t, p, "alice").Identity, Created: now, Used: now}
		if err := s.PutSession(ctx, w, now.Add(-time.Hour), now.Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if away(p); !accountOf(t, p, "alice").Active {
			t.Errorf("%s: not back", what)
		}
		if _, err := s.FindSession(ctx, w.ID); !errors.Is(err, store.ErrNoSession) {
			t.Errorf("%s: the browser is still signed in: %v", what, err)
		}
	}
}
