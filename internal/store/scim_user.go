package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// ScimUser is a person as the provider's directory has them, and the account that stands behind.
type ScimUser struct {
	ID          string
	ExternalID  string // the client's name for it, or ""
	UserName    string
	DisplayName string // copied from Doc
	FullName    string // what the account is labelled with; read from Doc by the caller, never returned
	Doc         []byte // JSON
	Active      bool   // the provider's word; Account.Active is what counts
	Created     time.Time
	Modified    time.Time
	Version     int64

	Account  Account
	Revision int64    // of the account's last change that NSS shows: its groups belong to it
	Groups   []InTeam // filled in when asked for
}

// InTeam is a group of SCIM that somebody is in.
type InTeam struct{ ID, DisplayName string }

// Conflict says which attribute of a resource is another's already. It is an ErrConflict.
type Conflict struct{ Attribute, Value, Reason string }

func (c Conflict) Error() string {
	reason := c.Reason
	if reason == "" {
		reason = "another resource has it already"
	}
	return fmt.Sprintf("%s %q: %s", c.Attribute, c.Value, reason)
}

// Is makes it an ErrConflict.
func (c Conflict) Is(target error) bool { return target == ErrConflict }

// Enrolment is a user of SCIM on the way in.
type Enrolment struct {
	User     ScimUser         // ID, ExternalID, UserName, DisplayName, FullName, Doc, Active
	Name     account.Name     // of the account
	New      *New             // what it begins with; nil adopts the account of that name, which is Identity's
	Identity account.Identity // Subject is "" when nobody is linked yet
	Evict    *Eviction        // when an account that is adopted is not active
}

// Enrol makes a user of SCIM and its account, or gives it the account that its identity has, back from the dead too. A Conflict
// is of userName or externalId. ErrTaken: an id, a name or the identity was given in the same moment, so decide again.
func (s *Store) Enrol(ctx context.Context, e Enrolment) (made ScimUser, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		now := s.now()
		u := e.User
		_, err := tx.ExecContext(ctx, `INSERT INTO scim_user (id, account, external_id, user_name, user_name_fold, display_name, display_fold, doc,
			created, modified, version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1)`, u.ID, string(e.Name), null(u.ExternalID), u.UserName, account.Fold(u.UserName),
			null(u.DisplayName), null(account.Fold(u.DisplayName)), string(u.Doc), now.UnixMilli(), now.UnixMilli())
		switch {
		case violates(err, "scim_user.user_name_fold"):
			return Conflict{Attribute: "userName", Value: u.UserName}
		case violates(err, "scim_user.account") && e.New == nil:
			return Conflict{Attribute: "externalId", Value: u.ExternalID, Reason: "another user is this person"}
		case violates(err, "scim_user.account"):
			return fmt.Errorf("name %q: %w", e.Name, ErrTaken)
		case err != nil:
			return err
		}
		if err := s.enrolAccount(ctx, tx, e); err != nil {
			return err
		}
		made, err = scanScimUser(tx.QueryRowContext(ctx, scimUserByID, u.ID))
		return err
	})
	return made, unavailable(fmt.Sprintf("make user %q", e.User.UserName), err)
}

