package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

const (
	maxIDTries   = 100_000 // ids in a row that the machine has given to others
	maxNameTries = 99
)

// newcomer is somebody who has no login name yet, however they come.
type newcomer struct {
	who      string // for a refusal
	username string
	spare    string // the name, where nothing of the username can be a part of one; "" is a refusal
	subject  string // for pwb users link
	suffix   bool   // a name that another identity has gets a number behind it; else it is a refusal
}

// newName chooses a login name. A name of the machine's own is never taken and never merged with: whose it is, an operator knows.
func (p *Provisioner) newName(ctx context.Context, n newcomer) (account.Name, error) {
	base, err := p.Names.Of(n.username)
	if errors.Is(err, account.ErrNothingLeft) && n.spare != "" {
		base, err = account.ParseName(n.spare)
	}
	if err != nil {
		return "", err
	}
	return p.freeName(ctx, n.who, base, func(name account.Name, holder string) (bool, error) {
		switch {
		case holder == "":
			return true, nil
		case name == base && holder != heldByIdentity:
			return false, fmt.Errorf("%s would be %q, which is %s; if it is this person's account, an operator can run: pwb users link %s %s: %w",
				n.who, name, holder, name, n.subject, ErrNameTaken)
		case !n.suffix:
			return false, fmt.Errorf("%s would be %q, which is %s; see username-collision in pwb.conf(5): %w", n.who, name, holder, ErrNameTaken)
		}
		return false, nil
	})
}

// freeName returns base or the first of the names beside it that take takes, which is told who has a name: "" is nobody.
func (p *Provisioner) freeName(ctx context.Context, who string, base account.Name, take func(name account.Name, holder string) (bool, error)) (account.Name, error) {
	name := base
	for i := 2; ; i++ {
		holder, err := p.holder(ctx, name)
		if err != nil {
			return "", err
		}
		if ok, err := take(name, holder); err != nil {
			return "", err
		} else if ok {
			return name, nil
		}
		if i > maxNameTries {
			return "", fmt.Errorf("%s: %q and %d names beside it are taken: %w", who, base, maxNameTries, ErrNameTaken)
		}
		if name, err = base.Suffixed(i); err != nil {
			return "", err
		}
	}
}

const heldByIdentity = "another identity's, or was"

// holder says whose a name is: "" when it is nobody's.
func (p *Provisioner) holder(ctx context.Context, name account.Name) (string, error) {
	given, err := p.Store.NameGiven(ctx, name)
	if err != nil {
		return "", err
	}
	if given {
		return heldByIdentity, nil
	}
	return p.NameOnMachine(name)
}

// NameOnMachine says what of the machine's own has a name, be it a user or a group: a private group has its user's. "" is nothing;
// the error is store.ErrUnavailable.
func (p *Provisioner) NameOnMachine(name account.Name) (string, error) {
	user, err := p.Machine.ByName(string(name))
	if err == nil {
		return fmt.Sprintf("an account of the machine (uid %d)", user.UID), nil
	}
	gid, groupErr := p.Machine.GroupByName(string(name))
	if groupErr == nil {
		return fmt.Sprintf("a group of the machine (gid %d)", gid), nil
	}
	if !errors.Is(err, passwd.ErrNotFound) || !errors.Is(groupErr, passwd.ErrNotFound) {
		return "", fmt.Errorf("is the name %q taken: %w: %w", name, store.ErrUnavailable, errors.Join(err, groupErr))
	}
	return "", nil
}

// IDOnMachine is NameOnMachine for an id.
func (p *Provisioner) IDOnMachine(id uint32) (string, error) {
	user, err := p.Machine.ByUID(account.UID(id))
	if err == nil {
		return fmt.Sprintf("the uid of %q on this machine", user.Name), nil
	}
	group, groupErr := p.Machine.GroupByID(account.GID(id))
	if groupErr == nil {
		return fmt.Sprintf("the gid of %q on this machine", group), nil
	}
	if !errors.Is(err, passwd.ErrNotFound) || !errors.Is(groupErr, passwd.ErrNotFound) {
		return "", fmt.Errorf("is the id %d taken: %w: %w", id, store.ErrUnavailable, errors.Join(err, groupErr))
	}
	return "", nil
}

// freeID reserves an id that nobody on the machine has.
func (p *Provisioner) freeID(ctx context.Context, start uint32) (uint32, error) {
	var taken []account.IDRange
	if p.Register.Subordinate != nil {
		taken = p.Register.Subordinate()
	}
	for range maxIDTries {
		id, err := p.Store.Reserve(ctx, start, taken)
		if err != nil {
			return 0, err
		}
		if holder, err := p.IDOnMachine(id); err != nil {
			return 0, err
		} else if holder == "" {
			return id, nil
		}
	}
	return 0, fmt.Errorf("%d ids from %d up belong to others on this machine; begin elsewhere (user-provisioning-start-uid): %w",
		maxIDTries, start, store.ErrExhausted)
}
