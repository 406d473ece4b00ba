package worker

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/pwb-project/pwb/homedir"
	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/provision"
	"github.com/pwb-project/pwb/internal/store"
	pampwb "github.com/pwb-project/pwb/pam_pwb"
)

// Prompts end in a colon and a space: that is what terminals, ssh and scripts wait for.
const (
	prompt       = "Ticket: "
	devicePrompt = "Ticket, or Enter to sign in at another device: "
)

func (r *Rules) prompt() string {
	if r.Devices != nil {
		return devicePrompt
	}
	return prompt
}

// minUID is the lowest uid that is ever ours when the configuration does not say: UID_MIN of every distribution since 2012.
const minUID = 1000

// mayAsk holds the rule about peers: root may ask everything, anybody else only about themselves, and only whether they are
// who they are. A user namespace's overflow uid is nobody in particular and may ask nothing.
func (w *Worker) mayAsk(ctx context.Context, peer pampwb.Peer, call *pampwb.Call) error {
	if peer.UID == 0 {
		return nil
	}
	if call.Op == pampwb.OpPublish && w.isService(peer) {
		return nil
	}
	if call.Op != pampwb.OpAuthenticate && call.Op != pampwb.OpAcctMgmt {
		return fmt.Errorf("%s by uid %d: %w", call.Op, peer.UID, errNotAllowed)
	}
	if peer.UID == overflowUID || !call.UserSet {
		return fmt.Errorf("uid %d: %w", peer.UID, errNotAllowed)
	}
	entry, err := w.lookUp(ctx, call.User)
	if err != nil {
		return fmt.Errorf("uid %d about somebody else: %w", peer.UID, errors.Join(errNotAllowed, err))
	}
	if uint32(entry.UID) != peer.UID {
		return fmt.Errorf("uid %d about %q, who is uid %d: %w", peer.UID, call.User, entry.UID, errNotAllowed)
	}
	return nil
}

const overflowUID = 65534

func (w *Worker) isService(peer pampwb.Peer) bool {
	return w.ServiceUID != nil && int64(peer.UID) == int64(w.ServiceUID())
}

// lookUp returns the entry that programs see of an account. Accounts of our making come from the store, so that a home can be
// made where the machine does not list them; other people's need nothing of pwb to be in order.
func (w *Worker) lookUp(ctx context.Context, name string) (passwd.Entry, error) {
	entry, err := passwd.ByName(name)
	if !errors.Is(err, passwd.ErrNotFound) || w.Rules == nil {
		return entry, err
	}
	rules, rulesErr := w.Rules(ctx)
	if rulesErr != nil {
		return entry, err
	}
	return rules.Accounts.LookUp(ctx, name)
}

// authenticate takes a ticket of any kind and says whose it is. The user whom the host has named is never replaced; where the host has
// named nobody the account's name is given back.
func (w *Worker) authenticate(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call, who *person) error {
	_, complaints := parseArguments(call.Args)
	complain(conn, complaints)
	rules, err := w.Rules(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRules, err)
	}
	if err := notSystem(call, rules.MinUID); err != nil {
		return err // before a prompt: a local account's password never reaches us
	}
	raw, err := conn.Authtok(ctx, rules.prompt())
	if err != nil {
		return fmt.Errorf("ask for the ticket: %w", err)
	}
	if len(raw) == 0 && rules.Devices != nil {
		raw, err = w.byDevice(ctx, conn, call, rules.Devices)
		if err != nil {
			return fmt.Errorf("sign in at another device: %w", err)
		}
	}
	defer clear(raw)
	if len(raw) == 0 {
		return errEmpty
	}
	name, err := w.take(ctx, conn, call, rules, raw, who)
	if err != nil {
		return err
	}
	who.name = string(name)
	if !call.UserSet {
		return conn.SetUser(string(name))
	}
	if string(name) != call.User { // CVE-2024-9313; Accounts has promised it
		return fmt.Errorf("account %q for user %q: %w", name, call.User, provision.ErrWrongUser)
	}
	return nil
}

// notSystem refuses the accounts that are the machine's own, whatever a ticket may say.
func notSystem(call *pampwb.Call, lowest account.UID) error {
	if !call.UserSet {
		return nil
	}
	if lowest == 0 {
		lowest = minUID
	}
	entry, err := passwd.ByName(call.User)
	if errors.Is(err, passwd.ErrNotFound) {
		return nil // sounds like a wrong ticket, later
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRules, err)
	}
	if entry.UID < lowest {
		return fmt.Errorf("user %q has uid %d, below %d: %w", call.User, entry.UID, lowest, provision.ErrSystemAccount)
	}
	return nil
}

