package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/pwb-project/pwb/internal/account"
)

// ErrNoSession is returned for a browser's session that is not there, or not any more.
var ErrNoSession = errors.New("no such session")

// WebSession is a browser that is signed in. ID is the hash of what its cookie says.
type WebSession struct {
	ID       [32]byte
	Account  account.Name
	Identity account.Identity // issuer and subject
	Created  time.Time
	Used     time.Time
	Hint     []byte
}

const (
	maxSessions = 20 // of one account; the one that was not used for longest goes
	findSession = "SELECT account, issuer, subject, created, used, hint FROM web_session WHERE id = ?"
)

// PutSession keeps a new session, and forgets those that are over: of whoever was away since idle, or signed in before oldest.
func (s *Store) PutSession(ctx context.Context, w WebSession, idle, oldest time.Time) error {
	err := s.write(ctx, func(tx *sql.Tx) error {
		if err := s.mayLogIn(ctx, tx, w.Account); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM web_session WHERE used < ? OR created < ?", idle.Unix(), oldest.Unix()); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "DELETE FROM web_session WHERE id IN (SELECT id FROM web_session WHERE account = ? ORDER BY used DESC LIMIT -1 OFFSET ?)",
			string(w.Account), maxSessions-1)
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "INSERT INTO web_session (id, account, issuer, subject, created, used, hint) VALUES (?, ?, ?, ?, ?, ?, ?)",
			w.ID[:], string(w.Account), w.Identity.Issuer, w.Identity.Subject, w.Created.Unix(), w.Used.Unix(), w.Hint)
		return err
	})
	return unavailable("keep a session", err)
}

// FindSession returns a session, or ErrNoSession. Whether it is over is for its caller to say.
func (s *Store) FindSession(ctx context.Context, id [32]byte) (WebSession, error) {
	w := WebSession{ID: id}
	var name string
	var created, used int64
	err := s.queryRow(ctx, nil, findSession, id[:]).Scan(&name, &w.Identity.Issuer, &w.Identity.Subject, &created, &used, &w.Hint)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoSession
	}
	w.Account, w.Created, w.Used = account.Name(name), instant(created), instant(used)
	return w, unavailable("find a session", err)
}

// TouchSession notes that a session was used. One that is gone stays gone.
func (s *Store) TouchSession(ctx context.Context, id [32]byte, at time.Time) error {
	return s.forget(ctx, "note a session's use", "UPDATE web_session SET used = ? WHERE id = ?", at.Unix(), id[:])
}

// EndSession ends a session; one that is not there has ended already.
func (s *Store) EndSession(ctx context.Context, id [32]byte) error {
	return s.forget(ctx, "end a session", "DELETE FROM web_session WHERE id = ?", id[:])
}

// EndSessions ends all sessions of an account.
func (s *Store) EndSessions(ctx context.Context, name account.Name) error {
	return s.forget(ctx, fmt.Sprintf("end the sessions of %q", name), endSessions, string(name))
}

const endSessions = "DELETE FROM web_session WHERE account = ?"

// endClosedSessions ends browsers' sessions of an account that opens nothing any more: they do not come back with it.
func endClosedSessions(ctx context.Context, tx *sql.Tx, name account.Name) error {
	_, err := tx.ExecContext(ctx, endSessions+" AND EXISTS (SELECT 1 FROM account WHERE name = ? AND (active = 0 OR provided = 0 OR deleted IS NOT NULL))",
		string(name), string(name))
	return err
}

func (s *Store) forget(ctx context.Context, doing, query string, args ...any) error {
	return unavailable(doing, s.write(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, query, args...)
		return err
	}))
}

// Spend uses up a key that stands for something else than a ticket, until expires. ErrSpent: it was used up before.
func (s *Store) Spend(ctx context.Context, key [32]byte, expires time.Time) error {
	return unavailable("use up a key", s.write(ctx, func(tx *sql.Tx) error {
		return s.spend(ctx, tx, Redemption{Key: key, Expires: expires})
	}))
}

// WebKey returns the key that seals what browsers keep for this store. It makes one when there is none.
func (s *Store) WebKey(ctx context.Context) (key [32]byte, err error) {
	fresh := make([]byte, len(key))
	rand.Read(fresh)
	var stored []byte
	err = s.write(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, "INSERT INTO web_key VALUES (1, ?) ON CONFLICT DO NOTHING", fresh); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, "SELECT key FROM web_key").Scan(&stored)
	})
	if err == nil && len(stored) != len(key) {
		err = fmt.Errorf("it has %d bytes", len(stored))
	}
	copy(key[:], stored)
	return key, unavailable("read the key of browsers' cookies", err)
}

// Search returns accounts by name: those after one, at most limit, whose name, username or full name holds text.
func (s *Store) Search(ctx context.Context, text string, after account.Name, limit int) ([]Account, error) {
	pattern := "%" + strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`).Replace(text) + "%"
	return s.accounts(ctx, "search the accounts", selectAccount+`WHERE name > ? AND (name LIKE ? ESCAPE '\' OR username LIKE ? ESCAPE '\' OR gecos LIKE ? ESCAPE '\')
		ORDER BY name LIMIT ?`, string(after), pattern, pattern, pattern, limit)
}
