package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// What the store says about codes, besides ErrSpent and ErrInactive.
var (
	ErrNoCode       = errors.New("no such code was given out")
	ErrCodeExpired  = errors.New("the code has expired")
	ErrTooManyCodes = errors.New("too many codes of this account can still be used")
)

func aboutCode(err error) bool {
	return errors.Is(err, ErrNoCode) || errors.Is(err, ErrCodeExpired) || errors.Is(err, ErrTooManyCodes)
}

// Code is a code as the store knows it.
type Code struct {
	Hash      [32]byte
	Account   account.Name
	Service   string // the PAM service that it is for; "" is any
	Host      string // the host that it is for; "" is any
	Challenge string // not "": a grant of pwb login, which is no code
	IssuedBy  string
	Issued    time.Time
	Expires   time.Time
	Used      time.Time // zero before
}

const (
	maxLiveCodes = 20 // of one account
	codeKept     = 24 * time.Hour
	oneCode      = "SELECT account, service, host, challenge, issued_by, issued, expires, coalesce(used, 0) FROM code WHERE hash = ?"
)

// PutCode keeps a new code. ErrNotFound: there is no such account. ErrInactive: it is locked. ErrTooManyCodes: others of its
// codes wait to be used.
func (s *Store) PutCode(ctx context.Context, c Code) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := s.mayLogIn(ctx, tx, c.Account); err != nil {
			return err
		}
		now := s.now()
		if _, err := tx.ExecContext(ctx, "DELETE FROM code WHERE expires < ?", now.Add(-codeKept).Unix()); err != nil {
			return err
		}
		var live int
		err := tx.QueryRowContext(ctx, "SELECT count(*) FROM code WHERE account = ? AND used IS NULL AND expires > ?", string(c.Account), now.Unix()).Scan(&live)
		if err != nil {
			return err
		}
		if live >= maxLiveCodes {
			return ErrTooManyCodes
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO code (hash, account, service, host, challenge, issued_by, issued, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
			c.Hash[:], string(c.Account), c.Service, c.Host, c.Challenge, c.IssuedBy, now.Unix(), c.Expires.Unix())
		return err
	})
	return unavailable(fmt.Sprintf("keep a code for %q", c.Account), err)
}

// mayLogIn refuses accounts that are not there and those that are locked.
func (s *Store) mayLogIn(ctx context.Context, tx *sql.Tx, name account.Name) error {
	a, err := scanAccount(s.queryRow(ctx, tx, byName, string(name)))
	if err == nil && (!a.Active || !a.Deleted.IsZero()) {
		return fmt.Errorf("account %q: %w", name, ErrInactive)
	}
	return absent(err)
}

// FindCode returns what is known of a code, also of one that was used or has expired: ErrNoCode is for those that never were,
// or are long over. It changes nothing and waits for no writer, so guesses cost those who guess.
func (s *Store) FindCode(ctx context.Context, hash [32]byte) (Code, error) {
	c, err := scanCode(hash, s.queryRow(ctx, nil, oneCode, hash[:]))
	return c, unavailable("find a code", err)
}

func scanCode(hash [32]byte, row *sql.Row) (c Code, err error) {
	var name string
	var issued, expires, used int64
	err = row.Scan(&name, &c.Service, &c.Host, &c.Challenge, &c.IssuedBy, &issued, &expires, &used)
	if errors.Is(err, sql.ErrNoRows) {
		return Code{}, ErrNoCode
	}
	c.Hash, c.Account, c.Issued, c.Expires, c.Used = hash, account.Name(name), instant(issued), instant(expires), instant(used)
	return c, err
}

// Usable says whether a code can still be used: nil, ErrSpent or ErrCodeExpired.
func (c Code) Usable(now time.Time) error {
	switch {
	case !c.Used.IsZero():
		return fmt.Errorf("a code of %q, used %v ago: %w", c.Account, now.Sub(c.Used).Round(time.Second), ErrSpent)
	case !now.Before(c.Expires):
		return fmt.Errorf("a code of %q, over for %v: %w", c.Account, now.Sub(c.Expires).Round(time.Second), ErrCodeExpired)
	}
	return nil
}

// RedeemCode uses a code up for a login, in one transaction. ErrNoCode, ErrSpent and ErrCodeExpired are about the code;
// ErrInactive: the account is locked by now. On any error nothing is changed, and the code is not used up.
func (s *Store) RedeemCode(ctx context.Context, hash [32]byte) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		c, err := s.useCode(ctx, tx, hash)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE account SET last_login = ? WHERE name = ?", s.now().Unix(), string(c.Account))
		return err
	})
	return unavailable("redeem the code", err)
}

