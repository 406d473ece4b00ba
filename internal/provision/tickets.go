package provision

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/pwb-project/pwb/internal/account"
	"github.com/pwb-project/pwb/internal/store"
	"github.com/pwb-project/pwb/internal/ticket"
)

// Tickets makes codes and session tickets for accounts whose identity its caller has verified. Its fields are set once; it is
// safe for concurrent use. What it returns is a secret: it is shown once, to the person, and never logged.
type Tickets struct {
	Store           TicketStore
	CodeLifetime    time.Duration
	SessionLifetime time.Duration
	Audience        string           // of session tickets when their caller names none
	Now             func() time.Time // nil is time.Now
}

// TicketStore is what Tickets needs of store.Store, whose contract holds.
type TicketStore interface {
	ByName(context.Context, account.Name) (store.Account, error)
	PutCode(context.Context, store.Code) error
	FindCode(context.Context, [32]byte) (store.Code, error)
	UseCode(context.Context, [32]byte) error
	TicketKeys(context.Context) ([]store.TicketKey, error)
	SigningKey(context.Context, store.TicketKey) (store.TicketKey, error)
	RotateTicketKey(context.Context, store.TicketKey, time.Time) error
}

// Issued is a ticket and until when it can be used.
type Issued struct {
	Text    string
	Expires time.Time
}

// CodeFor says where a code can be used; an empty field is anywhere.
type CodeFor struct {
	Service string // the PAM service
	Host    string
	By      string        // who gave it out, for the log
	Life    time.Duration // 0 is CodeLifetime
}

// grantLife is how long a program on a person's computer has to exchange its grant: it does so at once.
const grantLife = time.Minute

var errNoLife = errors.New("tickets without a lifetime are not given out")

func (t *Tickets) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// Code makes a code for an account. The errors are store.ErrNotFound, ErrInactive, ErrTooManyCodes and ErrUnavailable.
func (t *Tickets) Code(ctx context.Context, name account.Name, where CodeFor) (Issued, error) {
	life := where.Life
	if life == 0 {
		life = t.CodeLifetime
	}
	return t.put(ctx, store.Code{Account: name, Service: where.Service, Host: where.Host, IssuedBy: where.By}, life)
}

func (t *Tickets) put(ctx context.Context, c store.Code, life time.Duration) (Issued, error) {
	if life <= 0 {
		return Issued{}, errNoLife
	}
	out := Issued{Text: ticket.NewCode(), Expires: t.now().Add(life)}
	hash, err := ticket.ParseCode([]byte(out.Text))
	if err != nil {
		return Issued{}, err
	}
	c.Hash, c.Expires = hash, out.Expires
	if err := t.Store.PutCode(ctx, c); err != nil {
		return Issued{}, err
	}
	return out, nil
}

// Grant makes what a browser carries to a program on a person's computer (pwb login): it is exchanged for a code by whoever
// knows the verifier that challenge was made of (S256 of RFC 7636), so another program that sees it gains nothing. The errors
// are those of Code, or ticket.ErrMalformed for what is no challenge.
func (t *Tickets) Grant(ctx context.Context, name account.Name, challenge string) (Issued, error) {
	if b, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(b) != sha256.Size {
		return Issued{}, fmt.Errorf("grant: %w: a challenge is 32 bytes in base64url", ticket.ErrMalformed)
	}
	return t.put(ctx, store.Code{Account: name, Challenge: challenge, IssuedBy: "pwb login"}, grantLife)
}

// RedeemGrant exchanges a grant for a code. A grant is used up by whoever comes with it first, a wrong verifier or not. The
// errors are those of Code, or ticket.ErrCode and ErrMalformed, store.ErrNoCode, ErrSpent and ErrCodeExpired about the grant.
func (t *Tickets) RedeemGrant(ctx context.Context, grant, verifier string) (Issued, account.Name, error) {
	hash, err := ticket.ParseCode([]byte(grant))
	if err != nil {
		return Issued{}, "", fmt.Errorf("grant: %w", err)
	}
	g, err := t.Store.FindCode(ctx, hash)
	if err != nil {
		return Issued{}, "", fmt.Errorf("grant: %w", err)
	}
	if g.Challenge == "" {
		return Issued{}, "", fmt.Errorf("grant: a code in its place: %w", store.ErrNoCode)
	}
	if err := t.Store.UseCode(ctx, hash); err != nil {
		return Issued{}, "", fmt.Errorf("grant: %w", err)
	}
	sum := sha256.Sum256([]byte(verifier))
	if subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.Challenge)) != 1 {
		return Issued{}, "", fmt.Errorf("grant: of %q: another verifier: %w", g.Account, ticket.ErrMalformed)
	}
	out, err := t.Code(ctx, g.Account, CodeFor{By: g.IssuedBy})
	return out, g.Account, err
}

