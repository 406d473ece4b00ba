package provision

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/snapshot"
	"github.com/pwb-project/pwb/internal/store"
)

// Publisher shows the store's accounts and groups to every program of this machine, through the snapshot. It is safe for use by
// several goroutines and processes.
type Publisher struct {
	Path     string
	Store    ChangeStore
	Machine  Machine
	HomePath string            // the folder that the machine has set aside for homes
	GroupMap map[string]string // a provider's object to a group of the machine, whose members its members are too
	Report   func(error)       // told of entries that cannot be shown; nil tells nobody
}

// ChangeStore is what Publisher needs of store.Store, whose contract holds.
type ChangeStore interface {
	Changes(ctx context.Context, since int64) (*store.Changes, error)
	GroupsFor(ctx context.Context, objects []string) ([]store.Group, error)
	Head(context.Context) (origin [16]byte, revision int64, err error)
}

// Publish returns when the snapshot shows the store as it was at the call, or later.
func (p *Publisher) Publish(ctx context.Context) error {
	of, shown, ok := snapshot.Shown(p.Path) // before the store: a snapshot that is ahead of it then is of a future that a backup took back
	origin, revision, err := p.Store.Head(ctx)
	if err != nil {
		return err
	}
	if ok && of == origin && shown == revision {
		return nil
	}
	return p.write(ctx, false)
}

// Rewrite writes the whole snapshot anew: the rules for what is shown have changed, not the accounts.
func (p *Publisher) Rewrite(ctx context.Context) error {
	return p.write(ctx, true)
}

func (p *Publisher) write(ctx context.Context, whole bool) (err error) {
	w, err := snapshot.Open(ctx, p.Path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	// Under the lock: what is read here is newer than what any writer before has written.
	since := w.Revision()
	if whole {
		since = -1
	}
	changes, err := p.Store.Changes(ctx, since)
	if err != nil {
		return err
	}
	if since >= 0 && (changes.Origin != w.Origin() || changes.Revision < since) { // of another store, or of a backup's future
		since = -1
		if changes, err = p.Store.Changes(ctx, since); err != nil {
			return err
		}
	}
	if since >= 0 {
		err := p.apply(ctx, w, changes)
		if err == nil || !errors.Is(err, snapshot.ErrFull) {
			return err
		}
		if changes, err = p.Store.Changes(ctx, -1); err != nil {
			return err
		}
	}
	return p.replace(ctx, w, changes)
}

func (p *Publisher) apply(ctx context.Context, w *snapshot.Writer, changes *store.Changes) error {
	c, removed, err := p.contents(ctx, changes)
	if err != nil {
		return err
	}
	var all []snapshot.Change
	for i := range removed.Users {
		u := &removed.Users[i]
		all = append(all, snapshot.Change{User: u, Removed: true}, snapshot.Change{Group: &snapshot.Group{GID: u.GID}, Removed: true})
	}
	for i := range removed.Groups {
		all = append(all, snapshot.Change{Group: &removed.Groups[i], Removed: true})
	}
	for i := range c.Groups {
		all = append(all, snapshot.Change{Group: &c.Groups[i]})
	}
	for i := range c.Users {
		all = append(all, snapshot.Change{User: &c.Users[i]})
	}
	return w.Apply(changes.Revision, all...)
}

func (p *Publisher) replace(ctx context.Context, w *snapshot.Writer, changes *store.Changes) error {
	c, _, err := p.contents(ctx, changes)
	if err != nil {
		return err
	}
	return w.Replace(c)
}

// contents are the entries of what has changed: each account with its private group, and the provider's groups.
func (p *Publisher) contents(ctx context.Context, changes *store.Changes) (c, removed *snapshot.Contents, err error) {
	extra, err := p.extra(ctx)
	if err != nil {
		return nil, nil, err
	}
	removed = new(snapshot.Contents)
	c = &snapshot.Contents{Origin: changes.Origin, Revision: changes.Revision}
	for _, a := range changes.Accounts {
		u := snapshot.User{Name: string(a.Name), UID: uint32(a.UID), GID: uint32(a.GID()), Gecos: a.Gecos, Home: a.Home, Shell: a.Shell}
		if !a.Deleted.IsZero() {
			removed.Users = append(removed.Users, u)
			continue
		}
		for _, gid := range a.GIDs {
			u.Groups = append(u.Groups, uint32(gid))
			if local, mapped := extra[gid]; mapped {
				u.Groups = append(u.Groups, uint32(local))
			}
		}
		g := snapshot.Group{Name: u.Name, GID: u.GID}
		if p.showable(soundAccount(a.Account, p.HomePath), u.Check(), g.Check()) {
			c.Users, c.Groups = append(c.Users, u), append(c.Groups, g)
		}
	}
	for _, shown := range changes.Groups {
		g := snapshot.Group{Name: string(shown.Name), GID: uint32(shown.GID), Members: shown.Members}
		if shown.Deleted {
			removed.Groups = append(removed.Groups, g)
			continue
		}
		if p.showable(sound(shown.Name, uint32(shown.GID)), g.Check()) {
			c.Groups = append(c.Groups, g)
		}
	}
	return c, removed, nil
}

// showable reports an entry that cannot be shown: it must not keep all others from being shown.
func (p *Publisher) showable(problems ...error) bool {
	err := errors.Join(problems...)
	if err != nil && p.Report != nil {
		p.Report(err)
	}
	return err == nil
}

// extra says which of the machine's groups the members of a provider's group are in too.
func (p *Publisher) extra(ctx context.Context) (map[account.GID]account.GID, error) {
	if len(p.GroupMap) == 0 {
		return nil, nil
	}
	groups, err := p.Store.GroupsFor(ctx, slices.Collect(maps.Keys(p.GroupMap)))
	if err != nil {
		return nil, err
	}
	extra := map[account.GID]account.GID{}
	for _, g := range groups {
		local, mapped := p.GroupMap[g.Object]
		if !mapped || account.Privileged(local) {
			continue
		}
		gid, err := p.Machine.GroupByName(local)
		if err != nil {
			if p.Report != nil {
				p.Report(fmt.Errorf("group-map: members of %q are not in %q: %w", g.Object, local, err))
			}
			continue
		}
		if snapshot.Visible(uint32(gid)) {
			extra[g.GID] = gid
		} else if p.Report != nil {
			p.Report(fmt.Errorf("group-map: %q has gid %d, which belongs to the machine; name a group with a gid from 1000 up", local, gid))
		}
	}
	return extra, nil
}
