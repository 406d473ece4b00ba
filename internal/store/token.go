package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Token is what is kept of a bearer token. It opens nothing.
type Token struct {
	ID       string
	Name     string
	Hash     [32]byte // SHA-256 of the token
	Scope    string
	CIDRs    []netip.Prefix // where it may come from; nil is everywhere
	Created  time.Time
	Creator  string
	Expires  time.Time // zero: never
	LastUsed time.Time // zero: not yet; as of the minute
	Revoked  time.Time // zero while it is good
}

// Live says whether a token opens anything at a time.
func (t Token) Live(now time.Time) bool {
	return t.Revoked.IsZero() && (t.Expires.IsZero() || now.Before(t.Expires))
}

// ErrNoToken is returned when there is no such token.
var ErrNoToken = errors.New("no such token")

// PutToken keeps a new token.
func (s *Store) PutToken(ctx context.Context, t Token) error {
	err := s.write(ctx, func(tx *sql.Tx) error { return s.putToken(ctx, tx, t) })
	return unavailable(fmt.Sprintf("keep token %q", t.Name), err)
}

func (s *Store) putToken(ctx context.Context, tx *sql.Tx, t Token) error {
	cidrs := make([]string, len(t.CIDRs))
	for i, c := range t.CIDRs {
		cidrs[i] = c.String()
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO scim_token (id, name, hash, scope, cidrs, created, creator, expires) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		t.ID, t.Name, t.Hash[:], t.Scope, strings.Join(cidrs, ","), t.Created.Unix(), t.Creator, seconds(t.Expires))
	return err
}

func seconds(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.Unix()
}

// RotateToken keeps a new token beside the live ones of its name, which end at until unless they end before. ErrNoToken: none is
// live. The new one has their scope and addresses.
func (s *Store) RotateToken(ctx context.Context, t Token, until time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		const live = "name = ? AND revoked IS NULL AND coalesce(expires > ?, 1)"
		old, err := scanTokens(ctx, tx, selectToken+"WHERE "+live+" ORDER BY created DESC, id LIMIT 1", t.Name, s.now().Unix())
		if err != nil {
			return err
		}
		if len(old) == 0 {
			return ErrNoToken
		}
		if _, err := tx.ExecContext(ctx, "UPDATE scim_token SET expires = min(coalesce(expires, ?1), ?1) WHERE name = ?2 AND revoked IS NULL", until.Unix(), t.Name); err != nil {
			return err
		}
		t.Scope, t.CIDRs = old[0].Scope, old[0].CIDRs
		return s.putToken(ctx, tx, t)
	})
	if errors.Is(err, ErrNoToken) {
		return fmt.Errorf("rotate token %q: %w", t.Name, err)
	}
	return unavailable(fmt.Sprintf("rotate token %q", t.Name), err)
}

// RevokeTokens ends the tokens of a name, or of an id, or all when both are empty, and returns those that it ended.
func (s *Store) RevokeTokens(ctx context.Context, name, id string) (ended []Token, err error) {
	err = s.write(ctx, func(tx *sql.Tx) error {
		const these = "WHERE revoked IS NULL AND (?1 = '' OR name = ?1) AND (?2 = '' OR id = ?2)"
		if ended, err = scanTokens(ctx, tx, selectToken+these, name, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE scim_token SET revoked = ?3 "+these, name, id, s.now().Unix())
		return err
	})
	return ended, unavailable("revoke tokens", err)
}

const (
	selectToken = `SELECT id, name, hash, scope, cidrs, created, creator, coalesce(expires, 0), coalesce(last_used, 0), coalesce(revoked, 0) FROM scim_token `
	tokenByID   = selectToken + "WHERE id = ?"
)

func scanTokens(ctx context.Context, q rowsQueryer, query string, args ...any) (all []Token, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		t, err := scanToken(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	return all, rows.Err()
}

func scanToken(row interface{ Scan(...any) error }) (t Token, err error) {
	var hash []byte
	var cidrs string
	var created, expires, used, revoked int64
	if err := row.Scan(&t.ID, &t.Name, &hash, &t.Scope, &cidrs, &created, &t.Creator, &expires, &used, &revoked); err != nil {
		return t, err
	}
	if copy(t.Hash[:], hash) != len(t.Hash) {
		return t, fmt.Errorf("token %q has a hash of %d bytes", t.ID, len(hash))
	}
	t.Created, t.Expires, t.LastUsed, t.Revoked = instant(created), instant(expires), instant(used), instant(revoked)
	for text := range strings.SplitSeq(cidrs, ",") {
		if text == "" {
			continue
		}
		p, err := netip.ParsePrefix(text)
		if err != nil {
			return t, err
		}
		t.CIDRs = append(t.CIDRs, p)
	}
	return t, nil
}

// Token returns the token of an id, a revoked one too, or ErrNoToken.
func (s *Store) Token(ctx context.Context, id string) (Token, error) {
	t, err := scanToken(s.queryRow(ctx, nil, tokenByID, id))
	if errors.Is(err, sql.ErrNoRows) {
		return t, ErrNoToken
	}
	return t, unavailable("find a token", err)
}

// Tokens returns all tokens, in the order in which they were made.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	all, err := scanTokens(ctx, s.db, selectToken+"ORDER BY created, name, id")
	return all, unavailable("list the tokens", err)
}

// TouchToken notes that a token was used.
func (s *Store) TouchToken(ctx context.Context, id string, now time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, "UPDATE scim_token SET last_used = ? WHERE id = ?", now.Unix(), id)
		return err
	})
	return unavailable("note the use of a token", err)
}
