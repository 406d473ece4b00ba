package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// "cannot tell" is never "wrong", and nothing but nil is success.
func TestJudge(t *testing.T) {
	unknown := errors.New("something that nobody thought of")
	for _, tt := range []struct {
		op   pampwb.Op
		err  error
		want pampwb.Code
	}{
		{pampwb.OpAuthenticate, nil, pampwb.Success},
		{pampwb.OpAuthenticate, ticket.ErrMalformed, pampwb.AuthErr},
		{pampwb.OpAuthenticate, ticket.ErrExpired, pampwb.AuthErr},
		{pampwb.OpAuthenticate, ticket.ErrTruncated, pampwb.AuthErr},
		{pampwb.OpAuthenticate, ticket.ErrSignature, pampwb.AuthErr},
		{pampwb.OpAuthenticate, ticket.ErrUnreachable, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, store.ErrUnavailable, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, store.ErrSpent, pampwb.AuthErr},
		{pampwb.OpAuthenticate, store.ErrBound, pampwb.AuthErr},
		{pampwb.OpAuthenticate, store.ErrInactive, pampwb.AuthErr},
		{pampwb.OpAuthenticate, provision.ErrWrongUser, pampwb.AuthErr},
		{pampwb.OpAuthenticate, provision.ErrNoAccount, pampwb.AuthErr},
		{pampwb.OpAuthenticate, provision.ErrNameTaken, pampwb.AuthErr},
		{pampwb.OpAuthenticate, store.ErrExhausted, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, provision.ErrNotShown, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, ticket.ErrCode, pampwb.AuthErr},
		{pampwb.OpAuthenticate, store.ErrNoCode, pampwb.AuthErr},
		{pampwb.OpAuthenticate, store.ErrCodeExpired, pampwb.AuthErr},
		{pampwb.OpAuthenticate, provision.ErrElsewhere, pampwb.AuthErr},
		{pampwb.OpAuthenticate, errGuessing, pampwb.AuthErr},
		{pampwb.OpAuthenticate, errTooMany, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, oauth.ErrDenied, pampwb.AuthErr},
		{pampwb.OpAuthenticate, oauth.ErrTooLate, pampwb.AuthErr},
		{pampwb.OpAuthenticate, oauth.ErrRefused, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, oauth.ErrNoDevice, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, oauth.ErrUnreachable, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, oauth.ErrAnswer, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, provision.ErrSystemAccount, pampwb.UserUnknown},
		{pampwb.OpAuthenticate, account.ErrName, pampwb.AuthErr},
		{pampwb.OpAuthenticate, errNoRules, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, errNotAllowed, pampwb.PermDenied},
		{pampwb.OpAuthenticate, errPanic, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, context.DeadlineExceeded, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, pampwb.ErrHostLeft, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, pampwb.ErrProtocol, pampwb.AuthinfoUnavail},
		{pampwb.OpAuthenticate, pampwb.HostError{Code: pampwb.ConvErr}, pampwb.ConvErr},
		{pampwb.OpAuthenticate, pampwb.HostError{Code: pampwb.BufErr}, pampwb.AuthErr},
		{pampwb.OpAuthenticate, pampwb.HostError{Code: pampwb.Success}, pampwb.AuthErr},
		{pampwb.OpAuthenticate, pampwb.HostError{Code: pampwb.Ignore}, pampwb.AuthErr},
		{pampwb.OpAuthenticate, unknown, pampwb.AuthErr},
		{pampwb.OpAcctMgmt, nil, pampwb.Success},
		{pampwb.OpAcctMgmt, store.ErrNotFound, pampwb.UserUnknown},
		{pampwb.OpAcctMgmt, passwd.ErrNotFound, pampwb.UserUnknown},
		{pampwb.OpAcctMgmt, store.ErrInactive, pampwb.AcctExpired},
		{pampwb.OpAcctMgmt, provision.ErrNotAllowed, pampwb.PermDenied},
		{pampwb.OpAcctMgmt, provision.ErrNameTaken, pampwb.PermDenied},
		{pampwb.OpAcctMgmt, provision.ErrForeign, pampwb.PermDenied},
		{pampwb.OpAcctMgmt, store.ErrUnavailable, pampwb.AuthinfoUnavail},
		{pampwb.OpAcctMgmt, unknown, pampwb.AuthinfoUnavail},
		{pampwb.OpOpenSession, passwd.ErrNotFound, pampwb.UserUnknown},
		{pampwb.OpOpenSession, homedir.ErrBusy, pampwb.SessionErr},
		{pampwb.OpOpenSession, pampwb.ErrHostLeft, pampwb.SessionErr},
		{pampwb.OpOpenSession, errNotAllowed, pampwb.PermDenied},
		{pampwb.OpOpenSession, unknown, pampwb.SessionErr},
		{pampwb.OpChauthtok, errNotForUs, pampwb.Ignore},
		{pampwb.OpChauthtok, unknown, pampwb.AuthtokErr},
		{pampwb.Op(99), unknown, pampwb.AuthinfoUnavail},
	} {
		err := tt.err
		if err != nil {
			err = fmt.Errorf("doing something: %w", err)
		}
		if got := judge(tt.op, err); got.code != tt.want {
			t.Errorf("judge(%v, %v) = %v, want %v", tt.op, tt.err, got.code, tt.want)
		}
	}
}

