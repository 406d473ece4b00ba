// Package provision turns the evidence of a ticket into an account. It is the only writer of accounts, and promises that an
// account, once opened by one identity, is opened by no other; that the user whom a host has named is never replaced by
// another; that a ticket for somebody else is refused without being spent; and that an account it makes takes nothing that
// the machine has already, neither a name nor an id, and is shown to every program before the login goes on.
package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// What a login is refused for, beside the store's errors.
var (
	ErrWrongUser     = errors.New("the ticket is somebody else's")
	ErrNoAccount     = errors.New("the machine has no such account")
	ErrSystemAccount = errors.New("a system account")
	ErrNameTaken     = errors.New("the login name is taken")
	ErrNotProvided   = errors.New("the provider has not given this person an account")
	ErrNotAllowed    = errors.New("the rules of this machine do not let the account in")
	ErrNotShown      = errors.New("the ticket is spent, and the account not shown to other programs yet")
	ErrForeign       = errors.New("the store has it otherwise than pwb makes accounts")
)

// Store is what Provisioner needs of store.Store, whose contract holds.
type Store interface {
	Redeem(context.Context, store.Redemption) error
	ByName(context.Context, account.Name) (store.Account, error)
	BySubject(context.Context, account.Identity) (store.Account, error)
	Reserve(ctx context.Context, start uint32, taken []account.IDRange) (uint32, error)
	NameGiven(context.Context, account.Name) (bool, error)
	GroupsOf(context.Context, account.Name) ([]store.Group, error)
	UnknownGroups(ctx context.Context, issuer string, objects []string) ([]string, error)
	FindCode(context.Context, [32]byte) (store.Code, error)
	RedeemCode(context.Context, [32]byte) error
	TicketKeys(context.Context) ([]store.TicketKey, error)
}

// Machine is everybody on the machine but the accounts of pwb's own making. passwd.Others is one. Its errors are
// passwd.ErrNotFound, or that it cannot tell.
type Machine interface {
	ByName(string) (passwd.Entry, error)
	ByUID(account.UID) (passwd.Entry, error)
	GroupByName(string) (account.GID, error)
	GroupByID(account.GID) (string, error)
	Groups(string, account.GID) ([]account.GID, error)
}

// Evidence is what a verified ticket proves.
type Evidence struct {
	Identity account.Identity
	SpendKey [32]byte
	Expires  time.Time
	FullName string        // a label for people
	Groups   *store.Groups // Objects and Complete; nil when tickets do not speak of groups here
}

// Provisioner opens accounts. Its fields are set once; it is safe for concurrent use.
type Provisioner struct {
	Store     Store
	Names     account.NamePolicy
	Machine   Machine
	MinUID    account.UID // accounts of the machine below are the system's; 0 counts as 1000
	HomePath  string      // the folder that the machine has set aside for homes
	Admission Admission
	Register  *Register                   // nil: accounts must exist on the machine already
	Directory *Directory                  // nil: no provider manages accounts
	Publish   func(context.Context) error // shows accounts of our own making to every program; nil when there are none

	Hosts        []string // the names of this machine, which codes may be bound to
	BindSessions bool     // session tickets also open accounts that only the machine knows

	InsecureReuseTickets bool // for tests against one fixed ticket
}

const (
	defaultMinUID = 1000
	tries         = 20 // against others who take a name or an id in the same moment
)

// Login spends the evidence and returns the account that it opens. When wanted is not empty the account must be that one. A
// name that the identity is bound to counts more than its claim: people are renamed, their files are not.
func (p *Provisioner) Login(ctx context.Context, e Evidence, wanted account.Name) (account.Name, error) {
	for try := 0; ; try++ {
		redemption, err := p.prepare(ctx, e, wanted)
		if errors.Is(err, ErrNameTaken) && try == 0 {
			continue // by this very person, who signs in twice in the same moment: the account is there by now
		}
		if err != nil {
			return "", err
		}
		err = p.Store.Redeem(ctx, redemption)
		if errors.Is(err, store.ErrTaken) && try < tries {
			continue
		}
		if err != nil {
			return "", err
		}
		if redemption.Claim {
			p.Directory.audit("link-user", Actor{}, map[string]any{"user": redemption.Name, "subject": e.Identity.Key(), "username": e.Identity.Username})
		}
		if err := p.publish(ctx); err != nil {
			return "", fmt.Errorf("account %q: %w: %w: %w", redemption.Name, ErrNotShown, store.ErrUnavailable, err)
		}
		return redemption.Name, nil
	}
}

func (p *Provisioner) publish(ctx context.Context) error {
	if p.Publish == nil {
		return nil
	}
	return p.Publish(ctx)
}

// registers says whether a first login makes an account.
func (p *Provisioner) registers() bool { return p.Register != nil && p.Register.FirstLogin }

