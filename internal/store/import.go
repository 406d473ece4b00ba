package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/pwb-project/pwb/internal/account"
)

// Imported is an account that had its id before pwb came.
type Imported struct {
	Name     account.Name
	Identity account.Identity
	Locked   bool
	New
}

// Import makes accounts with ids of the caller's choice, all of them or none. ErrTaken: an id or a name was given before.
// ErrBound: an identity has another account.
func (s *Store) Import(ctx context.Context, all []Imported) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		for _, one := range all {
			other, err := scanAccount(tx.QueryRowContext(ctx, bySubject, one.Identity.Issuer, one.Identity.Subject))
			if err == nil {
				return fmt.Errorf("%q: %s is bound to %q: %w", one.Name, one.Identity.Key(), other.Name, ErrBound)
			} else if !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			if err := s.insert(ctx, tx, Redemption{Name: one.Name, Identity: one.Identity, New: &one.New}, 0); err != nil {
				return fmt.Errorf("%q: %w", one.Name, err)
			}
			if _, err := tx.ExecContext(ctx, "UPDATE account SET active = ? WHERE name = ?", !one.Locked, string(one.Name)); err != nil {
				return err
			}
		}
		return nil
	})
	return unavailable("import accounts", err)
}