// Until somebody is authenticated, a wrong ticket, nobody's account and somebody else's sound the same.
func TestAStrangerLearnsNothing(t *testing.T) {
	want := judge(pampwb.OpAuthenticate, ticket.ErrSignature)
	for _, err := range []error{ticket.ErrMalformed, ticket.ErrAudience, store.ErrBound, store.ErrInactive, store.ErrSpent, store.ErrNoCode, store.ErrCodeExpired, ticket.ErrCode, provision.ErrElsewhere, errGuessing, provision.ErrWrongUser, provision.ErrNoAccount, provision.ErrNameTaken} {
		if got := judge(pampwb.OpAuthenticate, err); got.code != want.code || got.sentence != want.sentence {
			t.Errorf("%v is told as %q, a bad signature as %q", err, got.sentence, want.sentence)
		}
	}
}

func TestPeers(t *testing.T) {
	nobody, err := passwd.ByName("daemon")
	if err != nil {
		t.Fatal(err)
	}
	uid := uint32(nobody.UID)
	for _, tt := range []struct {
		name string
		uid  uint32
		call pampwb.Call
		ok   bool
	}{
		{"root about anybody", 0, pampwb.Call{Op: pampwb.OpOpenSession, User: "daemon", UserSet: true}, true},
		{"oneself", uid, pampwb.Call{Op: pampwb.OpAuthenticate, User: "daemon", UserSet: true}, true},
		{"one's own account", uid, pampwb.Call{Op: pampwb.OpAcctMgmt, User: "daemon", UserSet: true}, true},
		{"one's own home", uid, pampwb.Call{Op: pampwb.OpOpenSession, User: "daemon", UserSet: true}, false},
		{"one's own password", uid, pampwb.Call{Op: pampwb.OpChauthtok, User: "daemon", UserSet: true}, false},
		{"somebody else", uid, pampwb.Call{Op: pampwb.OpAuthenticate, User: "bin", UserSet: true}, false},
		{"root", uid, pampwb.Call{Op: pampwb.OpAuthenticate, User: "root", UserSet: true}, false},
		{"nobody named", uid, pampwb.Call{Op: pampwb.OpAuthenticate}, false},
		{"nobody's account", uid, pampwb.Call{Op: pampwb.OpAuthenticate, User: "no-such-user", UserSet: true}, false},
		{"the service user, to publish", 4242, pampwb.Call{Op: pampwb.OpPublish}, true},
		{"the service user, about somebody", 4242, pampwb.Call{Op: pampwb.OpOpenSession, User: "daemon", UserSet: true}, false},
		{"another, to publish", uid, pampwb.Call{Op: pampwb.OpPublish}, false},
		{"the overflow uid", overflowUID, pampwb.Call{Op: pampwb.OpAuthenticate, User: "nobody", UserSet: true}, false},
	} {
		w := &Worker{ServiceUID: func() int { return 4242 }}
		err := w.mayAsk(t.Context(), pampwb.Peer{UID: tt.uid}, &tt.call)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, errNotAllowed) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestArguments(t *testing.T) {
	a, complaints := parseArguments([]string{"skel=/etc/skel/", "umask=077", "home_mode=0711", "silent", "debug", "use_first_pass", "try_first_pass"})
	if a.skel != "/etc/skel/" || a.umask != 0o077 || !a.masked || a.home != 0o711 || !a.silent || !a.debug || a.bad != nil || len(complaints) != 0 {
		t.Errorf("parseArguments = %+v, %q", a, complaints)
	}
	for _, arg := range []string{"nullok", "skel", "umaks=0", "SILENT", "silent=1", ""} {
		if a, complaints := parseArguments([]string{arg}); a != (arguments{}) || len(complaints) != 1 || !strings.Contains(complaints[0], "changes nothing") {
			t.Errorf("%q: %+v, %q", arg, a, complaints)
		}
	}
	for _, arg := range []string{"umask=", "umask=0x3f", "umask=-1", "umask=01777", "umask=89", "home_mode=", "home_mode=700x"} {
		if a, _ := parseArguments([]string{arg}); !errors.Is(a.bad, homedir.ErrUmask) {
			t.Errorf("%q: %+v", arg, a)
		}
	}
	if a, complaints := parseArguments([]string{"skel="}); !a.empty || a.bad != nil || len(complaints) != 0 {
		t.Errorf("no skeleton: %+v, %q", a, complaints)
	}
}

func TestPlaces(t *testing.T) {
	p := &places{byUID: map[uint32]int{}}
	for n := range maxUIDCalls {
		if !p.take(1000) {
			t.Fatalf("call %d of one person was refused", n+1)
		}
	}
	if p.take(1000) {
		t.Errorf("call %d of one person was taken", maxUIDCalls+1)
	}
	if !p.take(1001) {
		t.Error("another person was refused")
	}
	others := uint32(2000)
	for p.take(others) || p.take(others+1) { // who has subordinate ids is many
		others++
	}
	if p.others != maxOthers {
		t.Errorf("%d calls of others than root at once, want %d", p.others, maxOthers)
	}
	for p.take(0) {
	}
	if p.all != maxCalls {
		t.Errorf("%d calls at once, want %d", p.all, maxCalls)
	}
	p.leave(1000)
	if !p.take(1000) {
		t.Error("a place that was left was not given again")
	}
}

// Every call that is refused is a line in the log and in the audit file: one person must not fill the disk with them.
func TestCallsOfAMinute(t *testing.T) {
	var log strings.Builder
	w := &Worker{ServiceUID: func() int { return 4242 }, Log: slog.New(slog.NewTextHandler(&log, nil))}
	taken := func(uid uint32, calls int) (n int) {
		for range calls {
			if !w.tooMany(pampwb.Peer{UID: uid}) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		uid         uint32
		calls, want int
	}{
		{1000, 500, maxUIDMinute}, {1001, 2, 2}, {1000, 1, 0}, {0, 2000, 2000}, {4242, 2000, 2000},
	} {
		if got := taken(tt.uid, tt.calls); got != tt.want {
			t.Errorf("%d of %d calls of uid %d were taken, want %d", got, tt.calls, tt.uid, tt.want)
		}
	}
	if n := strings.Count(log.String(), "too many calls"); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log.String())
	}
	many := 0
	for uid := uint32(100000); uid < 100500; uid++ { // the subordinate ids of one person
		many += taken(uid, 60)
	}
	if many > maxAllMinute {
		t.Errorf("%d calls of many uids were taken, want at most %d", many, maxAllMinute)
	}
	if got := taken(4242, 10); got != 10 {
		t.Errorf("beside them the service user was answered %d times of 10", got)
	}
}

