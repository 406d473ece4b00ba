package provision

import (
	"context"
	"errors"
	"fmt"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// CreateGroup makes a group of the provider's directory and a group of Linux for it, with a gid that it keeps: the one that its
// external id has here already, or a new one. The errors are account.ErrName, ErrNameTaken, store.ErrConflict, store.ErrNoMember,
// store.ErrExhausted and store.ErrUnavailable.
func (p *Provisioner) CreateGroup(ctx context.Context, g store.ScimGroup, members []string, by Actor) (made store.ScimGroup, err error) {
	d := p.Directory
	fields := map[string]any{"resource": "Group", "id": g.ID, "external_id": g.ExternalID, "display_name": g.DisplayName, "members": len(members)}
	defer func() {
		result(fields, err)
		d.audit("create-group", by, fields)
	}()
	for try := 0; ; try++ {
		e, err := p.groupEnrolment(ctx, g, members)
		if err != nil {
			return made, err
		}
		made, err = d.Store.EnrolGroup(ctx, e)
		if (errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNoMember)) && !e.Adopt {
			d.giveBack(uint32(e.Group.GID))
		}
		if errors.Is(err, store.ErrTaken) && try < tries {
			continue
		}
		if err != nil {
			return made, err
		}
		fields["group"], fields["gid"] = made.Name, made.GID
		if e.Adopt {
			fields["joined"] = "the group that this object had"
		}
		p.shown(ctx)
		return made, nil
	}
}

func (p *Provisioner) groupEnrolment(ctx context.Context, g store.ScimGroup, members []string) (e store.GroupEnrolment, err error) {
	e = store.GroupEnrolment{Group: g, Issuer: p.Directory.Issuer, Members: members}
	if g.ExternalID != "" {
		known, err := p.Directory.Store.GroupOf(ctx, e.Issuer, g.ExternalID)
		switch {
		case err == nil && !known.Managed:
			e.Adopt = true
			e.Group.GID = known.GID
		case err != nil && !errors.Is(err, store.ErrNotFound):
			return e, err
		}
	}
	if e.Group.Name, err = p.groupName(ctx, g.DisplayName, e.Group.GID); err != nil || e.Adopt {
		return e, err
	}
	gid, err := p.directoryID(ctx, p.Register.StartGID)
	e.Group.GID = account.GID(gid)
	return e, err
}

// groupName chooses the name for Linux: what people call the group, where nobody else has it. A group called sudo at the
// provider is none here (CVE-2025-49012).
func (p *Provisioner) groupName(ctx context.Context, displayName string, gid account.GID) (account.Name, error) {
	base, err := account.GroupName("", displayName)
	if err != nil {
		return "", err
	}
	return p.freeName(ctx, fmt.Sprintf("displayName %q", displayName), base, func(name account.Name, holder string) (bool, error) {
		if holder == heldByIdentity && gid != 0 {
			return p.Directory.Store.NameOfGroup(ctx, name, gid)
		}
		return holder == "", nil
	})
}

// ChangeGroup changes a group; edit runs as in store.GroupAmendment. The errors are edit's, account.ErrName, ErrNameTaken,
// store.ErrNotFound, store.ErrConflict, store.ErrNoMember and store.ErrUnavailable.
func (p *Provisioner) ChangeGroup(ctx context.Context, id string, edit func(*store.ScimGroup, func() ([]store.Member, error)) ([]store.MemberChange, error),
	by Actor) (after store.ScimGroup, err error) {
	d := p.Directory
	var before store.ScimGroup
	names := map[string]account.Name{} // chosen for a displayName, outside of the transaction
	changed, steps := 0, []store.MemberChange(nil)
	for try := 0; ; try++ {
		var unnamed *renamed
		before, after, changed, err = d.Store.AmendGroup(ctx, id, store.GroupAmendment{
			Edit: func(g *store.ScimGroup, members func() ([]store.Member, error)) ([]store.MemberChange, error) {
				was := g.DisplayName
				var err error
				if steps, err = edit(g, members); err != nil || g.DisplayName == was {
					return steps, err
				}
				if _, chosen := names[g.DisplayName]; !chosen {
					return nil, &renamed{g.DisplayName, g.GID}
				}
				return steps, nil
			},
			Name: func(displayName string) account.Name { return names[displayName] },
		})
		switch {
		case errors.As(err, &unnamed) && try < tries:
			if names[unnamed.displayName], err = p.groupName(ctx, unnamed.displayName, unnamed.gid); err != nil {
				return after, err
			}
			continue
		case errors.Is(err, store.ErrTaken) && try < tries:
			clear(names)
			continue
		}
		break
	}
	if err == nil && after.Version == before.Version {
		return after, nil
	}
	if worthKeeping(err) {
		fields := map[string]any{"resource": "Group", "id": id, "external_id": after.ExternalID, "group": after.Name, "gid": after.GID}
		if err == nil {
			fields["changed"] = changes(before.Doc, after.Doc)
			fields["memberships"] = changed
			describe(fields, steps)
		}
		result(fields, err)
		d.audit("change-group", by, fields)
	}
	if err == nil && (changed > 0 || after.Name != before.Name) {
		p.shown(ctx)
	}
	return after, err
}

// renamed is a displayName that has no name for Linux yet. Choosing one asks the machine, which a transaction must not wait for.
type renamed struct {
	displayName string
	gid         account.GID
}

func (r *renamed) Error() string { return fmt.Sprintf("no name is chosen for %q", r.displayName) }

// describe names the members that a change was about, as far as a line has room.
func describe(fields map[string]any, steps []store.MemberChange) {
	const room = 200
	for what, op := range map[string]store.MemberOp{"added": store.AddMembers, "removed": store.RemoveMembers, "only": store.OnlyMembers} {
		var ids []string
		for _, s := range steps {
			if s.Op == op {
				ids = append(ids, s.IDs...)
			}
		}
		if len(ids) > 0 {
			fields[what] = ids[:min(len(ids), room)]
		}
	}
}

// DeleteGroup takes a group away; its gid and name are never another's. The errors are may's, store.ErrNotFound and
// store.ErrUnavailable.
func (p *Provisioner) DeleteGroup(ctx context.Context, id string, may func(store.ScimGroup) error, by Actor) error {
	gone, err := p.Directory.Store.DismissGroup(ctx, id, may)
	if worthKeeping(err) {
		fields := map[string]any{"resource": "Group", "id": id, "external_id": gone.ExternalID, "group": gone.Name, "gid": gone.GID}
		result(fields, err)
		p.Directory.audit("delete-group", by, fields)
	}
	if err == nil {
		p.shown(ctx)
	}
	return err
}
