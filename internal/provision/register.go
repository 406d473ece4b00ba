package provision

import (
	"context"
	"fmt"
	"path"
	"unicode/utf8"

	"github.com/pwb-project/pwb/internal/account"
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
	maxGroups     = 2048 // of one person; Linux has room for 65536, NFS for 16
	maxObjectName = 255
)

// firstComer is somebody who is here for the first time.
func (p *Provisioner) firstComer(id account.Identity) newcomer {
	return newcomer{who: fmt.Sprintf("%s (username %q)", id.Key(), id.Username), username: id.Username, subject: id.Subject, suffix: p.Register.Suffix}
}

func (p *Provisioner) newAccount(ctx context.Context, name account.Name, e Evidence) (*store.New, error) {
	id, err := p.freeID(ctx, p.Register.StartUID)
	if err != nil {
		return nil, err
	}
	return &store.New{ID: id, Gecos: account.Gecos(e.FullName), Home: path.Join(p.Register.HomePath, string(name)), Shell: p.Register.Shell}, nil
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
	name, err := p.freeName(ctx, fmt.Sprintf("group %q", object), base, func(name account.Name, holder string) (bool, error) {
		return holder == "" && !used[name], nil
	})
	if err != nil {
		return store.Group{}, err
	}
	used[name] = true
	gid, err := p.freeID(ctx, p.Register.StartGID)
	if err != nil {
		return store.Group{}, err
	}
	return store.Group{GID: account.GID(gid), Name: name, Issuer: issuer, Object: object}, nil
}