// account decides without a ticket, so it also stands before ssh keys and cron jobs.
func (w *Worker) account(ctx context.Context, call *pampwb.Call) error {
	rules, err := w.Rules(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRules, err)
	}
	a, found := rules.Accounts.Find(ctx, account.Name(call.User))
	entry, err := w.lookUp(ctx, call.User)
	if err == nil && machines(entry, a, found, rules.MinUID) {
		return fmt.Errorf("user %q has uid %d, which is the machine's own: %w", call.User, entry.UID, store.ErrNotFound)
	}
	if found != nil { // a locked account stays locked where it cannot be looked up
		return found
	}
	if err != nil {
		return err
	}
	if entry.UID < rules.MinUID {
		return fmt.Errorf("user %q has uid %d, below %d (auth-minimum-user-id): %w", call.User, entry.UID, rules.MinUID, provision.ErrNotAllowed)
	}
	return rules.Accounts.Admit(ctx, a)
}

// machines says whether an account is the machine's own and none of ours to judge: one of the system, another than ours that has
// taken the name since, or one that was linked and is below the lowest uid now. What was locked stays so, and what we have made
// stays ours, wherever the lowest uid is moved.
func machines(entry passwd.Entry, a store.Account, found error, lowest account.UID) bool {
	switch {
	case entry.UID < account.MinID:
		return true
	case a.UID != 0:
		return entry.UID != a.UID
	}
	return entry.UID < lowest && found == nil
}

// openSession sees to it that the user has a home, whoever that is: it stands in for pam_mkhomedir(8).
func (w *Worker) openSession(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call) error {
	args, complaints := parseArguments(call.Args)
	complain(conn, complaints)
	entry, err := w.lookUp(ctx, call.User)
	if err != nil {
		return err
	}
	if args.bad != nil {
		return args.bad
	}
	result, err := w.makeHome(ctx, conn, entry, args)
	if err != nil || !result.Made {
		return err
	}
	conn.Log(pampwb.LogNotice, fmt.Sprintf("made home %q of %q", entry.Home, entry.Name))
	if !args.silent && call.Flags&pampwb.Silent == 0 {
		return ignoreHost(conn.Info(ctx, fmt.Sprintf("Creating directory '%s'.", entry.Home)))
	}
	return nil
}

// makeHome tells the host's log what is odd, where it is the only one that anybody reads: when all is done, because a Conn is used by
// one goroutine, and a large home made by several.
func (w *Worker) makeHome(ctx context.Context, conn *pampwb.Conn, entry passwd.Entry, args arguments) (homedir.Result, error) {
	if !w.HostLogs {
		return w.Homes.make(ctx, entry, args)
	}
	var mu sync.Mutex // guards odd
	var odd []string
	homes := w.Homes
	homes.Warn = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		odd = append(odd, text)
	}
	result, err := homes.make(ctx, entry, args)
	for _, text := range odd {
		conn.Log(pampwb.LogWarning, text)
	}
	return result, err
}

// ignoreHost forgives a host that cannot show a message: the home is there.
func ignoreHost(err error) error {
	var host pampwb.HostError
	if errors.As(err, &host) {
		return nil
	}
	return err
}

// changeAuthtok says where passwords are changed, to people who are ours; others are left to the modules that know them.
func (w *Worker) changeAuthtok(ctx context.Context, conn *pampwb.Conn, call *pampwb.Call) error {
	rules, err := w.Rules(ctx)
	if err != nil {
		return errNotForUs
	}
	if _, err := rules.Accounts.Find(ctx, account.Name(call.User)); errors.Is(err, store.ErrNotFound) {
		return errNotForUs
	}
	if call.Flags&pampwb.PrelimCheck != 0 {
		where := ""
		if rules.Issuer != "" {
			where = " Change it at " + rules.Issuer + "."
		}
		conn.Info(ctx, "Your password is kept by your organisation, not by this machine."+where)
	}
	return fmt.Errorf("user %q has no password here", call.User)
}

// publish shows every program what another process has changed in the store.
func (w *Worker) publish(ctx context.Context) error {
	rules, err := w.Rules(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoRules, err)
	}
	if rules.Publish == nil {
		return fmt.Errorf("nothing to publish with: %w", errNoRules)
	}
	return rules.Publish(ctx)
}

func complain(conn *pampwb.Conn, complaints []string) {
	for _, c := range complaints {
		conn.Log(pampwb.LogErr, c)
	}
}
