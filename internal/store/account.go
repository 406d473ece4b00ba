package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// Account is one row.
type Account struct {
	Name       account.Name
	Identity   account.Identity // Issuer and Subject are empty until somebody is linked
	Active     bool             // what counts: neither locked nor withdrawn
	Locked     bool             // by an operator
	Withdrawn  bool             // by the provider, who manages the account
	Managed    bool             // by the provider: it is a user of SCIM
	FirstLogin time.Time
	LastLogin  time.Time // zero before the first

	UID     account.UID // 0: an account of the machine's, which was linked; what follows is then empty
	Gecos   string
	Home    string
	Shell   string
	Groups  Known
	Deleted time.Time // zero while it is there
}

// GID is the account's private group: its number is the uid's, and nothing else has it.
func (a Account) GID() account.GID { return account.GID(a.UID) }

// State is what the account is, in one word.
func (a Account) State() string {
	switch {
	case !a.Deleted.IsZero():
		return "deleted"
	case !a.Active:
		return "locked"
	}
	return "active"
}

// Known says what the memberships of an account are worth.
type Known int

const (
	Untold Known = iota // the provider never said
	Told                // as of the last login
	Stale               // as of an earlier login: since then the provider has left them out
)

// Redemption is a ticket on its way to being spent.
type Redemption struct {
	Key      [32]byte
	Expires  time.Time
	Identity account.Identity
	Name     account.Name
	Reuse    bool // a test setting: the key is neither looked for nor kept

	New    *New    // of the account, when the identity has none: its id is given; nil links an account of the machine's
	Claim  bool    // the name is an account that the provider has made and nobody has been linked to: this identity is
	Groups *Groups // nil leaves the memberships
}

// New is what an account begins with. ID was reserved for it.
type New struct {
	ID                 uint32
	Gecos, Home, Shell string
}

// Redeem spends a ticket and binds name and subject to each other when neither is bound, in one transaction. ErrSpent: it was
// used before. ErrBound: name or subject belongs with another. ErrInactive: the account is locked. ErrTaken: a new id or name was
// given in the same moment, so try others. On any error nothing is changed, and the ticket is not spent.
func (s *Store) Redeem(ctx context.Context, r Redemption) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if !r.Reuse {
			if err := s.spend(ctx, tx, r); err != nil {
				return err
			}
		}
		if err := s.bind(ctx, tx, r); err != nil {
			return err
		}
		return s.join(ctx, tx, r)
	})
	return unavailable("redeem the ticket", err)
}

func (s *Store) spend(ctx context.Context, tx *sql.Tx, r Redemption) error {
	if _, err := s.exec(ctx, tx, purgeSpent, s.now().Add(-spentMargin).Unix(), purgeAtOnce); err != nil {
		return err
	}
	done, err := s.exec(ctx, tx, insertSpent, r.Key[:], r.Expires.Unix())
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(ErrSpent, err)
	}
	return nil
}

func (s *Store) bind(ctx context.Context, tx *sql.Tx, r Redemption) error {
	now := s.now().Unix()
	here, err := scanAccount(s.queryRow(ctx, tx, bySubject, r.Identity.Issuer, r.Identity.Subject))
	switch {
	case err == nil && here.Name != r.Name && (r.New != nil || r.Claim): // the provider has made it meanwhile
		return fmt.Errorf("%s is bound to %q: %w", r.Identity.Key(), here.Name, ErrTaken)
	case err == nil && here.Name != r.Name:
		return fmt.Errorf("%s is bound to %q, not to %q: %w", r.Identity.Key(), here.Name, r.Name, ErrBound)
	case err == nil && (!here.Active || !here.Deleted.IsZero()):
		return fmt.Errorf("account %q: %w", r.Name, ErrInactive)
	case err == nil:
		_, err = s.exec(ctx, tx, updateLogin, now, now, r.Identity.Username, string(r.Name))
		return err
	case !errors.Is(err, sql.ErrNoRows):
		return err
	}
	if r.Claim {
		return s.claim(ctx, tx, r, now)
	}
	other, err := scanAccount(s.queryRow(ctx, tx, byName, string(r.Name)))
	if err == nil && r.New != nil { // the name was given in the same moment
		return fmt.Errorf("name %q: %w", r.Name, ErrTaken)
	} else if err == nil {
		return fmt.Errorf("%q is bound to %s, not to %s: %w", r.Name, other.Identity.Key(), r.Identity.Key(), ErrBound)
	} else if !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	return s.insert(ctx, tx, r, now)
}

