package provision

import (
	"context"

	"github.com/pwb-project/pwb/internal/account"
)

// Preview is what a first login with a username would come to.
type Preview struct {
	Username string
	Name     account.Name
	Err      error // why there would be no account
}

// Preview says which login names usernames would get, were they to come in this order. Nothing is given or written.
func (p *Provisioner) Preview(ctx context.Context, usernames []string) []Preview {
	trial := *p
	taken := map[account.Name]bool{}
	trial.Store = previewed{p.Store, taken}
	all := make([]Preview, len(usernames))
	for i, username := range usernames {
		id := account.Identity{Username: username, Subject: "(subject)"}
		all[i].Username = username
		if !p.registers() {
			all[i].Name, all[i].Err = p.Names.LoginName(username)
			if all[i].Err == nil {
				all[i].Err = p.mayOpen(all[i].Name)
			}
		} else {
			all[i].Name, all[i].Err = trial.newName(ctx, trial.firstComer(id))
		}
		if all[i].Err == nil {
			taken[all[i].Name] = true
		}
	}
	return all
}

// previewed is a store in which some more names are given.
type previewed struct {
	Store
	taken map[account.Name]bool
}

func (s previewed) NameGiven(ctx context.Context, name account.Name) (bool, error) {
	if s.taken[name] {
		return true, nil
	}
	return s.Store.NameGiven(ctx, name)
}

// Conflict says why a host would open another account than ours of that name; nil is that it would open ours.
func (p *Provisioner) Conflict(ctx context.Context, name account.Name) error {
	a, err := p.Store.ByName(ctx, name)
	switch {
	case err != nil:
		return err
	case a.UID == 0:
		return p.mayOpen(name)
	}
	return p.stillOurs(a)
}
