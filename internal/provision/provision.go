// Package provision turns the evidence of a ticket into an account. It is the only writer of accounts, and promises that an
// account, once opened by one identity, is opened by no other; that the user whom a host has named is never replaced by
// another; and that a ticket for somebody else is refused without being spent.
package provision

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

// What a login is refused for, beside the store's errors.
var (
	ErrWrongUser     = errors.New("the ticket is somebody else's")
	ErrNoAccount     = errors.New("the machine has no such account")
	ErrSystemAccount = errors.New("a system account")
)

// Store is what Provisioner needs of store.Store, whose contract holds.
type Store interface {
	Redeem(context.Context, store.Redemption) error
	ByName(context.Context, account.Name) (store.Account, error)
	BySubject(context.Context, account.Identity) (store.Account, error)
}

// Evidence is what a verified ticket proves.
type Evidence struct {
	Identity account.Identity
	SpendKey [32]byte
	Expires  time.Time
}

// Provisioner opens accounts that the machine has already. Its fields are set once; it is safe for concurrent use.
type Provisioner struct {
	Store   Store
	Names   account.NamePolicy
	Machine func(name string) (passwd.Entry, error) // passwd.ByName
	MinUID  account.UID                             // accounts below are the system's; 0 counts as 1000

	InsecureReuseTickets bool // for tests against one fixed ticket
}

const defaultMinUID = 1000

// Login spends the evidence and returns the account that it opens. When wanted is not empty the account must be that one. A
// name that the identity is bound to counts more than its claim: people are renamed, their files are not.
func (p *Provisioner) Login(ctx context.Context, e Evidence, wanted account.Name) (account.Name, error) {
	name, err := p.nameOf(ctx, e.Identity)
	if err != nil {
		return "", err
	}
	if wanted != "" && name != wanted { // CVE-2024-9313
		return "", fmt.Errorf("%s (username %q) is %q here, and the login is for %q: %w", e.Identity.Key(), e.Identity.Username, name, wanted, ErrWrongUser)
	}
	if err := p.mayOpen(name); err != nil {
		return "", err
	}
	err = p.Store.Redeem(ctx, store.Redemption{Key: e.SpendKey, Expires: e.Expires, Identity: e.Identity, Name: name, Reuse: p.InsecureReuseTickets})
	if err != nil {
		return "", err
	}
	return name, nil
}

func (p *Provisioner) nameOf(ctx context.Context, id account.Identity) (account.Name, error) {
	bound, err := p.Store.BySubject(ctx, id)
	if err == nil {
		return bound.Name, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	return p.Names.LoginName(id.Username)
}

// mayOpen refuses names that the machine does not know, and those that are the machine's own.
func (p *Provisioner) mayOpen(name account.Name) error {
	entry, err := p.Machine(string(name))
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

// Find says whether an account is ours and open: store.ErrNotFound when no identity was ever bound to the name,
// store.ErrInactive when it is locked.
func (p *Provisioner) Find(ctx context.Context, name account.Name) error {
	a, err := p.Store.ByName(ctx, name)
	if err != nil {
		return err
	}
	if !a.Active {
		return fmt.Errorf("account %q: %w", name, store.ErrInactive)
	}
	return nil
}