// panicking is an account store with a bug.
type panicking struct{}

func (panicking) Login(context.Context, provision.Evidence, account.Name) (account.Name, error) {
	panic("bug")
}
func (panicking) LoginCode(context.Context, ticket.Code, account.Name, string) (store.Account, error) {
	panic("bug")
}
func (panicking) LoginSession(context.Context, *ticket.VerifiedSession, account.Name) (store.Account, error) {
	panic("bug")
}
func (panicking) Find(context.Context, account.Name) (store.Account, error) { panic("bug") }
func (panicking) Admit(context.Context, store.Account) error                { panic("bug") }
func (panicking) LookUp(context.Context, string) (passwd.Entry, error)      { panic("bug") }

func TestAPanicRefusesOneCall(t *testing.T) {
	me, err := passwd.ByUID(account.UID(os.Getuid()))
	if err != nil {
		t.Fatal(err)
	}
	if me.UID == overflowUID {
		t.Skip("this is the overflow uid, which may ask nothing")
	}
	if me.UID == 0 {
		if me, err = passwd.ByName("daemon"); err != nil {
			t.Fatal(err)
		}
	}
	var log strings.Builder
	w := &Worker{
		Rules: func(context.Context) (*Rules, error) { return &Rules{Accounts: panicking{}, MinUID: 1}, nil },
		Log:   slog.New(slog.NewTextHandler(&log, nil)),
	}
	code := callWorker(t, w, pampwb.OpAcctMgmt, me.Name)
	if code != pampwb.AuthinfoUnavail || !strings.Contains(log.String(), "panic=bug") {
		t.Errorf("code %v; log %s", code, log.String())
	}
	w.Rules = func(context.Context) (*Rules, error) { return nil, errors.New("no configuration") }
	if code := callWorker(t, w, pampwb.OpAcctMgmt, me.Name); code != pampwb.AuthinfoUnavail {
		t.Errorf("without rules: %v", code)
	}
}

