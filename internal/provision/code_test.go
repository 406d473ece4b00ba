package provision

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

func ticketsOf(p *Provisioner) *Tickets {
	return &Tickets{Store: p.Store.(*store.Store), CodeLifetime: time.Minute, SessionLifetime: time.Minute, Audience: "node1"}
}

func TestLoginCode(t *testing.T) {
	p := provisioner(t)
	p.Hosts = []string{"node1"}
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	tickets := ticketsOf(p)
	give := func(where CodeFor) ticket.Code {
		t.Helper()
		out, err := tickets.Code(ctx, "alice", where)
		if err != nil {
			t.Fatal(err)
		}
		code, err := ticket.ParseCode([]byte(out.Text))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	plain, sshd, there, here := give(CodeFor{}), give(CodeFor{Service: "sshd"}), give(CodeFor{Host: "node2"}), give(CodeFor{Host: "NODE1"})
	for _, tt := range []struct {
		name    string
		code    ticket.Code
		wanted  account.Name
		service string
		wantErr error
	}{
		{"for another user", plain, "bob", "su", ErrWrongUser},
		{"that is not used up", plain, "alice", "su", nil},
		{"again", plain, "alice", "su", store.ErrSpent},
		{"another service's", sshd, "alice", "su", ErrElsewhere},
		{"its own service's", sshd, "", "sshd", nil},
		{"another host's", there, "alice", "su", ErrElsewhere},
		{"this host's", here, "alice", "su", nil},
		{"nobody's", ticket.Code{}, "alice", "su", store.ErrNoCode},
	} {
		a, err := p.LoginCode(ctx, tt.code, tt.wanted, tt.service)
		if !errors.Is(err, tt.wantErr) || err == nil && a.Name != "alice" {
			t.Errorf("%s: LoginCode = %q, %v; want %v", tt.name, a.Name, err, tt.wantErr)
		}
	}
	// The machine has made the name its own since.
	code := give(CodeFor{})
	p.Machine.(*machine).users["alice"] = 12
	if _, err := p.LoginCode(ctx, code, "alice", "su"); !errors.Is(err, ErrSystemAccount) {
		t.Errorf("a system account by now: %v", err)
	}
	p.Machine.(*machine).users["alice"] = 1000
	if _, err := p.LoginCode(ctx, code, "alice", "su"); err != nil {
		t.Errorf("and it was not used up: %v", err)
	}
	if _, err := (&Tickets{Store: p.Store.(*store.Store)}).Code(ctx, "alice", CodeFor{}); err == nil {
		t.Error("a code without a lifetime was given out")
	}
}

// sessionOf is a session ticket that was verified.
func sessionOf(name account.Name, id account.Identity, key byte) *ticket.VerifiedSession {
	return &ticket.VerifiedSession{Session: ticket.Session{Name: name, Who: ticket.HashIdentity(id), Expires: time.Now().Add(time.Minute)}, SpendKey: [32]byte{key}}
}

func TestLoginSession(t *testing.T) {
	p := provisioner(t)
	alice, other := evidence("1", "a", "alice").Identity, evidence("2", "b", "alice").Identity
	if _, err := p.LoginSession(ctx, sessionOf("alice", alice, 1), "alice"); !errors.Is(err, ErrNoAccount) {
		t.Errorf("before anybody has signed in, with a store of our own: %v", err)
	}
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		ticket  *ticket.VerifiedSession
		wanted  account.Name
		wantErr error
	}{
		{"hers", sessionOf("alice", alice, 1), "alice", nil},
		{"spent", sessionOf("alice", alice, 1), "alice", store.ErrSpent},
		{"for another user", sessionOf("alice", alice, 2), "bob", ErrWrongUser},
		{"that is not spent", sessionOf("alice", alice, 2), "", nil},
		{"another identity's", sessionOf("alice", other, 3), "alice", store.ErrBound},
	} {
		if _, err := p.LoginSession(ctx, tt.ticket, tt.wanted); !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.wantErr)
		}
	}
}

