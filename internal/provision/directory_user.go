package provision

import (
	"context"
	"errors"
	"fmt"
	"path"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
)

// CreateUser makes a user of the provider's directory and an account for it: the one that the external id's person has here
// already, from an earlier login or an earlier life, or a new one. The errors are account.ErrName for a userName that no login
// name can be made of, ErrNameTaken, store.ErrConflict, store.ErrExhausted and store.ErrUnavailable.
func (p *Provisioner) CreateUser(ctx context.Context, u store.ScimUser, by Actor) (made store.ScimUser, err error) {
	d := p.Directory
	fields := map[string]any{"resource": "User", "id": u.ID, "external_id": u.ExternalID, "user_name": u.UserName, "active": u.Active}
	defer func() {
		result(fields, err)
		d.audit("create-user", by, fields)
	}()
	for try := 0; ; try++ {
		e, err := p.enrolment(ctx, u)
		if err != nil {
			return made, err
		}
		made, err = d.Store.Enrol(ctx, e)
		if errors.Is(err, store.ErrConflict) && e.New != nil {
			d.giveBack(e.New.ID)
		}
		if errors.Is(err, store.ErrTaken) && try < tries {
			continue
		}
		if err != nil {
			return made, err
		}
		fields["user"], fields["uid"], fields["gid"] = made.Account.Name, made.Account.UID, made.Account.GID()
		if s := made.Account.Identity; s.Subject != "" {
			fields["subject"] = s.Key()
		}
		if e.New == nil {
			fields["joined"] = "the account that this person had"
		}
		p.shown(ctx)
		return made, nil
	}
}

// enrolment decides whose account a new user gets.
func (p *Provisioner) enrolment(ctx context.Context, u store.ScimUser) (e store.Enrolment, err error) {
	e = store.Enrolment{User: u, Identity: p.Directory.identity(u.ExternalID), Evict: p.Directory.leave()}
	e.User.FullName = account.Gecos(u.FullName)
	if e.Identity.Subject != "" {
		a, err := p.Store.BySubject(ctx, e.Identity)
		switch {
		case err == nil && a.Managed:
			return e, store.Conflict{Attribute: "externalId", Value: u.ExternalID, Reason: "another user is this person"}
		case err == nil:
			e.Name = a.Name
			return e, nil
		case !errors.Is(err, store.ErrNotFound):
			return e, err
		}
	}
	if _, err := p.Directory.Store.ScimUserNamed(ctx, u.UserName); err == nil { // the store decides; this saves an id
		return e, store.Conflict{Attribute: "userName", Value: u.UserName}
	}
	e.Name, err = p.newName(ctx, newcomer{
		who: fmt.Sprintf("userName %q", u.UserName), username: u.UserName, spare: "u" + u.ID[:min(len(u.ID), 8)], subject: "OBJECT-ID", suffix: p.Directory.Suffix,
	})
	if err != nil {
		return e, err
	}
	id, err := p.directoryID(ctx, p.Register.StartUID)
	if err != nil {
		return e, err
	}
	e.New = &store.New{ID: id, Home: path.Join(p.Register.HomePath, string(e.Name)), Shell: p.Register.Shell}
	return e, nil
}

func (p *Provisioner) directoryID(ctx context.Context, start uint32) (uint32, error) {
	for {
		id, ok := p.Directory.takeSpare(start)
		if !ok {
			return p.freeID(ctx, start)
		}
		if holder, err := p.IDOnMachine(id); err != nil || holder == "" {
			return id, err
		}
	}
}

// ChangeUser changes a user; edit runs as in store.Amendment. The errors are edit's, store.ErrNotFound, store.ErrConflict and
// store.ErrUnavailable. When it returns, a user who was made inactive is refused everywhere.
func (p *Provisioner) ChangeUser(ctx context.Context, id string, edit func(*store.ScimUser) error, by Actor) (store.ScimUser, error) {
	d := p.Directory
	before, after, err := d.Store.Amend(ctx, id, store.Amendment{
		Edit: func(u *store.ScimUser) error {
			err := edit(u)
			u.FullName = account.Gecos(u.FullName)
			return err
		},
		Link: d.identity, Evict: d.leave(),
	})
	if err == nil && after.Version == before.Version {
		return after, nil
	}
	if worthKeeping(err) {
		fields := map[string]any{"resource": "User", "id": id, "external_id": after.ExternalID, "user": after.Account.Name, "uid": after.Account.UID}
		if err == nil {
			changed := changes(before.Doc, after.Doc)
			if before.Active != after.Active {
				changed["active"] = []bool{before.Active, after.Active}
				if e := d.leave(); !after.Active && e != nil {
					fields["sessions"] = e.Policy
				}
			}
			if was, is := before.Account.Identity, after.Account.Identity; was.Subject != is.Subject {
				changed["subject"] = []string{was.Subject, is.Subject}
			}
			fields["changed"] = changed
		}
		result(fields, err)
		d.audit("change-user", by, fields)
	}
	if err == nil && after.Revision != before.Revision {
		p.shown(ctx)
	}
	return after, err
}

// DeleteUser takes a user and the account away; home, uid and name stay the person's. The errors are may's, store.ErrNotFound
// and store.ErrUnavailable.
func (p *Provisioner) DeleteUser(ctx context.Context, id string, may func(store.ScimUser) error, by Actor) error {
	gone, err := p.Directory.Store.Dismiss(ctx, id, may, atOnce())
	if worthKeeping(err) {
		fields := map[string]any{"resource": "User", "id": id, "external_id": gone.ExternalID, "user": gone.Account.Name, "uid": gone.Account.UID, "sessions": "kill-now"}
		result(fields, err)
		p.Directory.audit("delete-user", by, fields)
	}
	if err == nil {
		p.shown(ctx)
	}
	return err
}
