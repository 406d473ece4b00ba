// Package worker answers PAM calls: it is the process on the far side of pam_pwb.so. Resident, it serves a unix socket;
// spawned, it answers one call on one socket and ends. It promises that every call gets an answer, that success is said in
// one place and only for a reason, and that what goes wrong in one call, a panic included, refuses that call and no other.
//
// The worker keeps nothing between calls and trusts no peer for more than its kernel-given uid.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// Tickets judges what a person gave as a password. Verify returns evidence or one of package ticket's errors.
// ticket.Verifier is one; it is called by many goroutines at once.
type Tickets interface {
	Verify(ctx context.Context, raw []byte, expect ticket.Expect) (*ticket.Verified, error)
}

// Accounts knows which accounts are ours. provision.Provisioner is one; it is called by many goroutines at once.
type Accounts interface {
	// Login spends the evidence and returns the account that it opens. When wanted is not empty the account must be
	// that one; evidence for another is refused and not spent.
	Login(ctx context.Context, evidence provision.Evidence, wanted account.Name) (account.Name, error)
	// LoginCode and LoginSession do the same with a code and with a session ticket.
	LoginCode(ctx context.Context, code ticket.Code, wanted account.Name, service string) (store.Account, error)
	LoginSession(ctx context.Context, session *ticket.VerifiedSession, wanted account.Name) (store.Account, error)
	// Find returns store.ErrNotFound when no account of ours has the name, store.ErrInactive (and the account) when it is
	// locked.
	Find(ctx context.Context, name account.Name) (store.Account, error)
	// Admit holds an account of ours to the rules about who gets in.
	Admit(ctx context.Context, a store.Account) error
	// LookUp returns the entry that programs see of an account, ours or not, or passwd.ErrNotFound.
	LookUp(ctx context.Context, name string) (passwd.Entry, error)
}

// Devices signs in a person at another device. oauth.Client is one.
type Devices interface {
	BeginDevice(context.Context) (*oauth.Device, error)
	// AwaitDevice returns an ID token, which is still to be judged, or one of package oauth's errors.
	AwaitDevice(context.Context, *oauth.Device) ([]byte, error)
}

// Rules is what deciding about a person needs. The zero value decides nothing: without Tickets and Accounts every call
// about a person is answered with "cannot tell".
type Rules struct {
	Tickets  func() (Tickets, error)                                // asked for when there is an ID token to judge
	Sessions func(context.Context) (*ticket.SessionVerifier, error) // the same for a session ticket; nil takes none
	Devices  Devices                                                // signs in a person who answers the prompt with nothing; nil does not
	Accounts Accounts
	MinUID   account.UID // accounts below are not ours to open; 0 counts as 1000
	Issuer   string      // where passwords are changed, for the sentence that says so
	Groups   bool        // tickets speak of groups

	// Publish shows every program what the store has; nil shows nothing.
	Publish func(context.Context) error
}

// Worker answers calls. Its fields are set before the first call and not changed after.
type Worker struct {
	// Rules returns the rules in force, or why there are none. It is called for each call that is about a person, so a
	// reload takes effect at once and a call that only makes a home never waits for a key set.
	Rules func(context.Context) (*Rules, error)
	Homes Homes
	Log   *slog.Logger
	Build string // told to modules

	// ServiceUID is the user of "pwb serve", who may ask to publish; nil or negative is nobody.
	ServiceUID func() int

	HostLogs bool // the host's log is the only one that anybody reads: successes go there too

	// Audit keeps each decision about a person; nil keeps none. Its error is logged, and changes no decision.
	Audit func(event string, fields map[string]any) error

	calls   tally // of everybody but root
	wrong   tally // codes that were never given out
	devices tally // sign-ins at another device that were begun
}

// callLimit bounds what a call may take, the conversation with the person included. Hosts have limits of their own
// (login 60 s, sshd 120 s); this one only stops a peer from holding a place for ever.
const callLimit = 10 * time.Minute

