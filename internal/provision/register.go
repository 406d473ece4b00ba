package provision

import (
	"context"
	"errors"
	"fmt"
	"path"
	"unicode/utf8"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/passwd"
	"github.com/pwb-project/pwb/internal/store"
)

// Register says how accounts and groups are made.
type Register struct {
	FirstLogin         bool // makes an account; else only the provider's directory does
	Local              bool // who was given no account opens the machine's own of that name, as without provisioning
	StartUID, StartGID uint32
	HomePath           string // a home is this and the login name
	Shell              string
	Suffix             bool                     // a name that another identity has gets a number behind it; else it is a refusal
	Subordinate        func() []account.IDRange // ids that belong to people's containers
}

const (
	maxIDTries    = 100_000 // ids in a row that the machine has given to others
	maxNameTries  = 99
	maxGroups     = 2048 // of one person; Linux has room for 65536, NFS for 16
	maxObjectName = 255
)

// newName chooses the login name for an identity that has none. A name of the machine's own is never taken and never merged
// with: whose it is, an operator knows (pwb users link).
func (p *Provisioner) newName(ctx context.Context, id account.Identity) (account.Name, error) {
	base, err := p.Names.Of(id.Username)
	if err != nil {
		return "", err
	}
	name := base
	for i := 2; ; i++ {
		holder, err := p.holder(ctx, name)
		switch {
		case err != nil:
			return "", err
		case holder == "":
			return name, nil
		case i == 2 && holder != heldByIdentity:
			return "", fmt.Errorf("%s (username %q) would be %q, which is %s; if it is this person's account, run: pwb users link %s %s: %w",
				id.Key(), id.Username, name, holder, name, id.Subject, ErrNameTaken)
		case !p.Register.Suffix:
			return "", fmt.Errorf("%s (username %q) would be %q, which is %s; see username-collision in pwb.conf(5): %w",
				id.Key(), id.Username, name, holder, ErrNameTaken)
		case i > maxNameTries:
			return "", fmt.Errorf("%s (username %q): %q and %d names beside it are taken: %w", id.Key(), id.Username, base, maxNameTries, ErrNameTaken)
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
	entry, err := p.Machine.ByName(string(name))
	if err == nil {
		return fmt.Sprintf("an account of the machine (uid %d)", entry.UID), nil
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

func (p *Provisioner) newAccount(ctx context.Context, name account.Name, e Evidence) (*store.New, error) {
	id, err := p.freeID(ctx, p.Register.StartUID)
	if err != nil {
		return nil, err
	}
	return &store.New{ID: id, Gecos: account.Gecos(e.FullName), Home: path.Join(p.Register.HomePath, string(name)), Shell: p.Register.Shell}, nil
}

// freeID reserves an id that nobody on the machine has, neither as a user nor as a group: a private group has its user's.
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
		_, userErr := p.Machine.ByUID(account.UID(id))
		_, groupErr := p.Machine.GroupByID(account.GID(id))
		switch {
		case userErr == nil || groupErr == nil:
			continue
		case !errors.Is(userErr, passwd.ErrNotFound) || !errors.Is(groupErr, passwd.ErrNotFound):
			return 0, fmt.Errorf("is the id %d taken: %w: %w", id, store.ErrUnavailable, errors.Join(userErr, groupErr))
		}
		return id, nil
	}
	return 0, fmt.Errorf("%d ids from %d up belong to others on this machine; begin elsewhere (user-provisioning-start-uid): %w",
		maxIDTries, start, store.ErrExhausted)
}

// groups says what the store is to make of the memberships that a ticket names. What it does not name is nobody's business.
func (p *Provisioner) groups(ctx context.Context, name account.Name, e Evidence) (*store.Groups, error) {
	if e.Groups == nil || !p.registers() {
		return nil, nil
	}
	out := &store.Groups{Complete: e.Groups.Complete && len(e.Groups.Objects) <= maxGroups}
	if !out.Complete {
		return out, nil
	}
	seen := map[string]bool{}
	for _, object := range e.Groups.Objects {
		if len(object) == 0 || len(object) > maxObjectName || !utf8.ValidString(object) || seen[object] {
			continue
		}
		if _, err := account.GroupName(object, ""); err != nil { // a control character: nothing that a group can be called by
			continue
		}
		seen[object] = true
		out.Objects = append(out.Objects, object)
	}
	unknown, err := p.Store.UnknownGroups(ctx, e.Identity.Issuer, out.Objects)
	if err != nil {
		return nil, err
	}
	used := map[account.Name]bool{name: true}
	for _, object := range unknown {
		g, err := p.newGroup(ctx, e.Identity.Issuer, object, used)
		if err != nil {
			return nil, err
		}
		out.New = append(out.New, g)
	}
	return out, nil
}

// newGroup chooses name and id for a provider's group. A name that the machine has is not taken: a group called sudo at the
// provider must be none here (CVE-2025-49012).
func (p *Provisioner) newGroup(ctx context.Context, issuer, object string, used map[account.Name]bool) (store.Group, error) {
	base, err := account.GroupName(object, "")
	if err != nil {
		return store.Group{}, err
	}
	name := base
	for i := 2; ; i++ {
		holder, err := p.holder(ctx, name)
		if err != nil {
			return store.Group{}, err
		}
		if holder == "" && !used[name] {
			break
		}
		if i > maxNameTries {
			return store.Group{}, fmt.Errorf("group %q: %q and %d names beside it are taken: %w", object, base, maxNameTries, ErrNameTaken)
		}
		if name, err = base.Suffixed(i); err != nil {
			return store.Group{}, err
		}
	}
	used[name] = true
	gid, err := p.freeID(ctx, p.Register.StartGID)
	if err != nil {
		return store.Group{}, err
	}
	return store.Group{GID: account.GID(gid), Name: name, Issuer: issuer, Object: object}, nil
}
