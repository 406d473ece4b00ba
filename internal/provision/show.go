package provision

import (
	"context"
	"fmt"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// Membership is one group that an account is in, as programs see it.
type Membership struct {
	Name string // the number where nobody has a name for it
	GID  account.GID
}

// Memberships returns an account's groups for the eyes of people: its primary group first. Nothing is decided by it.
func (p *Provisioner) Memberships(ctx context.Context, a store.Account) ([]Membership, error) {
	if a.UID == 0 {
		return p.machineGroups(a)
	}
	groups, err := p.Store.GroupsOf(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	all := []Membership{{string(a.Name), a.GID()}}
	for _, g := range groups {
		all = append(all, Membership{string(g.Name), g.GID})
	}
	return all, nil
}

func (p *Provisioner) machineGroups(a store.Account) ([]Membership, error) {
	gids, err := p.local(a)
	if err != nil {
		return nil, err
	}
	var all []Membership
	for _, gid := range gids {
		name, err := p.Machine.GroupByID(gid)
		if err != nil {
			name = fmt.Sprint(gid)
		}
		all = append(all, Membership{name, gid})
	}
	return all, nil
}

// InOneOf returns the first group of a list that an account is in, or "". Groups are named as in auth-required-user-group. An
// error is neither yes nor no: whoever asks for a right is not given it.
func (p *Provisioner) InOneOf(ctx context.Context, a store.Account, list []string) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	return p.memberships(ctx, a).first(list, false)
}