func (s *Store) enrolAccount(ctx context.Context, tx *sql.Tx, e Enrolment) error {
	revision, err := raise(ctx, tx)
	if err != nil {
		return err
	}
	gecos := e.User.FullName
	if e.New == nil {
		return s.adopt(ctx, tx, e, gecos, revision)
	}
	if err := errors.Join(give(ctx, tx, "name", string(e.Name)), give(ctx, tx, "id", e.New.ID)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO account (name, issuer, subject, username, provided, first_login, last_login, id, gecos, home, shell,
		groups_known, revision) VALUES (?, ?, ?, ?, ?, 0, 0, ?, ?, ?, ?, ?, ?)`, string(e.Name), issuerOf(e.Identity), null(e.Identity.Subject),
		e.User.UserName, e.User.Active, e.New.ID, gecos, e.New.Home, e.New.Shell, Told, revision)
	if violates(err, "account.issuer") {
		return fmt.Errorf("%s: %w", e.Identity.Key(), ErrTaken)
	}
	return err
}

// adopt hands an account over to the provider: it is there again if it was deleted. Which groups it is in is SCIM's to say from
// now on; what tickets said before would otherwise never be taken back.
func (s *Store) adopt(ctx context.Context, tx *sql.Tx, e Enrolment, gecos string, revision int64) error {
	done, err := tx.ExecContext(ctx, `UPDATE account SET deleted = NULL, provided = ?, groups_known = ?, revision = ?,
		gecos = CASE WHEN id IS NULL OR ? = '' THEN gecos ELSE ? END WHERE name = ? AND issuer = ? AND subject = ?`,
		e.User.Active, Told, revision, gecos, gecos, string(e.Name), e.Identity.Issuer, e.Identity.Subject)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("account %q is not %s any more: %w", e.Name, e.Identity.Key(), ErrTaken), err)
	}
	if err := leaveGroups(ctx, tx, e.Name, revision, s.now()); err != nil {
		return err
	}
	return s.evict(ctx, tx, e.Name, e.User.Active, e.Evict)
}

// leaveGroups takes an account out of all groups.
func leaveGroups(ctx context.Context, tx *sql.Tx, name account.Name, revision int64, now time.Time) error {
	const touch = "UPDATE provider_group SET revision = ? WHERE gid IN (SELECT gid FROM membership WHERE account = ?)"
	if _, err := tx.ExecContext(ctx, touch, revision, string(name)); err != nil {
		return err
	}
	const changed = "UPDATE scim_group SET version = version + 1, modified = ? WHERE gid IN (SELECT gid FROM membership WHERE account = ?)"
	if _, err := tx.ExecContext(ctx, changed, now.UnixMilli(), string(name)); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM membership WHERE account = ?", string(name))
	return err
}

// Amendment changes a user of SCIM.
type Amendment struct {
	// Edit changes what the client may change; its error is returned as it is, and nothing is changed then. It runs inside
	// the transaction, so it must not wait for anything.
	Edit func(*ScimUser) error
	// Link says whom an external id means, once for the whole of a person's life here: "" says nobody.
	Link  func(externalID string) account.Identity
	Evict *Eviction // when the user becomes inactive
}

// Amend changes a user, or nothing when Edit has changed nothing, and returns it before and after. ErrNotFound; a Conflict of
// userName, or of an externalId that is somebody else's.
func (s *Store) Amend(ctx context.Context, id string, a Amendment) (before, after ScimUser, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if before, err = scanScimUser(s.queryRow(ctx, tx, scimUserByID, id)); err != nil {
			return absent(err)
		}
		after = before
		if err := a.Edit(&after); err != nil {
			after = before
			return callers{err}
		}
		if after.UserName == before.UserName && after.ExternalID == before.ExternalID && after.Active == before.Active && string(after.Doc) == string(before.Doc) {
			return nil
		}
		return s.amend(ctx, tx, before, &after, a)
	})
	return before, after, unavailable("change user "+id, err)
}

func (s *Store) amend(ctx context.Context, tx *sql.Tx, before ScimUser, u *ScimUser, a Amendment) error {
	u.Version++
	u.Modified = instantMilli(s.now().UnixMilli())
	_, err := s.exec(ctx, tx, updateScimUser, null(u.ExternalID), u.UserName, account.Fold(u.UserName), null(u.DisplayName),
		null(account.Fold(u.DisplayName)), string(u.Doc), u.Modified.UnixMilli(), u.Version, u.ID)
	if violates(err, "scim_user.user_name_fold") {
		return Conflict{Attribute: "userName", Value: u.UserName}
	} else if err != nil {
		return err
	}
	if u.ExternalID != before.ExternalID && u.ExternalID != "" && a.Link != nil {
		if err := relink(ctx, tx, u, a.Link(u.ExternalID)); err != nil {
			return err
		}
	}
	labelled := before.Account.UID != 0 && u.FullName != "" && u.FullName != before.Account.Gecos
	if !labelled && u.Active == before.Active {
		return nil
	}
	if u.Revision, err = raise(ctx, tx); err != nil {
		return err
	}
	if labelled {
		u.Account.Gecos = u.FullName
	}
	u.Account.Withdrawn = !u.Active
	u.Account.Active = u.Active && !u.Account.Locked
	_, err = tx.ExecContext(ctx, "UPDATE account SET provided = ?, gecos = ?, revision = ? WHERE name = ?", u.Active, u.Account.Gecos, u.Revision, string(u.Account.Name))
	if err != nil || u.Active == before.Active {
		return err
	}
	return s.evict(ctx, tx, u.Account.Name, u.Active, a.Evict)
}

// relink lets the external id say whose an account is, until the first login has settled it.
func relink(ctx context.Context, tx *sql.Tx, u *ScimUser, id account.Identity) error {
	if id.Subject == "" || u.Account.Identity.Subject != "" && !u.Account.FirstLogin.IsZero() {
		return nil
	}
	_, err := tx.ExecContext(ctx, "UPDATE account SET issuer = ?, subject = ? WHERE name = ?", id.Issuer, id.Subject, string(u.Account.Name))
	if violates(err, "account.issuer") {
		return Conflict{Attribute: "externalId", Value: u.ExternalID, Reason: "this person has another account here already"}
	}
	u.Account.Identity.Issuer, u.Account.Identity.Subject = id.Issuer, id.Subject
	return err
}

// Dismiss takes a user away, and its account with it: neither name, uid nor home is ever anybody else's. may is asked in the
// transaction; its error is returned as it is. ErrNotFound.
func (s *Store) Dismiss(ctx context.Context, id string, may func(ScimUser) error, evict *Eviction) (gone ScimUser, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		if gone, err = scanScimUser(s.queryRow(ctx, tx, scimUserByID, id)); err != nil {
			return absent(err)
		}
		if err := may(gone); err != nil {
			return callers{err}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM scim_user WHERE id = ?", id); err != nil {
			return err
		}
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		if err := leaveGroups(ctx, tx, gone.Account.Name, revision, s.now()); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET deleted = ?, provided = 0, revision = ? WHERE name = ?", s.now().Unix(), revision, string(gone.Account.Name))
		if err != nil {
			return err
		}
		return s.evict(ctx, tx, gone.Account.Name, false, evict)
	})
	return gone, unavailable("delete user "+id, err)
}

// What is asked often.
const (
	selectScimUser = `SELECT u.id, coalesce(u.external_id, ''), u.user_name, coalesce(u.display_name, ''), u.doc, u.created, u.modified, u.version, revision, ` +
		accountColumns + ` FROM scim_user u JOIN account ON account.name = u.account `
	scimUserByID      = selectScimUser + "WHERE u.id = ?"
	scimUserByAccount = selectScimUser + "WHERE u.account = ?"
	scimUserByName    = selectScimUser + "WHERE u.user_name_fold = ?"
	updateScimUser    = `UPDATE scim_user SET external_id = ?, user_name = ?, user_name_fold = ?, display_name = ?, display_fold = ?, doc = ?,
		modified = ?, version = ? WHERE id = ?`
	teamsOf = "SELECT m.account, g.id, g.display_name FROM membership m JOIN scim_group g ON g.gid = m.gid WHERE m.account IN (SELECT value FROM json_each(?)) ORDER BY g.seq"
)

func scanScimUser(row interface{ Scan(...any) error }) (u ScimUser, err error) {
	var created, modified int64
	u.Account, err = scanAccount(scanner(func(rest ...any) error {
		return row.Scan(append([]any{&u.ID, &u.ExternalID, &u.UserName, &u.DisplayName, &u.Doc, &created, &modified, &u.Version, &u.Revision}, rest...)...)
	}))
	u.Active = !u.Account.Withdrawn
	u.Created, u.Modified = instantMilli(created), instantMilli(modified)
	return u, err
}

type scanner func(...any) error

func (f scanner) Scan(to ...any) error { return f(to...) }

func instantMilli(n int64) time.Time { return time.UnixMilli(n).UTC() }

// ScimUser returns a user, with its groups when they are wanted, or ErrNotFound.
func (s *Store) ScimUser(ctx context.Context, id string, groups bool) (ScimUser, error) {
	return s.oneScimUser(ctx, scimUserByID, id, groups)
}

// ScimUserNamed returns the user of a userName, whatever its case, or ErrNotFound.
func (s *Store) ScimUserNamed(ctx context.Context, userName string) (ScimUser, error) {
	return s.oneScimUser(ctx, scimUserByName, account.Fold(userName), false)
}

// ScimUserOf returns the user whose account has a name, or ErrNotFound.
func (s *Store) ScimUserOf(ctx context.Context, name account.Name) (ScimUser, error) {
	return s.oneScimUser(ctx, scimUserByAccount, string(name), true)
}

func (s *Store) oneScimUser(ctx context.Context, query, arg string, groups bool) (ScimUser, error) {
	u, err := scanScimUser(s.queryRow(ctx, nil, query, arg))
	if err == nil && groups {
		one := []ScimUser{u}
		err = s.fillTeams(ctx, one)
		u = one[0]
	}
	return u, unavailable(fmt.Sprintf("find user %q", arg), absent(err))
}

// fillTeams adds the groups that users are in.
func (s *Store) fillTeams(ctx context.Context, users []ScimUser) error {
	if len(users) == 0 {
		return nil
	}
	at := map[account.Name]int{}
	names := make([]string, len(users))
	for i, u := range users {
		at[u.Account.Name], names[i] = i, string(u.Account.Name)
	}
	rows, err := s.ask(ctx, teamsOf, list(names))
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name account.Name
		var t InTeam
		if err := rows.Scan(&name, &t.ID, &t.DisplayName); err != nil {
			return err
		}
		u := &users[at[name]]
		u.Groups = append(u.Groups, t)
	}
	return rows.Err()
}

func issuerOf(id account.Identity) any {
	if id.Subject == "" {
		return nil
	}
	return id.Issuer
}
