package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// ScimGroup is a group as the provider's directory has it, and the group of Linux that stands behind.
type ScimGroup struct {
	ID          string
	ExternalID  string
	DisplayName string
	Doc         []byte // JSON
	Created     time.Time
	Modified    time.Time
	Version     int64

	GID     account.GID
	Name    account.Name // Linux's
	Members []Member     // filled in when asked for
}

// Member is a user of SCIM in a group.
type Member struct{ ID, Display string }

// MemberChange is one step of a change to a group's members; steps happen in order.
type MemberChange struct {
	Op  MemberOp
	IDs []string // of users
}

// MemberOp says what becomes of the users of a step.
type MemberOp int

// AddMembers and RemoveMembers leave all others as they are; after OnlyMembers nobody else is in the group.
const (
	AddMembers MemberOp = iota
	RemoveMembers
	OnlyMembers
)

// GroupEnrolment is a group of SCIM on the way in.
type GroupEnrolment struct {
	Group   ScimGroup // ID, ExternalID, DisplayName, Doc; GID and Name when it is new
	Issuer  string
	Adopt   bool // the group of that issuer whose object is ExternalID, which no SCIM group is yet
	Members []string
}

// EnrolGroup makes a group of SCIM and a group of Linux, or takes over the one that its external id means. A Conflict is of
// displayName. ErrTaken: an id, a name or the object was given in the same moment, so decide again. ErrNoMember.
func (s *Store) EnrolGroup(ctx context.Context, e GroupEnrolment) (made ScimGroup, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.enrolProviderGroup(ctx, tx, &e, revision); err != nil {
			return err
		}
		g, now := e.Group, s.now().UnixMilli()
		_, err = tx.ExecContext(ctx, `INSERT INTO scim_group (id, gid, external_id, display_name, display_fold, doc, created, modified, version)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)`, g.ID, g.GID, null(g.ExternalID), g.DisplayName, account.Fold(g.DisplayName), string(g.Doc), now, now)
		switch {
		case violates(err, "scim_group.display_fold"):
			return Conflict{Attribute: "displayName", Value: g.DisplayName}
		case violates(err, "scim_group.gid"):
			return fmt.Errorf("group %q: %w", g.ExternalID, ErrTaken)
		case err != nil:
			return err
		}
		if _, err := changeMembers(ctx, tx, g.GID, []MemberChange{{IDs: e.Members}}, revision); err != nil {
			return err
		}
		made, err = scanScimGroup(tx.QueryRowContext(ctx, scimGroupByID, g.ID))
		return err
	})
	return made, unavailable(fmt.Sprintf("make group %q", e.Group.DisplayName), err)
}