// ErrNoIdentity is returned for an account that nobody has signed in to: a session ticket would say nothing of whose it is.
var ErrNoIdentity = errors.New("nobody has signed in to the account yet")

// Session makes a session ticket for an account. The errors are store.ErrNotFound, ErrInactive and ErrUnavailable, or
// ErrNoIdentity.
func (t *Tickets) Session(ctx context.Context, name account.Name, audience string) (Issued, error) {
	if audience == "" {
		audience = t.Audience
	}
	if t.SessionLifetime <= 0 {
		return Issued{}, errNoLife
	}
	a, err := t.Store.ByName(ctx, name)
	switch {
	case err != nil:
		return Issued{}, err
	case !a.Active || !a.Deleted.IsZero():
		return Issued{}, fmt.Errorf("account %q: %w", name, store.ErrInactive)
	case a.Identity.Issuer == "" || a.Identity.Subject == "":
		return Issued{}, fmt.Errorf("account %q: %w", name, ErrNoIdentity)
	}
	signer, err := t.signer(ctx)
	if err != nil {
		return Issued{}, err
	}
	now := t.now().Truncate(time.Second)
	out := Issued{Expires: now.Add(t.SessionLifetime)}
	out.Text, err = signer.Sign(ticket.Session{Name: name, Who: WhoIs(a.Identity), Audience: audience, Issued: now, Expires: out.Expires})
	return out, err
}

func (t *Tickets) signer(ctx context.Context) (ticket.SessionKey, error) {
	k, err := t.Store.SigningKey(ctx, row(ticket.NewSessionKey()))
	if err != nil {
		return ticket.SessionKey{}, err
	}
	return ticket.LoadSessionKey(k.Seed)
}

func row(k ticket.SessionKey) store.TicketKey {
	return store.TicketKey{ID: k.ID(), Public: k.Public(), Seed: k.Seed()}
}

// PublicKeys returns the keys that session tickets are verified by, as a JSON Web Key Set.
func (t *Tickets) PublicKeys(ctx context.Context) ([]byte, error) {
	keys, err := sessionKeys(ctx, t.Store)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 { // before the first ticket: nodes can have the key all the same
		if _, err := t.signer(ctx); err != nil {
			return nil, err
		}
		if keys, err = sessionKeys(ctx, t.Store); err != nil {
			return nil, err
		}
	}
	return keys.JSON()
}

func sessionKeys(ctx context.Context, s interface {
	TicketKeys(context.Context) ([]store.TicketKey, error)
}) (ticket.SessionKeys, error) {
	rows, err := s.TicketKeys(ctx)
	if err != nil {
		return nil, err
	}
	keys := ticket.SessionKeys{}
	for _, k := range rows {
		if err := keys.AddPublic(k.ID, k.Public); err != nil {
			return nil, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
		}
	}
	return keys, nil
}

// Rotate makes a new key, which is published at once and signs after the time that nodes have to learn of it. Those before it
// verify as long as a ticket of theirs can live; with after 0, for keys that have got out, they end now.
func (t *Tickets) Rotate(ctx context.Context, after time.Duration) (id string, signs time.Time, err error) {
	k := row(ticket.NewSessionKey())
	now := t.now()
	k.SignsFrom = now.Add(after)
	end := k.SignsFrom.Add(ticket.LongestSession)
	if after == 0 {
		end = now.Add(-time.Second)
	}
	return k.ID, k.SignsFrom, t.Store.RotateTicketKey(ctx, k, end)
}