// known is a store of one account.
type known struct {
	panicking
	a     store.Account
	err   error
	entry passwd.Entry
}

func (k known) Find(context.Context, account.Name) (store.Account, error) { return k.a, k.err }
func (k known) Admit(context.Context, store.Account) error                { return nil }
func (k known) LookUp(context.Context, string) (passwd.Entry, error)      { return k.entry, nil }

// The account phase stands before ssh keys: moving auth-minimum-user-id must not make a locked account one that nobody decides about.
func TestWhoseAccountItIs(t *testing.T) {
	const name = "nobody-of-this-machine"
	ours, linked := store.Account{UID: 1500}, store.Account{}
	for _, tt := range []struct {
		what   string
		a      store.Account
		found  error
		uid    account.UID
		lowest account.UID
		want   pampwb.Code
	}{
		{"ours", ours, nil, 1500, 1000, pampwb.Success},
		{"ours, locked", ours, store.ErrInactive, 1500, 1000, pampwb.AcctExpired},
		{"ours, below the lowest uid", ours, nil, 1500, 2000, pampwb.PermDenied},
		{"ours, locked, below the lowest uid", ours, store.ErrInactive, 1500, 2000, pampwb.AcctExpired},
		{"another of our name", ours, nil, 1501, 1000, pampwb.UserUnknown},
		{"linked", linked, nil, 1500, 1000, pampwb.Success},
		{"linked, locked", linked, store.ErrInactive, 1500, 1000, pampwb.AcctExpired},
		{"linked, below the lowest uid", linked, nil, 1500, 2000, pampwb.UserUnknown},
		{"linked, locked, below the lowest uid", linked, store.ErrInactive, 1500, 2000, pampwb.AcctExpired},
		{"root, whatever the store says", linked, store.ErrInactive, 0, 1000, pampwb.UserUnknown},
		{"the system's, whatever the store says", linked, store.ErrInactive, 999, 0, pampwb.UserUnknown},
		{"nobody's", linked, store.ErrNotFound, 1500, 1000, pampwb.UserUnknown},
	} {
		w := &Worker{Rules: func(context.Context) (*Rules, error) {
			return &Rules{Accounts: known{a: tt.a, err: tt.found, entry: passwd.Entry{Name: name, UID: tt.uid}}, MinUID: tt.lowest}, nil
		}}
		got := judge(pampwb.OpAcctMgmt, w.account(t.Context(), &pampwb.Call{User: name, UserSet: true}))
		if got.code != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, got.code, tt.want)
		}
	}
}