// ServeConn answers the one call that conn carries, then closes it.
func (w *Worker) ServeConn(ctx context.Context, conn *pampwb.Conn) {
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	began := time.Now()
	ctx, call, err := conn.Accept(ctx)
	if err != nil {
		w.Log.Warn("call not understood", "peer", conn.Peer(), "error", err)
		return
	}
	who := &person{name: call.User}
	err = w.answer(ctx, conn, call, who)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err) // what stopped halfway says little of why
	}
	verdict := judge(call.Op, err)
	w.tellHost(ctx, conn, call, who, verdict, err)
	resultErr := conn.Result(verdict.code)
	w.record(conn.Peer(), call, who, verdict, errors.Join(err, resultErr), time.Since(began)) // the person need not wait for it
}

// person is who a call turned out to be about, for the log.
type person struct {
	name    string
	subject string
	ticket  string // what kind of ticket it was
}

// answer decides one call. A nil error is the only way to success.
func (w *Worker) answer(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, who *person) (err error) {
	defer func() {
		if p := recover(); p != nil {
			w.Log.Error("bug: a call panicked", "op", call.Op.String(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errPanic
		}
	}()
	if err := w.mayAsk(ctx, conn.Peer(), call); err != nil {
		return err
	}
	switch call.Op {
	case pampwb.OpAuthenticate:
		return w.authenticate(ctx, conn, call, who)
	case pampwb.OpAcctMgmt:
		return w.account(ctx, call)
	case pampwb.OpOpenSession:
		return w.openSession(ctx, conn, call)
	case pampwb.OpChauthtok:
		return w.changeAuthtok(ctx, conn, call)
	case pampwb.OpPublish:
		return w.publish(ctx)
	default:
		return fmt.Errorf("operation %v: %w", call.Op, errNotForUs)
	}
}

// tellHost shows the person a sentence, and has the host log what is worth an auditor's look: refusals, and successes where the
// worker has no log of its own.
func (w *Worker) tellHost(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, who *person, v verdict, err error) {
	switch {
	case err != nil && v.level >= slog.LevelInfo:
		conn.Log(v.priority(), fmt.Sprintf("%s of %q: %s: %v", call.Op, who.name, v.code, err))
	case err == nil && call.Op == pampwb.OpAuthenticate && w.HostLogs:
		conn.Log(v.priority(), fmt.Sprintf("%q signed in as %s, with a %s", who.name, who.subject, who.ticket))
	}
	if v.sentence != "" {
		conn.Error(ctx, v.sentence)
	}
}

// record writes one line about the decision to the worker's own log: who, what, decision, reason; never a ticket.
func (w *Worker) record(peer pampwb.Peer, call *pampwb.Call, who *person, v verdict, err error, took time.Duration) {
	attrs := []any{
		"op", call.Op.String(), "service", call.Service, "user", who.name, "subject", who.subject, "ticket", who.ticket, "tty", call.TTY,
		"rhost", call.RHost, "peer_uid", peer.UID, "peer_pid", peer.PID, "code", v.code.String(), "took", took,
	}
	if err != nil {
		attrs = append(attrs, "reason", err.Error())
	}
	w.Log.Log(context.Background(), v.level, "decision", attrs...)
	if err := w.audit(call, v, attrs); err != nil {
		w.Log.Error("the decision is in no audit file", "error", err.Error())
	}
}

// audit keeps a decision about a person. Calls about people who are not ours, which cron makes every minute, are none.
func (w *Worker) audit(call *pampwb.Call, v verdict, attrs []any) error {
	if w.Audit == nil || v.level < slog.LevelInfo || call.Op == pampwb.OpPublish || call.Op == pampwb.OpOpenSession && v.code == pampwb.Success {
		return nil
	}
	fields := map[string]any{}
	for i := 0; i < len(attrs); i += 2 {
		if took, ok := attrs[i+1].(time.Duration); ok {
			attrs[i+1] = took.String()
		}
		fields[attrs[i].(string)] = attrs[i+1]
	}
	return w.Audit("decision", fields)
}
