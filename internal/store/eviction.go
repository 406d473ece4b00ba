package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// Eviction is the end of an account's sessions, as far as it has come.
type Eviction struct {
	Account  account.Name
	UID      account.UID
	Policy   string        // kill-now, or suspend-new
	Grace    time.Duration // before the first step
	Asked    time.Time
	Due      time.Time // of the next step
	Step     int       // 0: nothing yet; 1: asked to end; 2: being killed
	Attempts int
	Problem  string // of the last attempt
}

// evict is a part of the transaction that locks: either both are there or none. Somebody who is back keeps the session of a
// machine, which may hold a day's work; a browser's ends at once, whatever the policy is.
func (s *Store) evict(ctx context.Context, tx *sql.Tx, name account.Name, active bool, e *Eviction) error {
	if err := endClosedSessions(ctx, tx, name); err != nil {
		return err
	}
	if active || e == nil {
		_, err := tx.ExecContext(ctx, "DELETE FROM eviction WHERE account = ?", string(name))
		return err
	}
	now := s.now()
	_, err := tx.ExecContext(ctx, `INSERT INTO eviction (account, uid, policy, asked, due, step, attempts, problem)
		SELECT name, id, ?, ?, ?, 0, 0, '' FROM account WHERE name = ? AND id IS NOT NULL
		ON CONFLICT (account) DO UPDATE SET policy = excluded.policy, due = min(due, excluded.due)`,
		e.Policy, now.Unix(), now.Add(e.Grace).Unix(), string(name))
	return err
}

const selectEviction = "SELECT account, uid, policy, asked, due, step, attempts, problem FROM eviction "

// Evictions returns the sessions that are to end, the next first.
func (s *Store) Evictions(ctx context.Context) (all []Eviction, err error) {
	rows, err := s.ask(ctx, selectEviction+"ORDER BY due, account")
	if err != nil {
		return nil, unavailable("list the evictions", err)
	}
	defer rows.Close()
	for rows.Next() {
		var e Eviction
		var asked, due int64
		if err := rows.Scan(&e.Account, &e.UID, &e.Policy, &asked, &due, &e.Step, &e.Attempts, &e.Problem); err != nil {
			return nil, unavailable("list the evictions", err)
		}
		e.Asked, e.Due = instant(asked), instant(due)
		all = append(all, e)
	}
	return all, unavailable("list the evictions", rows.Err())
}

// PutEviction notes how far an eviction has come. One that was called off meanwhile stays so.
func (s *Store) PutEviction(ctx context.Context, e Eviction) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE eviction SET due = ?, step = ?, attempts = ?, problem = ? WHERE account = ?",
			e.Due.Unix(), e.Step, e.Attempts, e.Problem, string(e.Account))
		return err
	})
	return unavailable(fmt.Sprintf("note the eviction of %q", e.Account), err)
}

// EndEviction takes an eviction off the list.
func (s *Store) EndEviction(ctx context.Context, name account.Name) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM eviction WHERE account = ?", string(name))
		return err
	})
	return unavailable(fmt.Sprintf("end the eviction of %q", name), err)
}

// Purge ends what is known of the person behind an account that is locked or deleted: user, identity, groups and labels. Name and
// uid stay given, so that what files say stays true. ErrActive: the account is in use.
func (s *Store) Purge(ctx context.Context, name account.Name) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		a, err := scanAccount(tx.QueryRowContext(ctx, byName, string(name)))
		switch {
		case err != nil:
			return absent(err)
		case a.Active && a.Deleted.IsZero():
			return fmt.Errorf("account %q: %w", name, ErrActive)
		}
		revision, err := raise(ctx, tx)
		if err != nil {
			return err
		}
		if err := leaveGroups(ctx, tx, name, revision, s.now()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM scim_user WHERE account = ?", string(name)); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `UPDATE account SET issuer = NULL, subject = NULL, username = '', gecos = '', provided = 0, groups_known = 0,
			deleted = coalesce(deleted, ?), revision = ? WHERE name = ?`, s.now().Unix(), revision, string(name))
		return err
	})
	return unavailable(fmt.Sprintf("purge account %q", name), err)
}