// UseCode uses a code up without a login, with the errors of RedeemCode.
func (s *Store) UseCode(ctx context.Context, hash [32]byte) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := s.useCode(ctx, tx, hash)
		return err
	})
	return unavailable("use the code up", err)
}

func (s *Store) useCode(ctx context.Context, tx *sql.Tx, hash [32]byte) (Code, error) {
	c, err := scanCode(hash, s.queryRow(ctx, tx, oneCode, hash[:]))
	if err != nil {
		return c, err
	}
	now := s.now()
	if err := c.Usable(now); err != nil {
		return c, err
	}
	if err := s.mayLogIn(ctx, tx, c.Account); err != nil {
		return c, err
	}
	_, err = tx.ExecContext(ctx, "UPDATE code SET used = ? WHERE hash = ?", now.Unix(), hash[:])
	return c, err
}

// Spent says whether a ticket of that key was used, and changes nothing.
func (s *Store) Spent(ctx context.Context, key [32]byte) (spent bool, err error) {
	err = s.db.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM spent WHERE key = ?)", key[:]).Scan(&spent)
	return spent, unavailable("look for a spent ticket", err)
}

// TicketKey is a key of session tickets.
type TicketKey struct {
	ID        string
	Public    []byte
	Seed      []byte    // the private half; only where it was asked for
	SignsFrom time.Time // when it begins to sign
	Ends      time.Time // when it verifies no more; zero before a newer one has come
}

// TicketKeys returns the public halves of the keys that are not over, the newest first.
func (s *Store) TicketKeys(ctx context.Context) ([]TicketKey, error) {
	all, err := scanTicketKeys(ctx, s.db, "SELECT id, public, NULL, signs_from, coalesce(ends, 0) FROM ticket_key WHERE ends IS NULL OR ends >= ? ORDER BY signs_from DESC, id", s.now().Unix())
	return all, unavailable("read the session tickets' keys", err)
}

// SigningKey returns the key that signs now. When there is none, first becomes it: of several at once, the same for all.
func (s *Store) SigningKey(ctx context.Context, first TicketKey) (TicketKey, error) {
	const query = "SELECT id, public, seed, signs_from, coalesce(ends, 0) FROM ticket_key WHERE signs_from <= ? AND (ends IS NULL OR ends >= ?) ORDER BY signs_from DESC, id LIMIT 1"
	now := s.now()
	all, err := scanTicketKeys(ctx, s.db, query, now.Unix(), now.Unix())
	if err == nil && len(all) == 0 {
		err = s.write(ctx, func(tx *sql.Tx) error {
			if all, err = scanTicketKeys(ctx, tx, query, now.Unix(), now.Unix()); err != nil || len(all) > 0 {
				return err
			}
			first.SignsFrom, all = now, []TicketKey{first}
			return insertTicketKey(ctx, tx, first)
		})
	}
	if err != nil {
		return TicketKey{}, unavailable("read the session tickets' key", err)
	}
	return all[0], nil
}

// RotateTicketKey adds a key. Those before it end at othersEnd, and those that are over or have not begun to sign are forgotten.
func (s *Store) RotateTicketKey(ctx context.Context, k TicketKey, othersEnd time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		now := s.now().Unix()
		if _, err := tx.ExecContext(ctx, "DELETE FROM ticket_key WHERE ends < ? OR signs_from > ?", now, now); err != nil {
			return err
		}
		// Who signs now does so until the new key does, also when its end was near for the sake of a key that has just gone.
		const end = "UPDATE ticket_key SET ends = ?1 WHERE ends IS NULL OR ends > ?1 OR id = (SELECT id FROM ticket_key ORDER BY signs_from DESC, id LIMIT 1)"
		if _, err := tx.ExecContext(ctx, end, othersEnd.Unix()); err != nil {
			return err
		}
		return insertTicketKey(ctx, tx, k)
	})
	return unavailable("change the session tickets' key", err)
}

func insertTicketKey(ctx context.Context, tx *sql.Tx, k TicketKey) error {
	_, err := tx.ExecContext(ctx, "INSERT INTO ticket_key (id, public, seed, signs_from) VALUES (?, ?, ?, ?)", k.ID, k.Public, k.Seed, k.SignsFrom.Unix())
	return err
}

func scanTicketKeys(ctx context.Context, q rowsQueryer, query string, args ...any) (all []TicketKey, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var k TicketKey
		var from, ends int64
		if err := rows.Scan(&k.ID, &k.Public, &k.Seed, &from, &ends); err != nil {
			return nil, err
		}
		k.SignsFrom, k.Ends = instant(from), instant(ends)
		all = append(all, k)
	}
	return all, rows.Err()
}