// claim links an identity to the account that the provider has made for a username, if nobody was faster. The provider may
// have changed its mind meanwhile, so who is meant is decided here.
func (s *Store) claim(ctx context.Context, tx *sql.Tx, r Redemption, now int64) error {
	var active, there bool
	err := tx.QueryRowContext(ctx, `SELECT a.active AND a.provided, a.issuer IS NULL AND a.deleted IS NULL AND u.user_name_fold = ?
		FROM account a JOIN scim_user u ON u.account = a.name WHERE a.name = ?`, account.Fold(r.Identity.Username), string(r.Name)).Scan(&active, &there)
	switch {
	case errors.Is(err, sql.ErrNoRows), err == nil && !there:
		return fmt.Errorf("account %q is no more to be claimed by %s: %w", r.Name, r.Identity.Key(), ErrTaken)
	case err != nil:
		return err
	case !active:
		return fmt.Errorf("account %q: %w", r.Name, ErrInactive)
	}
	_, err = tx.ExecContext(ctx, "UPDATE account SET issuer = ?, subject = ?, username = ?, first_login = ?, last_login = ? WHERE name = ?",
		r.Identity.Issuer, r.Identity.Subject, r.Identity.Username, now, now, string(r.Name))
	return err
}

// insert makes the row of an account. Its name and id are given with it, once and for ever.
func (s *Store) insert(ctx context.Context, tx *sql.Tx, r Redemption, now int64) error {
	if err := give(ctx, tx, "name", string(r.Name)); err != nil {
		return err
	}
	made, id := New{}, any(nil)
	if r.New != nil {
		made, id = *r.New, r.New.ID
		if err := give(ctx, tx, "id", made.ID); err != nil {
			return err
		}
	}
	revision, err := raise(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO account (name, issuer, subject, username, first_login, last_login, id, gecos, home, shell, revision)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, string(r.Name), r.Identity.Issuer, r.Identity.Subject, r.Identity.Username, now, now,
		id, made.Gecos, made.Home, made.Shell, revision)
	return err
}

// give notes that an id or a name belongs to somebody from now on.
func give(ctx context.Context, tx *sql.Tx, what string, value any) error {
	done, err := tx.ExecContext(ctx, "INSERT INTO given_"+what+" ("+what+") VALUES (?) ON CONFLICT DO NOTHING", value)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n != 1 {
		return errors.Join(fmt.Errorf("%s %v: %w", what, value, ErrTaken), err)
	}
	return nil
}

func raise(ctx context.Context, tx *sql.Tx) (revision int64, err error) {
	err = tx.QueryRowContext(ctx, "UPDATE revision SET number = number + 1 RETURNING number").Scan(&revision)
	return revision, err
}

// What every login asks.
const (
	selectAccount = "SELECT " + accountColumns + " FROM account "

	// Without the table's name before each: whoever joins takes care that no other table has such a column.
	accountColumns = `account.name, coalesce(issuer, ''), coalesce(subject, ''), username, account.active AND provided, NOT account.active,
		NOT provided, EXISTS (SELECT 1 FROM scim_user s WHERE s.account = account.name), first_login, last_login,
		coalesce(account.id, 0), gecos, home, shell, groups_known, coalesce(account.deleted, 0)`

	byName      = selectAccount + "WHERE name = ?"
	bySubject   = selectAccount + "WHERE issuer = ? AND subject = ?"
	purgeSpent  = "DELETE FROM spent WHERE key IN (SELECT key FROM spent WHERE expires < ? ORDER BY expires LIMIT ?)"
	insertSpent = "INSERT INTO spent (key, expires) VALUES (?, ?) ON CONFLICT DO NOTHING"
	head        = "SELECT number, id FROM revision, origin"
	updateLogin = "UPDATE account SET last_login = ?, first_login = iif(first_login = 0, ?, first_login), username = ? WHERE name = ?"
)

func scanAccount(row interface{ Scan(...any) error }) (a Account, err error) {
	var name string
	var first, last, deleted int64
	err = row.Scan(&name, &a.Identity.Issuer, &a.Identity.Subject, &a.Identity.Username, &a.Active, &a.Locked, &a.Withdrawn, &a.Managed,
		&first, &last, &a.UID, &a.Gecos, &a.Home, &a.Shell, &a.Groups, &deleted)
	a.Name, a.FirstLogin, a.LastLogin, a.Deleted = account.Name(name), instant(first), instant(last), instant(deleted)
	return a, err
}