// enrolProviderGroup makes the group of Linux, or takes it over with the name that is wanted now and without members: who is in
// it is SCIM's to say from now on.
func (s *Store) enrolProviderGroup(ctx context.Context, tx *sql.Tx, e *GroupEnrolment, revision int64) error {
	g := &e.Group
	if !e.Adopt {
		if err := errors.Join(give(ctx, tx, "id", g.GID), giveName(ctx, tx, g.Name, g.GID)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT INTO provider_group (gid, name, issuer, object, revision) VALUES (?, ?, ?,
			(SELECT nullif(?, '') WHERE NOT EXISTS (SELECT 1 FROM provider_group WHERE issuer = ? AND object = ?)), ?)`,
			g.GID, string(g.Name), e.Issuer, g.ExternalID, e.Issuer, g.ExternalID, revision)
		return err
	}
	if err := tx.QueryRowContext(ctx, "SELECT gid FROM provider_group WHERE issuer = ? AND object = ?", e.Issuer, g.ExternalID).Scan(&g.GID); errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("group %q: %w", g.ExternalID, ErrTaken)
	} else if err != nil {
		return err
	}
	if err := giveName(ctx, tx, g.Name, g.GID); err != nil {
		return err
	}
	if _, err := changeMembers(ctx, tx, g.GID, []MemberChange{{Op: OnlyMembers}}, revision); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE provider_group SET name = ?, deleted = NULL, revision = ? WHERE gid = ?", string(g.Name), revision, g.GID)
	return err
}

// ErrNoMember is in the error about a member that is no user of SCIM.
var ErrNoMember = errors.New("no such user")

// Strangers names the first of the ids that are no user's. It is an ErrNoMember.
type Strangers struct{ IDs []string }

func (s Strangers) Error() string {
	short := make([]string, len(s.IDs))
	for i, id := range s.IDs {
		short[i] = fmt.Sprintf("%.64q", id)
	}
	return "no user has the id " + strings.Join(short, ", ")
}

// Is makes it an ErrNoMember.
func (s Strangers) Is(target error) bool { return target == ErrNoMember }

// changeMembers adds and removes members, one row each. It returns how many rows changed.
func changeMembers(ctx context.Context, tx *sql.Tx, gid account.GID, steps []MemberChange, revision int64) (changed int, err error) {
	const (
		touch  = "UPDATE account SET revision = ? WHERE name IN (SELECT value FROM json_each(?))"
		add    = "INSERT INTO membership (account, gid) SELECT u.account, ? FROM json_each(?) j JOIN scim_user u ON u.id = j.value WHERE true ON CONFLICT DO NOTHING RETURNING account"
		remove = "DELETE FROM membership WHERE gid = ? AND account IN (SELECT u.account FROM json_each(?) j JOIN scim_user u ON u.id = j.value) RETURNING account"
		others = "DELETE FROM membership WHERE gid = ? AND account NOT IN (SELECT u.account FROM json_each(?) j JOIN scim_user u ON u.id = j.value) RETURNING account"
	)
	for _, step := range steps {
		ids := list(step.IDs)
		var who []string
		if step.Op != AddMembers {
			who, err = column[string](ctx, tx, map[MemberOp]string{RemoveMembers: remove, OnlyMembers: others}[step.Op], gid, ids)
		}
		if err == nil && step.Op != RemoveMembers && len(step.IDs) > 0 {
			if err := strangers(ctx, tx, ids); err != nil {
				return 0, err
			}
			var joined []string
			joined, err = column[string](ctx, tx, add, gid, ids)
			who = append(who, joined...)
		}
		if err != nil {
			return 0, err
		}
		if len(who) > 0 {
			if _, err := tx.ExecContext(ctx, touch, revision, list(who)); err != nil {
				return 0, err
			}
		}
		changed += len(who)
	}
	return changed, nil
}

// strangers is the error about ids that are no user's.
func strangers(ctx context.Context, tx *sql.Tx, ids string) error {
	const query = "SELECT j.value FROM json_each(?) j LEFT JOIN scim_user u ON u.id = j.value WHERE u.id IS NULL LIMIT 3"
	unknown, err := column[string](ctx, tx, query, ids)
	if err != nil || len(unknown) == 0 {
		return err
	}
	return Strangers{unknown}
}

// GroupAmendment changes a group of SCIM.
type GroupAmendment struct {
	// Edit changes the group and says what becomes of its members. It runs inside the transaction; its error is returned as
	// it is, and nothing is changed then. members loads the members, for the few changes that need to know them.
	Edit func(g *ScimGroup, members func() ([]Member, error)) ([]MemberChange, error)
	Name func(displayName string) account.Name // the name for Linux that was chosen for a new displayName; "" keeps it
}

// AmendGroup changes a group, or nothing when nothing is to change, and returns it before and after, and how many memberships
// changed. ErrNotFound, ErrNoMember; a Conflict of displayName; ErrTaken of the name for Linux.
func (s *Store) AmendGroup(ctx context.Context, id string, a GroupAmendment) (before, after ScimGroup, changed int, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if before, err = scanScimGroup(s.queryRow(ctx, tx, scimGroupByID, id)); err != nil {
			return absent(err)
		}
		after = before
		steps, err := a.Edit(&after, func() ([]Member, error) { return membersOf(ctx, tx, before.GID) })
		if err != nil {
			after = before
			return callers{err}
		}
		changed, err = s.amendGroup(ctx, tx, before, &after, steps, a)
		return err
	})
	return before, after, changed, unavailable("change group "+id, err)
}

func (s *Store) amendGroup(ctx context.Context, tx *sql.Tx, before ScimGroup, g *ScimGroup, steps []MemberChange, a GroupAmendment) (changed int, err error) {
	var revision int64
	renamed := g.DisplayName != before.DisplayName
	if len(steps) > 0 || renamed {
		if revision, err = raise(ctx, tx); err != nil {
			return 0, err
		}
	}
	if changed, err = changeMembers(ctx, tx, g.GID, steps, revision); err != nil {
		return 0, err
	}
	if renamed && a.Name != nil {
		if name := a.Name(g.DisplayName); name != "" && name != g.Name {
			if err := giveName(ctx, tx, name, g.GID); err != nil {
				return 0, err
			}
			g.Name = name
		}
	}
	if changed > 0 || g.Name != before.Name {
		if _, err := tx.ExecContext(ctx, "UPDATE provider_group SET name = ?, revision = ? WHERE gid = ?", string(g.Name), revision, g.GID); err != nil {
			return 0, err
		}
	}
	if g.ExternalID != before.ExternalID { // which object it is; one that another group stands for already is not taken from it
		const object = `UPDATE provider_group SET object = ?1 WHERE gid = ?2 AND NOT EXISTS
			(SELECT 1 FROM provider_group o WHERE o.issuer = provider_group.issuer AND o.object = ?1)`
		if _, err := tx.ExecContext(ctx, object, null(g.ExternalID), g.GID); err != nil {
			return 0, err
		}
	}
	if changed == 0 && !renamed && g.ExternalID == before.ExternalID && string(g.Doc) == string(before.Doc) {
		return 0, nil
	}
	g.Version++
	g.Modified = instantMilli(s.now().UnixMilli())
	_, err = tx.ExecContext(ctx, "UPDATE scim_group SET external_id = ?, display_name = ?, display_fold = ?, doc = ?, modified = ?, version = ? WHERE id = ?",
		null(g.ExternalID), g.DisplayName, account.Fold(g.DisplayName), string(g.Doc), g.Modified.UnixMilli(), g.Version, g.ID)
	if violates(err, "scim_group.display_fold") {
		return 0, Conflict{Attribute: "displayName", Value: g.DisplayName}
	}
	return changed, err
}

// DismissGroup takes a group away. Its gid and name are never another's; a group that comes back with the same external id gets
// them again. may is asked in the transaction. ErrNotFound.
func (s *Store) DismissGroup(ctx context.Context, id string, may func(ScimGroup) error) (gone ScimGroup, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if gone, err = scanScimGroup(s.queryRow(ctx, tx, scimGroupByID, id)); err != nil {
			return absent(err)
		}
		if err := may(gone); err != nil {
			return callers{err}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM scim_group WHERE id = ?", id); err != nil {
			return err
		}
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		if _, err := changeMembers(ctx, tx, gone.GID, []MemberChange{{Op: OnlyMembers}}, revision); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE provider_group SET deleted = ?, revision = ? WHERE gid = ?", s.now().Unix(), revision, gone.GID)
		return err
	})
	return gone, unavailable("delete group "+id, err)
}

const (
	selectScimGroup = `SELECT g.id, coalesce(g.external_id, ''), g.display_name, g.doc, g.created, g.modified, g.version, g.gid, p.name
		FROM scim_group g JOIN provider_group p ON p.gid = g.gid `
	scimGroupByID = selectScimGroup + "WHERE g.id = ?"
)

func scanScimGroup(row interface{ Scan(...any) error }) (g ScimGroup, err error) {
	var created, modified int64
	err = row.Scan(&g.ID, &g.ExternalID, &g.DisplayName, &g.Doc, &created, &modified, &g.Version, &g.GID, &g.Name)
	g.Created, g.Modified = instantMilli(created), instantMilli(modified)
	return g, err
}

func membersOf(ctx context.Context, q rowsQueryer, gid account.GID) (all []Member, err error) {
	rows, err := q.QueryContext(ctx, "SELECT u.id, coalesce(u.display_name, u.user_name) FROM membership m JOIN scim_user u ON u.account = m.account WHERE m.gid = ? ORDER BY u.seq", gid)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m Member
		if err := rows.Scan(&m.ID, &m.Display); err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, rows.Err()
}

// ScimGroup returns a group, with its members when they are wanted, or ErrNotFound.
func (s *Store) ScimGroup(ctx context.Context, id string, members bool) (ScimGroup, error) {
	g, err := scanScimGroup(s.queryRow(ctx, nil, scimGroupByID, id))
	if err == nil && members {
		g.Members, err = membersOf(ctx, s.db, g.GID)
	}
	return g, unavailable(fmt.Sprintf("find group %q", id), absent(err))
}

// GroupOf returns the group that an issuer's object stands for, a deleted one too, or ErrNotFound.
func (s *Store) GroupOf(ctx context.Context, issuer, object string) (Group, error) {
	all, err := scanGroups(ctx, s.db, selectGroup+"WHERE issuer = ? AND object = ?", issuer, object)
	if err == nil && len(all) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Group{}, unavailable(fmt.Sprintf("find group %q", object), err)
	}
	return all[0], nil
}

// NameOfGroup says whether a name is, or was, this group's own.
func (s *Store) NameOfGroup(ctx context.Context, name account.Name, gid account.GID) (own bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM given_name WHERE name = ? AND gid = ?)", string(name), gid).Scan(&own)
	return own, unavailable(fmt.Sprintf("look for the name %q", name), err)
}