// prepare decides everything that can be decided before the ticket is spent.
func (p *Provisioner) prepare(ctx context.Context, e Evidence, wanted account.Name) (store.Redemption, error) {
	r := store.Redemption{Key: e.SpendKey, Expires: e.Expires, Identity: e.Identity, Reuse: p.InsecureReuseTickets}
	bound, err := p.Store.BySubject(ctx, e.Identity)
	if errors.Is(err, store.ErrNotFound) && p.BindSessions { // it may have come by a session ticket before
		r.Identity = account.Identity{Issuer: SessionIssuer, Subject: ticket.HashIdentity(e.Identity), Username: e.Identity.Username}
		if bound, err = p.Store.BySubject(ctx, r.Identity); err != nil {
			r.Identity = e.Identity
		}
	}
	known := err == nil
	if !known && !errors.Is(err, store.ErrNotFound) {
		return r, err
	}
	if !known {
		bound, r.Claim, err = p.claim(ctx, e.Identity)
	}
	switch {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return r, err
	case known || r.Claim:
		r.Name, err = bound.Name, nil
	case p.Register != nil && !p.Register.FirstLogin && !p.Register.Local:
		return r, fmt.Errorf("%s (username %q): %w", e.Identity.Key(), e.Identity.Username, ErrNotProvided)
	case p.registers():
		r.Name, err = p.newName(ctx, p.firstComer(e.Identity))
	default:
		r.Name, err = p.Names.LoginName(e.Identity.Username)
	}
	if err != nil {
		return r, err
	}
	if wanted != "" && r.Name != wanted { // CVE-2024-9313
		return r, fmt.Errorf("%s (username %q) is %q here, and the login is for %q: %w", e.Identity.Key(), e.Identity.Username, r.Name, wanted, ErrWrongUser)
	}
	switch {
	case (known || r.Claim) && bound.UID != 0:
		err = p.stillOurs(bound)
	case known || r.Claim || !p.registers():
		err = p.mayOpen(r.Name)
	default:
		r.New, err = p.newAccount(ctx, r.Name, e)
	}
	if err != nil {
		return r, err
	}
	if r.New != nil || bound.UID != 0 && !bound.Managed {
		r.Groups, err = p.groups(ctx, r.Name, e)
	}
	return r, err
}

// mayOpen refuses names that the machine does not know, and those that are the machine's own.
func (p *Provisioner) mayOpen(name account.Name) error {
	entry, err := p.Machine.ByName(string(name))
	if errors.Is(err, passwd.ErrNotFound) {
		return fmt.Errorf("account %q: %w", name, ErrNoAccount)
	}
	if err != nil {
		return fmt.Errorf("account %q: %w: %w", name, store.ErrUnavailable, err)
	}
	if entry.Name != string(name) { // a directory that folds case or knows aliases
		return fmt.Errorf("account %q is called %q by the machine: %w", name, entry.Name, ErrNoAccount)
	}
	lowest := p.MinUID
	if lowest == 0 {
		lowest = defaultMinUID
	}
	if entry.UID < lowest {
		return fmt.Errorf("account %q has uid %d, below %d (auth-minimum-user-id): %w", name, entry.UID, lowest, ErrSystemAccount)
	}
	return nil
}

// sound holds what the store says of an account, or of a group, to the rules by which pwb gives names, ids and homes, whoever
// wrote it. The store is the service user's, who faces the network; what root makes of a row must not make that user more.
func sound(name account.Name, id uint32) error {
	parsed, err := account.NamePolicy{Keep: true}.LoginName(string(name)) // the widest of the policies
	if err != nil || parsed != name {
		return fmt.Errorf("name %q: %w", name, errors.Join(ErrForeign, err))
	}
	if free, ok := account.NextID(id, nil); !ok || free != id {
		return fmt.Errorf("%q has id %d, which belongs to the machine: %w", name, id, ErrForeign)
	}
	return nil
}

func soundAccount(a store.Account, homes string) error {
	err := sound(a.Name, uint32(a.UID))
	if homeErr := account.CheckHome(a.Home, homes); err == nil && homeErr != nil {
		err = fmt.Errorf("account %q: %w: %w", a.Name, ErrForeign, homeErr)
	}
	return err
}

// stillOurs refuses an account of our making when somebody has made another of its name or uid on the machine since: hosts
// would open that one (files come first), with our ticket.
func (p *Provisioner) stillOurs(a store.Account) error {
	if err := soundAccount(a, p.HomePath); err != nil {
		return err
	}
	byName, errName := p.Machine.ByName(string(a.Name))
	byUID, errUID := p.Machine.ByUID(a.UID)
	switch {
	case errName == nil:
		return fmt.Errorf("the machine has an account %q of its own by now, with uid %d; remove or rename it: %w", a.Name, byName.UID, ErrNameTaken)
	case errUID == nil:
		return fmt.Errorf("the machine has given uid %d of %q to %q by now; change that one: %w", a.UID, a.Name, byUID.Name, ErrNameTaken)
	case !errors.Is(errName, passwd.ErrNotFound), !errors.Is(errUID, passwd.ErrNotFound):
		return fmt.Errorf("account %q: %w: %w", a.Name, store.ErrUnavailable, errors.Join(errName, errUID))
	}
	return nil
}

// Find returns an account of ours: store.ErrNotFound when no identity was ever bound to the name, store.ErrInactive when it
// is locked.
func (p *Provisioner) Find(ctx context.Context, name account.Name) (store.Account, error) {
	a, err := p.Store.ByName(ctx, name)
	if err != nil {
		return store.Account{}, err
	}
	if !a.Active || !a.Deleted.IsZero() {
		return a, fmt.Errorf("account %q: %w", name, store.ErrInactive)
	}
	return a, nil
}

// LookUp returns the entry that programs see of an account: the machine's own if there is one, else ours.
func (p *Provisioner) LookUp(ctx context.Context, name string) (passwd.Entry, error) {
	entry, err := p.Machine.ByName(name)
	if !errors.Is(err, passwd.ErrNotFound) {
		return entry, err
	}
	a, storeErr := p.Store.ByName(ctx, account.Name(name))
	switch {
	case errors.Is(storeErr, store.ErrNotFound), storeErr == nil && (a.UID == 0 || !a.Deleted.IsZero()):
		return passwd.Entry{}, err
	case storeErr != nil:
		return passwd.Entry{}, storeErr
	}
	if err := soundAccount(a, p.HomePath); err != nil {
		return passwd.Entry{}, err
	}
	return passwd.Entry{Name: name, UID: a.UID, GID: a.GID(), Gecos: a.Gecos, Home: a.Home, Shell: a.Shell}, nil
}