// instant reads a time of the database, where 0 is never.
func instant(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// ByName returns the account of that login name, or ErrNotFound.
func (s *Store) ByName(ctx context.Context, name account.Name) (Account, error) {
	return s.one(ctx, fmt.Sprintf("find account %q", name), byName, string(name))
}

// BySubject returns the account that is bound to an identity's issuer and subject, or ErrNotFound.
func (s *Store) BySubject(ctx context.Context, id account.Identity) (Account, error) {
	return s.one(ctx, "find the account of "+id.Key(), bySubject, id.Issuer, id.Subject)
}

func (s *Store) one(ctx context.Context, doing, query string, args ...any) (Account, error) {
	a, err := scanAccount(s.queryRow(ctx, nil, query, args...))
	return a, unavailable(doing, absent(err))
}

// Accounts returns all accounts, by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	return s.accounts(ctx, "list the accounts", selectAccount+"ORDER BY name")
}

func (s *Store) accounts(ctx context.Context, doing, query string, args ...any) (all []Account, err error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, unavailable(doing, err)
	}
	defer rows.Close()
	for rows.Next() {
		a, err := scanAccount(rows)
		if err != nil {
			return nil, unavailable(doing, err)
		}
		all = append(all, a)
	}
	return all, unavailable(doing, rows.Err())
}

// SetActive locks an account, or unlocks it; ErrNotFound when there is none of the name.
func (s *Store) SetActive(ctx context.Context, name account.Name, active bool) error {
	return s.change(ctx, name, "active = ?", active)
}

// SetDeleted takes an account away, for NSS too, or brings it back. Its row, name and id stay its own.
func (s *Store) SetDeleted(ctx context.Context, name account.Name, deleted bool) error {
	if !deleted {
		// What the provider has deleted it does not manage any more, so its word is over too.
		return s.change(ctx, name, "deleted = NULL, provided = iif(EXISTS (SELECT 1 FROM scim_user s WHERE s.account = name), provided, 1)")
	}
	return s.change(ctx, name, "deleted = ?", s.now().Unix())
}

// SetShell changes an account's shell.
func (s *Store) SetShell(ctx context.Context, name account.Name, shell string) error {
	return s.change(ctx, name, "shell = ?", shell)
}

// change changes one account, and its groups as NSS shows them.
func (s *Store) change(ctx context.Context, name account.Name, set string, args ...any) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		done, err := tx.ExecContext(ctx, "UPDATE account SET revision = ?, "+set+" WHERE name = ?", append(append([]any{revision}, args...), string(name))...)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n == 0 {
			return errors.Join(ErrNotFound, err)
		}
		if _, err := tx.ExecContext(ctx, "UPDATE provider_group SET revision = ? WHERE gid IN (SELECT gid FROM membership WHERE account = ?)", revision, string(name)); err != nil {
			return err
		}
		return endClosedSessions(ctx, tx, name)
	})
	return unavailable(fmt.Sprintf("change account %q", name), err)
}

// Link binds an account of the machine's, or one that the provider made and nobody has used, to an identity, before its first
// login. ErrBound: one of them is bound already.
func (s *Store) Link(ctx context.Context, name account.Name, id account.Identity) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		other, err := scanAccount(tx.QueryRowContext(ctx, bySubject, id.Issuer, id.Subject))
		if err == nil {
			return fmt.Errorf("%q is bound to %s: %w", other.Name, other.Identity.Key(), ErrBound)
		} else if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		here, err := scanAccount(tx.QueryRowContext(ctx, byName, string(name)))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return s.insert(ctx, tx, Redemption{Name: name, Identity: id}, 0)
		case err != nil:
			return err
		case here.Identity.Subject != "":
			return fmt.Errorf("%q is bound to %s: %w", here.Name, here.Identity.Key(), ErrBound)
		case !here.Managed || !here.Deleted.IsZero():
			return fmt.Errorf("%q was another person's: %w", here.Name, ErrBound)
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET issuer = ?, subject = ? WHERE name = ?", id.Issuer, id.Subject, string(name))
		return err
	})
	return unavailable(fmt.Sprintf("link account %q", name), err)
}

// Head returns which store this is, and the number of changes so far to what NSS shows and to who may log in.
func (s *Store) Head(ctx context.Context) (origin [16]byte, revision int64, err error) {
	var id []byte
	err = s.queryRow(ctx, nil, head).Scan(&revision, &id)
	copy(origin[:], id)
	return origin, revision, unavailable("read the revision", err)
}
