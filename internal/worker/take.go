package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/oauth"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// take judges a ticket of any kind, spends it, and returns the account that it opens.
func (w *Worker) take(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, rules *Rules, raw []byte, who *person) (account.Name, error) {
	kind := ticket.KindOf(raw)
	who.ticket = kind.String()
	switch kind {
	case ticket.KindCode:
		return w.takeCode(ctx, conn, call, rules, raw, who)
	case ticket.KindSession:
		return takeSession(ctx, call, rules, raw, who)
	}
	return takeToken(ctx, call, rules, raw, who)
}

func takeToken(ctx context.Context, call *pampwb.Call, rules *Rules, raw []byte, who *person) (account.Name, error) {
	tickets, err := rules.Tickets()
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoRules, err)
	}
	verified, err := tickets.Verify(ctx, raw, ticket.Expect{})
	if err != nil {
		return "", fmt.Errorf("verify ticket: %w", err)
	}
	who.subject = verified.Identity.Key()
	evidence := provision.Evidence{Identity: verified.Identity, SpendKey: verified.SpendKey, Expires: verified.Expires, FullName: verified.Name}
	if rules.Groups {
		evidence.Groups = &store.Groups{Objects: verified.Groups, Complete: verified.GroupsComplete}
	}
	name, err := rules.Accounts.Login(ctx, evidence, account.Name(call.User))
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	return name, nil
}

func takeSession(ctx context.Context, call *pampwb.Call, rules *Rules, raw []byte, who *person) (account.Name, error) {
	if rules.Sessions == nil {
		return "", fmt.Errorf("session tickets are not taken: %w", errNoRules)
	}
	verifier, err := rules.Sessions(ctx)
	if err != nil {
		return "", fmt.Errorf("%w: %w", errNoRules, err)
	}
	verified, err := verifier.Verify(raw)
	if err != nil {
		return "", fmt.Errorf("verify session ticket: %w", err)
	}
	a, err := rules.Accounts.LoginSession(ctx, verified, account.Name(call.User))
	who.subject = subjectOf(a)
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	return a.Name, nil
}

func (w *Worker) takeCode(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, rules *Rules, raw []byte, who *person) (account.Name, error) {
	peer := conn.Peer()
	if peer.UID != 0 && w.wrong.count(whom(peer, call), time.Now()) >= maxGuesses {
		return "", errGuessing
	}
	code, err := ticket.ParseCode(raw)
	if err != nil {
		return "", fmt.Errorf("read the code: %w", err)
	}
	a, err := rules.Accounts.LoginCode(ctx, code, account.Name(call.User), call.Service)
	if errors.Is(err, store.ErrNoCode) {
		w.guessed(conn, call)
	}
	who.subject = subjectOf(a)
	if err != nil {
		return "", fmt.Errorf("log in: %w", err)
	}
	return a.Name, nil
}

// subjectOf is whose an account is, for the log; "" where it was not found, or nobody has signed in to it.
func subjectOf(a store.Account) string {
	if a.Identity.Subject == "" {
		return ""
	}
	return a.Identity.Key()
}

// The limits on guesses. Codes have 130 random bits and live for two minutes, so nobody guesses one: what is limited is the work
// and the noise. A right code is therefore taken however many wrong ones others bring, from the same address or another; only a
// caller whom the kernel names, and who can ask about nobody else, is refused for wrong ones of its own.
const (
	freeGuesses  = 3
	maxGuesses   = 30
	manyGuesses  = 300 // of all together; the log then says it once a minute
	maxDevices   = 5
	manyDevices  = 60
	tallyMinute  = time.Minute
	tallyEntries = 10_000
)

func whom(peer pampwb.Peer, call *pampwb.Call) string {
	if peer.UID != 0 {
		return fmt.Sprint("uid ", peer.UID)
	}
	return "host " + call.RHost
}

// guessed makes a guesser wait, and tells the log when there are many.
func (w *Worker) guessed(conn *pampwb.Conn, call *pampwb.Call) {
	mine, all := w.wrong.add(whom(conn.Peer(), call), time.Now())
	if mine > freeGuesses {
		conn.FailDelay(time.Duration(mine-freeGuesses) * time.Second)
	}
	if all == manyGuesses {
		w.Log.Warn("codes are being guessed", "wrong_in_a_minute", all, "last_rhost", call.RHost)
	}
}

// The module waits ten seconds for the worker, less what the person takes at a prompt. patience is what of them is spent on
// waiting for the provider after an answer.
const (
	patience       = 5 * time.Second
	maxDevicePolls = 20
)

// byDevice has the person sign in at another device, and returns the ID token. The wait is at a prompt: that time is the
// person's, and a host that leaves ends it.
func (w *Worker) byDevice(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, devices Devices) ([]byte, error) {
	if mine, all := w.devices.add(whom(conn.Peer(), call), time.Now()); mine > maxDevices || all > manyDevices {
		return nil, errTooMany
	}
	d, err := devices.BeginDevice(ctx)
	if err != nil {
		return nil, err
	}
	for _, line := range []string{
		"Open this address in a browser, at this or another device: " + d.URL,
		"and type there the code " + d.Code,
		"Go on only if you have begun this sign-in yourself: whoever sent you such a code would get your session.",
	} {
		if err := ignoreHost(conn.Info(ctx, line)); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	got := make(chan signedIn, 1)
	go func() {
		raw, err := devices.AwaitDevice(ctx, d)
		got <- signedIn{raw, err}
	}()
	left := patience
	for range maxDevicePolls {
		if _, err := conn.Prompt(ctx, "Press Enter when you have signed in there: "); err != nil {
			return nil, err
		}
		began := time.Now()
		select {
		case s := <-got:
			return s.raw, s.err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(left):
			left = max(0, left-time.Since(began))
		}
	}
	return nil, fmt.Errorf("asked %d times: %w", maxDevicePolls, oauth.ErrTooLate)
}

type signedIn struct {
	raw []byte
	err error
}