// A machine that takes both: whoever came by a session ticket first comes by an ID token later, and the other way round.
func TestSessionTicketsAndIDTokensMeet(t *testing.T) {
	p := provisioner(t)
	p.BindSessions = true
	alice, bob := evidence("", "a", "alice").Identity, evidence("", "b", "bob").Identity
	if _, err := p.LoginSession(ctx, sessionOf("alice", alice, 1), ""); err != nil {
		t.Fatal(err)
	}
	if name, err := p.Login(ctx, evidence("t1", "a", "alice"), "alice"); err != nil || name != "alice" {
		t.Errorf("an ID token after a session ticket: %q, %v", name, err)
	}
	if _, err := p.Login(ctx, evidence("t2", "mallory", "alice"), "alice"); !errors.Is(err, store.ErrBound) {
		t.Errorf("another person's: %v", err)
	}
	if _, err := p.Login(ctx, evidence("t3", "b", "bob"), "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.LoginSession(ctx, sessionOf("bob", bob, 2), "bob"); err != nil {
		t.Errorf("a session ticket after an ID token: %v", err)
	}
	if _, err := p.LoginSession(ctx, sessionOf("bob", alice, 3), "bob"); !errors.Is(err, store.ErrBound) {
		t.Errorf("another identity's: %v", err)
	}
	for name, want := range map[account.Name]error{"nosuch": ErrNoAccount, "toor2": ErrSystemAccount, "service": ErrSystemAccount, "folded": ErrNoAccount, "slow": store.ErrUnavailable} {
		if _, err := p.LoginSession(ctx, sessionOf(name, alice, 9), ""); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func TestSessionTicketsOfTheStoresKeys(t *testing.T) {
	p := provisioner(t)
	if _, err := p.Login(ctx, evidence("1", "a", "alice"), ""); err != nil {
		t.Fatal(err)
	}
	tickets := ticketsOf(p)
	out, err := tickets.Session(ctx, "alice", "")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := p.SessionKeys(ctx)
	if err != nil || len(keys) != 1 {
		t.Fatalf("SessionKeys = %v, %v", keys, err)
	}
	v := &ticket.SessionVerifier{Keys: keys, Audiences: []string{"node1"}}
	verified, err := v.Verify([]byte(out.Text))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := p.LoginSession(ctx, verified, "alice"); err != nil || a.Name != "alice" {
		t.Errorf("LoginSession = %q, %v", a.Name, err)
	}
	if err := p.Store.(*store.Store).SetActive(ctx, "alice", false); err != nil {
		t.Fatal(err)
	}
	if _, err := tickets.Session(ctx, "alice", ""); !errors.Is(err, store.ErrInactive) {
		t.Errorf("for a locked account: %v", err)
	}
	if _, err := tickets.Session(ctx, "nobody", ""); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("for nobody: %v", err)
	}
}

// A snapshot that cannot be written, on a full disk, is no fault of the person's: the code and the session ticket are good
// still, when it can.
func TestWhatCannotBeShownIsNotSpent(t *testing.T) {
	p := registrar(t)
	logIn(t, p, evidence("1", "a", "alice"), "")
	given, err := ticketsOf(p).Code(ctx, "alice", CodeFor{})
	if err != nil {
		t.Fatal(err)
	}
	code, err := ticket.ParseCode([]byte(given.Text))
	if err != nil {
		t.Fatal(err)
	}
	session := &ticket.VerifiedSession{
		Session: ticket.Session{Name: "alice", Who: WhoIs(accountOf(t, p, "alice").Identity), Expires: time.Now().Add(time.Minute)}, SpendKey: [32]byte{7},
	}
	logins := map[string]func() error{
		"code":           func() error { _, err := p.LoginCode(ctx, code, "alice", "su"); return err },
		"session ticket": func() error { _, err := p.LoginSession(ctx, session, "alice"); return err },
	}
	for kind, login := range logins {
		p.Publish = func(context.Context) error { return errDown }
		if err := login(); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, ErrNotShown) {
			t.Errorf("%s: %v, want %v", kind, err, store.ErrUnavailable)
		}
		p.Publish = nil
		if err := login(); err != nil {
			t.Errorf("%s: %v, when it can be shown", kind, err)
		}
		if err := login(); !errors.Is(err, store.ErrSpent) {
			t.Errorf("%s: %v, want %v", kind, err, store.ErrSpent)
		}
	}
}
